/* SPDX-License-Identifier: MIT */
/* The first heap block brings 128 KiB at once, later ones use them up to the last byte. */
#include "snippet.h"

int main(void)
{
  os_malloc(1000);
  os_malloc(PREALLOCATED - (HEADER + 1000) - HEADER);
  os_malloc(8);
}
