/* SPDX-License-Identifier: MIT */
/* A vector of blocks that all shrink in place; then the rests are used. */
#include "snippet.h"

int main(void)
{
  void *blocks[3];
  for (int i = 0; i < 3; i++) {
    blocks[i] = os_realloc(NULL, 1000);
    fill(blocks[i], 1000);
  }
  for (int i = 0; i < 3; i++)
    expect_filled(os_realloc(blocks[i], 600), 600);
  for (int i = 0; i < 3; i++)
    os_realloc(NULL, 368);
}
