/* SPDX-License-Identifier: MIT */
/* Three of a kind and one that is larger become as large a block as calloc can take from the heap; it is zeroed, old headers too. */
#include "snippet.h"

int main(void)
{
  void *blocks[4];
  for (int i = 0; i < 4; i++) {
    blocks[i] = os_calloc(1, i < 3 ? REQUEST(0x8000) : REQUEST(0x8010));
    fill(blocks[i], REQUEST(0x8000));
  }
  os_calloc(1, 8);
  for (int i = 3; i >= 0; i--) os_free(blocks[i]);
  expect_zero(os_calloc(1, LARGEST), LARGEST);
}
