/* SPDX-License-Identifier: MIT */
/* realloc as malloc, and every change of a mapped block, by a new mapping: no mremap, no heap. */
#include "snippet.h"

int main(void)
{
  void *block = os_realloc(NULL, 128 * KIB);
  fill(block, 128 * KIB);
  block = os_realloc(block, 256 * KIB);
  expect_filled(block, 128 * KIB);
  block = os_realloc(block, 256 * KIB - 7);
  block = os_realloc(block, 192 * KIB);
  expect_filled(block, 128 * KIB);
  os_free(block);
}
