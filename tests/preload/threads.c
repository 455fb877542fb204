/* SPDX-License-Identifier: MIT */
/* Threads: born, dying, dead; first and last operations; blocks that change hands. "Memory stays bounded" is always
 * asserted beside a planted leak that the same measure has to see. */
#include "steps.h"
#include <linux/futex.h>
#include <semaphore.h>
#include <sys/mman.h>

#include "../../src/libc.h"

enum { BIRTHS = 10000, PLANTED = 1000 /* bytes a thread leaks on purpose */ };

static void *leak(size_t bytes)
{
  void *p = malloc(bytes);
  require(p);
  memset(p, 1, bytes);
  return NULL;
}

enum { HEAPS_OF_A_FEW = 6 }; /* of threads, the dead ones included: they are taken over */

/* ---- many threads ---- */

static void *tidy(void *unused)
{
  use_each_tier();
  return unused;
}

static void *untidy(void *unused)
{
  leak(PLANTED);
  return unused;
}

static void *(*body)(void *) = tidy;
static int births;

static void born_and_gone(void)
{
  for (int i = 0; i < births; i += 2) {
    pthread_t one = spawn(body, NULL), two = spawn(body, NULL);
    join(one);
    join(two);
  }
}

/* 10,000 threads of the tidy kind leave nothing, of the other kind what was planted. What any process with threads needs anyway,
 * and what two threads at once happen to hold, is some 500 KB. */
static void memory_stays_flat(void *(*tidy_body)(void *), void *(*untidy_body)(void *))
{
  enum { SUM = BIRTHS * PLANTED };
  body = tidy_body;
  births = BIRTHS / 10;
  born_and_gone();
  births = BIRTHS;
  require(growth_of(born_and_gone) < SUM / 4);
  require(thread_heaps() <= HEAPS_OF_A_FEW);
  body = untidy_body;
  require(growth_of(born_and_gone) > SUM / 2);
}

static void ten_thousand_threads_leave_memory_flat(void)
{
  memory_stays_flat(tidy, untidy);
}

/* ---- the first operation ---- */

static void *inherited; /* allocated by the main thread */

/* Every step of small sizes, so every class of them, and the sizes of the other tiers. */
enum { STEP = 16, STEPS = 1024 / STEP, EVERY_SIZE = STEPS + COUNT(SIZES) };

static size_t every_size(size_t i)
{
  return i < STEPS ? (i + 1) * STEP : SIZES[i - STEPS];
}

static void *first_free(void *size) { (void)size; return free(inherited), NULL; }
static void *first_free_of_nothing(void *size) { free(NULL); return first_free(size); }
static void *first_malloc(void *size) { return free(malloc((size_t)size)), NULL; }
static void *first_calloc(void *size)
{
  void *p = calloc(1, (size_t)size);
  require(p && all_zero(p, (size_t)size));
  return free(p), NULL;
}
static void *first_realloc(void *size)
{
  inherited = realloc(inherited, (size_t)size * 3);
  require(inherited && holds(inherited, (size_t)size, 5));
  return free(inherited), NULL;
}
static void *first_reallocarray(void *size)
{
  inherited = reallocarray(inherited, 2, (size_t)size);
  require(inherited && holds(inherited, (size_t)size, 5));
  return free(inherited), NULL;
}
static void *first_shrink(void *size)
{
  inherited = realloc(inherited, (size_t)size / 3 + 1);
  require(inherited && holds(inherited, (size_t)size / 3 + 1, 5));
  return free(inherited), NULL;
}
static void *first_realloc_of_nothing(void *size)
{
  void *p = realloc(NULL, (size_t)size);
  require(p);
  return free(p), NULL;
}
static void *first_realloc_to_nothing(void *size) { (void)size; require(is_left_of_nothing(realloc(inherited, 0))); return NULL; }
static void *first_memalign(void *size)
{
  void *p = memalign(4096, (size_t)size);
  require(p && is_aligned(p, 4096));
  return free(p), NULL;
}
static void *first_posix_memalign(void *size)
{
  void *p = NULL;
  require(posix_memalign(&p, 64, (size_t)size) == 0 && is_aligned(p, 64));
  return free(p), NULL;
}
static void *first_usable_size(void *size)
{
  require(malloc_usable_size(inherited) >= (size_t)size);
  return free(inherited), NULL;
}
static void *first_trim(void *size) { (void)size; return malloc_trim(0), free(inherited), NULL; }

/* The first few objects of a class are blocks, whose usable size is no multiple of 16. From now on they are slab objects. */
static void use_up_the_first_of_each_class(void)
{
  for (size_t i = 0; i < STEPS * 16; i++) require(malloc((i % STEPS + 1) * STEP));
  for (size_t i = 0; i < STEPS && runs_on_osmem(); i++) {
    void *p = malloc(every_size(i));
    require(malloc_usable_size(p) % STEP == 0);
    free(p);
  }
}

static void every_first_operation(void)
{
  static const struct {
    void *(*body)(void *);
    bool takes_inherited;
  } FIRST[] = {
      {first_free, true},         {first_free_of_nothing, true},     {first_malloc, false},
      {first_calloc, false},      {first_realloc, true},             {first_reallocarray, true},
      {first_shrink, true},       {first_realloc_of_nothing, false}, {first_realloc_to_nothing, true},
      {first_memalign, false},    {first_posix_memalign, false},     {first_usable_size, true},
      {first_trim, true},
  };
  use_up_the_first_of_each_class();
  for (size_t f = 0; f < COUNT(FIRST); f++)
    for (size_t s = 0; s < EVERY_SIZE; s++) {
      size_t bytes = every_size(s);
      inherited = FIRST[f].takes_inherited ? malloc(bytes) : NULL;
      if (inherited) fill(inherited, bytes, 5);
      run_thread(FIRST[f].body, (void *)bytes);
    }
  require(thread_heaps() <= HEAPS_OF_A_FEW);
}

/* A thread that only frees needs no heap: everything else it is asked to do is there for it all the same. */
static void *objects[EVERY_SIZE * 20];

static void *only_frees(void *unused)
{
  for (size_t i = 0; i < COUNT(objects); i++) free(objects[i]);
  return unused;
}

static void threads_that_only_free_leave_memory_flat(void)
{
  size_t settled = 0;
  for (int round = 0; round < 40; round++) {
    for (size_t i = 0; i < COUNT(objects); i++) {
      size_t bytes = every_size(i % EVERY_SIZE);
      require(objects[i] = malloc(bytes));
      *(char *)objects[i] = 1;
    }
    run_thread(only_frees, NULL);
    if (round == 5) settled = resident_bytes();
  }
  require(resident_bytes() < settled + 8 * MB);
  require(thread_heaps() <= HEAPS_OF_A_FEW);
}

/* ---- the last operations ---- */

static pthread_key_t first_key, late_key;

/* Runs in every round of key destructors, and allocates and frees in each. */
static void again(void *rounds_left)
{
  use_each_tier();
  size_t left = (size_t)rounds_left - 1;
  if (left) pthread_setspecific(first_key, (void *)left);
}

static void again_and_leak(void *unused)
{
  (void)unused;
  use_each_tier();
  leak(PLANTED);
}

/* What a C++ thread_local destructor is in C. These run before the key destructors. (musl has none of its own.) */
extern int __cxa_thread_atexit_impl(void (*destructor)(void *), void *object, void *dso) __attribute__((weak));
extern void *__dso_handle;

static void thread_local_destructor(void *block)
{
  use_each_tier();
  free(block);
}

static void *dies_in_rounds(void *unused)
{
  if (__cxa_thread_atexit_impl) require(__cxa_thread_atexit_impl(thread_local_destructor, malloc(100), &__dso_handle) == 0);
  require(pthread_setspecific(first_key, (void *)(size_t)PTHREAD_DESTRUCTOR_ITERATIONS) == 0);
  return unused;
}

static void *dies_and_leaks(void *unused)
{
  require(pthread_setspecific(late_key, (void *)1) == 0);
  return unused;
}

/* The only calls of the thread come from its destructors. */
static void malloc_in_destructors_of_several_rounds(void)
{
  require(pthread_key_create(&first_key, again) == 0);
  require(pthread_key_create(&late_key, again_and_leak) == 0);
  memory_stays_flat(dies_in_rounds, dies_and_leaks);
}

/* What destructors leave alive, up to the last round of the last key; somebody else frees it when the thread is gone. */
static struct {
  void *at;
  size_t bytes;
} remains[64];
static size_t remains_count;
enum { DEATHS = 1000 };

static void leave(size_t bytes)
{
  void *p = NULL;
  require(posix_memalign(&p, 32, bytes) == 0);
  fill(p, bytes, remains_count);
  require(remains_count < COUNT(remains));
  remains[remains_count].at = p;
  remains[remains_count++].bytes = bytes;
}

/* strerror's text belongs to the thread: libc frees it when all destructors have run, and nothing of the thread comes later. */
static void again_and_leave(void *rounds_left)
{
  static const size_t LEFT[] = {24, 500, 1000, 5000, 60000, 200000};
  use_each_tier();
  for (size_t i = 0; i < COUNT(LEFT); i++) leave(LEFT[i]);
  size_t left = (size_t)rounds_left - 1;
  if (left) pthread_setspecific(late_key, (void *)left);
  else require(strerror(12345));
}

static void *dies_leaving(void *unused)
{
  require(pthread_setspecific(late_key, (void *)(size_t)PTHREAD_DESTRUCTOR_ITERATIONS) == 0);
  return dies_in_rounds(unused);
}

static void *frees_remains(void *unused)
{
  for (size_t i = 0; i < remains_count; i++) {
    require(holds(remains[i].at, remains[i].bytes, i));
    free(remains[i].at);
  }
  remains_count = 0;
  return unused;
}

static void die_and_bury(void)
{
  for (int i = 0; i < DEATHS; i++) {
    run_thread(dies_leaving, NULL);
    require(remains_count >= 6 * PTHREAD_DESTRUCTOR_ITERATIONS);
    if (i % 2) run_thread(frees_remains, NULL);
    else frees_remains(NULL);
  }
}

/* One block of 500 bytes lost in each round would be 2 MB, each time. (Once it may be a new arena, where threads met.) */
static void what_the_last_destructor_leaves_is_freed_by_others(void)
{
  require(pthread_key_create(&first_key, again) == 0);
  require(pthread_key_create(&late_key, again_and_leave) == 0);
  die_and_bury();
  bool grows = true;
  for (int i = 0; i < 3 && grows; i++) grows = growth_of(die_and_bury) >= 1 * MB;
  require(!grows && thread_heaps() <= HEAPS_OF_A_FEW);
}

/* ---- pthread keys ---- */

static pthread_key_t keys[PTHREAD_KEYS_MAX];

static size_t take_all_keys(void)
{
  size_t taken = 0;
  while (taken < PTHREAD_KEYS_MAX && pthread_key_create(&keys[taken], NULL) == 0) taken++;
  return taken;
}

/* Not a test: prints its number for the next one. */
static void count_keys(void)
{
  run_thread(tidy, NULL);
  printf("%zu\n", take_all_keys());
}

static void drop_preload(void)
{
  unsetenv("LD_PRELOAD");
}

static void no_pthread_key_is_used(void)
{
  char ours[32], libc[32];
  require(rerun("count_keys", NULL, ours, sizeof ours) == 0);
  require(rerun("count_keys", drop_preload, libc, sizeof libc) == 0);
  require(strcmp(ours, libc) == 0);
}

static void *sets_every_key(void *taken)
{
  for (size_t i = 0; i < (size_t)taken; i++) require(pthread_setspecific(keys[i], &keys[i]) == 0);
  use_each_tier();
  return NULL;
}

static void threads_live_when_no_key_is_left(void)
{
  void *taken = (void *)take_all_keys();
  run_thread(sets_every_key, taken);
  memory_stays_flat(tidy, untidy);
}

/* ---- small stacks ---- */

static void smallest_stacks_are_enough(void)
{
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  require(pthread_attr_setstacksize(&attributes, (size_t)PTHREAD_STACK_MIN) == 0);
  for (int i = 0; i < 50; i++) {
    pthread_t thread;
    require(pthread_create(&thread, &attributes, tidy, NULL) == 0);
    join(thread);
  }
}

/* ---- blocks that change hands ---- */

enum { PLACES = 512, TRADERS = 4 };
static struct item {
  size_t bytes, seed;
  unsigned char contents[];
} *market[PLACES];

static struct item *make_item(uint32_t *dice)
{
  size_t bytes = random_size(dice), seed = next_random(dice) % 251;
  struct item *item = malloc(sizeof *item + bytes);
  require(item);
  item->bytes = bytes;
  item->seed = seed;
  fill(item->contents, bytes, seed);
  return item;
}

static void end_item(struct item *item)
{
  if (item) require(holds(item->contents, item->bytes, item->seed));
  free(item);
}

/* Put an item in a random place and free what lay there, whoever made it. */
static void *trade(void *seed)
{
  uint32_t dice = (uint32_t)(size_t)seed;
  for (int i = 0; i < 30000; i++) {
    struct item **place = &market[next_random(&dice) % PLACES], *item = make_item(&dice);
    if (next_random(&dice) % 4 == 0) {
      item = realloc(item, sizeof *item + item->bytes + 100);
      require(item);
    }
    end_item(__atomic_exchange_n(place, item, __ATOMIC_ACQ_REL));
  }
  return NULL;
}

static void clear_market(void)
{
  for (size_t i = 0; i < PLACES; i++) {
    end_item(market[i]);
    market[i] = NULL;
  }
}

static void trading_day(void)
{
  pthread_t traders[TRADERS];
  for (size_t i = 0; i < TRADERS; i++) traders[i] = spawn(trade, (void *)(i + 1));
  for (size_t i = 0; i < TRADERS; i++) join(traders[i]);
  clear_market();
}

static void contents_survive_when_others_free(void)
{
  trading_day();
  require(growth_of(trading_day) < 16 * MB);
}

/* A thread that only frees, fed by one that only allocates: 100 MB pass, few are in flight. */
enum { BELT = 1024 };
static void *belt[BELT];

static void *puts_on_the_belt(void *count)
{
  for (size_t i = 0; i < (size_t)count; i++) {
    void *p = malloc(16 + i % 400);
    require(p);
    memset(p, 1, 16);
    while (__atomic_load_n(&belt[i % BELT], __ATOMIC_ACQUIRE)) sched_yield();
    __atomic_store_n(&belt[i % BELT], p, __ATOMIC_RELEASE);
  }
  return NULL;
}

static void *takes_off_the_belt(void *count)
{
  for (size_t i = 0; i < (size_t)count; i++) {
    void *p;
    while (!(p = __atomic_exchange_n(&belt[i % BELT], NULL, __ATOMIC_ACQUIRE))) sched_yield();
    free(p);
  }
  return NULL;
}

static void belt_runs(void)
{
  void *count = (void *)500000;
  pthread_t maker = spawn(puts_on_the_belt, count), eater = spawn(takes_off_the_belt, count);
  join(maker);
  join(eater);
}

static void one_way_traffic_stays_bounded(void)
{
  require(growth_of(belt_runs) < 8 * MB);
}

/* ---- the dead ---- */

enum { ESTATE = 100 };
static void *estate[ESTATE];

static void *leaves_an_estate(void *seed)
{
  uint32_t dice = (uint32_t)(size_t)seed;
  for (size_t i = 0; i < ESTATE; i++) estate[i] = make_item(&dice);
  return NULL;
}

static void *frees_the_estate(void *unused)
{
  for (size_t i = 0; i < ESTATE; i++) end_item(estate[i]);
  return unused;
}

static void generations(void)
{
  for (size_t i = 0; i < 1000; i++) {
    run_thread(leaves_an_estate, (void *)(i % 7 + 1));
    if (i % 2) run_thread(frees_the_estate, NULL);
    else frees_the_estate(NULL);
  }
}

static void blocks_of_dead_threads_are_freed_by_others(void)
{
  generations();
  require(growth_of(generations) < 8 * MB);
}

/* What a dead thread left and others freed serves other sizes: slabs of orphans go back too. */
enum { ORPHANS = 40000 };
static void *orphans[ORPHANS];

static void *leaves_orphans(void *unused)
{
  for (size_t i = 0; i < ORPHANS; i++) touch(orphans[i] = malloc(500), 500);
  return unused;
}

static void orphaned_memory_serves_other_sizes(void)
{
  run_thread(leaves_orphans, NULL);
  size_t peak = resident_bytes();
  for (size_t i = 0; i < ORPHANS; i++) free(orphans[i]);
  for (size_t i = 0; i < ORPHANS / 100; i++) touch(orphans[i] = malloc(100 * 480), 100 * 480);
  require(resident_bytes() < peak + 2 * MB);
}

/* ---- heaps number little more than threads that live at once ---- */

enum { IDLE = 200, LATER = 2000, STACKS = 512, STACK = 256 * KB };
static pthread_barrier_t used, measured;

static void *idles(void *unused)
{
  use_each_tier();
  pthread_barrier_wait(&used);
  pthread_barrier_wait(&measured);
  return unused;
}

static void start_idlers(pthread_t *threads, size_t count)
{
  pthread_barrier_init(&used, NULL, (unsigned)count + 1);
  pthread_barrier_init(&measured, NULL, (unsigned)count + 1);
  for (size_t i = 0; i < count; i++) threads[i] = spawn(idles, NULL);
  pthread_barrier_wait(&used);
}

static void *allocates_once(void *unused)
{
  free(malloc(100));
  return unused;
}

static pthread_t idlers[IDLE];

static void births_beside_idle_threads(void)
{
  start_idlers(idlers, IDLE);
  for (int i = 0; i < LATER; i++) run_thread(allocates_once, NULL);
  require(thread_heaps() <= IDLE + HEAPS_OF_A_FEW);
}

/* On stacks in a long row, so that none lives where the last one did. */
static void births_beside_idle_threads_at_other_places(void)
{
  char *stacks = mmap(NULL, STACKS * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  require(stacks != MAP_FAILED);
  start_idlers(idlers, IDLE);
  for (size_t i = 0; i < LATER; i++) {
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    require(pthread_attr_setstack(&attributes, stacks + i % STACKS * STACK, STACK) == 0);
    require(pthread_create(&thread, &attributes, allocates_once, NULL) == 0);
    join(thread);
  }
  require(thread_heaps() <= IDLE * 4 / 3 + 2 * HEAPS_OF_A_FEW);
}

/* The kernel marks nothing in the list that libc keeps, where a thread has told it of another. */
static void *replaces_its_robust_list(void *unused)
{
  static __thread struct robust_list_head own;
  own.list.next = &own.list;
  require(syscall(SYS_set_robust_list, &own, sizeof own) == 0);
  use_each_tier();
  return unused;
}

static void births_after_threads_with_a_robust_list_of_their_own(void)
{
  for (int i = 0; i < 500; i++) run_thread(replaces_its_robust_list, NULL);
  require(thread_heaps() <= HEAPS_OF_A_FEW);
}

/* All hold their objects at once, and end; others free them; then one trim is enough. */
enum { MANY = 60, OBJECTS_EACH = MB / 128 };
static void *of_many[MANY][OBJECTS_EACH];

static void *fills_a_row(void *row)
{
  for (size_t i = 0; i < OBJECTS_EACH; i++) touch(of_many[(size_t)row][i] = malloc(128), 128);
  pthread_barrier_wait(&used);
  return NULL;
}

static void one_trim_reaches_every_ended_thread(void)
{
  pthread_t threads[MANY];
  memset(of_many, 1, sizeof of_many);
  pthread_barrier_init(&used, NULL, MANY);
  size_t before = resident_bytes();
  for (size_t i = 0; i < MANY; i++) threads[i] = spawn(fills_a_row, (void *)i);
  for (size_t i = 0; i < MANY; i++) join(threads[i]);
  for (size_t i = 0; i < MANY; i++)
    for (size_t j = 0; j < OBJECTS_EACH; j++) free(of_many[i][j]);
  require(resident_bytes() - before > MANY * MB / 2);
  malloc_trim(0);
  require(resident_bytes() - before < MANY * MB / 7);
}

/* Workers by turns make a result each, which the main thread frees; then they sleep. What there is of it is one result. */
enum { WORKERS = 32, RESULT = 40000, OF_RESULT = 100 };
static void *result[RESULT];
static sem_t made;

static void *makes_a_result(void *turn)
{
  for (;;) {
    sem_wait(turn);
    for (size_t i = 0; i < RESULT; i++) touch(result[i] = malloc(OF_RESULT), OF_RESULT);
    sem_post(&made);
  }
  return NULL;
}

static void what_sleepers_made_serves_others(void)
{
  static sem_t turns[WORKERS];
  size_t before = resident_bytes();
  sem_init(&made, 0, 0);
  for (size_t i = 0; i < WORKERS; i++) {
    sem_init(&turns[i], 0, 0);
    spawn(makes_a_result, &turns[i]);
  }
  for (size_t round = 0; round < 2; round++)
    for (size_t i = 0; i < WORKERS; i++) {
      sem_post(&turns[i]);
      sem_wait(&made);
      for (size_t k = 0; k < RESULT; k++) free(result[k]);
    }
  require(resident_bytes() - before < 8 * RESULT * OF_RESULT);
  malloc_trim(0);
  require(resident_bytes() - before < 2 * RESULT * OF_RESULT);
}

/* ---- the end of the process ---- */

static void *never_ends(void *seed)
{
  for (;;) trade(seed);
  return NULL;
}

static void exit_with_threads_inside(void)
{
  for (int i = 0; i < 30; i++) {
    pid_t pid = fork();
    if (pid == 0) {
      alarm(PATIENCE_S);
      for (size_t t = 0; t < 4; t++) spawn(never_ends, (void *)(t + 1));
      usleep(2000);
      exit(0);
    }
    require(wait_for(pid) == 0);
  }
}

/* The main thread may leave first. */
static void *outlives_main(void *unused)
{
  use_each_tier();
  exit(0);
  return unused;
}

static void main_thread_ends_first(void)
{
  spawn(outlives_main, NULL);
  pthread_exit(NULL);
}

/* Cancellation runs destructors as well. */
static void *waits(void *unused)
{
  use_each_tier();
  pause();
  return unused;
}

static void cancelled_threads_leave_nothing(void)
{
  require(pthread_key_create(&first_key, again) == 0);
  for (int i = 0; i < 200; i++) {
    pthread_t thread = spawn(waits, NULL);
    pthread_cancel(thread);
    join(thread);
  }
}

/* 200 idle threads, each with one use of each tier behind it. glibc: 5.6 MB, of which the stacks are most. */
static void idle_threads_hold_little(void)
{
  size_t before = resident_bytes();
  start_idlers(idlers, IDLE);
  malloc_trim(0); /* freed mappings that are kept are not the threads' */
  require(resident_bytes() - before < 24 * MB);
  pthread_barrier_wait(&measured);
  for (size_t i = 0; i < IDLE; i++) join(idlers[i]);
}

static void *frees(void *block)
{
  free(block);
  return NULL;
}

/* Memory that was never written may hold what smaller objects left there when they were freed. A program may copy it
 * within its block, to where a freed object of this size has its mark, and have another thread free the block. */
static void copies_of_unwritten_memory_are_no_keys(void)
{
  static void *small[40000];
  for (int round = 0; round < 2; round++) {
    for (size_t i = 0; i < COUNT(small); i++) require(small[i] = malloc(16));
    for (size_t i = 0; i < COUNT(small); i++) free(small[i]);
  }
  for (size_t i = 0; i < 2000; i++) {
    struct { long x, y; } *pairs = small[i] = malloc(64);
    memmove(&pairs[0], &pairs[1], sizeof pairs[0]);
  }
  for (size_t i = 0; i < 2000; i++) run_thread(frees, small[i]);
}

enum { GIVEN = 100000, GIVEN_BYTES = 200, AS_BLOCKS = 3900 };
static void *given[GIVEN];

static void *frees_what_is_given(void *unused)
{
  for (size_t i = 0; i < GIVEN; i++) free(given[i]);
  return unused;
}

/* What others freed is taken back in portions: no malloc pays for all of it. */
static void no_malloc_reads_a_long_mail(void)
{
  enum { PORTION = 64, SLAB = 32 * KB };
  for (size_t i = 0; i < GIVEN; i++) given[i] = malloc(GIVEN_BYTES);
  size_t all = library_stats().slab_bytes, before, after;
  run_thread(frees_what_is_given, NULL);
  before = after = library_stats().slab_bytes; /* on a slow machine who frees has come to look after it, too */
  for (size_t i = 0; i < GIVEN && after >= before; i++) {
    before = after;
    require(malloc(GIVEN_BYTES));
    after = library_stats().slab_bytes;
  }
  require(before - after <= PORTION * SLAB || after >= before);
  require(after < all);
}

/* Two look through a sleeper's long mail at once, and each leaves the rest: neither pays for its length. One of them stands still in the middle, after more
 * instructions in each round, while more is posted and the other comes and goes. */
enum { LONG_SLABS = 2000, ROUND_SLABS = 150, ROUNDS = 12, SLAB_OF = 31, STEPS_MOST = 28000 };
static void *mailed[(LONG_SLABS + ROUNDS * ROUND_SLABS) * SLAB_OF];
static sem_t stands, goes_on;
static size_t mailed_slabs, instructions, stands_at;

static void *has_a_long_mail(void *unused)
{
  for (size_t i = 0; i < COUNT(mailed); i++) require(mailed[i] = malloc(1000));
  pthread_barrier_wait(&measured);
  while (true) pause();
  return unused;
}

static void mail_slabs(size_t slabs)
{
  for (; slabs > 0; slabs--) free(mailed[mailed_slabs++ * SLAB_OF]);
}

static void *reads_as_well(void *unused)
{
  for (size_t round = 0; round < ROUNDS; round++) {
    while (sem_wait(&stands) < 0) continue;
    mail_slabs(ROUND_SLABS);
    for (uintptr_t end = program_break(); program_break() == end;) require(malloc(100000));
    sem_post(&goes_on);
  }
  return unused;
}

/* For a while: where it holds a lock that the other wants, that one comes later. */
static void let_the_other_read(void)
{
  struct timespec until;
  if (++instructions != stands_at) return;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec++;
  sem_post(&stands);
  while (sem_timedwait(&goes_on, &until) < 0 && errno == EINTR) continue;
}

static void takes_a_block(void)
{
  require(malloc(100000));
}

static void no_malloc_posts_a_long_mail(void)
{
  require(sem_init(&stands, 0, 0) == 0 && sem_init(&goes_on, 0, 0) == 0 && pthread_barrier_init(&measured, NULL, 2) == 0);
  spawn(has_a_long_mail, NULL);
  pthread_barrier_wait(&measured);
  mail_slabs(LONG_SLABS);
  pthread_t other = spawn(reads_as_well, NULL);
  for (size_t round = 0; round < ROUNDS; round++) {
    stands_at = 2000 + 200 * round;
    do {
      instructions = 0;
      step(takes_a_block, let_the_other_read);
      require(instructions < STEPS_MOST * slowness());
    } while (instructions < stands_at);
  }
  join(other);
}

static void *fresh(size_t bytes)
{
  void *p = malloc(bytes);
  require(p);
  touch(p, bytes);
  return p;
}

static void give_objects_away(void)
{
  for (size_t i = 0; i < GIVEN; i++) given[i] = fresh(GIVEN_BYTES);
  run_thread(frees_what_is_given, NULL);
}

static void take_blocks(void)
{
  for (size_t i = 0; i < GIVEN * GIVEN_BYTES / AS_BLOCKS; i++) fresh(AS_BLOCKS);
}

/* 20 MB of objects that another thread freed make room for blocks. The measure sees them where nobody freed anything. */
static void objects_that_others_free_make_room_for_blocks(void)
{
  require(growth_of(give_objects_away) > GIVEN * GIVEN_BYTES / 2);
  require(growth_of(take_blocks) < GIVEN * GIVEN_BYTES / 4);
  require(growth_of(take_blocks) > GIVEN * GIVEN_BYTES / 2);
}

/* The heap of the second thread is new, and all that it knows by the time of the free is a mapping. */
static void *maps_and_frees_a_block(void *block)
{
  void *p = malloc(MB);
  require(p);
  free(block);
  return free(p), NULL;
}

static void a_block_is_freed_after_a_first_mapping(void)
{
  void *block = malloc(2000);
  require(block);
  run_thread(maps_and_frees_a_block, block);
}

/* Nor does it matter that another found nothing there before: of a heap that was emptied once all that comes in later is let go, the slab that served last, too. */
static void a_trim_after_a_trim_reaches_an_ended_thread(void)
{
  require(pthread_barrier_init(&used, NULL, 1) == 0);
  run_thread(fills_a_row, NULL);
  malloc_trim(0);
  for (size_t i = 0; i < OBJECTS_EACH; i++) free(of_many[0][i]);
  malloc_trim(0);
  require(library_stats().slab_bytes == 0);
}

/* The mutex by which a thread holds its heap has an initialiser of ours. */
static void libc_makes_robust_mutexes_as_we_do(void)
{
  pthread_mutex_t ours = ROBUST_MUTEX_INITIALIZER, theirs;
  pthread_mutexattr_t robust;
  require(pthread_mutexattr_init(&robust) == 0 && pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST) == 0);
  require(pthread_mutexattr_setpshared(&robust, PTHREAD_PROCESS_SHARED) == 0); /* glibc marks robust ones so, musl does not */
  require(pthread_mutex_init(&theirs, &robust) == 0);
  require(memcmp(&ours, &theirs, sizeof ours) == 0);
}

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST(ten_thousand_threads_leave_memory_flat),
      TEST(a_trim_after_a_trim_reaches_an_ended_thread),
      TEST(every_first_operation),
      TEST(threads_that_only_free_leave_memory_flat),
      TEST(malloc_in_destructors_of_several_rounds),
      TEST(what_the_last_destructor_leaves_is_freed_by_others),
      TEST(no_pthread_key_is_used),
      TEST(threads_live_when_no_key_is_left),
      TEST(smallest_stacks_are_enough),
      TEST(contents_survive_when_others_free),
      TEST(one_way_traffic_stays_bounded),
      TEST(blocks_of_dead_threads_are_freed_by_others),
      TEST(orphaned_memory_serves_other_sizes),
      TEST(births_beside_idle_threads),
      TEST(births_beside_idle_threads_at_other_places),
      TEST(births_after_threads_with_a_robust_list_of_their_own),
      TEST(one_trim_reaches_every_ended_thread),
      TEST(what_sleepers_made_serves_others),
      TEST(no_malloc_reads_a_long_mail),
      TEST(no_malloc_posts_a_long_mail),
      TEST(exit_with_threads_inside),
      TEST(main_thread_ends_first),
      TEST(cancelled_threads_leave_nothing),
      TEST(idle_threads_hold_little),
      TEST(copies_of_unwritten_memory_are_no_keys),
      TEST(a_block_is_freed_after_a_first_mapping),
      TEST(objects_that_others_free_make_room_for_blocks),
      TEST(libc_makes_robust_mutexes_as_we_do),
  };
  if (argc > 1 && strcmp(argv[1], "count_keys") == 0) return count_keys(), 0;
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
