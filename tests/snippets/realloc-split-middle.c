/* SPDX-License-Identifier: MIT */
/* realloc splits the block it is given: the one in the middle shrinks, and its rest is used. */
#include "snippet.h"

int main(void)
{
  void *first = os_realloc(NULL, 1000), *middle = os_realloc(NULL, 1000), *last = os_realloc(NULL, 1000);
  fill(middle, 1000);
  middle = os_realloc(middle, 500);
  os_realloc(NULL, 464);
  expect_filled(middle, 500);
  (void)first, (void)last;
}
