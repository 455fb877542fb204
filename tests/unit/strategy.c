/* SPDX-License-Identifier: MIT */
/* The strategies of the heap, each with a test that fails without it: preallocation, splitting, coalescing, best fit, tiers by
 * size, reuse, growth in place, giving back. Every test begins on an untouched heap. */
#include "verbs.h"

#include "../../src/geometry.h"
#include "osmem.h"

/* Out of the thread's cache and into the heap, where the strategies work; the heap's end stays. */
static void settle(void)
{
  os_trim((size_t)1 << 40);
}

/* Keeps what lies before it from melting into what follows. */
static void *fence(void)
{
  void *p = os_malloc(2000);
  require(p);
  return p;
}

/* ---- heap preallocation ---- */

static void the_first_use_preallocates(void)
{
  uintptr_t before = program_break();
  require(os_malloc(24));
  uintptr_t first = program_break();
  require(first - before >= 128 * KB && first - before <= 640 * KB);
  for (size_t used = 0; used < 88 * KB; used += 64) {
    require(os_malloc(64));
    require(program_break() == first);
  }
}

static void growth_is_geometric(void)
{
  size_t steps = 0;
  uintptr_t last = program_break(), start = last;
  while (last - start < (size_t)64 * MB) {
    require(os_malloc(1000));
    uintptr_t now = program_break();
    if (now != last) steps++;
    last = now;
  }
  require(steps <= 64); /* 512 in equal steps of 128 KiB */
  struct os_stats stats;
  os_get_stats(&stats, sizeof stats);
  require(stats.calls_brk <= 2 * steps + 4);
}

/* ---- splitting and coalescing ---- */

static void a_freed_block_serves_two_smaller_ones(void)
{
  char *big = os_malloc(60000);
  fence();
  os_free(big);
  settle();
  char *one = os_malloc(29000), *two = os_malloc(29000);
  require(inside(one, big, 60000) && inside(two, big, 60000));
  require(one + 29000 <= two || two + 29000 <= one);
  fill(one, 29000, 1);
  fill(two, 29000, 2);
  require(holds(one, 29000, 1) && os_check());
}

static void the_rest_of_a_split_serves_too(void)
{
  char *big = os_malloc(100000);
  fence();
  os_free(big);
  settle();
  size_t within = 0;
  for (size_t i = 0; i < 19; i++) within += inside(os_malloc(5000), big, 100000);
  require(within == 19 && os_check());
}

/* Four neighbours, freed in each of the 24 orders: the same range serves their sum. */
static void neighbours_coalesce_in_any_order(void)
{
  enum { EACH = 30000 };
  for (size_t a = 0; a < 4; a++)
    for (size_t b = 0; b < 4; b++)
      for (size_t c = 0; c < 4; c++) {
        size_t d = 6 - a - b - c;
        if (a == b || b == c || a == c) continue;
        char *blocks[4];
        for (size_t i = 0; i < 4; i++) blocks[i] = os_malloc(EACH);
        for (size_t i = 1; i < 4; i++) require(blocks[i] > blocks[i - 1]); /* side by side */
        size_t span = (size_t)(blocks[3] + EACH - blocks[0]);
        char *behind = fence();
        const size_t order[] = {a, b, c, d};
        for (size_t i = 0; i < 4; i++) {
          os_free(blocks[order[i]]);
          settle();
          require(os_check());
        }
        char *sum = os_malloc(4 * EACH);
        require(sum == blocks[0] && span >= 4 * EACH);
        os_free(sum);
        os_free(behind);
        settle();
      }
}

/* A live block between two free ones stays what it is. */
static void live_blocks_do_not_coalesce(void)
{
  char *before = os_malloc(20000), *live = os_malloc(20000), *behind = os_malloc(20000);
  fence();
  fill(live, 20000, 1);
  os_free(before);
  os_free(behind);
  settle();
  char *larger = os_malloc(30000);
  require(larger + 30000 <= live || larger >= live + 20000);
  memset(larger, 0xEE, 30000);
  require(holds(live, 20000, 1) && os_check());
}

static void the_best_fitting_hole_is_taken(void)
{
  static const size_t HOLES[] = {40000, 20000, 5008, 9000, 70000};
  char *holes[COUNT(HOLES)];
  for (size_t i = 0; i < COUNT(HOLES); i++) {
    holes[i] = os_malloc(HOLES[i]);
    fence();
  }
  for (size_t i = 0; i < COUNT(HOLES); i++) os_free(holes[i]);
  settle();
  require(os_malloc(5000) == holes[2]);
  require(os_malloc(8500) == holes[3]);
  require(os_malloc(69000) == holes[4]);
  require(os_malloc(20000) == holes[1]);
  require(os_check());
}

/* Holes are used before the end of the heap is. */
static void the_top_is_used_last(void)
{
  char *holes[20];
  for (size_t i = 0; i < COUNT(holes); i++) {
    holes[i] = os_malloc(6000);
    fence();
  }
  char *end = fence();
  for (size_t i = 0; i < COUNT(holes); i++) os_free(holes[i]);
  settle();
  for (size_t i = 0; i < COUNT(holes); i++) require((char *)os_malloc(5500) < end);
}

/* Medium blocks have their exact size: thousands of them cost what they ask for and 16 bytes more. */
static void blocks_are_exact(void)
{
  enum { BLOCKS = 2000 };
  static char *blocks[BLOCKS];
  char *low = (char *)UINTPTR_MAX, *high = NULL;
  for (size_t i = 0; i < BLOCKS; i++) {
    blocks[i] = os_malloc(2064);
    if (blocks[i] < low) low = blocks[i];
    if (blocks[i] > high) high = blocks[i];
  }
  require((size_t)(high - low) < BLOCKS * (2064 + 24) * 102 / 100);
}

/* ---- small objects ---- */

static void small_objects_have_no_headers(void)
{
  static const size_t OF_CLASS[] = {16, 32, 48, 64, 128, 256, 512, 1024};
  enum { TOTAL = 2 * MB };
  for (size_t c = 0; c < COUNT(OF_CLASS); c++) {
    struct os_stats before, after;
    size_t count = TOTAL / OF_CLASS[c];
    os_get_stats(&before, sizeof before);
    for (size_t i = 0; i < count; i++) require(os_malloc(OF_CLASS[c]));
    os_get_stats(&after, sizeof after);
    require(after.slab_bytes - before.slab_bytes < TOTAL * 105 / 100 + 64 * KB);
    require(after.slab_bytes - before.slab_bytes > TOTAL * 9 / 10);
  }
}

/* The object freed last is in the processor's cache. The newest three of a class lie in the slab it allocates from: one that
 * ran full stays away until more of it is free. */
static void the_last_freed_object_comes_first(void)
{
  static void *objects[500];
  for (size_t bytes = 16; bytes <= 1024; bytes *= 2) {
    for (size_t i = 0; i < COUNT(objects); i++) objects[i] = os_malloc(bytes);
    os_free(objects[497]);
    os_free(objects[499]);
    os_free(objects[498]);
    require(os_malloc(bytes) == objects[498]);
    require(os_malloc(bytes) == objects[499]);
    require(os_malloc(bytes) == objects[497]);
  }
}

/* Memory moves freely between small classes and medium blocks, both ways: the heap grows no more. */
static void emptied_slabs_become_blocks_and_back(void)
{
  enum { TOTAL = 8 * MB };
  static void *objects[TOTAL / 64];
  uintptr_t highest = 0;
  for (int round = 0; round < 5; round++) {
    static const size_t EACH[] = {64, 50000, 200, 5000, 1000};
    for (size_t e = 0; e < COUNT(EACH); e++) {
      size_t count = TOTAL / EACH[e];
      for (size_t i = 0; i < count; i++) require((objects[i] = os_malloc(EACH[e])));
      if (!highest) highest = program_break() + 1 * MB + TOTAL / 8; /* classes waste an eighth, headers a little */
      require(program_break() <= highest);
      for (size_t i = 0; i < count; i++) os_free(objects[i]);
    }
    require(os_check());
  }
}

static void a_slab_of_one_class_serves_another(void)
{
  enum { TOTAL = 4 * MB };
  static void *objects[TOTAL / 16];
  for (size_t i = 0; i < COUNT(objects); i++) objects[i] = os_malloc(16);
  uintptr_t full = program_break();
  for (size_t i = 0; i < COUNT(objects); i++) os_free(objects[i]);
  for (size_t bytes = 32; bytes <= 1024; bytes *= 2) {
    size_t count = TOTAL / bytes * 9 / 10;
    for (size_t i = 0; i < count; i++) objects[i] = os_malloc(bytes);
    require(program_break() <= full + 256 * KB);
    for (size_t i = 0; i < count; i++) os_free(objects[i]);
  }
}

/* ---- tiers ---- */

static void small_memory_is_brk_and_large_is_mmap(void)
{
  uintptr_t start = program_break();
  for (size_t s = 0; s < COUNT(SIZES); s++) {
    struct os_stats before, after;
    os_get_stats(&before, sizeof before);
    uintptr_t p = (uintptr_t)os_malloc(SIZES[s]);
    os_get_stats(&after, sizeof after);
    bool in_heap = p >= start && p < program_break(), large = SIZES[s] >= 128 * KB;
    require(in_heap == !large);
    require(after.large_live_count - before.large_live_count == large);
  }
}

/* Whatever their alignment, up to half a chunk: no mapping, no page touched but their own and the one before it, and what lies between
 * them serves others. */
static void aligned_blocks_are_on_the_heap(void)
{
  enum { BLOCKS = 2000, EACH = 64 };
  static char *blocks[BLOCKS];
  struct os_stats before, after;
  os_get_stats(&before, sizeof before);
  size_t resident = resident_bytes();
  for (size_t i = 0; i < BLOCKS; i++) {
    size_t alignment = i % 100 ? 64 * KB : 64 * KB << i / 100 % 7;
    require((blocks[i] = os_aligned_alloc(alignment, EACH)) && is_aligned(blocks[i], alignment));
    fill(blocks[i], EACH, i);
  }
  os_get_stats(&after, sizeof after);
  require(after.large_allocations == before.large_allocations && after.calls_mmap == before.calls_mmap);
  require(resident_bytes() < resident + BLOCKS * (2 * page_size() + 2 * KB)); /* 32 MB: populated */
  uintptr_t high = program_break();
  for (size_t i = 0; i < BLOCKS; i++) fill(os_malloc(60000), 60000, i);
  require(program_break() == high && os_check());
  for (size_t i = 0; i < BLOCKS; i++) require(holds(blocks[i], EACH, i));
  for (size_t i = 0; i < BLOCKS; i++) os_free(blocks[i]);
  require(os_check());
}

/* ---- more large blocks than we want mappings ---- */

enum { CROWD = MAPPINGS_SHARE + 500, CROWD_BYTES = 132000 };

static char *crowd[CROWD];

static size_t large_live_count(void)
{
  struct os_stats stats;
  os_get_stats(&stats, sizeof stats);
  return stats.large_live_count;
}

static size_t cached_bytes(void)
{
  struct os_stats stats;
  os_get_stats(&stats, sizeof stats);
  return stats.cached_bytes;
}

static void make_a_crowd(void)
{
  for (size_t i = 0; i < CROWD; i++) {
    require((crowd[i] = os_malloc(CROWD_BYTES)));
    fill(crowd[i], 40, i);
  }
}

static void beyond_our_share_large_blocks_are_on_the_heap(void)
{
  make_a_crowd();
  require(large_live_count() == MAPPINGS_SHARE && os_check());
  char *zero = os_calloc(1, 1 * MB), *aligned = os_aligned_alloc(2 * MB, 300000), *huge = os_malloc(5 * MB);
  require(zero && all_zero(zero, 1 * MB) && is_aligned(aligned, 2 * MB) && huge);
  require(large_live_count() == MAPPINGS_SHARE + 1); /* no chunk holds the huge one */
  for (size_t i = 0; i < CROWD; i++) require(holds(crowd[i], 40, i));
  for (size_t i = 0; i < CROWD; i++) os_free(crowd[i]);
  require(os_malloc(CROWD_BYTES) && large_live_count() == 2 && os_check()); /* a mapping again */
}

/* There they are resized like others: in place where there is room, */
static void beyond_our_share_large_blocks_grow_in_place(void)
{
  enum { ROW = 10 };
  make_a_crowd();
  char **first = crowd + MAPPINGS_SHARE;
  while (first[ROW - 1] - first[0] != (ROW - 1) * (CROWD_BYTES + HEADER_BYTES)) first++; /* side by side, in one chunk */
  char *p = first[0];
  fill(p, CROWD_BYTES, 1);
  for (size_t i = 1; i < ROW; i++) os_free(first[i]);
  require(os_realloc(p, 2 * CROWD_BYTES) == p && os_realloc(p, ROW * CROWD_BYTES) == p);
  require(holds(p, CROWD_BYTES, 1) && os_realloc(p, CROWD_BYTES) == p && holds(p, CROWD_BYTES, 1));
  require(large_live_count() == MAPPINGS_SHARE && os_check());
}

/* and where there is none they are not copied for every few bytes. */
static void beyond_our_share_growth_is_not_quadratic(void)
{
  make_a_crowd();
  char *p = os_malloc(CROWD_BYTES);
  size_t moves = 0;
  for (size_t bytes = CROWD_BYTES; bytes < 2 * MB; bytes += 4096) {
    char *moved = os_realloc(p, bytes);
    moves += moved != p;
    p = moved;
    fence();
  }
  require(moves < 40 && os_check()); /* 480 */
}

/* ---- realloc in place ---- */

static void realloc_grows_into_the_free_neighbour(void)
{
  char *p = os_malloc(30000), *next = os_malloc(30000);
  fence();
  require(next > p);
  fill(p, 30000, 1);
  os_free(next);
  settle();
  require(os_realloc(p, 45000) == p && os_realloc(p, 59000) == p);
  require(holds(p, 30000, 1) && os_usable_size(p) >= 59000);
  fill(p, 59000, 2);
  require(os_check());
}

static void realloc_takes_no_more_than_it_needs_of_the_neighbour(void)
{
  char *p = os_malloc(30000), *next = os_malloc(60000);
  fence();
  os_free(next);
  settle();
  require(os_realloc(p, 40000) == p);
  require(inside(os_malloc(45000), p + 40000, 60000));
  require(os_check());
}

static void realloc_grows_into_the_top(void)
{
  char *p = os_malloc(2000);
  for (size_t bytes = 2000; bytes < 120000; bytes += 3000) {
    fill(p, bytes, 1);
    require(os_realloc(p, bytes + 3000) == p);
    require(holds(p, bytes, 1));
  }
  require(os_check());
}

static void realloc_shrinks_by_splitting(void)
{
  char *p = os_malloc(60000);
  fence();
  fill(p, 60000, 1);
  require(os_realloc(p, 10000) == p && holds(p, 10000, 1));
  require(os_usable_size(p) < 12000);
  settle();
  char *q = os_malloc(45000);
  require(inside(q, p + 10000, 50000));
  require(os_check());
}

static void realloc_within_a_class_stays(void)
{
  for (size_t bytes = 16; bytes <= 1000; bytes += 16) {
    char *p = os_malloc(bytes);
    require(os_realloc(p, os_usable_size(p)) == p);
  }
}

/* mremap moves pages, not bytes: only what is new is ever touched. */
static void realloc_of_mappings_copies_nothing(void)
{
  struct os_stats before, after;
  size_t bytes = 1 * MB;
  char *p = os_malloc(bytes);
  fill(p, bytes, 1);
  os_get_stats(&before, sizeof before);
  size_t resident = resident_bytes();
  for (; bytes < (size_t)512 * MB; bytes *= 2) {
    p = os_realloc(p, bytes * 2);
    require(p && holds(p, 1 * MB, 1));
  }
  require(resident_bytes() < resident + 8 * MB);
  os_get_stats(&after, sizeof after);
  require(after.calls_mremap > before.calls_mremap);
  char *q = os_realloc(p, 1 * MB);
  require(q == p && holds(q, 1 * MB, 1));
  os_get_stats(&after, sizeof after);
  require(after.mapped_bytes < before.mapped_bytes + 1 * MB);
  os_free(q);
  require(os_check());
}

static void realloc_between_tiers_keeps_the_data(void)
{
  static const size_t PATH[] = {10, 1000, 1100, 100000, 200000, 5 * MB, 150000, 130000, 90000, 1025, 1024, 17, 1};
  char *p = os_malloc(5);
  size_t kept = 5;
  fill(p, kept, 3);
  for (size_t i = 0; i < COUNT(PATH); i++) {
    p = os_realloc(p, PATH[i]);
    if (PATH[i] < kept) kept = PATH[i];
    require(p && holds(p, kept, 3));
    fill(p, kept = PATH[i], 3);
    require(os_check());
  }
  os_free(p);
}

/* ---- giving back ---- */

static void trim_gives_back_what_is_free(void)
{
  enum { BLOCKS = 3000 };
  static void *blocks[BLOCKS];
  size_t before = resident_bytes();
  for (size_t i = 0; i < BLOCKS; i++) touch(blocks[i] = os_malloc(20000), 20000);
  uintptr_t high = program_break();
  require(resident_bytes() > before + 50 * MB);
  for (size_t i = 0; i < BLOCKS; i++)
    if (i != BLOCKS / 2) os_free(blocks[i]); /* one block stays in the middle */
  os_trim(0);
  require(resident_bytes() < before + 4 * MB);
  require(program_break() < high - 20 * MB);
  require(os_check());
}

/* Wholly free pages inside slabs that a few objects keep. (The last stays: one of eight, or of two, where pages have 16 KiB.) */
static void trim_gives_back_pages_inside_slabs(void)
{
  enum { OBJECTS = 100000, EACH = 256 };
  const bool large = page_size() > 4096;
  const size_t kept = large ? 160 : 40; /* so that each slab holds one of those that stay at most, or three */
  static void *objects[OBJECTS];
  size_t before = resident_bytes();
  for (size_t i = 0; i < OBJECTS; i++) fill(objects[i] = os_malloc(EACH), EACH, i);
  for (size_t i = 0; i < OBJECTS; i++)
    if (i % kept) os_free(objects[i]);
  require(os_trim(0));
  require(resident_bytes() < before + OBJECTS * EACH / 100 * (large ? 85 : 60));
  require(os_check() && !os_trim(0));
  for (size_t i = 0; i < OBJECTS; i += kept) require(holds(objects[i], EACH, i));
  /* What was given back comes again, page by page, to one user each. */
  for (size_t i = 0; i < OBJECTS; i++)
    if (i % kept) fill(objects[i] = os_malloc(EACH), EACH, i);
  for (size_t i = 0; i < OBJECTS; i++) require(holds(objects[i], EACH, i));
  require(os_check() && resident_bytes() < before + OBJECTS * EACH / 10 * 12);
  for (size_t i = 0; i < OBJECTS; i++) os_free(objects[i]);
  require(os_check());
}

/* The memory of a mapping of 32 MiB goes back with free; less is kept, and serves, but never adds to the peak, until nobody wanted it for an age (tests/fault/giving.c)
 * or os_trim comes. */
static void freed_mappings_go_back(void)
{
  size_t before = resident_bytes();
  void *one = os_malloc((size_t)64 * MB), *many[100];
  touch(one, (size_t)64 * MB);
  os_free(one);
  require(resident_bytes() < before + 8 * MB);
  for (size_t i = 0; i < COUNT(many); i++) touch(many[i] = os_malloc(1 * MB), 1 * MB);
  for (size_t i = 0; i < COUNT(many); i++) os_free(many[i]);
  touch(one = os_malloc((size_t)30 * MB), (size_t)30 * MB);
  os_free(one);
  require(resident_bytes() < before + 104 * MB);
  os_trim(0);
  require(resident_bytes() < before + 4 * MB);
  require(cached_bytes() == 0);
}

/* The first chunk of the heap is filled up to `rest` bytes before its end, where the last 16 are needed. What stands there must be
 * found again when the second chunk has been given back. */
static void reopen_a_chunk(size_t rest)
{
  enum { EACH = 100000, BLOCK = 100016, CHUNK = 8 * MB, HEADER = 16 };
  uintptr_t base = (program_break() + 32 * KB - 1) / (32 * KB) * (32 * KB);
  char *first = os_malloc(EACH), *last = first;
  uintptr_t top = (uintptr_t)first - HEADER + BLOCK, full = base + CHUNK - rest;
  while (full - top > 120000) {
    require((uintptr_t)(last = os_malloc(EACH)) == top + HEADER);
    top += BLOCK;
  }
  require((uintptr_t)(last = os_malloc(full - top - 8)) == top + HEADER);
  char *next = os_malloc(EACH);
  require((uintptr_t)next > base + CHUNK && os_check());
  fill(last, full - top - 8, 1);
  os_free(next);
  require(os_trim(0) && program_break() <= base + CHUNK && os_check());
  require((next = os_malloc(EACH)) && os_check());
  fill(next, EACH, 2);
  require(holds(last, full - top - 8, 1));
  os_free(last);
  os_free(next);
  require(os_trim(0) && os_check());
}

static void a_full_chunk_reopens(void) { reopen_a_chunk(16); }
static void a_chunk_with_16_bytes_left_reopens(void) { reopen_a_chunk(32); }
static void a_chunk_with_a_block_left_reopens(void) { reopen_a_chunk(48); }

/* The first chunk ends in every way after every other: so many bytes are left of it when the second begins. What stood at its end the time
 * before stays in memory, and must mean nothing. */
static void chunks_reopen_wherever_they_end(void)
{
  enum { EACH = 100000, BLOCK = 100016, CHUNK = 8 * MB, HEADER = 16, WAYS = 6 };
  uintptr_t base = (program_break() + 32 * KB - 1) / (32 * KB) * (32 * KB);
  uintptr_t top = (uintptr_t)os_malloc(EACH) - HEADER + BLOCK, end = base + CHUNK;
  for (; end - top > 120000; top += BLOCK) require((uintptr_t)os_malloc(EACH) == top + HEADER);
  for (size_t turn = 0; turn < WAYS * WAYS * 2; turn++) {
    size_t rest = 16 + 16 * (turn % 2 ? turn / 2 % WAYS : turn / 2 / WAYS), bytes = end - rest - top - 8;
    char *last = os_malloc(bytes), *next;
    require((uintptr_t)last == top + HEADER);
    fill(last, bytes, turn);
    require((uintptr_t)(next = os_malloc(EACH)) > end && os_check());
    os_free(next);
    require(os_trim(0) && program_break() <= end && os_check());
    require((uintptr_t)(next = os_malloc(EACH)) > end && holds(last, bytes, turn));
    fill(next, EACH, turn);
    os_free(next);
    require(os_trim(0) && os_check() && holds(last, bytes, turn));
    os_free(last);
    settle();
    require(os_check());
  }
}

/* A tight cycle finds its pages warm: no system call a round. */
static void a_tight_cycle_makes_no_system_calls(void)
{
  static const size_t EACH[] = {500, 20000, 100000, 300000};
  for (size_t e = 0; e < COUNT(EACH); e++) {
    struct os_stats before, after;
    for (int i = 0; i < 2000; i++) {
      if (i == 100) os_get_stats(&before, sizeof before);
      char *p = os_malloc(EACH[e]);
      p[0] = 1;
      os_free(p);
    }
    os_get_stats(&after, sizeof after);
    size_t calls = after.calls_brk + after.calls_mmap + after.calls_munmap + after.calls_madvise + after.calls_mremap -
                   (before.calls_brk + before.calls_mmap + before.calls_munmap + before.calls_madvise + before.calls_mremap);
    require(calls < 50);
  }
}

/* What was freed serves aligned requests, too, though they fit not everywhere. */
static void aligned_mappings_reuse_freed_ones(void)
{
  struct os_stats before, after;
  for (int i = 0; i < 50; i++) {
    if (i == 1) os_get_stats(&before, sizeof before);
    char *p = os_aligned_alloc(64 * KB, 300000), *q = os_aligned_alloc(16 * KB, 150000);
    require(is_aligned(p, 64 * KB) && is_aligned(q, 16 * KB));
    fill(p, 300000, 1);
    fill(q, 150000, 2);
    require(holds(p, 300000, 1));
    os_free(p);
    os_free(q);
  }
  os_get_stats(&after, sizeof after);
  require(after.calls_mmap == before.calls_mmap && os_check());
}

/* ---- aligned blocks ---- */

/* What is freed serves the next request for the like, as without an alignment. */
static void an_aligned_block_is_cached_like_any_other(void)
{
  for (size_t alignment = 32; alignment <= 64 * KB; alignment *= 4)
    for (size_t bytes = 1100; bytes < 120 * KB; bytes += bytes / 3) {
      void *block = os_aligned_alloc(alignment, bytes);
      touch(block, bytes);
      os_free(block);
      require(os_aligned_alloc(alignment, bytes) == block);
      os_free(block);
    }
  require(os_check());
}

/* ---- sizes that vary ---- */

enum { VARIED_LOW = 4200, VARIED_HIGH = 8000, VARIED_BIN = 256, VARIED_SLOTS = 1000, VARIED_STEPS = 20000 };

/* More and more of those that come from one bin are as long as its longest, so that each serves the next. */
static void blocks_of_varying_sizes_become_alike(void)
{
  void *slots[VARIED_SLOTS] = {0};
  uint32_t dice = 1;
  for (int i = 0; i < VARIED_STEPS; i++) {
    void **slot = &slots[next_random(&dice) % VARIED_SLOTS];
    os_free(*slot);
    require(*slot = os_malloc(VARIED_LOW + next_random(&dice) % (VARIED_HIGH - VARIED_LOW)));
  }
  size_t alike = 0;
  for (size_t i = 0; i < VARIED_SLOTS; i++) alike += (os_usable_size(slots[i]) + sizeof(uint64_t)) % VARIED_BIN == 0;
  require(alike > VARIED_SLOTS / 8); /* by chance, a sixteenth */
}

/* Who asks for the same sizes again and again pays for no more than they are. */
static void blocks_of_one_size_are_not_rounded(void)
{
  for (size_t bytes = 1100; bytes < 120 * KB; bytes += bytes / 9) {
    void *blocks[100];
    for (int round = 0; round < 10; round++) {
      for (size_t i = 0; i < COUNT(blocks); i++) require(blocks[i] = os_malloc(bytes));
      for (size_t i = 0; i < COUNT(blocks); i++) require(os_usable_size(blocks[i]) < bytes + 24);
      for (size_t i = 0; i < COUNT(blocks); i++) os_free(blocks[i]);
    }
    settle();
  }
}

/* ---- calloc of what was used before ---- */

enum { HUGE_BLOCK = 64 * MB };

static void a_huge_block_that_was_hardly_used_is_not_filled(void)
{
  size_t before = resident_bytes();
  for (size_t round = 0; round < 4; round++) {
    char *block = os_calloc(1, HUGE_BLOCK);
    for (size_t i = 1; i < 8; i++) {
      require(block[HUGE_BLOCK / 8 * i + 5000 * round] == 0);
      block[HUGE_BLOCK / 8 * i + 5000 * round] = 1;
    }
    require(resident_bytes() < before + 2 * MB);
    os_free(block);
  }
}

/* Nor one that has a page written at the start of every so many, as heaps and tables that are made of segments have. */
static void a_huge_block_of_segments_is_not_filled(void)
{
  size_t before = resident_bytes();
  for (size_t segment = 256 * KB; segment <= 16 * MB; segment *= 2) {
    char *block = os_calloc(1, 4 * HUGE_BLOCK);
    for (size_t at = 0; at < 4 * HUGE_BLOCK; at += segment) {
      require(block[at] == 0);
      block[at] = 1;
    }
    require(resident_bytes() < before + 4 * HUGE_BLOCK / segment * 4 * KB + 16 * MB);
    os_free(block);
  }
}

/* Nor is one copied that grows, though there is a spare where it would fit: the kernel moves it. */
static void a_huge_block_that_was_hardly_used_grows_without_being_copied(void)
{
  enum { BLOCKS = 24 };
  char *blocks[BLOCKS], *spare;
  size_t before = resident_bytes();
  for (size_t i = 0; i < BLOCKS; i++) require(blocks[i] = os_malloc(2 * HUGE_BLOCK)); /* an eighth of these may be kept */
  require(spare = os_malloc(3 * HUGE_BLOCK));
  os_free(spare);
  require(cached_bytes() >= 3 * HUGE_BLOCK); /* not by dlsym(), which has glibc before 2.34 allocate */
  for (size_t i = 0; i < BLOCKS; i += 8) require(blocks[i] = os_realloc(blocks[i], 3 * HUGE_BLOCK - i));
  require(resident_bytes() < before + 2 * MB);
  for (size_t i = 0; i < BLOCKS; i++) os_free(blocks[i]);
}

static size_t minor_faults(void)
{
  struct rusage usage;
  require(getrusage(RUSAGE_SELF, &usage) == 0);
  return (size_t)usage.ru_minflt;
}

/* And one that was is: its pages stay. (Now and then the budget lets it go, more often on a busy machine: then it is another mapping.) */
static void a_huge_block_that_was_filled_keeps_its_pages(void)
{
  enum { ROUNDS = 6 };
  char *block = os_calloc(1, HUGE_BLOCK);
  memset(block, 0x5A, HUGE_BLOCK);
  for (size_t kept = 0; kept < ROUNDS;) {
    size_t mapped = library_stats().calls_mmap, faults = minor_faults();
    os_free(block);
    block = os_calloc(1, HUGE_BLOCK);
    require(all_zero(block, HUGE_BLOCK));
    memset(block, 0x5A, HUGE_BLOCK);
    if (library_stats().calls_mmap != mapped) continue;
    require(minor_faults() - faults < HUGE_BLOCK / 4096 / 8);
    kept++;
  }
  os_free(block);
}

/* Whatever was written where. */
static void huge_blocks_are_zero(void)
{
  enum { ROUNDS = 60, RUNS = 12, BYTES = 9 * MB };
  uint32_t dice = 1;
  for (size_t round = 0; round < ROUNDS; round++) {
    size_t bytes = BYTES - next_random(&dice) % (3 * MB);
    unsigned char *block = os_calloc(1, bytes);
    require(all_zero(block, bytes));
    for (size_t run = 0; run < next_random(&dice) % RUNS; run++) {
      size_t from = next_random(&dice) % bytes, length = next_random(&dice) % (round % 3 ? 40 * KB : 4 * MB);
      memset(block + from, 0xA5, length < bytes - from ? length : bytes - from);
    }
    os_free(block);
  }
  require(os_check());
}

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST(the_first_use_preallocates),
      TEST(growth_is_geometric),
      TEST(a_freed_block_serves_two_smaller_ones),
      TEST(the_rest_of_a_split_serves_too),
      TEST(neighbours_coalesce_in_any_order),
      TEST(live_blocks_do_not_coalesce),
      TEST(the_best_fitting_hole_is_taken),
      TEST(the_top_is_used_last),
      TEST(blocks_are_exact),
      TEST(small_objects_have_no_headers),
      TEST(the_last_freed_object_comes_first),
      TEST(emptied_slabs_become_blocks_and_back),
      TEST(a_slab_of_one_class_serves_another),
      TEST(small_memory_is_brk_and_large_is_mmap),
      TEST(aligned_blocks_are_on_the_heap),
      TEST(beyond_our_share_large_blocks_are_on_the_heap),
      TEST(beyond_our_share_large_blocks_grow_in_place),
      TEST(beyond_our_share_growth_is_not_quadratic),
      TEST(realloc_grows_into_the_free_neighbour),
      TEST(realloc_takes_no_more_than_it_needs_of_the_neighbour),
      TEST(realloc_grows_into_the_top),
      TEST(realloc_shrinks_by_splitting),
      TEST(realloc_within_a_class_stays),
      TEST(realloc_of_mappings_copies_nothing),
      TEST(realloc_between_tiers_keeps_the_data),
      TEST(trim_gives_back_what_is_free),
      TEST(trim_gives_back_pages_inside_slabs),
      TEST(freed_mappings_go_back),
      TEST(aligned_mappings_reuse_freed_ones),
      TEST(a_full_chunk_reopens),
      TEST(a_chunk_with_16_bytes_left_reopens),
      TEST(a_chunk_with_a_block_left_reopens),
      TEST(chunks_reopen_wherever_they_end),
      TEST(a_tight_cycle_makes_no_system_calls),
      TEST(an_aligned_block_is_cached_like_any_other),
      TEST(blocks_of_varying_sizes_become_alike),
      TEST(blocks_of_one_size_are_not_rounded),
      TEST(a_huge_block_that_was_hardly_used_is_not_filled),
      TEST(a_huge_block_of_segments_is_not_filled),
      TEST(a_huge_block_that_was_hardly_used_grows_without_being_copied),
      TEST(a_huge_block_that_was_filled_keeps_its_pages),
      TEST(huge_blocks_are_zero),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
