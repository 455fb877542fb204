/* SPDX-License-Identifier: MIT */
/* A freed block becomes one with the free block before it, with the one behind it, and with both. */
#include "snippet.h"

int main(void)
{
  void *blocks[4];
  for (int i = 0; i < 4; i++) blocks[i] = os_malloc(REQUEST(0x1f0));
  os_malloc(8);
  os_free(blocks[0]);
  os_free(blocks[1]);
  void *both = os_malloc(REQUEST(0x3e0));
  os_free(blocks[3]);
  os_free(blocks[2]);
  void *others = os_malloc(REQUEST(0x3e0));
  os_free(both);
  os_free(others);
  os_malloc(REQUEST(0x7c0));
}
