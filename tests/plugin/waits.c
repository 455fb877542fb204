/* SPDX-License-Identifier: MIT */
/* A plugin whose constructor, which runs under the loader's lock, waits for somebody: it writes a byte to the descriptor that OSMEM_TEST_WAITS names
 * and goes on when it can read one. */
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void wait_for_somebody(void)
{
  int fd = atoi(getenv("OSMEM_TEST_WAITS"));
  char byte = 0;
  if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1) abort();
}
