/* Medium blocks wait in the thread's cache, uncoalesced and newest first. Beyond 32 KiB it gives some up; trimmed, all. */
#include "snippet.h"

int main(void)
{
  void *blocks[3];
  for (int i = 0; i < 3; i++) blocks[i] = os_malloc(REQUEST(0x3000));
  os_malloc(8);
  for (int i = 0; i < 3; i++) os_free(blocks[i]);
  os_malloc(REQUEST(0x3000));
  os_malloc(REQUEST(0x2d00));
  os_malloc(REQUEST(0x3000));
  os_free(blocks[0]);
  os_free(blocks[1]);
  os_malloc(REQUEST(0x6000));
  os_trim((size_t)1 << 40);
  os_malloc(REQUEST(0x6000));
}
