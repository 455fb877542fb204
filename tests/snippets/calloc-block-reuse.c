/* SPDX-License-Identifier: MIT */
/* Freed blocks are used again, the smallest that is large enough, and zeroed. */
#include "snippet.h"

int main(void)
{
  void *large = os_calloc(125, 8);
  os_malloc(8);
  void *fitting = os_calloc(62, 8);
  os_malloc(8);
  fill(large, 1000);
  fill(fitting, 496);
  os_free(large);
  os_free(fitting);
  expect_zero(os_calloc(49, 10), 490);
  expect_zero(os_calloc(10, 100), 1000);
}
