/* SPDX-License-Identifier: MIT */
/* Shrinking leaves the smallest possible block, which serves. */
#include "snippet.h"

int main(void)
{
  void *block = os_realloc(NULL, 1000);
  os_malloc(8);
  fill(block, 1000);
  os_realloc(block, 1000 - SMALLEST_BLOCK);
  os_realloc(NULL, 8);
  expect_filled(block, 1000 - SMALLEST_BLOCK);
}
