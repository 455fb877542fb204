/* SPDX-License-Identifier: MIT */
/* What is free at the top goes back by brk; it is zero when it comes again. */
#include "snippet.h"

int main(void)
{
  os_malloc(REQUEST(0x18000));
  void *freed = os_malloc(REQUEST(0x10000));
  fill(freed, REQUEST(0x10000));
  os_free(freed);
  os_trim(0);
  expect_zero(os_calloc(1, REQUEST(0x18000)), REQUEST(0x18000));
}
