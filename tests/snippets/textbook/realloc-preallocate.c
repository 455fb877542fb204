/* SPDX-License-Identifier: MIT */
/* The first heap block brings 128 KiB, also when realloc asks; then the last block grows by the missing 8 bytes only. */
#include "snippet.h"

int main(void)
{
  os_realloc(NULL, 1000);
  void *last = os_realloc(NULL, PREALLOCATED - (HEADER + 1000) - HEADER);
  os_realloc(last, PREALLOCATED - (HEADER + 1000) - HEADER + 8);
}
