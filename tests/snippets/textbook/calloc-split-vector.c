/* SPDX-License-Identifier: MIT */
/* A vector of equal free blocks: the first of them is split each time; then the equal rests are used in order. */
#include "snippet.h"

int main(void)
{
  void *blocks[3];
  for (int i = 0; i < 3; i++) {
    blocks[i] = os_calloc(10, 100);
    os_calloc(1, 8);
    fill(blocks[i], 1000);
  }
  for (int i = 0; i < 3; i++)
    os_free(blocks[i]);
  for (int i = 0; i < 3; i++)
    expect_zero(os_calloc(6, 100), 600);
  for (int i = 0; i < 3; i++)
    expect_zero(os_calloc(46, 8), 368);
}
