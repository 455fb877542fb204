/* SPDX-License-Identifier: MIT */
/* Of three free blocks the last, which ends the heap, is the best fit: it is split, and its rest is used. */
#include "snippet.h"

int main(void)
{
  os_malloc(PREALLOCATED - 6 * HEADER - (3000 + 8 + 2000 + 8 + 1000));
  void *first = os_malloc(3000), *wall1 = os_malloc(8), *middle = os_malloc(2000), *wall2 = os_malloc(8);
  void *last = os_malloc(1000);
  os_free(first);
  os_free(middle);
  os_free(last);
  os_malloc(500);
  os_malloc(464);
  (void)wall1, (void)wall2;
}
