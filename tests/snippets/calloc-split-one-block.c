/* SPDX-License-Identifier: MIT */
/* The rest is the smallest that can be a block, and serves. */
#include "snippet.h"

int main(void)
{
  void *block = os_calloc(1, 1000);
  os_calloc(1, 8);
  fill(block, 1000);
  os_free(block);
  expect_zero(os_calloc(1, 1000 - SMALLEST_BLOCK), 1000 - SMALLEST_BLOCK);
  expect_zero(os_calloc(1, 8), 8);
}
