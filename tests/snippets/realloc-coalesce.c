/* SPDX-License-Identifier: MIT */
/* A block grows over free neighbours no further than it must: what it leaves is a block, until it is needed too. */
#include "snippet.h"

int main(void)
{
  void *a = os_realloc(NULL, 1000), *b = os_realloc(NULL, 1000), *c = os_realloc(NULL, 1000);
  os_malloc(8);
  fill(a, 1000);
  os_free(b);
  os_free(c);
  a = os_realloc(a, 2000);
  c = os_realloc(NULL, 1000);
  os_free(c);
  a = os_realloc(a, 3000);
  expect_filled(a, 1000);
}
