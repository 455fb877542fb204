/* SPDX-License-Identifier: MIT */
/* Many small blocks become one as large as a heap block of calloc can be (4,056), zeroed. */
#include "snippet.h"

int main(void)
{
  void *blocks[8];
  for (int i = 0; i < 8; i++) {
    blocks[i] = os_calloc(1, i < 7 ? 480 : 472);
    fill(blocks[i], 472);
  }
  os_calloc(1, 8);
  for (int i = 7; i >= 0; i--)
    os_free(blocks[i]);
  expect_zero(os_calloc(1, PAGE - HEADER - 8), PAGE - HEADER - 8);
}
