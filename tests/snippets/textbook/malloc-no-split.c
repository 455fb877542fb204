/* SPDX-License-Identifier: MIT */
/* A rest of 32 bytes cannot hold a header and 8 bytes: the whole block is used. */
#include "snippet.h"

int main(void)
{
  void *block = os_malloc(1000);
  os_malloc(8);
  os_free(block);
  block = os_malloc(1000 - HEADER);
  os_malloc(8);
  os_realloc(block, 1000);
}
