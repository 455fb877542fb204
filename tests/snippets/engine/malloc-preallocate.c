/* SPDX-License-Identifier: MIT */
/* The first block brings 128 KiB and room for slabs with one brk; they serve to the last byte, then the heap grows fourfold. */
#include "snippet.h"

int main(void)
{
  os_malloc(1000);
  os_malloc(LARGEST);
  os_malloc(REQUEST(0x20000));
  os_malloc(REQUEST(0x20000));
  os_malloc(REQUEST(ROOM - 0x3f0 - 0x20010 - 0x40000));
  os_malloc(8);
}
