/* SPDX-License-Identifier: MIT */
/* Freed mappings are kept for reuse, cut or grown to fit; what is kept beyond 32 MiB goes back at once. */
#include "snippet.h"

int main(void)
{
  os_free(os_malloc(0x2100000));
  os_free(os_malloc(0x4a000));
  os_malloc(0x30000);
  os_malloc(0x22000);
}
