/* SPDX-License-Identifier: MIT */
/* Two arrays that double in turns: each is in the other one's way, until they use what they left. */
#include "snippet.h"

int main(void)
{
  char *a = os_realloc(NULL, 16), *b = os_realloc(NULL, 16);
  fill(a, 16);
  fill(b, 16);
  for (int size = 32; size <= 64; size *= 2) {
    a = os_realloc(a, size);
    b = os_realloc(b, size);
  }
  expect_filled(a, 16);
  expect_filled(b, 16);
}
