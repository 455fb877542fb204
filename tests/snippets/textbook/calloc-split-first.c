/* SPDX-License-Identifier: MIT */
/* Of three free blocks the first is the best fit: it is split, and its rest is used. */
#include "snippet.h"

int main(void)
{
  void *first = os_calloc(10, 100), *wall1 = os_calloc(1, 8), *middle = os_calloc(20, 100), *wall2 = os_calloc(1, 8);
  void *last = os_calloc(30, 100), *wall3 = os_calloc(1, 8);
  fill(first, 1000);
  os_free(first);
  os_free(middle);
  os_free(last);
  expect_zero(os_calloc(5, 100), 500);
  expect_zero(os_calloc(58, 8), 464);
  (void)wall1, (void)wall2, (void)wall3;
}
