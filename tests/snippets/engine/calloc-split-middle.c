/* SPDX-License-Identifier: MIT */
/* Of three free blocks the one in the middle is the best fit: it is split, and its rest is used; both are zeroed. */
#include "snippet.h"

int main(void)
{
  void *first = os_calloc(1, REQUEST(0xc000)), *wall1 = os_calloc(1, 8), *middle = os_calloc(1, REQUEST(0xa000)), *wall2 = os_calloc(1, 8);
  void *last = os_calloc(1, REQUEST(0xe000)), *wall3 = os_calloc(1, 8);
  fill(middle, REQUEST(0xa000));
  os_free(first);
  os_free(middle);
  os_free(last);
  expect_zero(os_calloc(8, REQUEST(0x6000) / 8), REQUEST(0x6000));
  expect_zero(os_calloc(8, REQUEST(0x4000) / 8), REQUEST(0x4000));
  (void)wall1, (void)wall2, (void)wall3;
}
