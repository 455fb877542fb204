/* SPDX-License-Identifier: MIT */
/* Of three free blocks the one in the middle is the best fit: it is split, and its rest is used. */
#include "snippet.h"

int main(void)
{
  void *first = os_malloc(REQUEST(0xc000)), *wall1 = os_malloc(8), *middle = os_malloc(REQUEST(0xa000)), *wall2 = os_malloc(8);
  void *last = os_malloc(REQUEST(0xe000)), *wall3 = os_malloc(8);
  os_free(first);
  os_free(middle);
  os_free(last);
  os_malloc(REQUEST(0x6000));
  os_malloc(REQUEST(0x4000));
  (void)wall1, (void)wall2, (void)wall3;
}
