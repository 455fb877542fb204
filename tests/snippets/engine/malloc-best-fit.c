/* SPDX-License-Identifier: MIT */
/* Blocks of one bin differ in size: of the four freed last the smallest that fits is taken, not the newest. An older one is not looked
 * at, were it the exact fit; nor is the top, as long as any block fits. What is freed here is what shrunken blocks leave: no cache takes it. */
#include "snippet.h"

int main(void)
{
  static const size_t SIZES[] = {0x8000, 0x8300, 0x8100, 0x8400, 0x8200};
  void *blocks[5];
  for (int i = 0; i < 5; i++) blocks[i] = os_malloc(REQUEST(0x1000 + SIZES[i]));
  os_malloc(8);
  for (int i = 0; i < 5; i++) os_realloc(blocks[i], REQUEST(0x1000));
  os_malloc(REQUEST(0x8000));
  os_malloc(REQUEST(0x8000));
  os_malloc(REQUEST(0x8400));
  os_malloc(REQUEST(0x8300));
}
