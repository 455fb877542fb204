/* SPDX-License-Identifier: MIT */
/* A block grows where it is: into a part of the free neighbour, into all of it; then it must move, and grows into the top. */
#include "snippet.h"

int main(void)
{
  void *block = os_realloc(NULL, REQUEST(0x9000)), *next = os_realloc(NULL, REQUEST(0x20000));
  os_malloc(8);
  fill(block, REQUEST(0x9000));
  os_free(next);
  block = os_realloc(block, REQUEST(0x10000));
  os_malloc(REQUEST(0x19000));
  block = os_realloc(block, REQUEST(0x9000));
  block = os_realloc(block, REQUEST(0x10000));
  block = os_realloc(block, REQUEST(0x11000));
  block = os_realloc(block, REQUEST(0x1f000));
  expect_filled(block, REQUEST(0x9000));
  os_free(block);
}
