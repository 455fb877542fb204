/* SPDX-License-Identifier: MIT */
/* Freed blocks are used again: the smallest that is large enough, not the first. */
#include "snippet.h"

int main(void)
{
  void *large = os_malloc(1000), *wall1 = os_malloc(8), *fitting = os_malloc(496), *wall2 = os_malloc(8);
  os_free(large);
  os_free(fitting);
  os_malloc(490);
  os_malloc(1000);
  os_free(wall1);
  os_free(wall2);
  os_malloc(1);
}
