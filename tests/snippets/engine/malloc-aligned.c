/* SPDX-License-Identifier: MIT */
/* An aligned block is cut out of the top; what stays before it is a free block. An aligned slab object needs no more than its class. */
#include "snippet.h"

int main(void)
{
  os_malloc(8);
  os_aligned_alloc(4096, REQUEST(0x9000));
  os_malloc(REQUEST(0xfe0));
  os_aligned_alloc(64, 40);
  os_malloc(8);
}
