/* SPDX-License-Identifier: MIT */
/* Arrays by calloc: the product counts, rounded up; nothing and an overflow are NULL. */
#include "snippet.h"

int main(void)
{
  size_t lengths[] = {5, 0, 8, (size_t)1 << 63, 7, 10, 1100}, sizes[] = {1, 8, 0, 2, 2, 8, 4};
  void *arrays[7];
  for (int i = 0; i < 7; i++)
    arrays[i] = os_calloc(lengths[i], sizes[i]);
  for (int i = 0; i < 7; i++)
    os_free(arrays[i]);
}
