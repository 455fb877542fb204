/* SPDX-License-Identifier: MIT */
/* The k-th system call of a kind fails: once, three times running, or from then on. For every k that a workload over all tiers
 * reaches, each in a child of its own. What must hold then:
 *
 *   - nobody crashes; the heap passes os_check() and every live block has its contents;
 *   - a single refusal never reaches the caller: another tier, or a second try, serves. Of more, NULL with ENOMEM is the
 *     answer, and realloc leaves the old block; errno is untouched by what succeeds and by what frees;
 *   - with the faults gone every tier serves again, all can be freed, the live counts go back to zero;
 *   - no memory is lost: what is mapped is what the library knows of.
 *
 * The same for a signal handler that allocates and frees in the middle of the k-th call, whatever locks are held there; and while samples are taken,
 * whose tables are memory, too. */
#include "kernel.h"

#include "../../src/samples.h"

#include <semaphore.h>

#include "osmem.h"

enum { PLACES = 4000, UNTOUCHED = EXDEV, FOREVER = INT_MAX, SAMPLES_RATE = 2000, SAMPLES_TABLES = 4 * MB };

/* The blocks that are alive; marked at both ends, since most of their pages shall never be touched. */
static struct live {
  char *at;
  size_t bytes;
} live[PLACES];
static size_t places; /* used so far; those of freed blocks are NULL */

static size_t mappings_lost; /* at most: blocks that a handler freed inside the library */
static size_t samples_lost;  /* the same: still on record */
static size_t nulls;         /* how often the answer was NULL */
static bool must_serve;      /* it must not be */
static size_t seen_faults;   /* refusals at the last look */
static bool accompanied;     /* another thread may be inside the library */
static bool sampled;         /* samples are taken */

/* ---- blocks ---- */

enum { MARK = 48 };

static size_t mark_of(size_t bytes)
{
  return bytes < MARK ? bytes : MARK;
}

static void mark(size_t place)
{
  struct live *block = &live[place];
  size_t length = mark_of(block->bytes);
  fill(block->at + block->bytes - length, length, place + 1);
  fill(block->at, length, place);
}

/* Are the first `bytes` of what block `place` was there, its end included? */
static bool is_marked(size_t place, const char *at, size_t bytes)
{
  size_t length = mark_of(bytes);
  bool begins = holds(at, length, place);
  if (bytes < live[place].bytes || bytes < 2 * MARK) return begins;
  return begins && holds(at + bytes - length, length, place + 1);
}

static void look_at_all(void)
{
  for (size_t i = 0; i < places; i++) require(!live[i].at || is_marked(i, live[i].at, live[i].bytes));
  require(os_check());
  seen_faults = kernel.refused;
}

/* After every step: all is looked at whenever something was refused since the last time, and now and then. */
static void step_is_done(void)
{
  static size_t steps;
  if (accompanied) return; /* os_check() wants quiet: a slab whose pages the other gives back is in no list meanwhile */
  if (kernel.refused != seen_faults || ++steps % 512 == 0) look_at_all();
}

static void *answered(void *block)
{
  if (block) {
    require(errno == UNTOUCHED);
  } else {
    require(errno == ENOMEM);
    require(!must_serve && kernel.refused > 0);
    nulls++;
  }
  return block;
}

/* The end of a block of other pages is looked at too: they may never have been written. */
static bool is_zero(const char *at, size_t bytes)
{
  size_t looked = bytes < 64 * KB ? bytes : 64 * KB;
  return all_zero(at, looked) && all_zero(at + bytes - looked, looked);
}

enum way { PLAIN, ZEROED, ALIGNED, POSIX, WAYS };

/* What is a block or a mapping in the normal geometry is one in the tiny one, too. */
static size_t scaled(size_t bytes)
{
  return bytes < 8000 ? bytes : bytes / SIZED(1, 8);
}

static char *ask(enum way way, size_t alignment, size_t bytes)
{
  void *p = NULL;
  if (way == PLAIN) return os_malloc(bytes);
  if (way == ZEROED) return os_calloc(1, bytes);
  if (way == ALIGNED) return os_aligned_alloc(alignment, bytes);
  int error = posix_memalign(&p, alignment, bytes);
  require(error == (p ? 0 : ENOMEM));
  return p;
}

/* A new block; its place, or PLACES. */
static size_t obtain(enum way way, size_t bytes)
{
  bytes = scaled(bytes);
  size_t alignment = way >= ALIGNED ? bytes >= scaled(100000) ? 1 * MB : 256 : 16;
  require(places < PLACES);
  errno = UNTOUCHED;
  char *p = answered(ask(way, alignment, bytes));
  require(is_aligned(p, alignment) && (!p || os_usable_size(p) >= bytes));
  require(way != ZEROED || !p || is_zero(p, bytes));
  size_t place = p ? places++ : PLACES;
  if (p) {
    live[place] = (struct live){p, bytes};
    mark(place);
  }
  step_is_done();
  return place;
}

static void resize(size_t place, size_t bytes)
{
  bytes = scaled(bytes);
  if (place == PLACES || !live[place].at) return;
  struct live *block = &live[place];
  errno = UNTOUCHED;
  char *p = answered(os_realloc(block->at, bytes));
  if (p) {
    require(is_marked(place, p, bytes < block->bytes ? bytes : block->bytes));
    *block = (struct live){p, bytes};
    mark(place);
  } else {
    require(is_marked(place, block->at, block->bytes));
  }
  step_is_done();
}

static void drop(size_t place)
{
  if (place == PLACES || !live[place].at) return;
  require(is_marked(place, live[place].at, live[place].bytes));
  memset(live[place].at, 0xEE, mark_of(live[place].bytes));
  errno = UNTOUCHED;
  os_free(live[place].at);
  require(errno == UNTOUCHED);
  live[place].at = NULL;
  step_is_done();
}

static void trim(size_t pad)
{
  errno = UNTOUCHED;
  os_trim(pad);
  require(errno == UNTOUCHED);
  step_is_done();
}

/* ---- interruptions ---- */

static size_t calls_made, interrupt_at; /* counted from 1; 0: never */
static bool interrupted;
static void *for_the_handler;

/* Whatever was interrupted: served or refused, and the heap is whole. */
static void allocates_and_frees(int signal_number)
{
  static const size_t EACH[] = {40, 700, 5000, 60000, 300000};
  (void)signal_number;
  int saved = errno;
  for (size_t i = 0; i < COUNT(EACH); i++) {
    char *p = os_malloc(EACH[i]);
    if (!p) continue;
    fill(p, 40, i);
    char *moved = os_realloc(p, EACH[i] * 2);
    require(holds(moved ? moved : p, 40, i));
    os_free(moved ? moved : p);
  }
  os_free(for_the_handler);
  mappings_lost = 2;
  samples_lost = COUNT(EACH) + 1;
  interrupted = true;
  errno = saved;
}

static void interrupt(void)
{
  if (__atomic_add_fetch(&calls_made, 1, __ATOMIC_RELAXED) == interrupt_at) require(raise(SIGUSR1) == 0);
}

static void await_the_handler(void)
{
  struct sigaction action = {.sa_handler = allocates_and_frees};
  require(sigaction(SIGUSR1, &action, NULL) == 0);
  for_the_handler = os_malloc(400000); /* not there yet, if this very call is interrupted */
}

/* ---- threads ---- */

static sem_t go, waits, done;

/* A thread on a stack of our own: libc keeps none, so nothing of it stays on the heap. False: libc got no memory for it. */
static bool start(pthread_t *thread, void *(*body)(void *))
{
  enum { STACK = 128 * KB };
  static char stack[STACK] __attribute__((aligned(4096)));
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  require(pthread_attr_setstack(&attributes, stack, STACK) == 0);
  int error = pthread_create(thread, &attributes, body, NULL);
  pthread_attr_destroy(&attributes);
  require(error == 0 || (error == EAGAIN && kernel.refused > 0 && !must_serve));
  return error == 0;
}

/* Allocates, leaves some of it behind, and frees what others have allocated. */
static void *a_life(void *unused)
{
  size_t first = places;
  for (size_t i = 0; i < 150; i++) obtain(PLAIN, 16 + i % 5 * 200);
  for (size_t i = 0; i < 4; i++) obtain(ZEROED, 3000 + i * 9000);
  obtain(PLAIN, 200000);
  for (size_t i = first; i < places; i += 2) drop(i);
  for (size_t i = 0; i < first; i += 7) drop(i);
  return unused;
}

static void threads_live_one_after_the_other(void)
{
  for (int i = 0; i < 3; i++) {
    pthread_t thread;
    if (start(&thread, a_life)) join(thread);
  }
}

/* Two threads meet at one lock, by appointment: the main thread is held inside a call about the break, which it makes with its
 * arena locked, until the other waits for that lock. After some rounds of this the other one makes an arena of its own. */
static pthread_t main_thread;
static bool appointed;

static void keep_the_appointment(enum kind kind)
{
  if (kind == WAIT && !pthread_equal(pthread_self(), main_thread)) sem_post(&waits);
  if (kind != BRK || !appointed || !pthread_equal(pthread_self(), main_thread)) return;
  appointed = false;
  accompanied = true;
  sem_post(&go);
  sem_wait(&waits);
}

static void at_a_call(enum kind kind)
{
  keep_the_appointment(kind);
  interrupt();
}

enum { ROUNDS = 12 };

static void *the_other(void *unused)
{
  for (int round = 0; round < ROUNDS; round++) {
    sem_wait(&go);
    os_free(os_malloc(scaled(40000)));
    sem_post(&waits); /* in case that it never had to wait */
    sem_post(&done);
  }
  sem_wait(&go); /* alone again */
  for (size_t i = 0; i < 20; i++) obtain(PLAIN, 2000 * i + 40);
  obtain(ZEROED, 100000);
  return unused;
}

static void an_arena_is_added(void)
{
  pthread_t thread;
  main_thread = pthread_self();
  require(sem_init(&go, 0, 0) == 0 && sem_init(&waits, 0, 0) == 0 && sem_init(&done, 0, 0) == 0);
  if (!start(&thread, the_other)) return;
  for (int round = 0; round < ROUNDS; round++) {
    appointed = true;
    for (int tries = 0; appointed && tries < 50; tries++) obtain(PLAIN, 100000); /* the heap grows, */
    bool kept = !appointed;
    appointed = false;
    if (!kept) sem_post(&go);
    sem_wait(&done);
    accompanied = false;
    while (sem_trywait(&waits) == 0) {
    }
    os_trim(0); /* and shrinks */
  }
  sem_post(&go);
  join(thread);
  look_at_all();
}

/* ---- the workload ---- */

static void small_objects(void)
{
  for (size_t bytes = 16; bytes <= 1024; bytes += bytes / 2)
    for (size_t i = 0; i < 12; i++) obtain(i % WAYS, bytes);
  size_t first = places;
  for (size_t i = 0; i < 100; i++) obtain(PLAIN, 700); /* three slabs */
  for (size_t i = first; i < places; i += 2) drop(i);
  for (size_t i = first; i < places; i += 3) resize(i, 900 - i % 2 * 800);
}

static void medium_blocks(void)
{
  size_t first = places;
  for (size_t i = 0; i < 30; i++) obtain(i % WAYS, 1100 + i * 3000);
  for (size_t i = first; i < first + 30; i += 2) drop(i);
  for (size_t i = first + 1; i < first + 30; i += 2) resize(i, 1500 + i % 10 * 12000);
  for (size_t i = 0; i < 10; i++) obtain(ZEROED, 1100 + i * 5000);
}

/* More mappings than the first table of them holds; spares that are split, grown, joined; resizing in place and by moving. */
static void large_blocks(void)
{
  size_t first = places;
  for (size_t i = 0; i < 110; i++) obtain(i % 8 ? PLAIN : ZEROED, 140000);
  for (size_t i = first; i < first + 110; i += 3) drop(i);
  size_t big = obtain(ZEROED, 10 * MB), growing = obtain(PLAIN, 131072);
  obtain(ALIGNED, 300000);
  for (size_t bytes = 200000; bytes < 6 * MB; bytes *= 2) resize(growing, bytes);
  resize(big, 5 * MB);
  resize(growing, 400000);
  obtain(ZEROED, 200000);
  resize(growing, 4000);
  drop(big);
  obtain(ALIGNED, 3 * MB);
  obtain(PLAIN, 7 * MB);
  obtain(ZEROED, 500000);
}

/* Beyond the first chunk, with small objects at the end of a heap that is large enough to be populated ahead. */
static void a_growing_heap(void)
{
  size_t first = places;
  for (size_t i = 0; i < 120; i++) obtain(PLAIN, 100000);
  for (size_t i = 0; i < 300; i++) obtain(PLAIN, 1000);
  trim(300000);
  for (size_t i = first; i < first + 120; i += 3) drop(i);
  for (size_t i = first + 60; i < places; i++) drop(i);
  trim(0);
  for (size_t i = 0; i < 20; i++) obtain(ZEROED, 30000);
}

static void workload(void)
{
  small_objects();
  medium_blocks();
  large_blocks();
  threads_live_one_after_the_other();
  a_growing_heap();
  an_arena_is_added();
  look_at_all();
}

/* ---- afterwards ---- */

/* The large ones last and in order: no more spares than the library has room for, if the kernel takes none back. */
static void free_everything(void)
{
  for (size_t i = 0; i < places; i += 2)
    if (live[i].bytes < 100000) drop(i);
  for (size_t i = 0; i < places; i++) drop(i);
  trim(0);
  look_at_all();
  places = 0;
}

/* Mapped and in no book: the table of mappings, if it has outgrown its first place, the tables of samples, and no more. */
static size_t unaccounted(const struct os_stats *stats)
{
  size_t known = stats->mapped_bytes + stats->cached_bytes + (stats->arenas - 1) * pages_up(sizeof(struct arena));
  for (size_t i = 1; i < REGIONS_MAX && regions[i].bytes; i++) known += pages_up(regions[i].bytes + GRANULE_BYTES);
  require(kernel.mapped >= known);
  return kernel.mapped - known;
}

#ifdef __GLIBC__
enum { HELD_BY_LIBC = 0 };
static const enum kind GROWTH = BRK;
#else
enum { HELD_BY_LIBC = 1 }; /* by musl's pthread_atfork() */
static const enum kind GROWTH = MMAP;
#endif

/* Nothing lives but the records of threads, and nothing is lost. */
static void all_is_given_back(void)
{
  struct os_stats stats;
  os_get_stats(&stats, sizeof stats);
  require(stats.small_live_count == 0 && stats.small_live_bytes == 0);
  require(stats.medium_live_count == stats.thread_heaps - 1 + HELD_BY_LIBC);
  require(stats.large_live_count <= mappings_lost);
  require(stats.cached_bytes == 0);
  require(unaccounted(&stats) <= SIZED(2, 8) * pages_up(4096) + (sampled ? SAMPLES_TABLES : 0));
  require(samples.count <= samples_lost);
}

static void recover(void)
{
  kernel.refuse = 0;
  interrupt_at = 0;
  must_serve = true;
  workload();
  free_everything();
  all_is_given_back();
}

/* ---- every k ---- */

/* What a child tells its parent. */
static struct report {
  size_t faults, nulls, seen[KINDS], arenas;
} *report;

static void workload_with_faults(void)
{
  kernel.visit = at_a_call;
  if (sampled) samples_start(SAMPLES_RATE);
  if (interrupt_at) await_the_handler();
  workload();
  report->faults = kernel.refused + interrupted;
  report->nulls = nulls;
  free_everything();
  recover();
  struct os_stats stats;
  os_get_stats(&stats, sizeof stats);
  report->arenas = stats.arenas;
  memcpy(report->seen, kernel.seen, sizeof kernel.seen);
}

static void share_the_report(void)
{
  report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  require(report != MAP_FAILED);
}

/* For each k: calls k to k + count - 1 of these kinds fail; of no kind: the k-th call is interrupted. The k that are reached. */
static size_t sweep(const char *what, unsigned kinds, size_t count, size_t *answers)
{
  must_serve = count == 1;
  for (size_t k = 1;; k++) {
    memset(report, 0, sizeof *report);
    kernel.refuse = kinds;
    kernel.from = k;
    kernel.to = k + count - 1;
    interrupt_at = kinds ? 0 : k;
    alarm(2 * PATIENCE_S); /* a child that hangs ends first, and is told of here */
    int status = fate_of(workload_with_faults);
    if (status != 0) say("# %s: %zu times from the %zu. call on: status %d\n", what, count, k, status);
    require(status == 0);
    if (report->faults == 0) return k - 1;
    *answers += report->nulls;
  }
}

/* How often the answer was NULL. */
static size_t fails(const char *what, unsigned kinds)
{
  size_t answers = 0;
  share_the_report();
  size_t once = sweep(what, kinds, 1, &answers), always = sweep(what, kinds, FOREVER, &answers);
  require(once > 0 && always > 0);
  say("# %s refused: once at %zu points, for good at %zu; %zu times NULL\n", what, once, always, answers);
  return answers;
}

static void a_handler_at_every_call(void)
{
  size_t answers = 0;
  share_the_report();
  size_t points = sweep("a handler", 0, 1, &answers);
  require(points > 0 && answers == 0);
  say("# a handler that allocates: at %zu points\n", points);
}

static void brk_fails(void) { fails("brk", 1 << BRK); }
static void brk_is_filtered(void) { fails("brk (by a filter)", 1 << BRK_FILTER); }
static void mmap_fails(void) { fails("mmap", 1 << MMAP); }
static void munmap_fails(void) { fails("munmap", 1 << MUNMAP); }
static void mremap_fails(void) { fails("mremap", 1 << MREMAP); }
static void madvise_fails(void) { fails("madvise", 1 << MADVISE); }

/* Three refusals in a row, too: one of each kind may be among them. */
static void every_call_fails(void)
{
  enum { EVERY = 1 << BRK | 1 << MMAP | 1 << MUNMAP | 1 << MREMAP | 1 << MADVISE };
  size_t answers = 0;
  require(fails("every call", EVERY) > 0);
  size_t thrice = sweep("every call", EVERY, 3, &answers);
  require(thrice > 0);
  say("# every call refused: three times running at %zu points; %zu times NULL\n", thrice, answers);
}

static void calls_fail_while_samples_are_taken(void)
{
  sampled = true;
  fails("mmap, with samples", 1 << MMAP);
  fails("mremap, with samples", 1 << MREMAP);
}

static void a_handler_while_samples_are_taken(void)
{
  sampled = true;
  a_handler_at_every_call();
}

/* ---- a race, by appointment ---- */

static enum { LATER, TO_GROW, TO_MAP, RUN } race; /* what comes next */

static void asks_for_a_mapping(int signal_number)
{
  (void)signal_number;
  require(obtain(PLAIN, 300000) < PLACES);
}

/* The main thread is interrupted while it holds the growth lock; its handler maps memory, and before that can be recorded the other
 * thread comes by and wants the lock of the records. */
static void race_for_the_records(enum kind kind)
{
  if (!pthread_equal(pthread_self(), main_thread)) {
    if (race == RUN && kind == WAIT) sem_post(&waits);
  } else if (race == TO_GROW && kind == GROWTH) {
    race = TO_MAP;
    require(raise(SIGUSR1) == 0);
  } else if (race == TO_MAP && kind == MMAP) {
    race = RUN;
    sem_post(&go);
    sem_wait(&waits);
  }
}

static void *wants_the_records(void *unused)
{
  void *big = os_malloc(4 * MB);
  sem_post(&waits);
  sem_wait(&go);
  os_free(big);
  return unused;
}

/* It may not wait, so it had better not leave the lock: what it mapped could be neither recorded nor, if the kernel refused, unmapped. */
static void a_handler_keeps_the_lock_while_it_maps(void)
{
  struct sigaction action = {.sa_handler = asks_for_a_mapping};
  pthread_t thread;
  main_thread = pthread_self();
  must_serve = true;
  require(sigaction(SIGUSR1, &action, NULL) == 0);
  require(sem_init(&go, 0, 0) == 0 && sem_init(&waits, 0, 0) == 0);
  require(start(&thread, wants_the_records));
  sem_wait(&waits);
  kernel.visit = race_for_the_records;
  race = TO_GROW;
  while (race == TO_GROW) obtain(PLAIN, 100000);
  require(race == RUN);
  join(thread);
  kernel.visit = NULL;
  free_everything();
  all_is_given_back();
}

/* The workload by itself reaches what it is meant to reach. */
static void the_workload_makes_every_kind_of_call(void)
{
  share_the_report();
  must_serve = true;
  require(fate_of(workload_with_faults) == 0);
  for (size_t kind = 0; kind < KINDS; kind++) require(report->seen[kind] > 0);
  require(report->arenas >= 2);
}

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST(the_workload_makes_every_kind_of_call),
      TEST(brk_fails),
      TEST(brk_is_filtered),
      TEST(mmap_fails),
      TEST(munmap_fails),
      TEST(mremap_fails),
      TEST(madvise_fails),
      TEST(every_call_fails),
      TEST(a_handler_at_every_call),
      TEST(calls_fail_while_samples_are_taken),
      TEST(a_handler_while_samples_are_taken),
      TEST(a_handler_keeps_the_lock_while_it_maps),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
