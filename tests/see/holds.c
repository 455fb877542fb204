/* SPDX-License-Identifier: MIT */
/* A program that holds some of everything, says how much the library counts, and waits until stdin ends. With an argument other threads go on
 * allocating meanwhile. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "osmem.h"

enum { OBJECTS = 40000, BLOCKS = 300, MAPPINGS = 5, THREADS = 3 };

static char *objects[OBJECTS], *blocks[BLOCKS], *mappings[MAPPINGS];

static char *touched(size_t bytes)
{
  char *at = os_malloc(bytes);
  if (!at) exit(1);
  return memset(at, 1, bytes);
}

static void *frees_every_third(void *unused)
{
  for (size_t i = 0; i < OBJECTS; i += 3) os_free(objects[i]);
  os_free(touched(3000)); /* stays in this thread's cache */
  return unused;
}

static void *churns(void *unused)
{
  static __thread char *mine[1000];
  for (uint32_t random = 1;; random = random * 1664525 + 1013904223) {
    char **slot = &mine[random >> 8 & 511];
    os_free(*slot);
    *slot = touched(16 + (random >> 17) % 9000);
  }
  return unused;
}

int main(int argc, char **argv)
{
  (void)argv;
  for (size_t i = 0; i < OBJECTS; i++) objects[i] = touched(16 + i % 1000);
  for (size_t i = 0; i < BLOCKS; i++) blocks[i] = touched(2000 + 100 * i);
  for (size_t i = 0; i < MAPPINGS; i++) mappings[i] = touched((i + 1) << 20);
  pthread_t thread;
  if (pthread_create(&thread, NULL, frees_every_third, NULL)) return 1;
  pthread_join(thread, NULL);
  for (size_t i = 0; i < BLOCKS; i += 2) os_free(blocks[i]);
  os_free(mappings[1]);
  for (int i = 0; argc > 1 && i < THREADS; i++)
    if (pthread_create(&thread, NULL, churns, NULL)) return 1;
  struct os_stats s;
  os_get_stats(&s, sizeof s);
  printf("{\"small_live_count\": %zu, \"small_live_bytes\": %zu, \"slab_bytes\": %zu, \"medium_live_count\": %zu, \"medium_live_bytes\": %zu, \"large_live_count\": %zu,"
         " \"mapped_bytes\": %zu, \"cached_bytes\": %zu, \"heap_bytes\": %zu, \"thread_heaps\": %zu, \"arenas\": %zu}\n",
         s.small_live_count, s.small_live_bytes, s.slab_bytes, s.medium_live_count, s.medium_live_bytes, s.large_live_count, s.mapped_bytes, s.cached_bytes,
         s.heap_bytes, s.thread_heaps, s.arenas);
  fclose(stdout); /* with its buffer: what follows allocates nothing */
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) continue;
  return 0;
}
