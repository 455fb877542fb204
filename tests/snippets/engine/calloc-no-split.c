/* SPDX-License-Identifier: MIT */
/* A rest of 16 bytes has no room for a header and the two links: the whole block is used. */
#include "snippet.h"

int main(void)
{
  void *block = os_calloc(1, REQUEST(0x3f0));
  os_calloc(1, 8);
  fill(block, REQUEST(0x3f0));
  os_free(block);
  block = os_calloc(1, REQUEST(0x3e0));
  expect_zero(block, REQUEST(0x3e0));
  os_calloc(1, 8);
  os_realloc(block, REQUEST(0x3f0));
}
