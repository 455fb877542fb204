/* SPDX-License-Identifier: MIT */
/* A block that cannot grow moves into the smallest free one that is large enough; its own place is used next. */
#include "snippet.h"

int main(void)
{
  void *large = os_realloc(NULL, 1000), *wall1 = os_malloc(8), *fitting = os_realloc(NULL, 496), *wall2 = os_malloc(8);
  void *grows = os_realloc(NULL, 100), *wall3 = os_malloc(8);
  fill(grows, 100);
  os_realloc(large, 0);
  os_realloc(fitting, 0);
  grows = os_realloc(grows, 490);
  expect_filled(grows, 100);
  os_realloc(large, 500);
  os_realloc(NULL, 100);
  (void)wall1, (void)wall2, (void)wall3;
}
