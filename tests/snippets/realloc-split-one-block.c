/* Shrinking by 40 bytes leaves the smallest possible block: header and 8 bytes. */
#include "snippet.h"

int main(void)
{
  void *block = os_realloc(NULL, 1000);
  os_malloc(8);
  fill(block, 1000);
  os_realloc(block, 1000 - HEADER - 8);
  os_realloc(NULL, 8);
  expect_filled(block, 1000 - HEADER - 8);
}
