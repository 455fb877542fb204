/* SPDX-License-Identifier: MIT */
/* The first heap block brings 128 KiB, also when calloc asks; 4,056 bytes are the largest heap block it makes. */
#include "snippet.h"

int main(void)
{
  os_calloc(125, 8);
  os_calloc(1, PAGE - HEADER - 8);
  os_malloc(PREALLOCATED - (HEADER + 1000) - (PAGE - 8) - HEADER);
  os_calloc(1, 8);
}
