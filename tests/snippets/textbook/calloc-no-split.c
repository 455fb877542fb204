/* SPDX-License-Identifier: MIT */
/* A rest of 32 bytes cannot hold a header and 8 bytes: the whole block is used. */
#include "snippet.h"

int main(void)
{
  void *block = os_calloc(1, 1000);
  os_calloc(1, 8);
  fill(block, 1000);
  os_free(block);
  block = os_calloc(1, 1000 - HEADER);
  expect_zero(block, 1000 - HEADER);
  os_calloc(1, 8);
  os_realloc(block, 1000);
}
