/* SPDX-License-Identifier: MIT */
/* A free block that ends the heap is its top again, and when the top is too short the heap grows under it: the block begins where
 * the free one did. */
#include "snippet.h"

int main(void)
{
  for (int i = 0; i < 3; i++) os_malloc(REQUEST(0x20000));
  void *last = os_malloc(REQUEST(ROOM - 0x60000));
  os_free(last);
  os_malloc(REQUEST(0x19000));
  os_malloc(24);
}
