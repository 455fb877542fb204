/* SPDX-License-Identifier: MIT */
/* Shrinking by 16 bytes, or growing into a block that leaves 16: the rest cannot be a block and stays with it. */
#include "snippet.h"

int main(void)
{
  void *block = os_realloc(NULL, REQUEST(0x3f0)), *next = os_realloc(NULL, REQUEST(0x70));
  os_malloc(8);
  block = os_realloc(block, REQUEST(0x3e0));
  os_malloc(8);
  block = os_realloc(block, REQUEST(0x3f0));
  os_free(next);
  block = os_realloc(block, REQUEST(0x3f0 + 0x70 - 16));
  os_malloc(8);
  block = os_realloc(block, REQUEST(0x3f0 + 0x70));
}
