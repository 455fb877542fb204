/* SPDX-License-Identifier: MIT */
/* The first eight of a size class are blocks. The ninth brings a slab: a granule of objects without headers. What the slab's
 * alignment left before it is a free block. */
#include "snippet.h"

int main(void)
{
  void *objects[12];
  for (int i = 0; i < 12; i++) objects[i] = os_malloc(48);
  os_free(objects[9]);
  os_free(objects[8]);
  os_malloc(33);
  os_malloc(48);
  os_malloc(REQUEST(0x7e00));
  os_malloc(REQUEST(0x8000));
}
