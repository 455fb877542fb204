/* SPDX-License-Identifier: MIT */
/* Everything once: nothing, small and medium blocks, mappings, moves between them, splits, growth, and all of it freed. */
#include "snippet.h"

int main(void)
{
  os_free(NULL);
  os_free(os_malloc(0));
  os_free(os_calloc(0, 8));
  os_free(os_realloc(NULL, 0));
  char *a = os_malloc(REQUEST(0x9000)), *b = os_calloc(10, 20), *c = os_realloc(NULL, REQUEST(0x1000));
  char *large = os_malloc(200000), *grows = os_calloc(1024, 4);
  fill(a, 500);
  grows = os_realloc(grows, REQUEST(0x3000));
  os_free(b);
  b = os_malloc(150);
  os_free(large);
  a = os_realloc(a, LARGEST + 1);
  expect_filled(a, 500);
  a = os_realloc(a, 500);
  expect_filled(a, 500);
  os_realloc(c, 0);
  os_free(a);
  os_free(b);
  os_free(grows);
  os_trim((size_t)1 << 40);
  os_free(os_malloc(LARGEST));
}
