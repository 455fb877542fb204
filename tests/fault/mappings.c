/* SPDX-License-Identifier: MIT */
/* Mappings that the kernel takes back late, in a kernel of the test's own: nothing is forgotten meanwhile, and nobody waits for it. */
#include "kernel.h"

#include <semaphore.h>

#include "osmem.h"

enum { GB = 1024 * MB };

static void refuse_for_good(unsigned kinds)
{
  kernel.refuse = kinds;
  kernel.from = 1;
  kernel.to = SIZE_MAX;
}

static struct os_stats now(void)
{
  struct os_stats stats;
  os_get_stats(&stats, sizeof stats);
  return stats;
}

/* ---- nothing is forgotten ---- */

enum { PLACES = 300, STEPS = 6000, LIVE_MAX = PLACES * 640 * KB, RECORDS_MAX = 256 * KB };

static char *blocks[PLACES];

static void churn_mappings(void)
{
  uint32_t dice = 3;
  for (int step = 0; step < STEPS; step++) {
    size_t place = next_random(&dice) % PLACES, bytes = 128 * KB + next_random(&dice) % (512 * KB);
    char *p = blocks[place];
    require(!p || holds(p, 100, place));
    if (step % 3) {
      os_free(p);
      p = os_malloc(bytes);
    } else {
      p = os_realloc(p, bytes);
    }
    require(p);
    fill(p, 100, place);
    blocks[place] = p;
    if (step % 500 == 0) require(os_check());
  }
}

/* More spare mappings than are kept otherwise, and none of them goes: they serve again, and when the kernel relents all go. */
static void takes_nothing_back(unsigned kinds)
{
  refuse_for_good(kinds);
  churn_mappings();
  size_t most = kernel.mapped, known = now().mapped_bytes + now().cached_bytes;
  say("# %zu MB mapped, %zu MB of it live, %zu calls refused\n", most / MB, now().mapped_bytes / MB, kernel.refused);
  require(kernel.refused > 100 && most >= known && most < known + RECORDS_MAX);
  require(most < 2 * (size_t)LIVE_MAX);
  kernel.refuse = 0;
  for (size_t i = 0; i < PLACES; i++) os_free(blocks[i]);
  os_trim(0);
  require(now().large_live_count == 0 && now().cached_bytes == 0 && kernel.mapped < RECORDS_MAX && os_check());
}

static void munmap_is_refused_for_a_while(void) { takes_nothing_back(1 << MUNMAP); }
/* So it is where memory is locked. */
static void pages_stay_for_a_while(void) { takes_nothing_back(1 << MUNMAP | 1 << MADVISE); }

/* Without a call of trim: what is freed later brings the kernel what it refused before. */
static void what_was_refused_is_offered_again(void)
{
  enum { EACH = 150000, LATER = 400 };
  refuse_for_good(1 << MUNMAP);
  for (size_t i = 0; i < PLACES; i++) require((blocks[i] = os_malloc(EACH)));
  for (size_t i = 0; i < PLACES; i += 2) os_free(blocks[i]);
  require(now().cached_bytes >= PLACES / 2 * EACH);
  kernel.refuse = 0;
  for (size_t i = 0; i < LATER; i++, kernel.ahead_s++) os_free(os_aligned_alloc(1 * MB, 4 * MB));
  require(now().cached_bytes < PLACES / 8 * EACH && os_check());
}

/* Whether a size can be had at all is asked by mapping a page, which stays for now: it is kept like a spare. */
static void what_was_only_asked_for_is_kept(void)
{
  size_t before = kernel.mapped;
  refuse_for_good(1 << MUNMAP);
  for (int i = 0; i < 10; i++) require(!os_malloc((size_t)1 << 46));
  require(kernel.refused > 0 && kernel.mapped > before && now().cached_bytes > 0 && now().cached_bytes <= kernel.mapped - before);
  kernel.refuse = 0;
  os_trim(0);
  require(now().cached_bytes == 0 && kernel.mapped <= before + RECORDS_MAX && os_check());
}

/* And not again at once: what is tried takes room from under other threads' mmap. (The clock is asked: so some are tried.) */
static void what_was_refused_just_now_is_not_tried(void)
{
  enum { REQUESTS = 1000, EACH_ASKS = 2 };
  kernel.most = (size_t)GB;
  size_t before = kernel.seen[MMAP];
  for (int i = 0; i < REQUESTS; i++) require(!os_malloc(2 * (size_t)GB));
  say("# %zu calls of mmap\n", kernel.seen[MMAP] - before);
  require(kernel.seen[MMAP] - before < REQUESTS * EACH_ASKS + REQUESTS / 2);
}

/* ---- copied, where mremap is refused, as it is where the kernel has two areas ---- */

enum { HERE_AND_THERE = 8 };

static size_t place_in(size_t bytes, size_t i)
{
  return bytes / HERE_AND_THERE * i + 100;
}

static char *hardly_used(size_t bytes)
{
  char *p = os_malloc(bytes);
  require(p);
  for (size_t i = 0; i < HERE_AND_THERE; i++) fill(p + place_in(bytes, i), 100, i);
  return p;
}

static bool is_as_it_was(const char *p, size_t bytes)
{
  for (size_t i = 0; i < HERE_AND_THERE; i++)
    if (!holds(p + place_in(bytes, i), 100, i) || !all_zero(p + place_in(bytes, i) + 100, bytes / HERE_AND_THERE - 200)) return false;
  return true;
}

static void a_copy_does_not_touch_what_was_not_touched(void)
{
  refuse_for_good(1 << MREMAP);
  char *p = hardly_used(GB / 2);
  p = os_realloc(p, (size_t)GB);
  require(p && kernel.refused > 0 && resident_bytes() < 32 * MB && is_as_it_was(p, GB / 2));
}

/* A spare that others wrote to has zeros, too, where they belong. */
static void a_copy_is_whole_where_others_wrote(void)
{
  enum { BYTES = 20 * MB };
  refuse_for_good(1 << MREMAP | 1 << MUNMAP | 1 << MADVISE);
  char *spare = os_malloc(3 * (size_t)BYTES), *between = os_malloc(BYTES), *p = hardly_used(BYTES);
  require(spare && between);
  memset(spare, 0xA5, 3 * (size_t)BYTES);
  os_free(spare);
  p = os_realloc(p, 2 * (size_t)BYTES);
  require(p == spare && is_as_it_was(p, BYTES));
}

/* Spares were kept that are too many; calls later take portions of them along, a free one for itself and one that is due. */
enum { PORTION_MAX = 9 * MB };

static size_t unmapped_since(size_t *before)
{
  size_t gone = kernel.mapped < *before ? *before - kernel.mapped : 0;
  *before = kernel.mapped;
  return gone;
}

static void a_small_free_gives_back_a_portion(void)
{
  enum { LARGE = 40, EACH = 16 * MB, SMALL = 200000 };
  refuse_for_good(1 << MUNMAP | 1 << MADVISE);
  for (size_t i = 0; i < LARGE; i++) require((blocks[i] = os_malloc(EACH)));
  for (size_t i = 0; i < LARGE; i++) os_free(blocks[i]);
  kernel.refuse = 0;
  require(now().cached_bytes >= LARGE * (size_t)EACH);
  size_t before = kernel.mapped, frees = 0;
  for (int i = 0; i < 200; i++) {
    kernel.ahead_s = i / 10; /* who has worked for nothing may spend nothing */
    char *small = os_malloc(SMALL);
    require(small && unmapped_since(&before) <= PORTION_MAX);
    os_free(small);
    size_t gone = unmapped_since(&before);
    require(gone <= 2 * PORTION_MAX && os_check());
    frees += gone > 0;
  }
  say("# %zu frees gave back, %zu MB are left\n", frees, before / MB);
  os_trim(0);
  require(frees > 10 && now().cached_bytes == 0 && os_check());
}

/* Two uses of a large buffer that is kept after the second: there is no budget to let go of it. */
enum { KEPT = 400 * MB };

static void a_buffer_is_kept(void)
{
  kernel.stopped = true;
  for (int i = 0; i < 2; i++) {
    char *buffer = os_malloc(KEPT);
    touch(buffer, KEPT);
    os_free(buffer);
  }
  require(now().cached_bytes >= KEPT);
}

/* What was wanted within the last age stays, however much is freed meanwhile; then it goes. */
enum { YOUNG = 30, YOUNG_BYTES = 1 * MB };

static void spares_grow_old(void)
{
  kernel.stopped = true;
  for (int round = 0; round < 10; round++) {
    for (size_t i = 0; i < YOUNG; i++) touch(blocks[i] = os_malloc(YOUNG_BYTES), YOUNG_BYTES);
    for (size_t i = 0; i < YOUNG; i++) os_free(blocks[i]);
    require(now().cached_bytes >= YOUNG * YOUNG_BYTES && kernel.seen[MUNMAP] == 0);
  }
  kernel.ahead_s = 10;
  for (int i = 0; i < 100; i++, kernel.ahead_s++) os_free(os_malloc(20000));
  require(now().cached_bytes <= 1 * MB && os_check());
}

/* Of what is kept a little is wanted again and again: the rest grows old all the same. */
static void the_rest_of_a_spare_grows_old(void)
{
  enum { LITTLE = 200 * KB, LARGE = 30 * MB };
  kernel.stopped = true;
  char *large = os_malloc(LARGE);
  touch(large, LARGE);
  os_free(large);
  require(now().cached_bytes >= LARGE);
  for (int i = 0; i < 100; i++) {
    kernel.ahead_s++;
    char *little = os_malloc(LITTLE);
    touch(little, LITTLE);
    os_free(little);
  }
  say("# %zu KB are kept\n", now().cached_bytes / KB);
  require(now().cached_bytes <= 1 * MB && os_check());
}

/* The kernel refuses to fork a process that has as much in one piece as there is memory, touched or not. */
static void buffers_of_any_size_are_not_kept(void)
{
  enum { EACH = 700 * MB };
  a_buffer_is_kept();
  for (int i = 0; i < 4; i++) {
    char *one = os_malloc(EACH), *other = os_malloc(EACH);
    require(one && other);
    os_free(one);
    os_free(other);
    require(now().cached_bytes <= 1024 * (size_t)MB && os_check());
  }
}

static void what_can_never_be_had_costs_no_spare(void)
{
  a_buffer_is_kept();
  size_t before = kernel.mapped;
  char *some = os_malloc(200 * KB);
  require(!os_malloc((size_t)1 << 46) && !os_realloc(some, (size_t)1 << 46));
  require(kernel.mapped == before && os_check());
}

/* And what can be had without the spares has them go. Under a limit of the kernel's on address space, a growth of many times what is kept. */
static void a_growth_near_a_limit_has_spares_go(void)
{
  enum { LIVE = 300 * MB, SPARE = 30 * MB, MORE = 250 * MB };
  char *buffer = os_malloc(LIVE);
  os_free(os_malloc(SPARE));
  require(now().cached_bytes >= SPARE);
  size_t pages;
  FILE *statm = fopen("/proc/self/statm", "r");
  require(statm && fscanf(statm, "%zu", &pages) == 1);
  fclose(statm);
  rlim_t limit = pages * page_size() + MORE - 10 * MB;
  require(setrlimit(RLIMIT_AS, &(struct rlimit){limit, limit}) == 0);
  require((buffer = os_realloc(buffer, LIVE + MORE)));
  require(now().cached_bytes < SPARE && os_check());
}

/* ---- nobody waits ---- */

/* While the pages of a spare are dropped without the lock its neighbour becomes free. Nothing is unmapped under the lock that has many pages. */
static char *neighbour;
static size_t most_pages;

static void frees_the_neighbour(enum kind kind)
{
  static unsigned char pages[KEPT / 4096];
  if (kind == MADVISE && neighbour) {
    char *freed = neighbour;
    neighbour = NULL;
    os_free(freed);
  }
  if (kind != MUNMAP || unmap_asked.bytes > KEPT || mincore((void *)unmap_asked.base, unmap_asked.bytes, pages) != 0) return;
  size_t there = 0;
  for (size_t i = 0; i < unmap_asked.bytes / page_size(); i++) there += pages[i] & 1;
  if (there > most_pages) most_pages = there;
}

static void *does_nothing(void *unused) { return unused; }

static void what_comes_free_beside_what_is_emptied_is_emptied_first(void)
{
  run_thread(does_nothing, NULL);
  a_buffer_is_kept();
  char *low = os_malloc(KEPT / 2);
  neighbour = os_malloc(KEPT / 2);
  require((uintptr_t)neighbour == (uintptr_t)low + KEPT / 2); /* as pointers two blocks never compare equal to gcc 16 */
  touch(low, KEPT / 2);
  touch(neighbour, KEPT / 2);
  os_free(low);
  kernel.visit = frees_the_neighbour;
  os_trim(0);
  os_trim(0);
  kernel.visit = NULL;
  say("# %zu MB of pages in an munmap at most\n", most_pages * page_size() / MB);
  require(!neighbour && most_pages * page_size() <= 32 * MB && now().cached_bytes == 0 && kernel.mapped < 2 * MB && os_check());
}

static pthread_t main_thread;
static sem_t go, done;
static size_t met;

static void *maps_and_frees(void *unused)
{
  for (;;) {
    sem_wait(&go);
    char *p = os_malloc(200000);
    require(p);
    os_free(p);
    sem_post(&done);
  }
  return unused;
}

/* While the main thread drops pages another one is served, or both wait for ever. */
static void meets_the_other(enum kind kind)
{
  if (kind != MADVISE || !pthread_equal(pthread_self(), main_thread)) return;
  met++;
  sem_post(&go);
  sem_wait(&done);
}

static void with_another_thread(void)
{
  main_thread = pthread_self();
  require(sem_init(&go, 0, 0) == 0 && sem_init(&done, 0, 0) == 0);
  spawn(maps_and_frees, NULL);
}

static void a_large_free_does_not_hold_the_lock(void)
{
  with_another_thread();
  char *p = os_malloc((size_t)GB);
  require(p);
  kernel.visit = meets_the_other;
  os_free(p);
  kernel.visit = NULL;
  say("# another thread came by %zu times\n", met);
  require(met >= 8 && now().cached_bytes <= 1 * MB && os_check());
}

/* Locked pages, too. */
static void a_large_free_of_locked_memory_does_not_hold_the_lock(void)
{
  kernel.locked = true;
  a_large_free_does_not_hold_the_lock();
}

/* Where pages stay until they are unmapped, no more of them at a time than nobody would notice. */
static size_t most_unmapped;

static void meets_the_other_and_measures(enum kind kind)
{
  if (kind == MUNMAP && unmap_asked.bytes > most_unmapped) most_unmapped = unmap_asked.bytes;
  meets_the_other(kind);
}

static void unmaps_in_pieces(void)
{
  with_another_thread();
  char *p = os_malloc((size_t)GB);
  require(p);
  kernel.visit = meets_the_other_and_measures;
  os_free(p);
  os_trim(0);
  kernel.visit = NULL;
  os_trim(0); /* what the other had when it came by in that one */
  say("# another thread came by %zu times, %zu MB at a time\n", met, most_unmapped / MB);
  require(met >= 8 && most_unmapped <= 32 * MB && now().cached_bytes == 0 && kernel.mapped < 2 * MB && os_check());
}

static void a_filter_refuses_madvise(void)
{
  refuse_for_good(1 << MADVISE);
  unmaps_in_pieces();
}

static void memory_is_locked_before_5_18(void)
{
  kernel.locked = kernel.before_5_18 = true;
  unmaps_in_pieces();
}

/* What the kernel refused is dropped later, in a call of trim. */
static void a_large_trim_does_not_hold_the_lock(void)
{
  with_another_thread();
  char *p = os_malloc((size_t)GB);
  require(p);
  refuse_for_good(1 << MUNMAP | 1 << MADVISE);
  os_free(p);
  require(now().cached_bytes >= (size_t)GB);
  kernel.refuse = 0;
  kernel.visit = meets_the_other;
  os_trim(0);
  kernel.visit = NULL;
  require(met >= 8 && now().cached_bytes <= 1 * MB && os_check());
}

/* Each that is in the kernel for a mapping has claimed a place in our records: there are places for all, and none asks twice. */
enum { AT_ONCE = 100, TOGETHER = 10 * MB, SEGMENTS = 16 };

static size_t in_kernel;
static sem_t all_in;

static void waits_for_all(enum kind kind)
{
  if (kind != MMAP || map_asked != TOGETHER) return;
  if (__atomic_add_fetch(&in_kernel, 1, __ATOMIC_RELAXED) == AT_ONCE) sem_post(&all_in);
  sem_wait(&all_in);
  sem_post(&all_in);
}

static void *maps_together(void *unused)
{
  void *p = os_malloc(TOGETHER);
  require(p);
  os_free(p);
  return unused;
}

static void many_threads_map_at_once(void)
{
  pthread_t threads[AT_ONCE];
  require(sem_init(&all_in, 0, 0) == 0);
  size_t before = kernel.seen[MMAP];
  kernel.visit = waits_for_all;
  for (size_t i = 0; i < AT_ONCE; i++) threads[i] = spawn(maps_together, NULL);
  for (size_t i = 0; i < AT_ONCE; i++) join(threads[i]);
  kernel.visit = NULL;
  say("# %zu calls of mmap\n", kernel.seen[MMAP] - before);
  require(in_kernel == AT_ONCE && kernel.seen[MMAP] - before <= AT_ONCE + SEGMENTS && os_check());
}

/* The child of a fork has what another thread was about to give back, and gives it back itself. */
static size_t mapped_before;

static void the_child_gives_it_back(void)
{
  os_trim(0);
  require(now().cached_bytes == 0 && kernel.mapped <= mapped_before && os_check());
}

static void forks_meanwhile(enum kind kind)
{
  if (kind != MADVISE || pthread_equal(pthread_self(), main_thread) || met++ > 0) return;
  sem_post(&go);
  sem_wait(&done);
}

static void *frees(void *block)
{
  os_free(block);
  return NULL;
}

static void a_child_gives_back_what_was_being_emptied(void)
{
  main_thread = pthread_self();
  mapped_before = kernel.mapped;
  require(sem_init(&go, 0, 0) == 0 && sem_init(&done, 0, 0) == 0);
  char *p = os_malloc((size_t)GB);
  require(p);
  kernel.visit = forks_meanwhile;
  pthread_t thread = spawn(frees, p);
  sem_wait(&go);
  require(now().cached_bytes >= (size_t)GB && os_check());
  require(fate_of(the_child_gives_it_back) == 0);
  sem_post(&done);
  join(thread);
  kernel.visit = NULL;
  require(now().cached_bytes <= 1 * MB && os_check());
}

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST(munmap_is_refused_for_a_while),
      TEST(pages_stay_for_a_while),
      TEST(what_was_refused_is_offered_again),
      TEST(what_was_only_asked_for_is_kept),
      TEST(what_was_refused_just_now_is_not_tried),
      TEST(a_copy_does_not_touch_what_was_not_touched),
      TEST(a_copy_is_whole_where_others_wrote),
      TEST(a_small_free_gives_back_a_portion),
      TEST(spares_grow_old),
      TEST(the_rest_of_a_spare_grows_old),
      TEST(buffers_of_any_size_are_not_kept),
      TEST(what_can_never_be_had_costs_no_spare),
      TEST(a_growth_near_a_limit_has_spares_go),
      TEST(what_comes_free_beside_what_is_emptied_is_emptied_first),
      TEST(a_large_free_does_not_hold_the_lock),
      TEST(a_large_free_of_locked_memory_does_not_hold_the_lock),
      TEST(a_filter_refuses_madvise),
      TEST(memory_is_locked_before_5_18),
      TEST(a_large_trim_does_not_hold_the_lock),
      TEST(many_threads_map_at_once),
      TEST(a_child_gives_back_what_was_being_emptied),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
