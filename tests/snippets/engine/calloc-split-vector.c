/* SPDX-License-Identifier: MIT */
/* A vector of equal free blocks: the one freed last is split first; the rests are used the same way; all are zeroed. */
#include "snippet.h"

int main(void)
{
  void *blocks[3];
  for (int i = 0; i < 3; i++) {
    blocks[i] = os_calloc(1, REQUEST(0x20000));
    os_calloc(1, 8);
    fill(blocks[i], REQUEST(0x20000));
  }
  for (int i = 0; i < 3; i++) os_free(blocks[i]);
  for (int i = 0; i < 3; i++) expect_zero(os_calloc(8, REQUEST(0x14000) / 8), REQUEST(0x14000));
  for (int i = 0; i < 3; i++) expect_zero(os_calloc(8, REQUEST(0xc000) / 8), REQUEST(0xc000));
}
