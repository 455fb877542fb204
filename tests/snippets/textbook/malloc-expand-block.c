/* SPDX-License-Identifier: MIT */
/* Nothing fits and the heap ends with a free block: the heap grows by just what that block lacks. */
#include "snippet.h"

int main(void)
{
  os_malloc(1000);
  os_malloc(129000);
  os_malloc(2000);
  os_malloc(24);
}
