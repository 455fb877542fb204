/* SPDX-License-Identifier: MIT */
/* A vector of equal free blocks: the first of them is split each time; then the equal rests are used in order. */
#include "snippet.h"

int main(void)
{
  void *blocks[3];
  for (int i = 0; i < 3; i++) {
    blocks[i] = os_malloc(1000);
    os_malloc(8);
  }
  for (int i = 0; i < 3; i++)
    os_free(blocks[i]);
  for (int i = 0; i < 3; i++)
    os_malloc(600);
  for (int i = 0; i < 3; i++)
    os_malloc(368);
}
