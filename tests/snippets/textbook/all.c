/* SPDX-License-Identifier: MIT */
/* Everything once: nothing, the heap, mappings, moves between the two, splits, and all of it freed. */
#include "snippet.h"

int main(void)
{
  os_free(NULL);
  os_free(os_malloc(0));
  os_free(os_calloc(0, 8));
  os_free(os_realloc(NULL, 0));
  char *a = os_malloc(1000), *b = os_calloc(10, 10), *c = os_realloc(NULL, 200);
  char *large = os_malloc(200000), *page = os_calloc(1024, 4);
  fill(a, 500);
  page = os_realloc(page, 2000);
  os_free(b);
  b = os_malloc(64);
  char *rest = os_calloc(1, 8);
  a = os_realloc(a, 128 * KIB);
  a = os_realloc(a, 500);
  expect_filled(a, 500);
  os_realloc(c, 0);
  os_free(a);
  os_free(b);
  os_free(rest);
  os_free(large);
  os_free(page);
  os_free(os_malloc(PREALLOCATED - HEADER - 8));
}
