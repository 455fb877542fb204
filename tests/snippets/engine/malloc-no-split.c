/* SPDX-License-Identifier: MIT */
/* A rest of 16 bytes has no room for a header and the two links: the whole block is used, all of it by its owner. */
#include "snippet.h"

int main(void)
{
  void *block = os_malloc(REQUEST(0x3f0));
  os_malloc(8);
  os_free(block);
  block = os_malloc(REQUEST(0x3e0));
  os_malloc(8);
  os_realloc(block, REQUEST(0x3f0));
}
