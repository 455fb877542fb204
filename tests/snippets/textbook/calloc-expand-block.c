/* SPDX-License-Identifier: MIT */
/* Nothing fits and the heap ends with a free block: the heap grows by just what that block lacks; all is zeroed. */
#include "snippet.h"

int main(void)
{
  os_malloc(1000);
  os_malloc(129000);
  void *last = os_malloc(976);
  fill(last, 976);
  os_free(last);
  expect_zero(os_calloc(250, 8), 2000);
  os_calloc(3, 8);
}
