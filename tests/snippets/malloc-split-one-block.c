/* A rest of 40 bytes is the smallest that can be a block: header and 8 bytes. */
#include "snippet.h"

int main(void)
{
  void *block = os_malloc(1000);
  os_malloc(8);
  os_free(block);
  os_malloc(1000 - HEADER - 8);
  os_malloc(8);
}
