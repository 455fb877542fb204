/* SPDX-License-Identifier: MIT */
/* For calloc the threshold is a page: from there on a mapping, and the heap is never touched. */
#include "snippet.h"

int main(void)
{
  void *exact = os_calloc(1, PAGE - HEADER);
  void *rounded = os_calloc(1, PAGE - HEADER - 7);
  unsigned char *large = os_calloc(3, 5000);
  expect_zero(large, 15000);
  os_free(exact);
  os_free(large);
  os_free(rounded);
}
