/* SPDX-License-Identifier: MIT */
/* A block grew at the heap's end, was dirtied and freed; a larger one begins there, reaches beyond it into new memory, and is zero in
 * both. */
#include "snippet.h"

int main(void)
{
  for (int i = 0; i < 3; i++) os_malloc(REQUEST(0x20000));
  void *last = os_malloc(REQUEST(0x8000));
  last = os_realloc(last, REQUEST(0x10000));
  fill(last, REQUEST(0x10000));
  os_free(last);
  expect_zero(os_calloc(1, REQUEST(0x19000)), REQUEST(0x19000));
  expect_zero(os_calloc(3, 8), 24);
}
