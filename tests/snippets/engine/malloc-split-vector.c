/* SPDX-License-Identifier: MIT */
/* A vector of equal free blocks: the one freed last is split first; the rests, freed in that order, are used the same way. */
#include "snippet.h"

int main(void)
{
  void *blocks[3];
  for (int i = 0; i < 3; i++) {
    blocks[i] = os_malloc(REQUEST(0x20000));
    os_malloc(8);
  }
  for (int i = 0; i < 3; i++) os_free(blocks[i]);
  for (int i = 0; i < 3; i++) os_malloc(REQUEST(0x14000));
  for (int i = 0; i < 3; i++) os_malloc(REQUEST(0xc000));
}
