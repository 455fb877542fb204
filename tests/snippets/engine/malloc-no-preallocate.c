/* SPDX-License-Identifier: MIT */
/* From 128 KiB on a block has a mapping of its own, in whole pages, and the heap is never touched. */
#include "snippet.h"

int main(void)
{
  void *exact = os_malloc(LARGEST + 1);
  void *rounded = os_malloc(LARGEST + 2);
  os_free(exact);
  os_free(rounded);
}
