/* SPDX-License-Identifier: MIT */
/* realloc splits the block it is given: the last one shrinks, and its rest joins the free end of the heap. */
#include "snippet.h"

int main(void)
{
  void *first = os_realloc(NULL, 1000), *middle = os_realloc(NULL, 1000), *last = os_realloc(NULL, 1000);
  fill(last, 1000);
  last = os_realloc(last, 500);
  os_realloc(NULL, 2000);
  expect_filled(last, 500);
  (void)first, (void)middle;
}
