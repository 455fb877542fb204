/* SPDX-License-Identifier: MIT */
/* Giving back, and fetching ahead: in portions, so that no call and no lock takes long, counted in bytes and calls; nothing is lost when system calls are
 * wrapped by a program that allocates and frees in there; and what cannot help is not tried. */
#include "kernel.h"

#include "../../src/arena.h"
#include "../../src/due.h"
#include "../../src/purge.h"
#include "../../src/thread.h"

#include <semaphore.h>
#include <sys/wait.h>

#include "osmem.h"

enum { MOST_AT_ONCE = 1 * MB, OBJECT_BYTES = 1000 };

static char *blocks[4000];

static void fill_with_blocks(size_t bytes)
{
  for (size_t i = 0; i < COUNT(blocks); i++) touch(blocks[i] = os_malloc(bytes), bytes);
}

/* ---- portions ---- */

/* Near the soft limit: 400 MB are freed, block by block, and most of it goes back at once, no more than a portion at each free. */
static void a_free_gives_back_a_portion(void)
{
  size_t most = 0;
  kernel.stopped = true; /* nothing grows old */
  sys_limits.soft = 1;
  fill_with_blocks(100000);
  for (size_t i = 0; i < COUNT(blocks); i++) {
    size_t before = kernel.discarded;
    os_free(blocks[i]);
    size_t now = kernel.discarded - before;
    if (now > most) most = now;
    require(i % 64 || os_check());
  }
  say("# %zu MB given back, %zu KB by one free at most\n", kernel.discarded / MB, most / KB);
  require(kernel.discarded > 300 * MB && most <= MOST_AT_ONCE);
}

/* A program that touches a pool, frees it and has locked all its memory does that to meet no fault when it takes it again. */
static void what_is_locked_goes_for_a_trim_only(void)
{
  kernel.locked = true;
  fill_with_blocks(100000);
  char *above = os_malloc(100000);
  require(above); /* so that the trim cannot lower the break */
  sys_limits.soft = 1;
  for (size_t i = 0; i < COUNT(blocks); i++) os_free(blocks[i]);
  require(kernel.seen[MADVISE] > 0 && kernel.discarded == 0);
  os_trim(0);
  require(kernel.discarded > 300 * MB && os_check());
}

/* In whatever order neighbours are freed, a quarter of a second after each other, nothing that went back is paid for again, so that nearly all does. */
static void blocks_freed_in_a_row_go_back(int step)
{
  kernel.stopped = true;
  fill_with_blocks(100000);
  for (size_t i = 0; i < COUNT(blocks); i++) {
    kernel.ahead_s += i % 4 == 0;
    os_free(blocks[step > 0 ? i : COUNT(blocks) - 1 - i]);
    require(i % 64 || os_check());
  }
  say("# %zu MB given back\n", kernel.discarded / MB);
  require(kernel.discarded > 350 * MB);
}

static void blocks_freed_in_order_go_back(void)
{
  blocks_freed_in_a_row_go_back(1);
}

static void blocks_freed_in_reverse_go_back(void)
{
  blocks_freed_in_a_row_go_back(-1);
}

/* ---- mappings ---- */

/* Two uses of a large buffer: the second one wants again what the first gave back, so nothing can be paid for when it is freed. */
enum { BUFFER = 400 * MB, DUE_PORTION = 9 * MB };

static void a_buffer_is_kept(void)
{
  kernel.mapped = 0;
  kernel.stopped = true;
  for (int i = 0; i < 2; i++) {
    char *buffer = os_malloc(BUFFER);
    touch(buffer, BUFFER);
    os_free(buffer);
  }
  require(kernel.mapped >= BUFFER);
}

/* How many of so many times, a second apart, gave back some of it; each a portion, at most. */
static size_t portions_of(void (*frees_something)(void), size_t times)
{
  size_t portions = 0;
  for (size_t i = 0; i < times; i++) {
    size_t before = kernel.mapped;
    kernel.ahead_s++;
    frees_something();
    require(kernel.mapped + DUE_PORTION >= before && os_check());
    portions += kernel.mapped < before;
  }
  return portions;
}

static void free_a_medium_block(void)
{
  os_free(os_malloc(20000));
}

static void fill_and_free_slabs(void)
{
  static char *small[100];
  for (size_t i = 0; i < COUNT(small); i++) require((small[i] = os_malloc(OBJECT_BYTES)));
  for (size_t i = 0; i < COUNT(small); i++) os_free(small[i]);
}

static void it_goes_when(void (*frees_something)(void))
{
  a_buffer_is_kept();
  size_t portions = portions_of(frees_something, 150);
  say("# %zu portions, %zu MB are left\n", portions, kernel.mapped / MB);
  require(portions >= 40 && kernel.mapped < 2 * MB);
}

static void a_kept_buffer_goes_when_blocks_are_freed(void)
{
  it_goes_when(free_a_medium_block);
}

static void a_kept_buffer_goes_when_objects_are_freed(void)
{
  it_goes_when(fill_and_free_slabs);
}

/* In one tick of the clock it is one portion, and the clock is not looked at each time. */
static void frees_look_at_the_clock_now_and_then(void)
{
  a_buffer_is_kept();
  portions_of(free_a_medium_block, 30);
  size_t before = kernel.mapped, looks = kernel.clock_looks;
  for (int i = 0; i < 100000; i++) free_a_medium_block();
  say("# %zu looks at the clock\n", kernel.clock_looks - looks);
  require(kernel.mapped + DUE_PORTION >= before && kernel.clock_looks - looks < 3500);
}

/* Who frees out of a handler that interrupted the library does not wait for that. */
static size_t frees_in_there;

static void free_in_there(enum kind kind)
{
  if (kind != BRK || frees_in_there++) return;
  size_t before = kernel.mapped;
  for (int i = 0; i < 20; i++, kernel.ahead_s++) free_a_medium_block();
  require(kernel.mapped == before);
}

static void a_handler_leaves_it_to_others(void)
{
  free_a_medium_block();
  a_buffer_is_kept();
  kernel.ahead_s = 60;
  kernel.visit = free_in_there;
  while (!frees_in_there) require(os_malloc(100000));
  kernel.visit = NULL;
  require(portions_of(free_a_medium_block, 10) > 5);
}

/* ---- by age ---- */

/* Once bursts are over what they used is not wanted for a second, and another, and goes at the frees of a light load, which
 * come to no block heap. */
enum { IN_BLOCKS = COUNT(blocks) * 50000, IDLE_MOST = 9 * MB };

static void burst(void)
{
  fill_with_blocks(50000);
  for (size_t i = 0; i < COUNT(blocks); i++) os_free(blocks[i]);
}

static void *bursts(void *unused)
{
  for (int i = 0; i < 4; i++) burst();
  return unused;
}

static size_t dirty_in_all(void)
{
  size_t sum = 0;
  for (size_t i = 0; i < arena_count(); i++) sum += dirty_bytes(arena_at(i));
  return sum;
}

static void all_goes_when(void (*frees_something)(void))
{
  for (int i = 0; i < 150; i++) {
    size_t before = kernel.discarded;
    kernel.ahead_s++;
    frees_something();
    require(kernel.discarded - before <= IDLE_MOST && os_check());
  }
  say("# %zu of %d MB are left\n", dirty_in_all() / MB, IN_BLOCKS / MB);
  require(dirty_in_all() < IN_BLOCKS / 20);
}

static void what_bursts_left_goes_when_blocks_are_freed(void)
{
  kernel.stopped = true;
  bursts(NULL);
  all_goes_when(free_a_medium_block);
}

static void what_bursts_left_goes_when_objects_are_freed(void)
{
  kernel.stopped = true;
  bursts(NULL);
  all_goes_when(fill_and_free_slabs);
}

/* The fast paths serve it, and tell nobody but while something is due. */
static void free_an_object(void)
{
  os_free(os_malloc(OBJECT_BYTES / 2));
}

static void what_bursts_left_goes_when_an_object_comes_and_goes(void)
{
  kernel.stopped = true;
  bursts(NULL);
  all_goes_when(free_an_object);
}

/* Nor does it matter that the slab that serves heard of too many frees in one tick, when those were a burst of them. */
static void what_bursts_left_goes_after_a_burst_of_objects(void)
{
  static char *objects[120000];
  kernel.stopped = true;
  bursts(NULL);
  for (size_t i = 0; i < COUNT(objects); i++) objects[i] = os_malloc(OBJECT_BYTES / 2);
  kernel.ahead_s++;
  os_free(os_malloc(20000));
  for (size_t i = 0; i + 20 < COUNT(objects); i++) os_free(objects[i]);
  all_goes_when(free_an_object);
}

static size_t looks_of_a_million(void)
{
  kernel.ahead_s++;
  for (int i = 0; i < 40; i++) free_a_medium_block(); /* from here on it is heard */
  size_t before = kernel.clock_looks;
  for (int i = 0; i < 1000000; i++) free_an_object();
  say("# %zu looks at the clock\n", kernel.clock_looks - before);
  return kernel.clock_looks - before;
}

/* But not for each of very many: to them it is as if nothing were due. */
static void who_frees_all_the_time_is_left_alone(void)
{
  kernel.stopped = true;
  bursts(NULL);
  for (int i = 0; i < 12; i++) require(os_malloc(OBJECT_BYTES / 2));
  size_t looks = looks_of_a_million();
  require(looks > 30 && looks < 200);
}

/* Nor is the clock read at each where that is the only object of its slab. */
static void an_object_that_comes_and_goes_alone_reads_no_clock(void)
{
  kernel.stopped = true;
  bursts(NULL);
  for (int i = 0; i < 12; i++) free_an_object();
  size_t looks = looks_of_a_million();
  require(looks > 30 && looks < 1000000 / 16);
}

static void what_an_ended_thread_left_goes_when_another_frees(void)
{
  kernel.stopped = true;
  run_thread(bursts, NULL);
  all_goes_when(free_a_medium_block);
}

/* Of small objects that survive the others only pages are left, when nobody has taken from their slabs for two ages. */
enum { SURVIVORS = 100000 };
static unsigned char *survivors[SURVIVORS];

/* They keep a page in five; where a slab has two larger ones the first, as its header does, and the second of two slabs in three. No slab comes free. */
static size_t of_survivors(void)
{
  return kernel_page() == 4096 ? 20 : 24;
}

static bool is_to_survive(size_t i)
{
  return i % of_survivors() == 0;
}

/* Of what goes back with pages of 4 KiB: 80 pages of 100, or 16. */
static size_t of_slabs(size_t bytes)
{
  return kernel_page() == 4096 ? bytes : bytes / 5;
}

static void *survive(void *unused)
{
  for (size_t i = 0; i < SURVIVORS; i++) {
    require(survivors[i] = os_malloc(OBJECT_BYTES));
    memset(survivors[i], (int)(i % 251), OBJECT_BYTES);
  }
  for (size_t i = 0; i < SURVIVORS; i++) {
    if (is_to_survive(i)) continue;
    os_free(survivors[i]);
    survivors[i] = NULL;
  }
  return unused;
}

static bool survivors_are_whole(void)
{
  for (size_t i = 0; i < SURVIVORS; i++)
    for (size_t byte = 0; survivors[i] && byte < OBJECT_BYTES; byte++)
      if (survivors[i][byte] != i % 251) return false;
  return true;
}

static void pages_of_slabs_that_nobody_takes_from_go(void)
{
  kernel.stopped = true;
  survive(NULL);
  size_t most = 0, slabs = library_stats().slab_bytes;
  for (int i = 0; i < 200; i++) {
    size_t before = kernel.discarded;
    kernel.ahead_s++;
    free_an_object();
    most = max_size(most, kernel.discarded - before);
    require(os_check());
  }
  say("# %zu MB given back, %zu KB by one free at most\n", kernel.discarded / MB, most / KB);
  require(kernel.discarded > of_slabs(SURVIVORS * OBJECT_BYTES / 2) && most <= 2 * MOST_AT_ONCE && survivors_are_whole());
  for (size_t i = 0; i < SURVIVORS; i++)
    if (!survivors[i]) {
      require(survivors[i] = os_malloc(OBJECT_BYTES));
      memset(survivors[i], (int)(i % 251), OBJECT_BYTES);
    }
  require(os_check() && survivors_are_whole() && library_stats().slab_bytes <= slabs + MB);
}

/* What has many objects takes long to look through: few of those at a free. */
static void slabs_of_many_objects_give_back_few_at_a_time(void)
{
  enum { TINY = 16, TINY_ONES = 1000000, OF_TINY = 1500 };
  static char *tiny[TINY_ONES];
  size_t most = 0;
  kernel.stopped = true;
  for (size_t i = 0; i < TINY_ONES; i++) require(tiny[i] = os_malloc(TINY));
  for (size_t i = 0; i < TINY_ONES; i++)
    if (i % OF_TINY) os_free(tiny[i]);
  for (int i = 0; i < 300; i++) {
    size_t before = kernel.discarded;
    kernel.ahead_s++;
    free_an_object();
    most = max_size(most, kernel.discarded - before);
  }
  say("# %zu KB given back, %zu KB by one free at most\n", kernel.discarded / KB, most / KB);
  require(kernel.discarded > of_slabs(6 * MB) && most <= 128 * KB && os_check());
}

/* A slab that serves again has all its pages: its fast paths know none that lacks one. */
static void a_slab_that_serves_again_is_whole(void)
{
  kernel.stopped = true;
  survive(NULL);
  for (int i = 0; i < 200; i++, kernel.ahead_s++) free_an_object();
  require(kernel.discarded > of_slabs(SURVIVORS * OBJECT_BYTES / 2));
  for (size_t i = 0; i < SURVIVORS; i++) {
    void *object = os_malloc(OBJECT_BYTES);
    require(object && slab_at(region_base((uintptr_t)object), (uintptr_t)object)->purged == 0);
  }
  require(os_check() && survivors_are_whole());
}

/* What comes free bit by bit goes, too: a slab is looked at again when half of what was in use is left. */
static void pages_that_come_free_bit_by_bit_go(void)
{
  kernel.stopped = true;
  for (size_t i = 0; i < SURVIVORS; i++) require(survivors[i] = os_malloc(OBJECT_BYTES));
  for (size_t round = 1; round < of_survivors(); round++) {
    for (size_t i = 0; i < SURVIVORS; i++)
      if (i * 7 % of_survivors() == round) os_free(survivors[i]);
    for (int i = 0; i < 30; i++, kernel.ahead_s++) free_an_object();
  }
  for (int i = 0; i < 200; i++, kernel.ahead_s++) free_an_object();
  say("# %zu MB given back\n", kernel.discarded / MB);
  require(kernel.discarded > of_slabs(SURVIVORS * OBJECT_BYTES / 100 * 67) && os_check()); /* 70; if slabs are looked at once, 63 */
}

/* A program may wrap madvise(), and free something in there. That begins no other round inside of this one, however late it is by then. */
static int depth, deepest;

static void free_in_a_wrapper(enum kind kind)
{
  if (kind != MADVISE) return;
  if (++depth > deepest) deepest = depth;
  kernel.ahead_s++;
  free_an_object();
  depth--;
}

static void a_wrapped_call_that_frees_begins_no_other_round(void)
{
  kernel.stopped = true;
  survive(NULL);
  kernel.visit = free_in_a_wrapper;
  for (int i = 0; i < 500; i++, kernel.ahead_s++) free_an_object();
  kernel.visit = NULL;
  say("# %zu KB given back, %d deep\n", kernel.discarded / KB, deepest);
  require(kernel.discarded > MB && deepest == 1 && os_check() && survivors_are_whole());
}

/* Nor do a parent and a child of a fork copy each other's pages for it. */
static size_t given_back_in(int seconds)
{
  size_t before = kernel.discarded;
  for (int i = 0; i < seconds; i++, kernel.ahead_s++) {
    free_a_medium_block();
    free_an_object();
  }
  say("# %zu MB given back in %d s\n", (kernel.discarded - before) / MB, seconds);
  return kernel.discarded - before;
}

static void what_a_fork_shares_is_not_swept(void)
{
  kernel.stopped = true;
  survive(NULL);
  pid_t child = fork();
  require(child >= 0);
  if (child == 0) _exit(given_back_in(300) > MB);
  require(given_back_in(550) < MB);
  int status;
  require(waitpid(child, &status, 0) == child && status == 0);
  require(given_back_in(200) > of_slabs(SURVIVORS * OBJECT_BYTES / 2) && os_check() && survivors_are_whole());
}

/* Where all is locked that is noticed at once. */
static void slabs_that_are_locked_are_not_swept(void)
{
  kernel.locked = true;
  kernel.stopped = true;
  survive(NULL);
  size_t before = kernel.seen[MADVISE];
  for (int i = 0; i < 200; i++, kernel.ahead_s++) free_an_object();
  say("# %zu calls in vain\n", kernel.seen[MADVISE] - before);
  require(kernel.seen[MADVISE] - before < 20);
}

/* Who only frees has no heap; in that of an ended thread, which it looks after, slabs become sparse nevertheless. */
static void *frees_most(void *unused)
{
  for (size_t i = 0; i < SURVIVORS; i++)
    if (!is_to_survive(i)) {
      kernel.ahead_s += i % 1000 == 1;
      os_free(survivors[i]);
    }
  return unused;
}

static void *makes_survivors(void *unused)
{
  for (size_t i = 0; i < SURVIVORS; i++) require(survivors[i] = os_malloc(OBJECT_BYTES));
  return unused;
}

static void who_only_frees_has_no_slabs_to_look_at(void)
{
  kernel.stopped = true;
  run_thread(makes_survivors, NULL);
  run_thread(frees_most, NULL);
  require(os_check());
}

/* An empty slab that cannot go, since the arena's lock is held further up, does not keep a trim for ever. */
static void empty_slabs_and_trim(enum kind kind)
{
  if (kind != BRK) return;
  kernel.visit = NULL;
  for (size_t i = 0; i < SURVIVORS; i += of_survivors()) os_free(survivors[i]);
  os_trim(0);
}

static void an_empty_slab_that_cannot_go_keeps_no_trim(void)
{
  survive(NULL);
  kernel.visit = empty_slabs_and_trim;
  while (kernel.visit) require(os_malloc(100000));
  require(os_check());
}

/* A steady load, whose slabs become sparse all the time and serve again, is not looked at all the time. */
static void who_has_no_more_of_them_is_left_alone(void)
{
  size_t rounds_with_looks = 0;
  uint32_t random = 1;
  kernel.stopped = true;
  for (int round = 0; round < 200; round++) {
    kernel.ahead_s++;
    for (int i = 0; i < 20000; i++) {
      random = random * 1664525 + 1013904223;
      unsigned char **slot = &survivors[random / 256 % 20000];
      os_free(*slot);
      require(*slot = os_malloc(16 + random / 65536 % 1000));
    }
    rounds_with_looks += due_look.slabs_left > 0;
  }
  say("# looks in %zu rounds of 200\n", rounds_with_looks);
  require(rounds_with_looks < 20);
}

/* Those of others stay: here each slab is taken from between two looks. */
static void pages_of_slabs_in_use_stay(void)
{
  kernel.stopped = true;
  survive(NULL);
  for (int round = 0; round < 20; round++) {
    for (size_t i = 0; i < SURVIVORS; i++)
      if (!survivors[i]) require(survivors[i] = os_malloc(OBJECT_BYTES));
    for (size_t i = 0; i < SURVIVORS; i++) {
      if (is_to_survive(i)) continue;
      os_free(survivors[i]);
      survivors[i] = NULL;
    }
    kernel.ahead_s++;
    for (int i = 0; i < 40; i++) free_an_object(); /* one of them looks */
  }
  say("# %zu KB given back\n", kernel.discarded / KB);
  require(kernel.discarded < MB && os_check());
}

static void *frees_some(void *unused)
{
  for (int i = 0; i < 40; i++) free_a_medium_block();
  return unused;
}

/* Else sixty-four would look into all heaps in each tick. */
static void in_a_tick_one_thread_gives_for_all(void)
{
  kernel.stopped = true;
  bursts(NULL);
  size_t before = kernel.discarded;
  for (; kernel.discarded == before; frees_some(NULL)) kernel.ahead_s++;
  size_t after = kernel.discarded;
  run_thread(frees_some, NULL);
  require(kernel.discarded == after);
  kernel.ahead_s++;
  run_thread(frees_some, NULL);
  require(kernel.discarded > after);
}

/* Holes between blocks that stay, with 16 KB of whole pages each, on average. */
static size_t hole_bytes(void)
{
  return 16000 + kernel_page();
}

static void leave_holes(void)
{
  for (size_t i = 0; i < COUNT(blocks); i += 2) os_free(blocks[i]);
}

static size_t goes_within(int seconds)
{
  size_t before = kernel.discarded;
  for (int i = 0; i < seconds; i++) {
    kernel.ahead_s++;
    for (int light = 0; light < 32; light++) free_a_medium_block(); /* the clock is looked at */
    require(kernel.discarded - before <= (size_t)(i + 1) * IDLE_MOST && os_check());
  }
  say("# %zu MB went in %d s, %zu are dirty\n", (kernel.discarded - before) / MB, seconds, dirty_in_all() / MB);
  return kernel.discarded - before;
}

/* Too short to go, until there is much to spend. */
static void short_runs_go_where_the_budget_is_hardly_used(void)
{
  kernel.stopped = true;
  fill_with_blocks(hole_bytes());
  leave_holes();
  require(goes_within(4) == 0);
  require(goes_within(300) > 25 * MB);
}

/* Nor for a while after they were wanted again. */
static void short_runs_that_are_wanted_again_stay_for_a_while(void)
{
  kernel.stopped = true;
  fill_with_blocks(hole_bytes());
  leave_holes();
  require(goes_within(150) > 10 * MB);
  for (size_t i = 0; i < COUNT(blocks); i += 2) touch(blocks[i] = os_malloc(hole_bytes()), hole_bytes());
  leave_holes();
  require(goes_within(7) == 0);
  require(goes_within(150) > 10 * MB);
}

/* However many of them went, and are looked at again: what is long goes first. */
static void long_runs_do_not_wait_for_short_ones(void)
{
  static char *large[1000];
  kernel.stopped = true;
  fill_with_blocks(hole_bytes());
  leave_holes();
  require(goes_within(300) > 25 * MB);
  for (size_t i = 0; i < COUNT(large); i++) touch(large[i] = os_malloc(100000), 100000);
  for (size_t i = 0; i < COUNT(large); i++) os_free(large[i]);
  require(goes_within(3) > 6 * MB);
}

/* What is wanted every second is not idle, however often frees look; and what is so much that it goes at once goes seldom. */
static void what_bursts_want_again_stays(void)
{
  size_t before = 0;
  kernel.stopped = true;
  for (int i = 0; i < 200; i++) {
    if (i == 60) before = kernel.discarded;
    kernel.ahead_s++;
    for (int light = 0; light < 100; light++) free_a_medium_block();
    burst();
  }
  say("# %zu MB given back, and then %zu\n", before / MB, (kernel.discarded - before) / MB);
  require(kernel.discarded - before <= 2 * (size_t)IN_BLOCKS);
}

/* ---- locks ---- */

/* Who wants a heap with all that was put off takes on what that was when he came, not what is freed meanwhile: that may have no end. (mallinfo2 took 2.8 s.) */
enum { PUT_OFF_EACH_TIME = 200 };
static sem_t free_some, freed_some;
static size_t put_off, times_put_off;

static void *frees_some_each_time(void *unused)
{
  while (put_off < COUNT(blocks)) {
    sem_wait(&free_some);
    for (size_t i = 0; i < PUT_OFF_EACH_TIME && put_off < COUNT(blocks); i++) os_free(blocks[put_off++]);
    sem_post(&freed_some);
  }
  return unused;
}

static void another_frees_some(enum kind kind)
{
  if (kind != MADVISE || put_off == COUNT(blocks)) return;
  times_put_off++;
  sem_post(&free_some);
  sem_wait(&freed_some);
}

static void who_wants_a_heap_settled_is_not_kept_for_ever(void)
{
  sem_init(&free_some, 0, 0);
  sem_init(&freed_some, 0, 0);
  fill_with_blocks(60000);
  struct arena *arena = arena_at(0);
  pthread_t thread = spawn(frees_some_each_time, NULL);
  sys_limits.soft = 1; /* so that each portion of them gives pages back, where we are called */
  require(arena_enter_this(arena));
  for (int i = 0; i < 4; i++) another_frees_some(MADVISE);
  arena_leave(arena);
  kernel.visit = another_frees_some;
  require(arena_enter_settled(arena));
  arena_leave(arena);
  kernel.visit = NULL;
  say("# more was put off %zu times\n", times_put_off);
  require(times_put_off > 4 && times_put_off <= 8);
  while (put_off < COUNT(blocks)) another_frees_some(MADVISE);
  join(thread);
  require(os_check());
}

/* The same when another thread holds the lock meanwhile, and what was put off comes to one free. */
static sem_t held, go_on;

static void hold_the_lock(enum kind kind)
{
  if (kind != BRK) return;
  kernel.visit = NULL;
  sem_post(&held);
  sem_wait(&go_on);
}

static void *grows(void *unused)
{
  while (kernel.visit) require(os_malloc(100000));
  return unused;
}

static void what_was_put_off_goes_back_in_portions(void)
{
  size_t most = 0;
  kernel.stopped = true; /* a little grows old otherwise, where the machine is slow */
  fill_with_blocks(100000);
  require(sem_init(&held, 0, 0) == 0 && sem_init(&go_on, 0, 0) == 0);
  kernel.visit = hold_the_lock;
  pthread_t other = spawn(grows, NULL);
  sem_wait(&held);
  for (size_t i = 0; i < COUNT(blocks) / 2; i++) os_free(blocks[i]);
  size_t before = kernel.discarded;
  sem_post(&go_on);
  join(other);
  sys_limits.soft = 1;
  for (size_t i = COUNT(blocks) / 2; i < COUNT(blocks); i++) {
    os_free(blocks[i]);
    if (kernel.discarded - before > most) most = kernel.discarded - before;
    before = kernel.discarded;
  }
  say("# %zu MB given back, %zu KB by one call at most\n", kernel.discarded / MB, most / KB);
  require(kernel.discarded > 200 * MB && most <= MOST_AT_ONCE && os_check());
}

/* Eight threads have 16 MB each, freed by another, and sleep or are gone. No malloc of that one gives back more than a portion, whatever it finds. */
enum { OWNERS = 8, OWNED = 16 * MB / OBJECT_BYTES };
static char *owned[OWNERS][OWNED];
static pthread_barrier_t all_own;
static bool owners_sleep, owners_move; /* each has an arena for itself */

static char **owned_by_number(size_t i) { return &owned[i / OWNED][i % OWNED]; }

static void *owns(void *objects)
{
  if (owners_move) {
    os_free(os_malloc(OBJECT_BYTES));
    arena_move_out(self);
  }
  for (size_t i = 0; i < OWNED; i++) touch(((char **)objects)[i] = os_malloc(OBJECT_BYTES), OBJECT_BYTES);
  pthread_barrier_wait(&all_own);
  while (owners_sleep) pause();
  return NULL;
}

static void own_by_threads(void)
{
  pthread_t owners[OWNERS];
  require(pthread_barrier_init(&all_own, NULL, OWNERS + 1) == 0);
  for (size_t i = 0; i < OWNERS; i++) owners[i] = spawn(owns, owned[i]);
  pthread_barrier_wait(&all_own);
  for (size_t i = 0; i < OWNERS && !owners_sleep; i++) join(owners[i]);
}

static void free_what_is_owned(void)
{
  own_by_threads();
  for (size_t i = 0; i < OWNERS; i++)
    for (size_t j = 0; j < OWNED; j++) os_free(owned[i][j]);
}

/* Nor does it wait for one: where much was freed, a light load comes back to it, in portions. */
static void what_is_in_the_mail_goes(void)
{
  size_t most = 0;
  for (int i = 0; i < 300; i++) {
    size_t before = library_stats().slab_bytes;
    kernel.ahead_s++;
    free_an_object();
    size_t after = library_stats().slab_bytes;
    most = max_size(most, before - min_size(before, after));
    require(os_check());
  }
  say("# %zu KB of slabs are left, %zu KB went at once at most, %zu MB are dirty\n", library_stats().slab_bytes / KB, most / KB, dirty_in_all() / MB);
  require(library_stats().slab_bytes < 8 * MB && most <= 4 * MB && dirty_in_all() < OWNERS * 4 * MB);
}

static void what_others_freed_of_the_dead_goes(void)
{
  kernel.stopped = true;
  free_what_is_owned();
  what_is_in_the_mail_goes();
}

static void what_others_freed_of_sleepers_goes(void)
{
  owners_sleep = true;
  what_others_freed_of_the_dead_goes();
}

/* Nor does it matter that somebody has looked before, when nothing was free as a whole. */
static void what_others_freed_of_sleepers_in_any_order_goes(void)
{
  kernel.stopped = owners_sleep = true;
  uint32_t dice = 1;
  own_by_threads();
  for (size_t left = OWNERS * OWNED; left > 0; left--) {
    char **any = owned_by_number(next_random(&dice) % left), **last = owned_by_number(left - 1);
    os_free(*any);
    *any = *last;
    kernel.ahead_s += left % 1000 == 0;
  }
  what_is_in_the_mail_goes();
}

static void *frees_what_is_owned(void *unused)
{
  for (size_t j = 0; j < OWNED; j++) os_free(owned[0][j]);
  return unused;
}

static void what_others_freed_of_the_caller_goes(void)
{
  kernel.stopped = true;
  for (size_t j = 0; j < OWNED; j++) touch(owned[0][j] = os_malloc(OBJECT_BYTES), OBJECT_BYTES);
  run_thread(frees_what_is_owned, NULL);
  what_is_in_the_mail_goes();
}

static size_t most_given_back_by_a_malloc(void)
{
  size_t most = 0;
  kernel.stopped = true;
  sys_limits.soft = 1;
  free_what_is_owned();
  for (size_t left = OWNERS * OWNED / 4; left > 0; left--) { /* no more than was freed: else the heap grows, and near the soft limit all of it is looked at first */
    size_t before = kernel.discarded;
    touch(os_malloc(2 * OBJECT_BYTES), 2 * OBJECT_BYTES);
    most = max_size(most, kernel.discarded - before);
  }
  say("# %zu MB given back, %zu KB by one malloc at most\n", kernel.discarded / MB, most / KB);
  return most;
}

static void a_malloc_gives_back_a_portion_of_what_the_dead_had(void)
{
  require(most_given_back_by_a_malloc() <= MOST_AT_ONCE && kernel.discarded > 0 && os_check()); /* 0.2 to 5 MB: most serves again */
}

/* Wherever it is: what others have serves before the heap grows. */
static void a_malloc_gives_back_a_portion_where_all_have_arenas(void)
{
  kernel.processor = 16;
  owners_sleep = owners_move = true;
  require(most_given_back_by_a_malloc() <= MOST_AT_ONCE && arena_count() > OWNERS / 2 && os_check());
}

static void a_malloc_gives_back_a_portion_of_what_sleepers_had(void)
{
  owners_sleep = true;
  a_malloc_gives_back_a_portion_of_what_the_dead_had();
}

/* A thread that needs the lock in the middle of a trim gets it when the trim makes the first pause, long before the end. */
static pthread_t trimming;
static size_t calls_before_it_came, calls_of_the_trim;
static sem_t sleeps, came;
static bool waited_for, has_come;

static void *wants_the_lock(void *unused)
{
  sem_wait(&held);
  require(os_aligned_alloc(256, 3000));
  __atomic_store_n(&has_come, true, __ATOMIC_RELEASE);
  sem_post(&came);
  return unused;
}

static void let_it_wait(enum kind kind)
{
  bool ours = pthread_equal(pthread_self(), trimming);
  if (kind == WAIT && !ours) sem_post(&sleeps);
  if (kind == WAIT && ours && waited_for && !__atomic_load_n(&has_come, __ATOMIC_ACQUIRE)) sem_wait(&came);
  if (kind != MADVISE || !ours) return;
  calls_of_the_trim++;
  calls_before_it_came += !__atomic_load_n(&has_come, __ATOMIC_ACQUIRE);
  if (waited_for) return;
  waited_for = true;
  sem_post(&held);
  sem_wait(&sleeps);
}

static void a_trim_lets_others_in(void)
{
  trimming = pthread_self();
  require(sem_init(&held, 0, 0) == 0 && sem_init(&sleeps, 0, 0) == 0 && sem_init(&came, 0, 0) == 0);
  fill_with_blocks(30000); /* no flood, of which each free of a cached block would give back a portion */
  pthread_t other = spawn(wants_the_lock, NULL);
  kernel.refuse = 1 << MADVISE; /* so that all of it is left to the trim */
  kernel.from = 1;
  kernel.to = SIZE_MAX;
  for (size_t i = 0; i < COUNT(blocks); i++)
    if (i % 8) os_free(blocks[i]);
  kernel.refuse = 0;
  kernel.visit = let_it_wait;
  require(os_trim(0));
  kernel.visit = NULL;
  join(other);
  say("# came before call %zu of %zu\n", calls_before_it_came + 1, calls_of_the_trim);
  require(calls_of_the_trim > 200 && calls_before_it_came < calls_of_the_trim / 2 && os_check());
}

/* A thread whose block heap is taken by one that may not run for long takes from another. The trim stands still, in the middle of each call, until the other thread has been
 * served, whichever of the two heaps it holds. */
static sem_t go, served;
static size_t served_by_another;

static void *has_a_heap_of_its_own(void *unused)
{
  static char *own[2000];
  touch(os_malloc(100), 100);
  arena_move_out(self);
  for (size_t i = 0; i < COUNT(own); i++) touch(own[i] = os_malloc(60000), 60000);
  for (size_t i = 0; i < COUNT(own); i++)
    if (i % 8) os_free(own[i]);
  for (sem_post(&served); sem_wait(&go) == 0 && !has_come; sem_post(&served)) {
    void *block = os_aligned_alloc(256, 3000);
    require(block);
    served_by_another += arena_of(block_of(block)) != self->arena;
  }
  return unused;
}

static void stands_until_the_other_is_served(enum kind kind)
{
  if (kind != MADVISE || !pthread_equal(pthread_self(), trimming)) return;
  sem_post(&go);
  sem_wait(&served);
}

static void who_finds_its_heap_taken_takes_from_another(void)
{
  trimming = pthread_self();
  require(sem_init(&go, 0, 0) == 0 && sem_init(&served, 0, 0) == 0);
  kernel.refuse = 1 << MADVISE;
  kernel.from = 1;
  kernel.to = SIZE_MAX;
  touch(os_malloc(100), 100);
  pthread_t other = spawn(has_a_heap_of_its_own, NULL);
  sem_wait(&served);
  kernel.refuse = 0;
  kernel.visit = stands_until_the_other_is_served;
  require(os_trim(0));
  kernel.visit = NULL;
  has_come = true;
  sem_post(&go);
  join(other);
  say("# served by the other heap %zu times\n", served_by_another);
  require(served_by_another > 100 && os_check());
}

/* One other heap is looked at for each request; but where the kernel gives no more, all of them, before everything is given up for it. */
static void where_no_more_is_to_be_had_all_heaps_are_asked(void)
{
  fill_with_blocks(20000);
  char *above = os_malloc(100);
  for (size_t i = 0; i < COUNT(blocks); i++) os_free(blocks[i]);
  kernel.processor = 15;
  for (int i = 0; i < 31; i++) arena_move_out(self);
  arena_count_thread(arena_at(0)); /* another one's: it is not joined */
  require(above && arena_count() == 32);
  kernel.refuse = 1 << MMAP | 1 << BRK;
  kernel.from = 1;
  kernel.to = SIZE_MAX;
  size_t given_back = kernel.seen[MADVISE];
  for (int i = 0; i < 500; i++) require(os_malloc(60000));
  require(kernel.seen[MADVISE] == given_back && os_check());
}

/* A heap that grows by small objects has the next pages brought in ahead, in portions likewise. */
static void a_malloc_brings_in_a_portion(void)
{
  size_t most = 0;
  for (size_t i = 0; i < 300 * MB / OBJECT_BYTES; i++) {
    size_t before = kernel.populated;
    touch(os_malloc(OBJECT_BYTES), OBJECT_BYTES);
    if (kernel.populated - before > most) most = kernel.populated - before;
  }
  say("# %zu MB brought in, %zu KB by one malloc at most\n", kernel.populated / MB, most / KB);
  require(kernel.populated > 200 * MB && most <= MOST_AT_ONCE);
}

/* ---- wrapped calls ---- */

enum { OBJECTS = 2000, KEPT = 60, EACH = 512 };
static char *objects[OBJECTS];
static size_t visits, free_at;
static char *during[64];

/* What keeps the slabs alive goes, all of it; their granules are wanted for something else. */
static void free_what_is_left(enum kind kind)
{
  if (kind != MADVISE || ++visits != free_at) return;
  for (size_t i = 0; i < OBJECTS; i += KEPT) os_free(objects[i]);
  for (size_t i = 0; i < COUNT(during); i++) fill(during[i] = os_malloc(i % 2 ? 30000 : EACH), i % 2 ? 30000 : EACH, i);
}

static void a_purge_is_interrupted(void)
{
  for (size_t i = 0; i < OBJECTS; i++) require((objects[i] = os_malloc(EACH)));
  for (size_t i = 0; i < OBJECTS; i++)
    if (i % KEPT) os_free(objects[i]);
  visits = 0;
  kernel.visit = free_what_is_left;
  os_trim(0);
  kernel.visit = NULL;
  if (visits < free_at) return;
  require(os_check());
  for (size_t i = 0; i < OBJECTS; i++) fill(objects[i] = os_malloc(EACH), EACH, i);
  for (size_t i = 0; i < COUNT(during); i++) require(holds(during[i], i % 2 ? 30000 : EACH, i));
  for (size_t i = 0; i < OBJECTS; i++) require(holds(objects[i], EACH, i));
  require(os_check());
}

static void a_purge_is_interrupted_at_every_call(void)
{
  do {
    free_at++;
    require(fate_of(a_purge_is_interrupted) == 0);
    visits = free_at > 40 ? 0 : free_at;
  } while (visits);
}

/* While the break goes down the heap says no more that it has what goes. */
static size_t shrunk;

static void is_not_claimed(enum kind kind)
{
  static uintptr_t end, bytes;
  struct os_stats stats;
  if (kind != BRK) return;
  os_get_stats(&stats, sizeof stats);
  if (kernel.break_asked && kernel.break_asked < end) {
    require(stats.heap_bytes <= bytes - (end - kernel.break_asked));
    shrunk++;
  }
  end = program_break();
  bytes = stats.heap_bytes;
}

static void what_goes_is_not_claimed(void)
{
  for (int round = 0; round < 2; round++) {
    fill_with_blocks(20000);
    for (size_t i = 0; i < COUNT(blocks); i++) os_free(blocks[i]);
    kernel.visit = is_not_claimed;
    os_trim(0);
    kernel.visit = NULL;
    require(shrunk > 5 && os_check());
  }
}

/* ---- in vain ---- */

static size_t calls_so_far(void)
{
  size_t sum = 0;
  for (size_t kind = 0; kind < KINDS; kind++) sum += kernel.seen[kind];
  return sum;
}

/* Small objects of which few live, one in each three pages or so. */
static char *small[220000];

static size_t lives(void)
{
  return kernel_page() / 64;
}

static void a_heap_with_holes(void)
{
  for (size_t i = 0; i < COUNT(small); i++) require((small[i] = os_malloc(200)));
  for (size_t i = 0; i < COUNT(small); i++)
    if (i % lives()) os_free(small[i]);
}

static void a_malloc_that_cannot_succeed_trims_nothing(void)
{
  a_heap_with_holes();
  size_t discards = kernel.seen[MADVISE];
  for (int i = 0; i < 10; i++) {
    size_t before = calls_so_far();
    errno = 0;
    require(!os_malloc((size_t)1 << 46) && errno == ENOMEM);
    require(calls_so_far() - before <= 6);
  }
  require(kernel.seen[MADVISE] == discards);
}

/* It could have been that a trim helps, but it did not. */
static void trim_in_vain(void)
{
  a_heap_with_holes();
  kernel.most = 2 * MB;
  size_t before = kernel.seen[MADVISE];
  require(!os_malloc(9 * MB));
  require(kernel.seen[MADVISE] - before > 100);
}

/* How many calls the next one makes that is as vain, though there is something that a trim would find. */
static size_t calls_of_another(void)
{
  size_t before = kernel.seen[MADVISE] + kernel.seen[BRK];
  char *used = os_malloc(100000);
  touch(used, 100000);
  os_free(used);
  require(!os_malloc(9 * MB));
  return kernel.seen[MADVISE] + kernel.seen[BRK] - before;
}

/* It is not tried again and again, until as much as is asked for was freed. */
static void a_trim_in_vain_is_not_repeated(void)
{
  static char *mapped[20];
  size_t calls = 0;
  for (size_t i = 0; i < COUNT(mapped); i++) touch(mapped[i] = os_malloc(400 * KB), 400 * KB);
  trim_in_vain();
  for (int i = 0; i < 100; i++) calls += calls_of_another();
  require(calls < 20);
  kernel.most = 0;
  require(os_malloc(9 * MB));
}

/* What another thread frees while all is given up counts: the next request tries again. */
static bool has_freed_all;

static void *frees_all_blocks(void *unused)
{
  for (size_t i = 0; i < COUNT(blocks); i++) os_free(blocks[i]);
  return unused;
}

static void another_frees_all_blocks(enum kind kind)
{
  if (kind != MADVISE || kernel.most == 0 || has_freed_all) return;
  has_freed_all = true;
  run_thread(frees_all_blocks, NULL);
}

static void what_is_freed_during_a_trim_in_vain_counts(void)
{
  fill_with_blocks(20000);
  kernel.visit = another_frees_all_blocks;
  trim_in_vain();
  require(has_freed_all && calls_of_another() > 0);
}

/* It is tried again, too, when the clock went back, by more than any pause lasts. */
static void a_clock_that_goes_back_ends_the_pause(void)
{
  kernel.ahead_s = 3600;
  trim_in_vain();
  calls_of_another(); /* which grows the heap */
  kernel.ahead_s = 0;
  require(calls_of_another() > 0);
}

static size_t given_back_for(size_t bytes)
{
  size_t before = kernel.discarded;
  require(os_malloc(bytes));
  return kernel.discarded - before;
}

/* A page each. */
static void make_holes(size_t first)
{
  require((first + 99 * 8) * lives() < COUNT(small));
  for (size_t i = 0; i < 100; i++) os_free(small[(first + i * 8) * lives()]);
}

/* Near the soft limit a look at the whole heap that brought little is not repeated soon, whatever mappings come and go meanwhile, but where much more is held. */
static void a_look_in_vain_near_the_soft_limit_is_not_repeated(void)
{
  static char *mapped[20];
  kernel.stopped = true;
  a_heap_with_holes();
  for (size_t i = 0; i < COUNT(mapped); i++) touch(mapped[i] = os_malloc(MB), MB);
  sys_limits.soft = kernel.mapped + COUNT(small) * 208;
  size_t share = sys_limits.soft / 64, first = given_back_for(2 * MB);
  require(first > share && given_back_for(2 * MB) < share); /* that was in vain */
  make_holes(0);
  for (size_t i = 0; i < COUNT(mapped) / 2; i++) {
    os_free(mapped[i]);
    require(given_back_for(MB + MB / 4) == 0);
  }
  require(os_malloc(sys_limits.soft / 6));
  size_t second = given_back_for(2 * MB);
  make_holes(4);
  kernel.ahead_s += 60;
  size_t third = given_back_for(2 * MB);
  say("# %zu, %zu, %zu KB given back\n", first / KB, second / KB, third / KB);
  require(second > 200 * KB && third > 200 * KB && os_check());
}

static void a_mapping_comes_and_goes(void)
{
  os_free(os_malloc(3 * MB));
  require(os_malloc(200 * KB));
}

/* Near the soft limit, grown by less than a 64th since, a kept mapping that serves again and again stays. */
static void a_mapping_that_is_wanted_again_near_the_soft_limit_stays(void)
{
  enum { STEP = MB };
  for (size_t i = 0; i < 64; i++) require(os_malloc(STEP));
  sys_limits.soft = 64 * STEP;
  require(os_malloc(2 * STEP) && os_malloc(STEP / 4 * 3));
  os_free(os_malloc(STEP / 2));
  size_t before = kernel.seen[MUNMAP] + kernel.seen[MMAP];
  for (int i = 0; i < 20; i++) os_free(os_malloc(STEP / 2));
  require(kernel.seen[MUNMAP] + kernel.seen[MMAP] - before <= 2);
}

/* What is kept of mappings, over and over again, is no reason never to look at the rest. */
static void mappings_that_come_and_go_near_the_soft_limit_prevent_no_look(void)
{
  kernel.stopped = true;
  for (size_t i = 0; i < 40; i++) require(os_malloc(MB));
  a_heap_with_holes();
  sys_limits.soft = kernel.mapped + COUNT(small) * 208;
  require(given_back_for(2 * MB) > MB && given_back_for(2 * MB) < MB);
  a_mapping_comes_and_goes();
  make_holes(0);
  kernel.ahead_s += 60;
  size_t before = kernel.discarded;
  for (size_t i = 0; i < 20; i++) a_mapping_comes_and_goes();
  require(kernel.discarded - before > 200 * KB && os_check());
}

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST(a_free_gives_back_a_portion),
      TEST(what_is_locked_goes_for_a_trim_only),
      TEST(blocks_freed_in_order_go_back),
      TEST(blocks_freed_in_reverse_go_back),
      TEST(a_kept_buffer_goes_when_blocks_are_freed),
      TEST(a_kept_buffer_goes_when_objects_are_freed),
      TEST(frees_look_at_the_clock_now_and_then),
      TEST(a_handler_leaves_it_to_others),
      TEST(who_wants_a_heap_settled_is_not_kept_for_ever),
      TEST(what_bursts_left_goes_when_blocks_are_freed),
      TEST(what_bursts_left_goes_when_objects_are_freed),
      TEST(what_bursts_left_goes_when_an_object_comes_and_goes),
      TEST(what_bursts_left_goes_after_a_burst_of_objects),
      TEST(who_frees_all_the_time_is_left_alone),
      TEST(an_object_that_comes_and_goes_alone_reads_no_clock),
      TEST(what_an_ended_thread_left_goes_when_another_frees),
      TEST(what_others_freed_of_the_dead_goes),
      TEST(what_others_freed_of_sleepers_goes),
      TEST(what_others_freed_of_sleepers_in_any_order_goes),
      TEST(what_others_freed_of_the_caller_goes),
      TEST(pages_of_slabs_that_nobody_takes_from_go),
      TEST(slabs_of_many_objects_give_back_few_at_a_time),
      TEST(a_slab_that_serves_again_is_whole),
      TEST(pages_that_come_free_bit_by_bit_go),
      TEST(a_wrapped_call_that_frees_begins_no_other_round),
      TEST(what_a_fork_shares_is_not_swept),
      TEST(slabs_that_are_locked_are_not_swept),
      TEST(who_only_frees_has_no_slabs_to_look_at),
      TEST(an_empty_slab_that_cannot_go_keeps_no_trim),
      TEST(who_has_no_more_of_them_is_left_alone),
      TEST(pages_of_slabs_in_use_stay),
      TEST(in_a_tick_one_thread_gives_for_all),
      TEST(short_runs_go_where_the_budget_is_hardly_used),
      TEST(short_runs_that_are_wanted_again_stay_for_a_while),
      TEST(long_runs_do_not_wait_for_short_ones),
      TEST(what_bursts_want_again_stays),
      TEST(what_was_put_off_goes_back_in_portions),
      TEST(a_malloc_gives_back_a_portion_of_what_sleepers_had),
      TEST(a_malloc_gives_back_a_portion_of_what_the_dead_had),
      TEST(a_malloc_gives_back_a_portion_where_all_have_arenas),
      TEST(a_trim_lets_others_in),
      TEST(who_finds_its_heap_taken_takes_from_another),
      TEST(where_no_more_is_to_be_had_all_heaps_are_asked),
      TEST(a_malloc_brings_in_a_portion),
      TEST(a_purge_is_interrupted_at_every_call),
      TEST(what_goes_is_not_claimed),
      TEST(a_malloc_that_cannot_succeed_trims_nothing),
      TEST(a_trim_in_vain_is_not_repeated),
      TEST(what_is_freed_during_a_trim_in_vain_counts),
      TEST(a_look_in_vain_near_the_soft_limit_is_not_repeated),
      TEST(a_mapping_that_is_wanted_again_near_the_soft_limit_stays),
      TEST(mappings_that_come_and_go_near_the_soft_limit_prevent_no_look),
      TEST(a_clock_that_goes_back_ends_the_pause),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
