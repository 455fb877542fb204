/* SPDX-License-Identifier: MIT */
/* A block that outgrows the heap moves into a mapping; that shrinks where it is, until half of 128 KiB is too much for so little. */
#include "snippet.h"

int main(void)
{
  void *block = os_realloc(NULL, 100000);
  fill(block, 60000);
  block = os_realloc(block, 200000);
  expect_filled(block, 60000);
  memset(block, 0x33, 60000); /* what it left on the heap is where it comes back to */
  block = os_realloc(block, 100000);
  block = os_realloc(block, 60000);
  expect_bytes((unsigned char *)block, 0x33, 60000);
  os_realloc(NULL, 200000);
}
