/* SPDX-License-Identifier: MIT */
/* fork: from threaded programs, twice at once, out of a signal handler, inside of a fork, beside stdio, with handlers that allocate or
 * lock. (What needs certain moments is in ../fault/fork.c.) */
#include "steps.h"
#include "filter.h"
#include <dlfcn.h>
#include <linux/sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <spawn.h>
#include <sys/time.h>
#include <time.h>

extern char **environ;

/* What threads hold in common; a child frees what its parent's threads allocated. */
enum { PLACES = 256, BUSY = 8 };
static void *shared[PLACES];

static void replace(uint32_t *dice, size_t bytes)
{
  void *p = bytes ? malloc(bytes) : NULL;
  if (p) *(char *)p = 1;
  free(__atomic_exchange_n(&shared[next_random(dice) % PLACES], p, __ATOMIC_ACQ_REL));
}

static bool stop;

/* A forking thread that waits its turn behind eight busy ones would sleep most of the test. */
static void rest(void)
{
  usleep(1000);
}

static void *is_busy(void *seed)
{
  uint32_t dice = (uint32_t)(size_t)seed;
  while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
    for (int i = 0; i < 64; i++) replace(&dice, random_size(&dice));
    rest();
  }
  return NULL;
}

static void start_busy(pthread_t *threads)
{
  for (size_t i = 0; i < BUSY; i++) threads[i] = spawn(is_busy, (void *)(i + 1));
}

static void stop_busy(pthread_t *threads)
{
  __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
  for (size_t i = 0; i < BUSY; i++) join(threads[i]);
}

/* The life of a child; its exit status is checked by who forked it. */
static void child_lives(void)
{
  alarm(PATIENCE_S);
  use_each_tier();
  for (size_t i = 0; i < PLACES; i++) free(__atomic_exchange_n(&shared[i], NULL, __ATOMIC_ACQ_REL));
  use_each_tier();
  require(heap_is_sound());
  malloc_trim(0); /* which takes over all that other threads had */
  require(heap_is_sound());
  use_each_tier();
  _exit(0);
}

static void fork_and_check(void)
{
  pid_t pid = fork();
  if (pid == 0) child_lives();
  require(wait_for(pid) == 0);
}

static void a_thousand_forks_among_busy_threads(void)
{
  pthread_t busy[BUSY];
  start_busy(busy);
  for (int i = 0; i < OFTEN(1000); i++) fork_and_check();
  stop_busy(busy);
  use_each_tier();
}

static void *forks_often(void *times)
{
  for (size_t i = 0; i < (size_t)times; i++) fork_and_check();
  return NULL;
}

/* glibc does not serialise forks of several threads: their handlers interleave. */
static void two_threads_fork_at_once(void)
{
  pthread_t one = spawn(forks_often, (void *)OFTEN(300)), two = spawn(forks_often, (void *)OFTEN(300));
  join(one);
  join(two);
}

static void several_threads_fork_among_busy_ones(void)
{
  pthread_t busy[BUSY], forkers[4];
  start_busy(busy);
  for (size_t i = 0; i < COUNT(forkers); i++) forkers[i] = spawn(forks_often, (void *)OFTEN(50));
  for (size_t i = 0; i < COUNT(forkers); i++) join(forkers[i]);
  stop_busy(busy);
}

/* All work, all pause, two fork in the same moment, and nobody was inside malloc: the children own a heap in which nothing is amiss. */
enum { ROUNDS = OFTEN(60), WORKERS = 4 };
static pthread_barrier_t paused, forked;

static void *works_and_forks(void *seed)
{
  uint32_t dice = (uint32_t)(size_t)seed;
  for (int i = 0; i < ROUNDS; i++) {
    for (int j = 0; j < 300; j++) replace(&dice, random_size(&dice));
    pthread_barrier_wait(&paused);
    pid_t pid = (size_t)seed <= 2 ? fork() : -1;
    if (pid == 0) {
      require(heap_is_sound());
      for (int j = 0; j < 300; j++) replace(&dice, random_size(&dice));
      for (size_t j = 0; j < PLACES; j++) free(shared[j]);
      memset(shared, 0, sizeof shared);
      require(heap_is_sound());
      child_lives();
    }
    if (pid > 0) require(wait_for(pid) == 0);
    pthread_barrier_wait(&forked);
  }
  return NULL;
}

static void children_of_two_forks_at_once_have_a_sound_heap(void)
{
  pthread_t threads[WORKERS];
  pthread_barrier_init(&paused, NULL, WORKERS);
  pthread_barrier_init(&forked, NULL, WORKERS);
  for (size_t i = 0; i < WORKERS; i++) threads[i] = spawn(works_and_forks, (void *)(i + 1));
  for (size_t i = 0; i < WORKERS; i++) join(threads[i]);
  require(heap_is_sound());
}

static void *lives_in_the_child(void *unused)
{
  for (int i = 0; i < 20; i++) use_each_tier();
  return unused;
}

/* The child is a whole process: threads, forks and threads of its own. */
static void children_have_threads_and_children(void)
{
  pthread_t busy[BUSY];
  start_busy(busy);
  for (int i = 0; i < OFTEN(60); i++) {
    pid_t pid = fork();
    if (pid == 0) {
      alarm(PATIENCE_S);
      pthread_t one = spawn(lives_in_the_child, NULL), two = spawn(lives_in_the_child, NULL);
      fork_and_check();
      join(one);
      join(two);
      exit(0);
    }
    require(wait_for(pid) == 0);
  }
  stop_busy(busy);
}

/* Threads that find themselves in one block heap make more. In a child too, whose parent held the lock for that. */
enum { COMRADES = 3, VISITS = 400 };

static void *wants_a_heap_of_its_own(void *unused)
{
  void *blocks[VISITS];
  for (size_t i = 0; i < VISITS; i++) require((blocks[i] = malloc(20000)));
  pthread_barrier_wait(&paused); /* nobody's place becomes free before */
  for (size_t i = 0; i < VISITS; i++) free(blocks[i]);
  return unused;
}

static void *comes_and_goes(void *unused) { return unused; }

static void a_child_makes_block_heaps(void)
{
  use_each_tier();
  run_thread(comes_and_goes, NULL); /* a fork of a process that never had another thread takes no locks */
  pid_t pid = fork();
  if (pid == 0) {
    pthread_t threads[COMRADES];
    alarm(PATIENCE_S);
    require(library_stats().arenas <= 1);
    pthread_barrier_init(&paused, NULL, COMRADES);
    for (size_t i = 0; i < COMRADES; i++) threads[i] = spawn(wants_a_heap_of_its_own, NULL);
    for (size_t i = 0; i < COMRADES; i++) join(threads[i]);
    require(!runs_on_osmem() || library_stats().arenas > 1);
    child_lives();
  }
  require(wait_for(pid) == 0);
}

/* Who forks is another thread in the child, with the same heap. When it dies there, others must find that heap. (Before glibc 2.34 nobody finds that of the first thread, see thread.c.) */
static pthread_t forker;
enum { NEVER_FOUND = GLIBC_BEFORE(2, 34) };

static void *outlives_the_forker(void *unused)
{
  use_each_tier();
  size_t heaps_of_two = thread_heaps();
  pthread_barrier_wait(&paused);
  join(forker);
  for (int i = 0; i < 10; i++) run_thread(lives_in_the_child, NULL);
  require(thread_heaps() == heaps_of_two + NEVER_FOUND);
  _exit(0);
  return unused;
}

static void a_forker_that_dies_in_the_child_leaves_its_heap(void)
{
  use_each_tier();
  pid_t pid = fork();
  if (pid == 0) {
    alarm(PATIENCE_S);
    use_each_tier();
    forker = pthread_self();
    pthread_barrier_init(&paused, NULL, 2);
    spawn(outlives_the_forker, NULL);
    pthread_barrier_wait(&paused);
    pthread_exit(NULL);
  }
  require(wait_for(pid) == 0);
}

/* Threads that ended before a fork, and whose heaps are found after it, count in no arena of the child: alone, it needs one. */
static void *waits_for_the_others(void *unused)
{
  free(malloc(2000));
  pthread_barrier_wait(&paused);
  return unused;
}

static void threads_that_ended_before_a_fork_are_not_counted_after_it(void)
{
  pthread_t gone[BUSY];
  pthread_barrier_init(&paused, NULL, BUSY);
  for (size_t i = 0; i < BUSY; i++) gone[i] = spawn(waits_for_the_others, NULL);
  for (size_t i = 0; i < BUSY; i++) join(gone[i]);
  size_t arenas = library_stats().arenas;
  pid_t pid = fork();
  if (pid == 0) {
    alarm(PATIENCE_S);
    for (int i = 0; i < 10000; i++) require(malloc(2000));
    require(library_stats().arenas == arenas);
    _exit(0);
  }
  require(wait_for(pid) == 0);
}

/* The last thread of a line of forks owns nothing it cannot free, and the line's memory does not grow. */
static void a_long_line_of_forks(void)
{
  for (int generation = 0; generation < 100; generation++) {
    use_each_tier();
    pid_t pid = fork();
    if (pid) _exit(wait_for(pid) == 0 ? 0 : 1);
    require(resident_bytes() < 32 * MB);
  }
}

/* ---- what the threads of the parent owned ---- */

enum { ESTATE = 100000, KEPT_OF = 16, GENERATIONS = 30, BUSY_ONES = 3, HEAPS_OF_A_GENERATION = BUSY_ONES + 2, CACHED = 60, CACHED_BYTES = 16000 };
static unsigned char *estate[ESTATE];

static size_t estate_bytes(size_t i)
{
  return 50 + i * 37 % 900;
}

/* Medium blocks that it then has in its cache, and objects. */
static void *has_an_estate(void *unused)
{
  void *blocks[CACHED];
  for (size_t i = 0; i < CACHED; i++) touch(blocks[i] = malloc(CACHED_BYTES), CACHED_BYTES);
  for (size_t i = 0; i < CACHED; i++) free(blocks[i]);
  for (size_t i = 0; i < ESTATE; i++) fill(estate[i] = malloc(estate_bytes(i)), estate_bytes(i), i);
  pthread_barrier_wait(&paused);
  pthread_barrier_wait(&forked); /* nobody comes */
  return unused;
}

/* The thread itself frees all but every sixteenth: no slab of it is empty, and none of it is the child's to allocate from. */
static void *has_freed_much_of_it(void *unused)
{
  for (size_t i = 0; i < ESTATE; i++) estate[i] = malloc(estate_bytes(i));
  for (size_t i = 0; i < ESTATE; i++)
    if (i % KEPT_OF) free(estate[i]);
    else fill(estate[i], estate_bytes(i), i);
  pthread_barrier_wait(&paused);
  pthread_barrier_wait(&forked);
  return unused;
}

static void fork_beside(void *(*owner)(void *), test_body *child)
{
  pthread_barrier_init(&paused, NULL, 2);
  pthread_barrier_init(&forked, NULL, 2);
  spawn(owner, NULL);
  pthread_barrier_wait(&paused);
  require(fate_of(child) == 0);
}

/* All that is free there is used before fresh memory is. */
static void allocates_the_estate_again(size_t before, bool all)
{
  for (size_t i = 0; i < ESTATE; i++)
    if (all || i % KEPT_OF) fill(estate[i] = malloc(estate_bytes(i)), estate_bytes(i), i);
  require(resident_bytes() < before + 6 * MB);
  for (size_t i = 0; i < ESTATE; i++) require(holds(estate[i], estate_bytes(i), i));
  require(heap_is_sound());
  for (size_t i = 0; i < ESTATE; i++) free(estate[i]);
  malloc_trim(0);
  require(heap_is_sound());
  require(resident_bytes() < before - 30 * MB);
}

static void frees_the_estate(void)
{
  size_t before = resident_bytes();
  for (size_t i = 0; i < ESTATE; i++) {
    require(holds(estate[i], estate_bytes(i), i));
    free(estate[i]);
  }
  malloc_trim(0);
  require(heap_is_sound());
  require(resident_bytes() < before - 40 * MB);
  require(library_stats().medium_live_bytes < CACHED * CACHED_BYTES / 2); /* nor are cached blocks of the gone in use */
  child_lives();
}

static void uses_again_what_it_frees(void)
{
  size_t before = resident_bytes();
  for (size_t i = 0; i < ESTATE; i++) {
    require(holds(estate[i], estate_bytes(i), i));
    free(estate[i]);
  }
  allocates_the_estate_again(before, true);
}

static void uses_what_was_free(void)
{
  allocates_the_estate_again(resident_bytes(), false);
}

static void a_child_frees_what_other_threads_owned(void)
{
  fork_beside(has_an_estate, frees_the_estate);
}

static void a_child_uses_again_what_it_frees_of_other_threads(void)
{
  fork_beside(has_an_estate, uses_again_what_it_frees);
}

static void a_child_uses_what_was_free_in_other_threads(void)
{
  fork_beside(has_freed_much_of_it, uses_what_was_free);
}

/* Threads of the child free and allocate in what the gone ones owned, at the same time. */
static void *takes_part(void *number)
{
  for (int round = 0; round < 3; round++)
    for (size_t i = (size_t)number; i < ESTATE; i += WORKERS) {
      size_t bytes = estate_bytes(i);
      require(holds(estate[i], bytes, i));
      free(estate[i]);
      fill(estate[i] = malloc(bytes), bytes, i);
    }
  return NULL;
}

static void shares_the_estate(void)
{
  pthread_t threads[WORKERS];
  size_t before = resident_bytes();
  for (size_t i = 0; i < WORKERS; i++) threads[i] = spawn(takes_part, (void *)i);
  for (size_t i = 0; i < WORKERS; i++) join(threads[i]);
  require(resident_bytes() < before + 40 * MB); /* 9 to 26 with what sleeping workers have in their mail; 54 if nothing were used again */
  require(heap_is_sound());
  frees_the_estate();
}

static void threads_of_a_child_share_what_other_threads_owned(void)
{
  fork_beside(has_an_estate, shares_the_estate);
}

/* Generation after generation has threads and is forked from while they work, the next one living on: nothing adds up. */
static void a_long_line_of_threaded_forks(void)
{
  for (int generation = 0; generation < GENERATIONS; generation++) {
    pthread_t busy[BUSY_ONES];
    for (size_t i = 0; i < COUNT(busy); i++) busy[i] = spawn(is_busy, (void *)(i + 1));
    run_thread(lives_in_the_child, NULL);
    usleep(5000);
    pid_t pid = fork();
    if (pid) _exit(wait_for(pid) == 0 ? 0 : 1);
    for (size_t i = 0; i < PLACES; i++) free(__atomic_exchange_n(&shared[i], NULL, __ATOMIC_ACQ_REL));
    if (generation % 3 == 0) malloc_trim(0);
    require(heap_is_sound());
    require(thread_heaps() <= 3 * HEAPS_OF_A_GENERATION); /* one that trims, two that do not */
    require(resident_bytes() < 48 * MB);
  }
}

/* Without a trim, and births come eight at the same moment. (With a look at what is gone only when all heaps were used up: 41 heaps.) */
enum { SLEEPERS = 8, LINE = 100 };

static pthread_barrier_t asleep;

static void *sleeps(void *unused)
{
  use_each_tier();
  pthread_barrier_wait(&asleep);
  pause();
  return unused;
}

static void a_long_line_of_forks_beside_sleepers(void)
{
  for (int generation = 0; generation < LINE; generation++) {
    require(pthread_barrier_init(&asleep, NULL, SLEEPERS + 1) == 0);
    for (size_t i = 0; i < SLEEPERS; i++) spawn(sleeps, NULL);
    pthread_barrier_wait(&asleep);
    pid_t pid = fork();
    if (pid) _exit(wait_for(pid) == 0 ? 0 : 1);
    require(thread_heaps() <= 3 * SLEEPERS && heap_is_sound());
  }
}

/* ---- at every instruction of another thread ---- */

/* The thread traps after each instruction of what it does and stands still there, while the main thread forks. Where the fork waits for a lock
 * that the thread holds, it goes on after a while. */
enum { STANDS_MS = 20, SLABS = 40, SLAB_OBJECTS = 32, OBJECTS = SLABS * SLAB_OBJECTS, OBJECT = 1000, SLAB_BYTES = 32 * 1024, KEPT = 100 };
static sem_t standing, go_on;
static volatile bool done;
static unsigned every, instructions;
static void *objects[OBJECTS], *kept[KEPT];
static size_t small_before, slabs_before;

static void wait_a_while(void)
{
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += STANDS_MS * 1000000;
  if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
  while (sem_timedwait(&go_on, &until) < 0 && errno == EINTR) continue;
}

static void stand_still(void)
{
  if (++instructions % every != 0) return;
  while (sem_trywait(&go_on) == 0) continue;
  sem_post(&standing);
  wait_a_while();
}

struct steps {
  test_body *begin, *go, *child;
  unsigned every;
};

static void *goes_in_steps(void *steps)
{
  if (((struct steps *)steps)->begin) ((struct steps *)steps)->begin();
  pthread_barrier_wait(&paused);
  step(((struct steps *)steps)->go, stand_still);
  done = true;
  sem_post(&standing);
  return NULL;
}

static void fork_at_every_step(struct steps steps)
{
  sem_init(&standing, 0, 0);
  sem_init(&go_on, 0, 0);
  pthread_barrier_init(&paused, NULL, 2);
  every = steps.every;
  pthread_t thread = spawn(goes_in_steps, &steps);
  pthread_barrier_wait(&paused);
  int forks_made = 0;
  for (; sem_wait(&standing) == 0 && !done; forks_made++) {
    require(fate_of(steps.child) == 0);
    sem_post(&go_on);
  }
  join(thread);
  require(forks_made > 50);
}

/* Frees one object of each of three of our slabs: each of these frees posts the slab to us. */
static void frees_into_three_slabs(void)
{
  for (size_t i = 0; i < 3; i++) free(__atomic_exchange_n(&objects[(10 + 2 * i) * SLAB_OBJECTS], NULL, __ATOMIC_ACQ_REL));
}

static void *frees_the_objects(void *unused)
{
  for (size_t i = 0; i < OBJECTS; i++) free(objects[i]);
  return unused;
}

/* The child cannot have again what was on its way to us, but all else, as far as that its threads free it in their turn; and nothing waits in a list
 * that nobody reads: that would hold its slab. */
static void all_else_comes_back(void)
{
  run_thread(frees_the_objects, NULL);
  malloc_trim(0);
  require(heap_is_sound());
  require(library_stats().small_live_count <= small_before + 1);
  require(library_stats().slab_bytes <= slabs_before + SLAB_BYTES);
}

static void a_fork_at_every_instruction_of_a_free_to_the_forker(void)
{
  small_before = library_stats().small_live_count;
  slabs_before = library_stats().slab_bytes;
  for (size_t i = 0; i < OBJECTS; i++) require(objects[i] = malloc(OBJECT));
  fork_at_every_step((struct steps){NULL, frees_into_three_slabs, all_else_comes_back, 1});
}

static void keeps_some(void)
{
  for (size_t i = 0; i < KEPT; i++) fill(kept[i] = malloc(OBJECT), OBJECT, i);
}

/* A slab is born, carved, filled and goes; objects and blocks come and go. */
static void does_a_bit_of_everything(void)
{
  void *some[SLAB_OBJECTS], *block = malloc(5000);
  for (size_t i = 0; i < SLAB_OBJECTS; i++) some[i] = malloc(OBJECT);
  free(block);
  for (size_t i = 0; i < SLAB_OBJECTS; i++) free(some[i]);
  free(malloc(5000));
  free(malloc(OBJECT));
}

/* All that the thread kept is whole, and what was neither being handed out nor taken back can be had. */
static void the_estate_is_in_order(void)
{
  for (size_t i = 0; i < KEPT; i++) require(holds(kept[i], OBJECT, i));
  for (size_t i = 0; i < KEPT; i += 2) free(kept[i]);
  use_each_tier();
  for (size_t i = 0; i < OBJECTS; i++) fill(objects[i] = malloc(OBJECT), OBJECT, i);
  for (size_t i = 1; i < KEPT; i += 2) require(holds(kept[i], OBJECT, i));
  for (size_t i = 0; i < OBJECTS; i++) require(holds(objects[i], OBJECT, i));
  require(heap_is_sound());
  for (size_t i = 0; i < OBJECTS; i++) free(objects[i]);
  for (size_t i = 1; i < KEPT; i += 2) free(kept[i]);
  malloc_trim(0);
  require(heap_is_sound());
  require(library_stats().small_live_count <= small_before + SLAB_OBJECTS + 1); /* `some`, which nobody has any more */
  child_lives();
}

static void a_fork_at_many_instructions_of_another_thread(void)
{
  use_each_tier();
  small_before = library_stats().small_live_count;
  fork_at_every_step((struct steps){keeps_some, does_a_bit_of_everything, the_estate_is_in_order, 11});
}

/* The same out of a handler that interrupts the thread itself, while it reads a long mail: the child goes on reading. What it has in hand then is posted
 * again by whoever walks its heap, and nothing twice: a mail that bites its tail is never at its end. */
enum { MAILED = 400, PER_SLAB = 31, READ = 40, CLASS_OF_WALK = 5000 };
static void *mailed[MAILED * PER_SLAB], *read_for[READ];
static bool in_child;

static void *frees_one_of_each_slab(void *first)
{
  for (size_t i = (size_t)first; i < COUNT(mailed); i += PER_SLAB) free(__atomic_exchange_n(&mailed[i], NULL, __ATOMIC_RELAXED));
  return NULL;
}

static void reads_its_mail(void)
{
  for (size_t i = 0; i < READ; i++) read_for[i] = malloc(OBJECT);
}

static void forks_and_goes_on(void)
{
  if (++instructions % every != 0) return;
  pid_t pid = fork();
  in_child = pid == 0;
  if (in_child) stepping = false;
  else require(wait_for(pid) == 0);
}

/* The heap grows, so that the estate is walked, and others free again into what was in the mail. */
static void the_mail_has_an_end(void)
{
  static void *blocks[2][400];
  alarm(10);
  for (size_t round = 0; round < 2; round++) {
    for (size_t i = 0; i < COUNT(blocks[0]); i++) touch(blocks[round][i] = malloc(CLASS_OF_WALK), CLASS_OF_WALK);
    run_thread(frees_one_of_each_slab, (void *)(5 + round));
  }
  malloc_trim(0);
  require(heap_is_sound());
  for (size_t i = 0; i < READ; i++) free(read_for[i]);
  for (size_t i = 0; i < COUNT(mailed); i++) free(mailed[i]);
  malloc_trim(0);
  require(heap_is_sound());
  require(library_stats().small_live_count <= small_before + 1);
  _exit(0);
}

static void a_fork_out_of_a_handler_while_a_long_mail_is_read(void)
{
  small_before = library_stats().small_live_count;
  for (size_t i = 0; i < COUNT(mailed); i++) require(mailed[i] = malloc(OBJECT));
  run_thread(frees_one_of_each_slab, (void *)3);
  every = 211;
  step(reads_its_mail, forks_and_goes_on);
  if (in_child) the_mail_has_an_end();
  require(instructions / every > 50);
}

/* And at each instruction of giving a mapping back: in the child the books of what we hold are not below nothing, or all would be refused. */
enum { GIVEN_BACK = 10 * MB };

static void gives_a_mapping_back(void)
{
  free(malloc(GIVEN_BACK));
  malloc_trim(0);
}

static void a_handler_forks_while_a_mapping_goes_back(void)
{
  gives_a_mapping_back();
  every = 1;
  step(gives_a_mapping_back, forks_and_goes_on);
  if (in_child) {
    void *block = malloc(GIVEN_BACK);
    require(block);
    _exit(0);
  }
  require(instructions > 500);
}

/* And while it looks after those that ended. A trim takes the heap of each ended thread and tidies it up. No lock is held meanwhile: a handler may fork at any instruction, and the frame below goes
 * on in the child, where that heap must be its own still, and nobody else's. */
enum { ENDED = 4, LEFT = 400, LATER = 9, HANDFUL = 2000, HANDFUL_BYTES = 48 };
static pthread_barrier_t together;

static void *leaves_a_heap(void *unused)
{
  void *left[LEFT];
  pthread_barrier_wait(&together);
  for (size_t i = 0; i < LEFT; i++) left[i] = malloc(100 + i % 7 * 100);
  for (size_t i = 0; i < LEFT; i += 2) free(left[i]);
  for (size_t i = 0; i < LEFT; i += 20) free(malloc(5000 + i));
  pthread_barrier_wait(&together);
  return unused;
}

static void *has_objects_of_its_own(void *seed)
{
  char *own[HANDFUL];
  pthread_barrier_wait(&together);
  for (int round = 0; round < 3; round++) {
    for (size_t i = 0; i < HANDFUL; i++) fill(own[i] = malloc(HANDFUL_BYTES), HANDFUL_BYTES, (size_t)seed * HANDFUL + i);
    for (size_t i = 0; i < HANDFUL; i++) require(holds(own[i], HANDFUL_BYTES, (size_t)seed * HANDFUL + i));
    for (size_t i = 0; i < HANDFUL; i++) free(own[i]);
  }
  pthread_barrier_wait(&together);
  return NULL;
}

static void live_together(void *(*body)(void *), size_t count)
{
  pthread_t threads[LATER];
  pthread_barrier_init(&together, NULL, (unsigned)count);
  for (size_t i = 0; i < count; i++) threads[i] = spawn(body, (void *)i);
  for (size_t i = 0; i < count; i++) join(threads[i]);
}

static void trims(void) { malloc_trim(0); }

/* The child has threads before the frame below goes on. */
static pthread_t beside_the_frame[ENDED];

static void forks_and_has_threads(void)
{
  forks_and_goes_on();
  if (!in_child) return;
  pthread_barrier_init(&together, NULL, 1); /* each for itself */
  for (size_t i = 0; i < COUNT(beside_the_frame); i++) beside_the_frame[i] = spawn(has_objects_of_its_own, (void *)i);
}

static void a_handler_forks_out_of_a_trim_and_has_threads(void)
{
  live_together(leaves_a_heap, ENDED);
  every = 997 * slowness();
  step(trims, forks_and_has_threads);
  if (in_child) {
    alarm(30);
    for (size_t i = 0; i < COUNT(beside_the_frame); i++) join(beside_the_frame[i]);
    malloc_trim(0);
    require(heap_is_sound());
    _exit(0);
  }
  require(instructions / every > 15);
}

static void a_handler_forks_out_of_a_trim(void)
{
  live_together(leaves_a_heap, ENDED);
  every = 499 * slowness(); /* a trim of the tiny heap is 20,000 instructions, of the normal one 120,000 */
  step(trims, forks_and_goes_on);
  if (in_child) {
    alarm(30);
    malloc_trim(0);
    for (int time = 0; time < 2; time++) live_together(has_objects_of_its_own, LATER);
    require(heap_is_sound());
    _exit(0);
  }
  require(instructions / every > 30);
}

/* ---- out of a signal handler ---- */

static volatile sig_atomic_t forks_in_handler;

static void forks(int signal_number)
{
  (void)signal_number;
  int saved = errno;
  pid_t pid = fork();
  if (pid == 0) {
    alarm(PATIENCE_S);
    forks_in_handler = -1; /* back into whatever was interrupted */
  } else {
    require(pid > 0);
    forks_in_handler++;
  }
  errno = saved;
}

static void fork_out_of_a_handler(void)
{
  struct sigaction action = {.sa_handler = forks, .sa_flags = SA_RESTART};
  require(sigaction(SIGVTALRM, &action, NULL) == 0);
  struct itimerval often = {{0, 1000}, {0, 1000}}; /* not inherited by children */
  require(setitimer(ITIMER_VIRTUAL, &often, NULL) == 0);
  uint32_t dice = 1;
  while (forks_in_handler >= 0 && forks_in_handler < OFTEN(150)) replace(&dice, random_size(&dice));
  if (forks_in_handler < 0) {
    for (int i = 0; i < 1000; i++) replace(&dice, random_size(&dice));
    require(heap_is_sound());
    child_lives();
  }
  memset(&often, 0, sizeof often);
  setitimer(ITIMER_VIRTUAL, &often, NULL);
  int status;
  for (int i = 0; i < OFTEN(150); i++) {
    require(wait(&status) > 0);
    require(status == 0);
  }
  require(heap_is_sound());
}

/* The same in threads, which wait for each other in the heap, beside one that forks all the time: each fork comes back, and each child goes on in what was interrupted. In there the heap
 * may say no. (A child slept for a lock that would not come; or a fork waited for the heap with stdio's lock in hand, and a handler on top of who had the heap for that.) */
enum { STORMY = 4, STORM_FORKS = 30, GOES_ON = 300 };
static volatile sig_atomic_t storm_forks, storm_child;

static void forks_in_a_storm(int signal_number)
{
  (void)signal_number;
  int saved = errno;
  if (!storm_child) {
    pid_t pid = fork();
    storm_child = pid == 0;
    if (storm_child) alarm(20);
    else require(wait_for(pid) == 0);
    __atomic_fetch_add(&storm_forks, 1, __ATOMIC_RELAXED);
  }
  errno = saved;
}

static void *is_stormy(void *seed)
{
  uint32_t dice = (uint32_t)(size_t)seed;
  for (int left = GOES_ON; left > 0 && storm_forks < STORM_FORKS; left -= storm_child) replace(&dice, dice % 2 ? 130 * KB + dice % (300 * KB) : random_size(&dice));
  if (storm_child) _exit(0);
  return NULL;
}

static void *forks_beside_a_storm(void *unused)
{
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, NULL);
  while (storm_forks < STORM_FORKS) {
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    require(wait_for(pid) == 0);
  }
  return unused;
}

static void forks_out_of_handlers_in_a_storm(void)
{
  if (GLIBC_BEFORE(2, 36)) skip_test("glibc before 2.36 hangs by itself where a handler forks while another thread does");
  struct sigaction action = {.sa_handler = forks_in_a_storm, .sa_flags = SA_RESTART};
  require(sigaction(SIGUSR1, &action, NULL) == 0);
  pthread_t stormy[STORMY], forker = spawn(forks_beside_a_storm, NULL);
  for (size_t i = 0; i < STORMY; i++) stormy[i] = spawn(is_stormy, (void *)(i + 1));
  for (size_t i = 0; storm_forks < STORM_FORKS; i++) {
    pthread_kill(stormy[i % STORMY], SIGUSR1);
    usleep(20000);
  }
  for (size_t i = 0; i < STORMY; i++) join(stormy[i]);
  join(forker);
  require(heap_is_sound());
}

/* At any instruction of a fork a handler forks, and a handler of that fork again. The children go back into the fork that was interrupted,
 * which so has many ends. In the handler the heap may say no; afterwards everything must be as ever. */
enum { NESTED_FORKS = 200, NESTED_DEPTH = 2 };
static volatile sig_atomic_t in_fork, fork_depth, forks_nested;
static timer_t alarm_clock;

static void set_alarm_clock(uint32_t ns)
{
  require(timer_settime(alarm_clock, 0, &(struct itimerspec){.it_value = {0, ns}}, NULL) == 0);
}

static void forks_again(int unused)
{
  (void)unused;
  if (!in_fork || fork_depth == NESTED_DEPTH) return;
  forks_nested++;
  fork_depth++;
  set_alarm_clock(50000);
  pid_t pid = fork();
  require(pid >= 0);
  if (pid == 0) alarm(PATIENCE_S);
  free(malloc(100));
  free(malloc(5000));
  fork_depth--;
}

static void make_alarm_clock(void)
{
  require(timer_create(CLOCK_MONOTONIC, &(struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1}, &alarm_clock) == 0);
}

static void end_as_a_child(void)
{
  int status;
  while (wait(&status) > 0) require(status == 0);
  run_thread(lives_in_the_child, NULL);
  require(heap_is_sound());
  child_lives();
}

static void forks_inside_of_forks(void)
{
  struct sigaction action = {.sa_handler = forks_again, .sa_flags = SA_RESTART | SA_NODEFER};
  require(sigaction(SIGUSR1, &action, NULL) == 0);
  make_alarm_clock();
  pid_t origin = getpid();
  uint32_t dice = 1;
  use_each_tier();
  size_t arenas = library_stats().arenas;
  for (int i = 0; i < NESTED_FORKS; i++) {
    in_fork = 1;
    set_alarm_clock(1 + next_random(&dice) % 400000);
    pid_t pid = fork();
    in_fork = 0;
    require(pid >= 0);
    use_each_tier();
    require(library_stats().arenas == arenas); /* another is made where a lock stayed taken, */
    require(heap_is_sound());                  /* and the validator then says that it came in again */
    if (getpid() != origin) end_as_a_child();
    int status;
    while (wait(&status) > 0) require(status == 0);
  }
  require(forks_nested > NESTED_FORKS / 10);
  run_thread(lives_in_the_child, NULL); /* which waits for ever for a lock that the main thread could still enter */
}

/* ---- beside stdio ---- */

static void *reads_lines(void *unused)
{
  while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
    FILE *file = tmpfile();
    require(file);
    for (int i = 0; i < 50; i++) fprintf(file, "%0*d\n", i * 20 + 1, i);
    rewind(file);
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, file) > 0) continue;
    free(line);
    fclose(file);
    rest();
  }
  return unused;
}

static void writes_lines(void)
{
  FILE *file = fopen("/dev/null", "w");
  require(file);
  fprintf(file, "%1000d\n", 1);
  require(fclose(file) == 0);
}

static void fork_beside_getline_and_fclose(void)
{
  pthread_t readers[3];
  for (size_t i = 0; i < COUNT(readers); i++) readers[i] = spawn(reads_lines, NULL);
  for (int i = 0; i < OFTEN(300); i++) {
    pid_t pid = fork();
    if (pid == 0) {
      alarm(PATIENCE_S);
      writes_lines();
      child_lives();
    }
    require(wait_for(pid) == 0);
  }
  __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
  for (size_t i = 0; i < COUNT(readers); i++) join(readers[i]);
}

/* ---- handlers of other libraries ---- */

static bool handlers_allocate; /* a fork out of a signal handler may not */
static int handled;

static void allocating_handler(void)
{
  if (!handlers_allocate) return;
  handled++;
  use_each_tier();
}

/* What libraries do whose locks must be free in the child: those that register before everybody else, and those that come late. Both have
 * threads that allocate with the lock held. */
struct library {
  pthread_mutex_t lock;
  bool in_use;
  size_t forks;
};
static struct library early = {.lock = PTHREAD_MUTEX_INITIALIZER}, late = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void lock_library(struct library *library)
{
  if (library->in_use) pthread_mutex_lock(&library->lock);
}

static void unlock_library(struct library *library)
{
  if (!library->in_use) return;
  library->forks++;
  pthread_mutex_unlock(&library->lock);
}

static void lock_early(void) { lock_library(&early); }
static void unlock_early(void) { unlock_library(&early); }
static void lock_late(void) { lock_library(&late); }
static void unlock_late(void) { unlock_library(&late); }

/* Nobody's, so they stay: those of an image go from the list when it is finished, and glibc (2.36) aborts where another thread's fork is in one of them just then ("array
 * index 1 not less than array length 1", with and without us). */
extern int runs_first; /* see plugin/first.c */
static bool others_ran_first;

static void register_early(void)
{
  others_ran_first = runs_first;
  extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *library);
  __register_atfork(lock_early, unlock_early, unlock_early, NULL);
  __register_atfork(allocating_handler, allocating_handler, allocating_handler, NULL);
}
__attribute__((section(".preinit_array"), used)) static void (*const EARLY)(void) = register_early;

static void *allocates_under_its_lock(void *library)
{
  uint32_t dice = 1;
  while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
    pthread_mutex_lock(&((struct library *)library)->lock);
    for (int i = 0; i < 100; i++) replace(&dice, random_size(&dice));
    pthread_mutex_unlock(&((struct library *)library)->lock);
  }
  return NULL;
}

static void locks_of_others_may_be_taken_by_who_allocates(void)
{
  enum { FORKS = OFTEN(100) };
  require(others_ran_first);
  require(pthread_atfork(lock_late, unlock_late, unlock_late) == 0);
  early.in_use = late.in_use = true;
  pthread_t threads[] = {spawn(allocates_under_its_lock, &early), spawn(allocates_under_its_lock, &late)};
  for (int i = 0; i < FORKS; i++) fork_and_check();
  require(early.forks == FORKS && late.forks == FORKS);
  __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
  for (size_t i = 0; i < COUNT(threads); i++) join(threads[i]);
}

static void handlers_may_allocate(void)
{
  pthread_t busy[BUSY];
  require(pthread_atfork(allocating_handler, allocating_handler, allocating_handler) == 0);
  handlers_allocate = true;
  start_busy(busy);
  for (int i = 0; i < 100; i++) fork_and_check();
  stop_busy(busy);
  require(handled >= 400);
}

/* glibc keeps handlers in a list with a lock of its own, which grows by malloc with the 49th, the 73rd and so on. */
static void *forks_on_and_on(void *unused)
{
  while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    require(pid > 0 && wait_for(pid) == 0);
  }
  return unused;
}

/* So that the fork finds the heap's locks taken, and has waited when it comes back to glibc. */
static void *keeps_the_heap_busy(void *unused)
{
  enum { HELD = 500 };
  char *held[HELD];
  while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
    for (size_t i = 0; i < HELD; i++) held[i] = malloc(5000);
    for (size_t i = 0; i < HELD; i++) free(held[i]);
    malloc_trim(0);
  }
  return unused;
}

static void registers_among_forks(void)
{
  enum { HANDLERS = 250 };
  pthread_t threads[] = {spawn(keeps_the_heap_busy, NULL), spawn(keeps_the_heap_busy, NULL), spawn(forks_on_and_on, NULL)};
  alarm(PATIENCE_S);
  for (int i = 0; i < HANDLERS; i++) {
    require(pthread_atfork(NULL, NULL, NULL) == 0);
    if (i % 16 == 0) rest();
  }
  __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
  for (size_t i = 0; i < COUNT(threads); i++) join(threads[i]);
}

static void handlers_are_registered_while_others_fork(void)
{
  for (int i = 0; i < OFTEN(40); i++) require(fate_of(registers_among_forks) == 0);
}

/* ---- heaps that are made anew in a child ---- */

/* The library lets go of a heap's mutex, and only then writes down whose it is: whoever comes in between must not take it for one of the dead. */
static bool dawdles;

int __pthread_mutex_unlock(pthread_mutex_t *mutex);
int __pthread_mutex_unlock(pthread_mutex_t *mutex)
{
  static int (*next)(pthread_mutex_t *); /* atomic */
  if (!next) next = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_unlock");
  int error = next(mutex);
  if (dawdles) usleep(400);
  return error;
}

enum { LEFT_BEHIND = 80, GROWERS = 6, BORN_LATER = LEFT_BEHIND + 20, OBJECTS_OF_ONE = 40 };

static void *stays_behind(void *unused)
{
  free(malloc(40));
  pthread_barrier_wait(&paused);
  pause();
  return unused;
}

static void *trims_twice(void *unused)
{
  malloc_trim(0);
  malloc_trim(0);
  return unused;
}

static void *grows(void *unused)
{
  enum { BLOCKS = 40 };
  char *blocks[BLOCKS];
  for (int round = 0; round < 20; round++) {
    for (size_t i = 0; i < BLOCKS; i++) blocks[i] = malloc(120000);
    for (size_t i = 0; i < BLOCKS; i++) free(blocks[i]);
  }
  return unused;
}

/* Two threads with one heap would be handed the same objects. */
static void *uses_its_heap(void *seed)
{
  unsigned char *own[OBJECTS_OF_ONE];
  pthread_barrier_wait(&forked);
  for (int round = 0; round < 20; round++) {
    for (size_t i = 0; i < OBJECTS_OF_ONE; i++) fill(own[i] = malloc(64), 64, (size_t)seed);
    if (round == 0) pthread_barrier_wait(&forked);
    for (size_t i = 0; i < OBJECTS_OF_ONE; i++) require(holds(own[i], 64, (size_t)seed));
    for (size_t i = 0; i < OBJECTS_OF_ONE; i++) free(own[i]);
  }
  return NULL;
}

static void makes_heaps_anew(void)
{
  pthread_t growers[GROWERS], later[BORN_LATER];
  alarm(PATIENCE_S);
  dawdles = true;
  for (size_t i = 0; i < GROWERS; i++) growers[i] = spawn(i % 2 ? grows : trims_twice, NULL);
  for (size_t i = 0; i < GROWERS; i++) join(growers[i]);
  dawdles = false;
  pthread_barrier_init(&forked, NULL, BORN_LATER);
  for (size_t i = 0; i < BORN_LATER; i++) later[i] = spawn(uses_its_heap, (void *)(i + 1));
  for (size_t i = 0; i < BORN_LATER; i++) join(later[i]);
  require(heap_is_sound());
}

static void a_heap_made_anew_is_one_threads(void)
{
  pthread_barrier_init(&paused, NULL, LEFT_BEHIND + 1);
  for (size_t i = 0; i < LEFT_BEHIND; i++) spawn(stays_behind, NULL);
  pthread_barrier_wait(&paused);
  for (int i = 0; i < OFTEN(40); i++) require(fate_of(makes_heaps_anew) == 0);
}

/* ---- the relatives of fork ---- */

static void *forks_for_ever(void *unused)
{
  for (;;) {
    pid_t child = fork();
    if (child == 0) {
      use_each_tier();
      _exit(0);
    }
    waitpid(child, NULL, 0);
  }
  return unused;
}

static void *opens_and_closes_a_file(void *unused)
{
  FILE *file = fopen("/dev/null", "w");
  require(file && fclose(file) == 0);
  return unused;
}

static void lives_as_a_daemon(void)
{
  for (int i = 0; i < 4; i++) join(spawn(opens_and_closes_a_file, NULL));
  require(fate_of(use_each_tier) == 0); /* and its children */
}

/* Of a process that has one thread: before glibc 2.32 its lock of stdio's list was held in the child, for good. */
static void a_daemon_has_threads_that_open_files(void)
{
  require(fate_of(lives_as_a_daemon) == 0);
}

static void *churns_for_ever(void *unused)
{
  for (uint32_t dice = 7;;) replace(&dice, random_size(&dice));
  return unused;
}

/* A process ends while one of its threads forks: what the fork holds it must leave all the same. */
static void exit_while_another_thread_forks(void)
{
  enum { PROCESSES = OFTEN(100), WELL = 7 };
#ifndef __GLIBC__
  skip_test("musl 1.2.3 hangs by itself, one of some hundred such processes: its exit() goes to the loader's lock with that of atexit(), its fork() the other way");
#endif
  for (int i = 0; i < PROCESSES; i++) {
    pid_t process = fork();
    if (process == 0) {
      spawn(forks_for_ever, NULL);
      spawn(churns_for_ever, NULL);
      usleep(2000 + (unsigned)i * 37 % 1000);
      exit(WELL);
    }
    int status;
    require(waitpid(process, &status, 0) == process && WIFEXITED(status) && WEXITSTATUS(status) == WELL);
  }
}

static void vfork_spawn_and_system(void)
{
  pthread_t busy[BUSY];
  start_busy(busy);
  char *const arguments[] = {(char *)"true", NULL};
  for (int i = 0; i < OFTEN(50); i++) {
    pid_t pid;
    require(posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ) == 0);
    require(wait_for(pid) == 0);
    pid = vfork();
    if (pid == 0) {
      execv("/bin/true", arguments);
      _exit(1);
    }
    require(wait_for(pid) == 0);
    require(system("exit 3") == 3 << 8);
  }
  stop_busy(busy);
}

/* A debugger that makes a checkpoint calls fork() in the program, and has the child go on where it stopped it: with all that the fork's handlers did before, and without what they do
 * afterwards. Signals are never blocked here: glibc 2.41 and later block all around the system call, and one that is blocked cannot be trapped. */
#if defined(__x86_64__) && defined(SYS_clone3)
static sigjmp_buf where_it_stopped;

static void forks_for_the_debugger(int unused, siginfo_t *info, void *context)
{
  (void)unused, (void)info;
  struct clone_args how = {.exit_signal = SIGCHLD};
  long pid = syscall(SYS_clone3, &how, sizeof how);
  if (pid == 0) siglongjmp(where_it_stopped, 1);
  ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = pid < 0 ? -errno : pid;
}

static void *works_in_checkpoint(void *unused)
{
  churn(5, 5000);
  return unused;
}

static void a_debugger_goes_on_in_a_child(void)
{
  struct sigaction action = {.sa_sigaction = forks_for_the_debugger, .sa_flags = SA_SIGINFO | SA_NODEFER};
  struct sock_filter code[] = {LOAD_CALL, IF_CALL(SYS_clone, SECCOMP_RET_TRAP), IF_CALL(SYS_rt_sigprocmask, SECCOMP_RET_ERRNO /* 0 */), OTHERWISE(SECCOMP_RET_ALLOW)};
  use_each_tier();
  require(sigaction(SIGSYS, &action, NULL) == 0);
  install_filter(code, COUNT(code), 0);
  if (sigsetjmp(where_it_stopped, 1) == 0) {
    pid_t pid = fork();
    if (pid < 0 && errno == ENOSYS) skip_test("this kernel has no clone3");
    require(wait_for(pid) == 0);
    return;
  }
  alarm(PATIENCE_S);
  use_each_tier();
  pthread_t threads[4];
  for (size_t i = 0; i < COUNT(threads); i++) threads[i] = spawn(works_in_checkpoint, NULL);
  for (size_t i = 0; i < COUNT(threads); i++) join(threads[i]);
  require(heap_is_sound());
  _exit(0);
}
#else
static void a_debugger_goes_on_in_a_child(void) { skip_test("written for x86-64 alone"); }
#endif

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST(a_thousand_forks_among_busy_threads),
      TEST(two_threads_fork_at_once),
      TEST(several_threads_fork_among_busy_ones),
      TEST(children_of_two_forks_at_once_have_a_sound_heap),
      TEST(children_have_threads_and_children),
      TEST(a_child_makes_block_heaps),
      TEST(a_forker_that_dies_in_the_child_leaves_its_heap),
      TEST(threads_that_ended_before_a_fork_are_not_counted_after_it),
      TEST(a_long_line_of_forks),
      TEST(a_child_frees_what_other_threads_owned),
      TEST(a_child_uses_again_what_it_frees_of_other_threads),
      TEST(a_child_uses_what_was_free_in_other_threads),
      TEST(threads_of_a_child_share_what_other_threads_owned),
      TEST(a_long_line_of_threaded_forks),
      TEST(a_long_line_of_forks_beside_sleepers),
      TEST(a_fork_at_every_instruction_of_a_free_to_the_forker),
      TEST(a_fork_at_many_instructions_of_another_thread),
      TEST(a_fork_out_of_a_handler_while_a_long_mail_is_read),
      TEST(fork_out_of_a_handler),
      TEST(fork_beside_getline_and_fclose),
      TEST(handlers_may_allocate),
      TEST(locks_of_others_may_be_taken_by_who_allocates),
      TEST(handlers_are_registered_while_others_fork),
      TEST(a_heap_made_anew_is_one_threads),
      TEST(forks_inside_of_forks),
      TEST(a_handler_forks_while_a_mapping_goes_back),
      TEST(forks_out_of_handlers_in_a_storm),
      TEST(a_handler_forks_out_of_a_trim),
      TEST(a_handler_forks_out_of_a_trim_and_has_threads),
      TEST(a_daemon_has_threads_that_open_files),
      TEST(exit_while_another_thread_forks),
      TEST(vfork_spawn_and_system),
      TEST(a_debugger_goes_on_in_a_child),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
