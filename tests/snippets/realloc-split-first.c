/* SPDX-License-Identifier: MIT */
/* realloc splits the block it is given: the first of three shrinks, and its rest is used. */
#include "snippet.h"

int main(void)
{
  void *first = os_realloc(NULL, 1000), *middle = os_realloc(NULL, 1000), *last = os_realloc(NULL, 1000);
  fill(first, 1000);
  first = os_realloc(first, 500);
  os_realloc(NULL, 464);
  expect_filled(first, 500);
  (void)middle, (void)last;
}
