/* SPDX-License-Identifier: MIT */
/* The rest is the smallest that can be a block, and serves. */
#include "snippet.h"

int main(void)
{
  void *block = os_malloc(1000);
  os_malloc(8);
  os_free(block);
  os_malloc(1000 - SMALLEST_BLOCK);
  os_malloc(8);
}
