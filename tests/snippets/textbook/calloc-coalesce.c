/* SPDX-License-Identifier: MIT */
/* Three free neighbours become one before the search; headers inside are zeroed like the rest. */
#include "snippet.h"

int main(void)
{
  void *a = os_calloc(1, 1000), *b = os_calloc(1, 1000), *c = os_calloc(1, 1000);
  os_calloc(1, 8);
  os_free(c);
  os_free(b);
  os_free(a);
  expect_zero(os_calloc(1, 3 * 1000 + 2 * HEADER), 3 * 1000 + 2 * HEADER);
}
