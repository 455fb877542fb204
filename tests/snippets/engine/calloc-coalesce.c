/* SPDX-License-Identifier: MIT */
/* A block that is freed between two free ones becomes one with both; the headers inside are zeroed like the rest. */
#include "snippet.h"

int main(void)
{
  void *blocks[3];
  for (int i = 0; i < 3; i++) {
    blocks[i] = os_calloc(1, REQUEST(0x1f0));
    fill(blocks[i], REQUEST(0x1f0));
  }
  os_calloc(1, 8);
  os_free(blocks[0]);
  os_free(blocks[2]);
  os_free(blocks[1]);
  expect_zero(os_calloc(4, REQUEST(0x5d0) / 4), REQUEST(0x5d0));
}
