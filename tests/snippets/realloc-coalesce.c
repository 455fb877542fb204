/* A block that grows merges one free neighbour at a time and stops when it fits: the second stays. */
#include "snippet.h"

int main(void)
{
  void *a = os_realloc(NULL, 1000), *b = os_realloc(NULL, 1000), *c = os_realloc(NULL, 1000);
  os_malloc(8);
  fill(a, 1000);
  os_free(b);
  os_free(c);
  a = os_realloc(a, 2000);
  c = os_realloc(NULL, 1000);
  os_free(c);
  a = os_realloc(a, 3000);
  expect_filled(a, 1000);
}
