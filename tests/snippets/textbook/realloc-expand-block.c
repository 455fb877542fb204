/* SPDX-License-Identifier: MIT */
/* A block grows where it is: into the free block behind it, and at the end of the heap with it. */
#include "snippet.h"

int main(void)
{
  void *first = os_realloc(NULL, 1000);
  first = os_realloc(first, 100000);
  void *last = os_realloc(NULL, PREALLOCATED - (HEADER + 100000) - HEADER);
  fill(last, 31008);
  last = os_realloc(last, 40000);
  expect_filled(last, 31008);
  os_free(first);
  os_free(last);
}
