/* SPDX-License-Identifier: MIT */
/* See world.h. */
#include "world.h"

#include "../../src/region.h"
#include "../real_kernel.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct world world;
uint8_t world_pages[WORLD_PAGES];
static size_t map_from; /* no page for mappings below this one is free */
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static _Noreturn void world_ends(const char *why, uintptr_t where)
{
  fprintf(stderr, "# not so: %s at base + 0x%zx\n", why, (size_t)(where - WORLD_BASE));
  abort();
}

void world_begin(void)
{
  if (world.begun) return;
  void *base = mmap((void *)WORLD_BASE, WORLD_BYTES, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (base != (void *)WORLD_BASE) world_ends("there is room for the world", WORLD_BASE);
  world.begun = true;
  world.map_top = WORLD_BREAK_BYTES / WORLD_PAGE;
  world.now = WORLD_BASE + 5 * WORLD_PAGE; /* off the edge of a granule */
  world.time_ns = 1000000000;
  map_from = WORLD_BREAK_BYTES / WORLD_PAGE;
}

static size_t page_of(uintptr_t address) { return (address - WORLD_BASE) / WORLD_PAGE; }

static uintptr_t page_at(size_t page) { return WORLD_BASE + page * WORLD_PAGE; }

static size_t pages_for(size_t bytes) { return (bytes + WORLD_PAGE - 1) / WORLD_PAGE; }

static bool is_all(uintptr_t at, size_t bytes, int value)
{
  const unsigned char *bytes_at = (const unsigned char *)at;
  return bytes_at[0] == value && memcmp(bytes_at, bytes_at + 1, bytes - 1) == 0;
}

static void bring(size_t page)
{
  size_t *top = page < WORLD_BREAK_BYTES / WORLD_PAGE ? &world.break_top : &world.map_top;
  if (page >= *top) *top = page + 1;
  uintptr_t at = page_at(page);
  if (!is_all(at, WORLD_PAGE, world_pages[page] == WORLD_POISONED ? WORLD_POISON : 0)) world_ends("nobody wrote to memory that is not mapped", at);
  if (world_pages[page] == WORLD_POISONED) memset((void *)at, 0, WORLD_PAGE);
  world_pages[page] = WORLD_MAPPED;
}

static void take_away(size_t page)
{
  memset((void *)page_at(page), WORLD_POISON, WORLD_PAGE);
  world_pages[page] = WORLD_POISONED;
  if (page < map_from && page >= WORLD_BREAK_BYTES / WORLD_PAGE) map_from = page;
}

/* Is this call refused? */
static bool refuses(unsigned kind)
{
  if (!(world.refuse & kind) || world.refusals == 0) return false;
  if (world.refusals != SIZE_MAX) world.refusals--;
  __atomic_fetch_add(&world.refused, 1, __ATOMIC_RELAXED);
  return true;
}

static bool in_use(uintptr_t at, size_t bytes)
{
  for (size_t page = page_of(at); page < page_of(at) + pages_for(bytes); page++)
    if (world_pages[page] != WORLD_MAPPED) return false;
  return true;
}

/* What the library works on is its own. */
static void must_be_mapped(uintptr_t at, size_t bytes)
{
  bool inside = at >= WORLD_BASE && bytes > 0 && at + bytes <= WORLD_BASE + WORLD_BYTES;
  if (!inside || at % WORLD_PAGE || !in_use(at, bytes)) world_ends("whole pages that are mapped are given back or resized", at);
}

/* ---- the calls ---- */

static void set_break(uintptr_t end)
{
  size_t before = pages_for(world.now - WORLD_BASE), after = pages_for(end - WORLD_BASE);
  for (size_t page = before; page < after; page++) bring(page);
  for (size_t page = after; page < before; page++) take_away(page);
  world.now = end;
}

static long world_brk(uintptr_t end)
{
  bool sane = end >= WORLD_BASE && end <= WORLD_BASE + WORLD_BREAK_BYTES;
  if (end && sane && !refuses(REFUSE_BRK)) set_break(end);
  return (long)world.now;
}

/* The first run of free pages that is long enough, or 0. */
static size_t free_run(size_t pages)
{
  while (map_from < WORLD_PAGES && world_pages[map_from] == WORLD_MAPPED) map_from++;
  for (size_t from = map_from, page = map_from; page < WORLD_PAGES; page++) {
    if (world_pages[page] == WORLD_MAPPED) from = page + 1;
    else if (page + 1 - from == pages) return from;
  }
  return 0;
}

static long map(size_t bytes)
{
  size_t pages = pages_for(bytes), from = pages <= WORLD_PAGES ? free_run(pages) : 0;
  for (size_t page = from; from && page < from + pages; page++) bring(page);
  return from ? (long)page_at(from) : -ENOMEM;
}

static long world_mmap(size_t bytes) { return refuses(REFUSE_MMAP) ? -ENOMEM : map(bytes); }

static void unmap(uintptr_t base, size_t bytes)
{
  for (size_t page = page_of(base), end = page + pages_for(bytes); page < end; page++) take_away(page);
}

static long world_munmap(uintptr_t base, size_t bytes)
{
  must_be_mapped(base, bytes);
  if (refuses(REFUSE_MUNMAP)) return -ENOMEM;
  unmap(base, bytes);
  return 0;
}

/* It always moves, since it may. */
static long world_mremap(uintptr_t base, size_t old_bytes, size_t bytes)
{
  must_be_mapped(base, old_bytes);
  long moved = refuses(REFUSE_MREMAP) ? -ENOMEM : map(bytes);
  if (moved < 0) return moved;
  memcpy((void *)moved, (void *)base, old_bytes < bytes ? old_bytes : bytes);
  unmap(base, old_bytes);
  return moved;
}

static long world_madvise(uintptr_t base, size_t bytes, uintptr_t advice)
{
  must_be_mapped(base, bytes);
  if (refuses(REFUSE_MADVISE)) return -ENOMEM;
  if (advice == MADV_DONTNEED && !world.keeps) memset((void *)base, 0, pages_for(bytes) * WORLD_PAGE);
  return 0;
}

static long world_clock(struct timespec *now)
{
  uint64_t ns = __atomic_add_fetch(&world.time_ns, 1000000, __ATOMIC_RELAXED);
  *now = (struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
  return 0;
}

static long world_call(long number, const uintptr_t a[6])
{
  switch (number) {
    case SYS_brk: return world_brk(a[0]);
    case SYS_mmap: return world_mmap(a[1]);
    case SYS_munmap: return world_munmap(a[0], a[1]);
    case SYS_mremap: return world_mremap(a[0], a[1], a[2]);
    default: return world_madvise(a[0], a[1], a[2]);
  }
}

/* Each call about memory: alone in the world, which begins with the first. */
static long world_call_locked(long number, const uintptr_t a[6])
{
  pthread_mutex_lock(&one_at_a_time);
  world_begin();
  long answer = world_call(number, a);
  pthread_mutex_unlock(&one_at_a_time);
  return answer;
}

long kernel_call(long number, const uintptr_t a[6])
{
  switch (number) {
    case SYS_brk: case SYS_mmap: case SYS_munmap: case SYS_mremap: case SYS_madvise: return world_call_locked(number, a);
    case SYS_clock_gettime: return world_clock((struct timespec *)a[1]);
    case SYS_getcpu: return *(unsigned *)a[0] = 0;
    default: return real_kernel_call(number, a);
  }
}

unsigned long kernel_auxval(unsigned long type)
{
  static const uint64_t RANDOM[] = {0x0123456789abcdef, 0xfedcba9876543210};
  return type == AT_PAGESZ ? WORLD_PAGE : type == AT_RANDOM ? (unsigned long)RANDOM : 0;
}

/* ---- the library ---- */

/* libc's malloc may be in use as well, with the break of the real world. */
static void *world_curbrk;
void **world_curbrk_at __attribute__((weak)) = &world_curbrk;

#define __curbrk (*world_curbrk_at)
#include "../../src/shared.c"

/* ---- strangers ---- */

enum { STRANGERS_MAX = 64, TRACE = 0x33 };
static struct stranger {
  uintptr_t from, to;
} strangers[STRANGERS_MAX];
static size_t stranger_count;

/* Not between the library's look at the break and its call that moves it: brk is absolute, and who comes then cannot be seen (osmem(7)). */
static void enter_as_stranger(void)
{
  if (!lock_enter(&growth_lock)) world_ends("strangers come from outside", world.now);
  pthread_mutex_lock(&one_at_a_time);
}

static void leave_as_stranger(void)
{
  pthread_mutex_unlock(&one_at_a_time);
  lock_leave(&growth_lock);
}

void world_stranger_comes(size_t bytes)
{
  enter_as_stranger();
  world_begin();
  uintptr_t from = world.now;
  bool seen = from >= region_end(&regions[0]); /* what others gave up they may not have again unseen */
  if (seen && stranger_count < STRANGERS_MAX && from + bytes <= WORLD_BASE + WORLD_BREAK_BYTES) {
    set_break(from + bytes);
    memset((void *)from, TRACE, bytes);
    strangers[stranger_count++] = (struct stranger){from, from + bytes};
  }
  leave_as_stranger();
}

void world_stranger_goes(void)
{
  enter_as_stranger();
  if (stranger_count > 0 && strangers[stranger_count - 1].to == world.now) set_break(strangers[--stranger_count].from);
  leave_as_stranger();
}

/* What live memory needs of the heap's end, as far as it is a chunk's that still grows. */
static uintptr_t needed_end(uintptr_t end)
{
  for (size_t i = 0; i < arena_count(); i++) {
    const struct arena *arena = arena_at(i);
    if (arena->chunks && arena->chunks->info.limit == end) return arena->top + HEADER_BYTES;
  }
  return end;
}

void world_stranger_lowers(size_t bytes)
{
  enter_as_stranger();
  bool ours = world.now == region_end(&regions[0]);
  if (ours && needed_end(world.now) + bytes <= world.now) set_break(world.now - bytes);
  leave_as_stranger();
}

static void strangers_look(void)
{
  for (size_t i = 0; i < stranger_count; i++)
    if (!is_all(strangers[i].from, strangers[i].to - strangers[i].from, TRACE)) world_ends("a stranger's memory is its own", strangers[i].from);
}

/* Of the newest chunk of each arena: from `fresh` on, as far as it reaches or may reach one day with no page brought in. calloc() does not
 * clear that. */
static void fresh_memory_is_zero(void)
{
  for (size_t i = 0; i < arena_count(); i++) {
    const struct arena *arena = arena_at(i);
    if (!arena->chunks) continue;
    uintptr_t chunk = (uintptr_t)arena->chunks, to = chunk + arena->chunks->info.cap_bytes;
    if (chunk - regions[0].base < regions[0].bytes) to = min_size(to, region_end(&regions[0]));
    for (uintptr_t from = arena->fresh; from < to; from = round_up(from + 1, WORLD_PAGE))
      if (world_pages[page_of(from)] == WORLD_MAPPED && !is_all(from, min_size(round_up(from + 1, WORLD_PAGE), to) - from, 0))
        world_ends("fresh memory reads as zero", from);
  }
}

void world_look(void)
{
  strangers_look();
  fresh_memory_is_zero();
}

/* ---- starting again ---- */

/* What only grows, or only counts, and decides nothing but whether giving back is paid for: as it was at the start, all of it allowed. */
void world_forget_history(void)
{
  account = (struct account){.credit_ns = CREDIT_START_NS};
  budget_outstanding_pages = 0;
  sys_counters = (struct sys_counters){.bytes_in = 1 << 30, .bytes_held = sys_counters.bytes_held, .bytes_peak = sys_counters.bytes_held,
                                      .bytes_back = sys_counters.bytes_back, .bytes_reserved = sys_counters.bytes_held - sys_counters.bytes_back};
  allocations = 0;
  for (size_t i = 0; i < arena_count(); i++) arena_at(i)->allocations = 0;
  world.time_ns = 1000000000;
  world.refused = 0;
}

struct theap *world_unborn(void) { return (struct theap *)&unborn; }

void world_fair(void)
{
  world.refuse = 0;
  sys_limits = (struct sys_limits){0};
}
