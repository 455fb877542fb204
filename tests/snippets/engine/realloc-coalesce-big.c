/* SPDX-License-Identifier: MIT */
/* All neighbours are one free block, and still too little: the block moves, and the place it leaves is one with them. */
#include "snippet.h"

int main(void)
{
  void *block = os_realloc(NULL, REQUEST(0x150));
  void *b = os_realloc(NULL, REQUEST(0x150)), *c = os_realloc(NULL, REQUEST(0x150)), *d = os_realloc(NULL, REQUEST(0x150));
  os_malloc(8);
  fill(block, REQUEST(0x150));
  os_free(b);
  os_free(d);
  os_free(c);
  block = os_realloc(block, REQUEST(0x550));
  expect_filled(block, REQUEST(0x150));
  os_realloc(NULL, REQUEST(0x540));
}
