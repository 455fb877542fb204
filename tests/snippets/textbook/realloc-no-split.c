/* SPDX-License-Identifier: MIT */
/* Shrinking by 32 bytes, or growing into a block that leaves 32: the rest cannot be a block and stays. */
#include "snippet.h"

int main(void)
{
  void *block = os_realloc(NULL, 1000), *next = os_realloc(NULL, 104);
  os_malloc(8);
  os_realloc(block, 1000 - HEADER);
  os_malloc(8);
  os_realloc(block, 1000);
  os_free(next);
  os_realloc(block, 1000 + 104);
  os_malloc(8);
}
