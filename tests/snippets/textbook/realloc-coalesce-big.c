/* SPDX-License-Identifier: MIT */
/* A block merges all its free neighbours in vain: it moves, and the place it leaves is one block with them. */
#include "snippet.h"

int main(void)
{
  void *block = os_realloc(NULL, 1000);
  void *b = os_realloc(NULL, 10000), *c = os_realloc(NULL, 10000), *d = os_realloc(NULL, 10000);
  os_malloc(8);
  fill(block, 1000);
  os_free(b);
  os_free(c);
  os_free(d);
  block = os_realloc(block, 40000);
  expect_filled(block, 1000);
  os_realloc(NULL, 1000 + 3 * (HEADER + 10000));
}
