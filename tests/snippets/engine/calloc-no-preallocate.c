/* SPDX-License-Identifier: MIT */
/* calloc has malloc's threshold. A fresh mapping is zero; a freed one is kept, used again and zeroed by hand. */
#include "snippet.h"

int main(void)
{
  void *large = os_calloc(3, 50000);
  expect_zero(large, 150000);
  fill(large, 150000);
  os_free(large);
  large = os_calloc(150000, 1);
  expect_zero(large, 150000);
  os_free(large);
}
