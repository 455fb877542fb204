/* SPDX-License-Identifier: MIT */
/* Three free neighbours become one before the search, in whatever order they were freed. */
#include "snippet.h"

int main(void)
{
  void *a = os_malloc(1000), *b = os_malloc(1000), *c = os_malloc(1000);
  os_malloc(8);
  os_free(a);
  os_free(c);
  os_free(b);
  os_malloc(3 * 1000 + 2 * HEADER);
}
