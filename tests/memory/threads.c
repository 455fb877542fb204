/* SPDX-License-Identifier: MIT */
/* Threads: objects that others free, pools that come and go and leave objects behind. */
#include "load.h"

#include "osmem.h"

/* ---- makers and eaters ---- */

/* Batches in flight between them, at most. A batch is a list of blocks, the link in the first word. */
enum { MAKERS = 2, EATERS = 2, IN_FLIGHT = 16, BATCHES = 2500, MARKET_LIVE = 3 * MB, BULKY_LIVE = 7 * MB };

static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t queue_moved = PTHREAD_COND_INITIALIZER;
static void **queue[IN_FLIGHT];
static size_t queue_length;

static void put(void **batch)
{
  pthread_mutex_lock(&queue_lock);
  while (queue_length == IN_FLIGHT) pthread_cond_wait(&queue_moved, &queue_lock);
  queue[queue_length++] = batch;
  pthread_cond_broadcast(&queue_moved);
  pthread_mutex_unlock(&queue_lock);
}

static void **take(void)
{
  pthread_mutex_lock(&queue_lock);
  while (queue_length == 0) pthread_cond_wait(&queue_moved, &queue_lock);
  void **batch = queue[--queue_length];
  pthread_cond_broadcast(&queue_moved);
  pthread_mutex_unlock(&queue_lock);
  return batch;
}

/* Mostly small, one in fifty medium: 130 KB a batch. */
static size_t mixed_goods(uint32_t *dice)
{
  return 16 + next_random(dice) % (next_random(dice) % 50 ? 900 : 20000);
}

/* More than threads' caches hold: who frees and who allocates meet at the block heap. 330 KB a batch. */
static size_t bulky_goods(uint32_t *dice)
{
  return 500 + next_random(dice) % 32 * 1000;
}

static size_t (*goods_size)(uint32_t *dice) = mixed_goods;
static int batch_blocks = 200;

static void make_goods(uint32_t *dice)
{
  for (int i = 0; i < BATCHES / MAKERS; i++) {
    void **batch = NULL;
    for (int j = 0; j < batch_blocks; j++) {
      void **item = make(goods_size(dice));
      *item = batch;
      batch = item;
    }
    put(batch);
  }
}

static void eat_goods(uint32_t *unused)
{
  (void)unused;
  for (int i = 0; i < BATCHES / EATERS; i++)
    for (void **item = take(), **next; item; item = next) {
      next = *item;
      release(item);
    }
}

/* The same threads in all rounds. */
static pthread_barrier_t morning, evening;

struct worker {
  void (*work)(uint32_t *dice);
  uint32_t dice;
};

static void *works_every_round(void *worker)
{
  for (struct worker *me = worker;;) {
    pthread_barrier_wait(&morning);
    me->work(&me->dice);
    pthread_barrier_wait(&evening);
  }
  return NULL;
}

static void one_market_day(void)
{
  static struct worker workers[MAKERS + EATERS];
  if (!workers[0].work) {
    pthread_barrier_init(&morning, NULL, COUNT(workers) + 1);
    pthread_barrier_init(&evening, NULL, COUNT(workers) + 1);
    for (size_t i = 0; i < COUNT(workers); i++) {
      workers[i] = (struct worker){i < MAKERS ? make_goods : eat_goods, (uint32_t)i + 1};
      spawn(works_every_round, &workers[i]);
    }
  }
  pthread_barrier_wait(&morning);
  pthread_barrier_wait(&evening);
}

/* Measured: growth 0 to 2.8 MB, peak 5.6 to 8.4 MB, as threads meet at an arena's lock (glibc 0.2 and 5.6, mimalloc 0.7 and 9.4,
 * jemalloc 8.3 and 19.4). */
static void others_free_what_makers_made(void)
{
  stays_bounded(&(struct load){"makers and eaters", one_market_day, MARKET_LIVE, 16 * MB, 32 * MB, 3, 6, 50});
}

/* Growth 0.7 MB, peak 6.9 to 17.6 MB: each arena holds its own (glibc 0 and 9.1, mimalloc 0.7 and 18.0, jemalloc 16.6 and 115.5). */
static void others_free_bulky_goods(void)
{
  goods_size = bulky_goods;
  batch_blocks = 20;
  stays_bounded(&(struct load){"bulky goods", one_market_day, BULKY_LIVE, 24 * MB, 48 * MB, 3, 6, 50});
}

/* ---- pools that come and go ---- */

enum { POOL_MAX = 12, LEFT = 400, POOL_LIVE = 4 * MB };

/* What the pool of the round before left behind, and what this one leaves. */
static void *left_behind[POOL_MAX][LEFT];

/* Frees what another thread left, then works with a few hundred blocks, and leaves those. */
static void *pool_thread(void *number)
{
  size_t mine = (size_t)number;
  uint32_t dice = (uint32_t)mine + 1;
  void **left = left_behind[mine];
  for (int turn = 0; turn < 40; turn++)
    for (size_t i = 0; i < LEFT; i++) {
      release(left[i]);
      left[i] = make(goods_size(&dice));
    }
  return NULL;
}

/* Pools of 1 to 12 threads; the places of left_behind move on by one, so that no thread ever finds its own. */
static void pools_come_and_go(void)
{
  static size_t round;
  for (size_t pool = 1; pool <= POOL_MAX; pool++, round++) {
    pthread_t threads[POOL_MAX];
    for (size_t i = 0; i < pool; i++) threads[i] = spawn(pool_thread, (void *)((round + i) % POOL_MAX));
    look();
    for (size_t i = 0; i < pool; i++) join(threads[i]);
    look();
  }
}

/* Growth 0.5 to 9.9 MB, peak 9.9 to 27.4 MB, no more in 36 times as many rounds (glibc 4.1 and 16.6, mimalloc 18.3 and 35.9, jemalloc
 * 3.6 and 10.1): every heap has slabs of its own for each size, and they are adopted as they are. */
static void pools_leave_objects_behind(void)
{
  stays_bounded(&(struct load){"thread pools", pools_come_and_go, POOL_LIVE, 20 * MB, 40 * MB, 4, 6, 50});
}

/* ---- what the library keeps for threads ---- */

typedef void stats_call(struct os_stats *out, size_t out_size);

static struct os_stats stats(void)
{
  stats_call *get_stats = (stats_call *)dlsym(RTLD_DEFAULT, "os_get_stats");
  if (!get_stats) skip_test("not osmem");
  struct os_stats now;
  get_stats(&now, sizeof now);
  return now;
}

/* Hardly more heaps than threads that lived at once (a birth looks at a few for a dead one), no more arenas than those. */
enum { HEAPS_MAX = 2 * POOL_MAX };

static void heaps_do_not_outnumber_threads(void)
{
  be_patient();
  for (int i = 0; i < 4 * test_factor(); i++) pools_come_and_go();
  struct os_stats now = stats();
  say("# after thread pools: %zu heaps, %zu arenas\n", now.thread_heaps, now.arenas);
  require(now.thread_heaps <= HEAPS_MAX);
  require(now.arenas <= POOL_MAX + 1);
}

/* Many threads, each of which has just freed a megabyte of medium blocks and waits: what is left in their caches counts as live. An arena's
 * threads share 4 MiB, or have 32 KiB each. Before that they have worked until each has found the arena where it stays. */
enum { IDLERS = 100, IDLER_BLOCKS = 64, IDLER_BYTES = 16 * KB - 16, IDLER_TURNS = 20, CACHES_OF_ARENA = 4 * MB, CACHE_LEAST = 32 * KB };

static void *holds_then_idles(void *unused)
{
  void *held[IDLER_BLOCKS];
  for (int turn = 0; turn < IDLER_TURNS; turn++) {
    pthread_barrier_wait(&morning);
    for (size_t i = 0; i < IDLER_BLOCKS; i++) held[i] = make(IDLER_BYTES);
    pthread_barrier_wait(&morning);
    for (size_t i = 0; i < IDLER_BLOCKS; i++) free(held[i]);
  }
  pthread_barrier_wait(&evening);
  pause();
  return unused;
}

/* Measured: 14.5 to 16.5 MB with 4 arenas; 102.6 if each thread had 4 MiB of its own. */
static void idle_threads_share_what_they_cache(void)
{
  be_patient();
  pthread_barrier_init(&morning, NULL, IDLERS);
  pthread_barrier_init(&evening, NULL, IDLERS + 1);
  size_t before = stats().medium_live_bytes;
  for (int i = 0; i < IDLERS; i++) spawn(holds_then_idles, NULL);
  pthread_barrier_wait(&evening);
  struct os_stats now = stats();
  size_t cached = now.medium_live_bytes - before;
  say("# %d idle threads: %zu KB in caches, %zu arenas\n", IDLERS, cached / KB, now.arenas);
  require(cached <= now.arenas * CACHES_OF_ARENA + (size_t)IDLERS * CACHE_LEAST);
}

/* The same threads without a past: each had a megabyte of blocks once. What such a one keeps is not what it might, but 8 KiB. */
enum { KEPT_ONCE = 8 * KB, THREAD_RECORDS = 3 * KB /* of libc and us, blocks as well */ };

static void *holds_once_then_idles(void *unused)
{
  void *held[IDLER_BLOCKS];
  for (size_t i = 0; i < IDLER_BLOCKS; i++) held[i] = make(2000 + i * 100);
  for (size_t i = 0; i < IDLER_BLOCKS; i++) free(held[i]);
  pthread_barrier_wait(&evening);
  pause();
  return unused;
}

/* Measured: 0.9 MB; 10.4 when each had its share from the start. */
static void threads_that_held_blocks_once_cache_little(void)
{
  pthread_barrier_init(&evening, NULL, IDLERS + 1);
  size_t before = stats().medium_live_bytes;
  for (int i = 0; i < IDLERS; i++) spawn(holds_once_then_idles, NULL);
  pthread_barrier_wait(&evening);
  size_t cached = stats().medium_live_bytes - before;
  say("# %d threads that held blocks once: %zu KB in caches\n", IDLERS, cached / KB);
  require(cached <= (size_t)IDLERS * (KEPT_ONCE + THREAD_RECORDS));
}

/* ---- slabs of many threads ---- */

/* All at once: so many threads live together. */
static size_t growth_by(void *(*work)(void *), size_t threads, bool they_end)
{
  pthread_t ids[IDLERS];
  pthread_barrier_init(&evening, NULL, (unsigned)threads + 1);
  size_t before = resident_bytes();
  for (size_t i = 0; i < threads; i++) ids[i] = spawn(work, (void *)i);
  pthread_barrier_wait(&evening);
  size_t now = resident_bytes();
  for (size_t i = 0; they_end && i < threads; i++) join(ids[i]);
  return now > before ? now - before : 0;
}

enum { SIZES_STEP = 16, SIZES_MOST = 1024, SIZES_TURNS = 20, OF_A_THREAD = 300 * KB };

static void *uses_each_size_then_idles(void *unused)
{
  for (int turn = 0; turn < SIZES_TURNS; turn++)
    for (size_t bytes = SIZES_STEP; bytes <= SIZES_MOST; bytes += SIZES_STEP) free(make(bytes));
  pthread_barrier_wait(&evening);
  pause();
  return unused;
}

/* One page of a slab for each size, and not the slab, nor those behind it. Measured: 14.3 MB; 76.2 when the first slab of a size was brought in ahead. */
static void a_slab_that_is_hardly_used_is_hardly_there(void)
{
  be_patient();
  size_t growth = growth_by(uses_each_size_then_idles, IDLERS, false);
  say("# %d threads that used each size: %zu KB\n", IDLERS, growth / KB);
  require(growth <= (size_t)IDLERS * OF_A_THREAD);
}

enum { GENERATIONS = 30, FEW = 10, FEW_TURNS = 6, OF_FEW = 150 * KB };

static void *has_a_few_objects(void *number)
{
  static unsigned generation;
  uint32_t dice = (uint32_t)(size_t)number + __atomic_add_fetch(&generation, 1, __ATOMIC_RELAXED) * 7919;
  void *held[FEW];
  for (int turn = 0; turn < FEW_TURNS; turn++) {
    for (int i = 0; i < FEW; i++) held[i] = make(SIZES_STEP + next_random(&dice) % (SIZES_MOST - SIZES_STEP));
    for (int i = 0; i < FEW; i++) free(held[i]);
  }
  pthread_barrier_wait(&evening);
  return NULL;
}

/* Measured: 1.2 MB after the last; 25.0 when a heap that passed from thread to thread had a slab of each size that any of them had used. */
static void heaps_do_not_collect_slabs_over_generations(void)
{
  be_patient();
  size_t before = resident_bytes();
  for (int i = 0; i < GENERATIONS * test_factor(); i++) growth_by(has_a_few_objects, IDLERS, true);
  size_t now = resident_bytes(), growth = now > before ? now - before : 0;
  say("# %d times %d threads with a few objects: %zu KB\n", GENERATIONS, IDLERS, growth / KB);
  require(growth <= (size_t)IDLERS * OF_FEW);
}

/* The control: threads that do not end. */
static void *stays(void *unused)
{
  free(make(100));
  pthread_barrier_wait(&morning);
  pause();
  return unused;
}

static void heaps_of_living_threads_are_seen(void)
{
  pthread_barrier_init(&morning, NULL, HEAPS_MAX + 1);
  for (int i = 0; i < HEAPS_MAX; i++) spawn(stays, NULL);
  pthread_barrier_wait(&morning);
  require(stats().thread_heaps > HEAPS_MAX);
}

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST(others_free_what_makers_made),
      TEST(others_free_bulky_goods),
      TEST(pools_leave_objects_behind),
      TEST(heaps_do_not_outnumber_threads),
      TEST(idle_threads_share_what_they_cache),
      TEST(threads_that_held_blocks_once_cache_little),
      TEST(a_slab_that_is_hardly_used_is_hardly_there),
      TEST(heaps_do_not_collect_slabs_over_generations),
      TEST(heaps_of_living_threads_are_seen),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
