/* SPDX-License-Identifier: MIT */
/* All blocks are freed and become one with the end of the heap: the 128 KiB are whole again. */
#include "snippet.h"

int main(void)
{
  void *blocks[4];
  for (int i = 0; i < 4; i++)
    blocks[i] = os_malloc(10000 << i % 2);
  for (int i = 0; i < 4; i++)
    os_free(blocks[i]);
  os_malloc(PREALLOCATED - HEADER - 8);
  os_malloc(8);
}
