/* SPDX-License-Identifier: MIT */
/* Medium blocks wait in the thread's cache, uncoalesced and newest first. Full, at 256 KiB here, it gives some up; before fresh memory is
 * touched, all but an eighth of that; trimmed, all. */
#include "snippet.h"

int main(void)
{
  void *blocks[4];
  for (int i = 0; i < 4; i++) blocks[i] = os_malloc(REQUEST(0x10000));
  for (int i = 0; i < 4; i++) os_free(blocks[i]);
  os_malloc(REQUEST(0x10000));
  os_malloc(REQUEST(0xf000));
  os_malloc(REQUEST(0x10000));
  os_malloc(REQUEST(0x10000));
  os_free(blocks[0]);
  os_free(blocks[1]);
  os_malloc(REQUEST(0x20000));
  void *a = os_malloc(REQUEST(0x3000)), *b = os_malloc(REQUEST(0x3000));
  os_free(a);
  os_free(b);
  os_malloc(REQUEST(0x6000));
  os_trim((size_t)1 << 40);
  os_malloc(REQUEST(0x6000));
}
