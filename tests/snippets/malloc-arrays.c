/* SPDX-License-Identifier: MIT */
/* Arrays of all element sizes: each length rounded up, one behind the other; the large one is mapped. */
#include "snippet.h"

int main(void)
{
  size_t lengths[] = {5 * sizeof(char), 7 * sizeof(short), 3 * sizeof(int), 10 * sizeof(long), 50000 * sizeof(int)};
  void *arrays[5];
  for (int i = 0; i < 5; i++)
    arrays[i] = os_malloc(lengths[i]);
  for (int i = 0; i < 5; i++)
    os_free(arrays[i]);
}
