/* SPDX-License-Identifier: MIT */
/* See state.h. A copy is the parts, one after the other, then the pages that are mapped, in order. */
#include "state.h"

#include "../verbs.h"

#include <sys/mman.h>

#include "../../src/thread.h"

enum { COPY_BYTES = 16 * MB, BREAK_PAGES = WORLD_BREAK_BYTES / WORLD_PAGE, PARTS = 8 };

extern char __start_heap_data[], __stop_heap_data[], __start_heap_bss[], __stop_heap_bss[];
extern char __start_heap_pointers[] __attribute__((weak)), __stop_heap_pointers[] __attribute__((weak)); /* gcc has them apart */

/* What the kernel looks at when a thread is gone: libc links the mutexes of the heaps into it. */
static struct state_part robust_list = {NULL, 3 * sizeof(void *)};
static struct state_part of_the_test;

void *state_reserve(size_t bytes)
{
  void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  require(at != MAP_FAILED);
  return at;
}

void state_begin(struct state_part part)
{
  size_t length;
  of_the_test = part;
  require(syscall(SYS_get_robust_list, 0, &robust_list.at, &length) == 0 && length == robust_list.bytes);
  world_begin();
}

static void get_parts(struct state_part *parts)
{
  struct state_part all[PARTS] = {
      {__start_heap_data, (size_t)(__stop_heap_data - __start_heap_data)},
      {__start_heap_pointers, (size_t)(__stop_heap_pointers - __start_heap_pointers)},
      {__start_heap_bss, (size_t)(__stop_heap_bss - __start_heap_bss)},
      {&self, sizeof self},
      {&thread_number, sizeof thread_number},
      {&thread_locks, sizeof thread_locks},
      robust_list,
      of_the_test,
  };
  memcpy(parts, all, sizeof all);
}

static void *page(size_t number) { return (void *)(WORLD_BASE + number * WORLD_PAGE); }

/* All pages that were ever touched, one after the other: those of the break, then those of mappings. */
static size_t next_page(size_t number)
{
  number++;
  return number >= world.break_top && number < BREAK_PAGES ? BREAK_PAGES : number;
}

void state_save(struct state_copy *copy)
{
  struct state_part parts[PARTS];
  get_parts(parts);
  if (!copy->at) copy->at = state_reserve(COPY_BYTES);
  char *to = copy->at;
  for (size_t i = 0; i < PARTS; to += parts[i++].bytes) memcpy(to, parts[i].at, parts[i].bytes);
  for (size_t i = 0; i < world.map_top; i = next_page(i)) {
    if (world_pages[i] != WORLD_MAPPED) continue;
    require(to + WORLD_PAGE <= copy->at + COPY_BYTES);
    memcpy(to, page(i), WORLD_PAGE);
    to += WORLD_PAGE;
  }
}

/* The walk is over all pages that were touched since, too: those are as they were before anybody had them. */
void state_restore(const struct state_copy *copy)
{
  static uint8_t were[WORLD_PAGES];
  struct state_part parts[PARTS];
  get_parts(parts);
  struct world late = world;
  memcpy(were, world_pages, late.break_top);
  memcpy(were + BREAK_PAGES, world_pages + BREAK_PAGES, late.map_top - BREAK_PAGES);
  const char *from = copy->at;
  for (size_t i = 0; i < PARTS; from += parts[i++].bytes) memcpy(parts[i].at, from, parts[i].bytes);
  struct world restored = world;
  world.break_top = late.break_top;
  world.map_top = late.map_top;
  for (size_t i = 0; i < late.map_top; i = next_page(i))
    if (world_pages[i] == WORLD_MAPPED) {
      memcpy(page(i), from, WORLD_PAGE);
      from += WORLD_PAGE;
    } else if (were[i] != world_pages[i]) {
      memset(page(i), world_pages[i] == WORLD_POISONED ? WORLD_POISON : 0, WORLD_PAGE);
    }
  world = restored;
}

/* In four lanes, so that multiplications overlap. */
static uint64_t mix(uint64_t hash, const void *at, size_t bytes)
{
  const uint64_t *words = at;
  uint64_t lanes[4] = {hash, hash ^ 1, hash ^ 2, hash ^ 3}, rest = 0;
  for (size_t i = 0; i < bytes / 8; i++) {
    uint64_t *lane = &lanes[i % 4];
    *lane = (*lane ^ words[i]) * 0x9e3779b97f4a7c15u;
    *lane ^= *lane >> 29;
  }
  memcpy(&rest, (const char *)at + bytes / 8 * 8, bytes % 8);
  for (int i = 0; i < 4; i++) {
    hash = (hash ^ lanes[i] ^ rest) * 0xbf58476d1ce4e5b9u;
    hash ^= hash >> 32;
  }
  return hash;
}

uint64_t state_hash(void)
{
  struct state_part parts[PARTS];
  uint64_t hash = 0;
  get_parts(parts);
  for (size_t i = 0; i < PARTS; i++) hash = mix(hash, parts[i].at, parts[i].bytes);
  for (size_t i = 0; i < world.map_top; i = next_page(i))
    if (world_pages[i] == WORLD_MAPPED) hash = mix(hash + i, page(i), WORLD_PAGE);
  return hash ? hash : 1;
}
