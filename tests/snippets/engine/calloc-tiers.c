/* SPDX-License-Identifier: MIT */
/* Dirty memory of each tier is used again by calloc, and zeroed: a cached block, a slab's object, a kept mapping. */
#include "snippet.h"

static void again(size_t bytes)
{
  void *block = os_malloc(bytes);
  fill(block, bytes);
  os_free(block);
  expect_zero(os_calloc(1, bytes), bytes);
}

int main(void)
{
  for (int i = 0; i < CLASS_BLOCKS; i++) os_malloc(100);
  again(REQUEST(0x1000));
  again(100);
  again(200000);
}
