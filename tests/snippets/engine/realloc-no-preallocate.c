/* SPDX-License-Identifier: MIT */
/* A mapping grows by mremap, an eighth further than asked; shrunk, its tail is kept and serves another block without a call. */
#include "snippet.h"

int main(void)
{
  void *block = os_realloc(NULL, 0x20000);
  fill(block, 0x20000);
  block = os_realloc(block, 0x40000);
  expect_filled(block, 0x20000);
  block = os_realloc(block, 0x48000);
  block = os_realloc(block, 0x20000);
  expect_filled(block, 0x20000);
  void *tail = os_realloc(NULL, 0x28000);
  os_free(block);
  os_free(tail);
}
