/* A rest of 40 bytes is the smallest that can be a block: header and 8 bytes. */
#include "snippet.h"

int main(void)
{
  void *block = os_calloc(1, 1000);
  os_calloc(1, 8);
  fill(block, 1000);
  os_free(block);
  expect_zero(os_calloc(1, 1000 - HEADER - 8), 1000 - HEADER - 8);
  expect_zero(os_calloc(1, 8), 8);
}
