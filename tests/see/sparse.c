/* SPDX-License-Identifier: MIT */
/* A heap of which much is free: pinned by few objects, given back, or kept. It says where one object lies that is alone in its slab, and waits until stdin ends. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "osmem.h"

enum { OBJECTS = 20000, OBJECT_BYTES = 64, KEPT = 1000, BLOCKS = 200, BLOCK_BYTES = 60000, GRANULE = 32 * 1024, OTHERS = 500, OTHER_BYTES = 400 };

static char *objects[OBJECTS], *blocks[BLOCKS];

static char *touched(size_t bytes)
{
  char *at = os_malloc(bytes);
  if (!at) exit(1);
  return memset(at, 1, bytes);
}

static int alone_in_its_granule(size_t which)
{
  for (size_t i = 0; i < OBJECTS; i += KEPT)
    if (i != which && (uintptr_t)objects[i] / GRANULE == (uintptr_t)objects[which] / GRANULE) return 0;
  return 1;
}

int main(void)
{
  for (size_t i = 0; i < OBJECTS; i++) objects[i] = touched(OBJECT_BYTES);
  for (size_t i = 0; i < BLOCKS; i++) blocks[i] = touched(BLOCK_BYTES);
  for (size_t i = 0; i < OTHERS; i++) touched(OTHER_BYTES);
  for (size_t i = 0; i < BLOCKS; i++)
    if (i % 20) os_free(blocks[i]);
  os_trim(0); /* which gives back what lies between the blocks that are left */
  char *again[8];
  for (size_t i = 0; i < 8; i++) again[i] = touched(BLOCK_BYTES);
  for (size_t i = 0; i < 8; i++) os_free(again[i]);
  touched(3 << 20);
  os_free(touched(1 << 20));
  for (size_t i = 0; i < OBJECTS; i++)
    if (i % KEPT) os_free(objects[i]);
  size_t lone = OBJECTS / 2;
  if (!alone_in_its_granule(lone)) return 1;
  printf("{\"lone\": %zu}\n", (size_t)(uintptr_t)objects[lone]);
  fclose(stdout); /* with its buffer: what follows allocates nothing */
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) continue;
  return 0;
}
