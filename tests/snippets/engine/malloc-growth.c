/* SPDX-License-Identifier: MIT */
/* The heap grows fourfold, by 4 MiB at most, up to the end of its first chunk of 8 MiB; the next chunk begins with records of its own,
 * and what was left of the first is a free block. */
#include "snippet.h"

int main(void)
{
  for (int i = 0; i < 64; i++) os_malloc(REQUEST(0x20000));
  os_malloc(REQUEST(0x18000));
}
