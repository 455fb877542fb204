/* SPDX-License-Identifier: MIT */
/* os_get_stats: each field moves when what it counts does, and returns when that is gone. */
#include "verbs.h"

#include "osmem.h"

static struct os_stats stats(void)
{
  struct os_stats now;
  os_get_stats(&now, sizeof now);
  return now;
}

static size_t system_calls(struct os_stats s)
{
  return s.calls_brk + s.calls_mmap + s.calls_munmap + s.calls_mremap + s.calls_madvise;
}

static bool near(size_t value, size_t wanted, size_t slack)
{
  return value + slack >= wanted && value <= wanted + slack;
}

enum { MANY = 10000, FIRST_BLOCKS = 64 /* the first few of a class may be medium blocks */ };
static void *blocks[MANY];

static void allocate(size_t count, size_t bytes)
{
  for (size_t i = 0; i < count; i++) require((blocks[i] = os_malloc(bytes)));
}

static void release(size_t count)
{
  for (size_t i = 0; i < count; i++) os_free(blocks[i]);
}

static void small_objects_are_counted(void)
{
  struct os_stats before = stats();
  allocate(MANY, 100);
  struct os_stats during = stats();
  require(near(during.small_live_count - before.small_live_count, MANY, FIRST_BLOCKS));
  require(near(during.small_live_bytes - before.small_live_bytes, MANY * 112, FIRST_BLOCKS * 112));
  require(during.slab_bytes >= during.small_live_bytes && during.slab_bytes <= during.heap_bytes);
  release(MANY);
  struct os_stats after = stats();
  require(near(after.small_live_count, before.small_live_count, FIRST_BLOCKS));
  require(near(after.small_live_bytes, before.small_live_bytes, FIRST_BLOCKS * 112));
  require(after.slab_bytes < during.slab_bytes / 4);
}

static void medium_blocks_are_counted(void)
{
  struct os_stats before = stats();
  allocate(100, 50000);
  struct os_stats during = stats();
  require(near(during.medium_live_count - before.medium_live_count, 100, 4));
  require(near(during.medium_live_bytes - before.medium_live_bytes, 100 * 50008, 8 * KB));
  require(during.medium_allocations >= before.medium_allocations + 100);
  require(during.heap_bytes - before.heap_bytes >= 100 * 50000 - 128 * KB);
  release(100);
  os_trim(0);
  struct os_stats after = stats();
  require(after.medium_live_count <= before.medium_live_count + 4);
  require(after.medium_live_bytes < before.medium_live_bytes + 64 * KB);
  require(after.heap_bytes < during.heap_bytes);
}

static void large_blocks_are_counted(void)
{
  struct os_stats before = stats();
  allocate(20, 1000000);
  struct os_stats during = stats();
  require(during.large_live_count == before.large_live_count + 20);
  require(during.large_allocations == before.large_allocations + 20);
  require(near(during.mapped_bytes - before.mapped_bytes, 20 * 1000000, 20 * 2 * page_size()));
  require(during.calls_mmap >= before.calls_mmap + 20);
  release(20);
  struct os_stats after = stats();
  require(after.large_live_count == before.large_live_count && after.mapped_bytes == before.mapped_bytes);
  require(after.cached_bytes <= before.cached_bytes + 20 * (1000000 + 2 * page_size()));
  os_trim(0);
  require(stats().cached_bytes == 0);
  require(stats().calls_munmap > during.calls_munmap);
}

static void a_cached_mapping_is_counted(void)
{
  void *p = os_malloc(500000);
  os_free(p);
  struct os_stats cached = stats();
  require(cached.cached_bytes >= 500000);
  p = os_malloc(500000);
  require(stats().cached_bytes == 0 && stats().calls_mmap == cached.calls_mmap);
  os_free(p);
}

static void the_peak_is_the_highest_sum(void)
{
  for (size_t bytes = 100; bytes < 10 * MB; bytes *= 10) {
    allocate(20, bytes);
    struct os_stats now = stats();
    require(now.peak_bytes >= now.heap_bytes + now.mapped_bytes + now.cached_bytes);
    release(20);
  }
  os_trim(0);
  struct os_stats low = stats();
  require(low.peak_bytes >= 20 * (size_t)(1 * MB) - 1 * MB);
  require(low.heap_bytes + low.mapped_bytes + low.cached_bytes < low.peak_bytes / 4);
  require(low.peak_bytes < (size_t)400 * MB);
}

static void the_heap_is_what_the_break_says(void)
{
  uintptr_t start = program_break();
  allocate(1000, 5000);
  size_t grown = program_break() - start;
  require(near(stats().heap_bytes, grown, 64 * KB)); /* the start is aligned */
}

static void system_calls_are_counted(void)
{
  struct os_stats before = stats();
  allocate(1000, 20000);
  for (size_t i = 0; i < 1000; i++) touch(blocks[i], 20000);
  struct os_stats grown = stats();
  require(grown.calls_brk > before.calls_brk);
  require(grown.pages_from_kernel >= before.pages_from_kernel + 20000000 / page_size() - 128);
  void *middle = blocks[500];
  blocks[500] = NULL;
  release(1000);
  os_trim(0);
  struct os_stats trimmed = stats();
  require(trimmed.calls_brk > grown.calls_brk && trimmed.calls_madvise > grown.calls_madvise);
  require(trimmed.pages_to_kernel >= grown.pages_to_kernel + 15000000 / page_size());
  os_free(middle);
  char *p = os_malloc(1 * MB);
  size_t mremaps = stats().calls_mremap;
  p = os_realloc(p, 30 * MB);
  require(p && stats().calls_mremap > mremaps);
}

static pthread_barrier_t alive, seen;

static void *lives(void *unused)
{
  use_each_tier();
  pthread_barrier_wait(&alive);
  pthread_barrier_wait(&seen);
  return unused;
}

static void *allocates(void *bytes)
{
  return os_malloc((size_t)bytes);
}

static void thread_heaps_are_counted(void)
{
  pthread_t threads[4];
  os_free(os_malloc(1));
  pthread_barrier_init(&alive, NULL, COUNT(threads) + 1);
  pthread_barrier_init(&seen, NULL, COUNT(threads) + 1);
  require(stats().thread_heaps == 1);
  for (size_t i = 0; i < COUNT(threads); i++) threads[i] = spawn(lives, NULL);
  pthread_barrier_wait(&alive);
  require(stats().thread_heaps == 1 + COUNT(threads));
  pthread_barrier_wait(&seen);
  for (size_t i = 0; i < COUNT(threads); i++) join(threads[i]);
  for (int i = 0; i < 50; i++) run_thread(allocates, (void *)100);
  require(stats().thread_heaps <= 1 + COUNT(threads)); /* the dead's heaps are adopted */
}

static void one_arena_without_contention(void)
{
  os_free(os_malloc(5000));
  for (int i = 0; i < 20; i++) run_thread(allocates, (void *)5000);
  churn(1, 5000);
  require(stats().arenas == 1);
}

static void asking_costs_nothing(void)
{
  churn(1, 1000);
  struct os_stats first = stats(), last = first;
  for (int i = 0; i < 100; i++) last = stats();
  require(system_calls(last) == system_calls(first) && memcmp(&first, &last, sizeof first) == 0);
}

static void mallinfo2_agrees(void)
{
  allocate(100, 30000);
  void *large = os_malloc(500000);
  struct os_stats now = stats();
  struct mallinfo2 info = mallinfo2();
  require(info.hblks == now.large_live_count && info.hblkhd == now.mapped_bytes);
  require(info.arena == now.heap_bytes + now.cached_bytes);
  require(info.uordblks + info.fordblks == info.arena && info.keepcost <= info.fordblks);
  os_free(large);
  now = stats();
  info = mallinfo2();
  require(now.cached_bytes >= 500000 && info.arena == now.heap_bytes + now.cached_bytes && info.hblkhd == now.mapped_bytes);
  require(info.uordblks + info.fordblks == info.arena && info.keepcost >= now.cached_bytes);
}

/* Every other block of many is freed: none has a free neighbour to become one with. */
static void mallinfo2_counts_free_blocks(void)
{
  static const size_t EACH[] = {20, 200, 1000, 5000, 50000, 100000};
  enum { BLOCKS = 200 };
  for (size_t e = 0; e < COUNT(EACH); e++) {
    size_t used = mallinfo2().uordblks;
    allocate(BLOCKS, EACH[e]);
    struct mallinfo2 full = mallinfo2();
    require(full.uordblks >= used + BLOCKS * EACH[e] && full.ordblks >= 1);
    for (size_t i = 0; i < BLOCKS; i += 2) {
      os_free(blocks[i]);
      blocks[i] = NULL;
    }
    struct mallinfo2 half = mallinfo2();
    require(near(half.ordblks - full.ordblks, BLOCKS / 2, 4));
    require(half.uordblks <= full.uordblks - BLOCKS / 2 * EACH[e]);
    require(half.fordblks >= full.fordblks + BLOCKS / 2 * EACH[e] || half.arena != full.arena);
    release(BLOCKS);
    require(mallinfo2().uordblks == used); /* what waits in the caller's cache is free */
    os_trim(0);
    require(mallinfo2().ordblks <= 4);
  }
}

static void mallinfo_does_not_wrap(void)
{
  struct mallinfo (*old_form)(void) = (struct mallinfo (*)(void))dlsym(RTLD_DEFAULT, "mallinfo");
  void *half = os_malloc((size_t)3 << 30);
  require(half && old_form().hblkhd == INT_MAX && old_form().hblks == 1);
  os_free(half);
  require(old_form().hblkhd == 0 && old_form().ordblks >= 0);
}

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST(small_objects_are_counted),
      TEST(medium_blocks_are_counted),
      TEST(large_blocks_are_counted),
      TEST(a_cached_mapping_is_counted),
      TEST(the_peak_is_the_highest_sum),
      TEST(the_heap_is_what_the_break_says),
      TEST(system_calls_are_counted),
      TEST(thread_heaps_are_counted),
      TEST(one_arena_without_contention),
      TEST(asking_costs_nothing),
      TEST(mallinfo2_agrees),
      TEST(mallinfo2_counts_free_blocks),
      TEST(mallinfo_does_not_wrap),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
