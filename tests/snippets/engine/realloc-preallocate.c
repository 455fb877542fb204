/* SPDX-License-Identifier: MIT */
/* realloc's first block brings as much as malloc's. The last block grows to its last byte where it is, and by one more with a brk. */
#include "snippet.h"

int main(void)
{
  for (int i = 0; i < 3; i++) os_realloc(NULL, REQUEST(0x20000));
  void *last = os_realloc(NULL, REQUEST(0x10000));
  fill(last, REQUEST(0x10000));
  last = os_realloc(last, REQUEST(ROOM - 0x60000));
  last = os_realloc(last, REQUEST(ROOM - 0x60000) + 1);
  expect_filled(last, REQUEST(0x10000));
  os_realloc(NULL, 8);
}
