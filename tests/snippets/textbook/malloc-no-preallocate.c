/* SPDX-License-Identifier: MIT */
/* From 128 KiB on, header included, a block has a mapping of its own and the heap is never touched. */
#include "snippet.h"

int main(void)
{
  void *large = os_malloc(128 * KIB);
  void *exact = os_malloc(128 * KIB - HEADER);
  void *rounded = os_malloc(128 * KIB - HEADER - 7);
  os_free(exact);
  os_free(large);
  os_free(rounded);
}
