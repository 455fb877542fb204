/* SPDX-License-Identifier: MIT */
/* All blocks are freed, the even ones first, and become one with the top: all that the first brk brought is whole again. */
#include "snippet.h"

int main(void)
{
  void *blocks[8];
  for (int i = 0; i < 8; i++) blocks[i] = os_malloc(REQUEST(0x8000 << i % 2));
  for (int i = 0; i < 8; i += 2) os_free(blocks[i]);
  for (int i = 1; i < 8; i += 2) os_free(blocks[i]);
  for (int i = 0; i < 3; i++) os_malloc(REQUEST(0x20000));
  os_malloc(REQUEST(ROOM - 0x60000));
}
