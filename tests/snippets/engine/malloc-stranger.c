/* SPDX-License-Identifier: MIT */
/* Somebody else moves the break: the heap leaves that memory alone and goes on behind it, on the next edge of 8 MiB. */
#include "snippet.h"

int main(void)
{
  for (int i = 0; i < 3; i++) os_malloc(REQUEST(0x20000));
  void *theirs = sbrk(0x1000);
  fill(theirs, 0x1000);
  os_malloc(REQUEST(0x20000));
  memset(os_malloc(REQUEST(0x18000)), 0, REQUEST(0x18000));
  os_malloc(REQUEST(0x20000));
  expect_filled(theirs, 0x1000);
}
