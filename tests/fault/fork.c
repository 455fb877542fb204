/* SPDX-License-Identifier: MIT */
/* fork at the moments that are hard to meet: handlers that run while the library holds its locks, since they were registered before its
 * own, with forks in them; forks by a handler that interrupted the library, beside a thread that stands still in there. */
#include "kernel.h"

#include <dlfcn.h>
#include <semaphore.h>

#include "../../src/arena.h"
#include "../../src/thread.h"

/* ---- handlers registered first of all ---- */

static void (*in_prepare)(void), (*in_parent)(void), (*in_child)(void);

static void prepare(void) { if (in_prepare) in_prepare(); }
static void parent(void) { if (in_parent) in_parent(); }
static void child(void) { if (in_child) in_child(); }

/* A program's preinit_array runs before the constructors of what is linked into it. */
static void register_first(void)
{
  pthread_atfork(prepare, parent, child);
}
__attribute__((section(".preinit_array"), used)) static void (*const FIRST)(void) = register_first;

static int handled;

static void allocates(void)
{
  handled++;
  use_each_tier();
}

static void *is_busy(void *stop)
{
  for (uint32_t dice = 1; !__atomic_load_n((bool *)stop, __ATOMIC_RELAXED); usleep(100)) free(malloc(random_size(&dice)));
  return NULL;
}

static void handlers_may_allocate(void)
{
  static bool stop;
  pthread_t busy = spawn(is_busy, &stop);
  in_prepare = in_parent = in_child = allocates;
  for (int i = 0; i < 100; i++) require(fate_of(use_each_tier) == 0);
  __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
  join(busy);
  require(handled == 200);
}

static void *has_a_life(void *unused)
{
  for (int i = 0; i < 3; i++) use_each_tier();
  return unused;
}

/* The fork of a process with threads has the locks of all block heaps; of one that a handler made it would not, and another thread might when the child begins. */
static void moves_out(void)
{
  size_t before = arena_count();
  handled++;
  arena_move_out(self);
  require(arena_count() == before);
}

static void a_handler_makes_no_block_heap(void)
{
  run_thread(has_a_life, NULL);
  in_prepare = in_parent = in_child = moves_out;
  require(fate_of(use_each_tier) == 0 && handled == 2);
  size_t before = arena_count();
  arena_move_out(self);
  require(arena_count() == before + 1);
}

/* ---- forks within forks ---- */

/* A lock that stayed taken shows: another arena is made, or nothing is served, or the validator is told that it came in again; or, where we may
 * come in again, another thread waits for ever. */
static void all_locks_are_free(void)
{
  for (int i = 0; i < 3; i++) {
    use_each_tier();
    void *p = malloc(5 * MB), *q = aligned_alloc(MB, 100);
    require(p && q);
    free(p);
    free(q);
  }
  malloc_trim(0);
  require(heap_is_sound());
  require(library_stats().arenas == 1);
  run_thread(has_a_life, NULL);
}

enum { DEPTH = 3 };
static volatile sig_atomic_t depth, forks_made;

/* Every second child ends in the handler, the others go back into the fork that the handler interrupted, which then has two ends. */
static void forks(int signal_number)
{
  (void)signal_number;
  if (depth == DEPTH) return;
  depth++;
  bool goes_on = ++forks_made % 2;
  pid_t pid = fork();
  if (pid == 0) {
    alarm(PATIENCE_S);
    use_each_tier();
    if (!goes_on) _exit(0);
  } else {
    require(pid > 0);
    use_each_tier();
  }
  depth--;
}

static void raises_twice(void)
{
  raise(SIGUSR1);
  raise(SIGUSR1);
}

static void children_are_well(void)
{
  int status;
  while (wait(&status) > 0) require(status == 0);
}

/* Where the program is a child that went on, it ends here, so that its parent hears of it. */
static void one_fork_is_forks_nest(void)
{
  struct sigaction action = {.sa_handler = forks, .sa_flags = SA_NODEFER};
  require(sigaction(SIGUSR1, &action, NULL) == 0);
  pid_t origin = getpid(), pid = fork();
  all_locks_are_free();
  require(pid >= 0);
  children_are_well();
  if (getpid() != origin) _exit(0);
}

/* Where there never was another thread a fork takes no locks. (In one kind of handler, as below: in all three they would be thousands.) */
static void forks_in_handlers_of_a_single_thread(void)
{
  in_prepare = raises_twice;
  one_fork_is_forks_nest();
}

/* Before 2.36 glibc holds a lock of its own while handlers run, where there were threads: with its own malloc, too, a fork out of one hangs. */
/* A process with threads, in which a fork's handler may fork. */
static void begin_threaded(void)
{
  if (GLIBC_BEFORE(2, 36)) skip_test("glibc before 2.36 hangs by itself in a fork that a handler of one makes");
  run_thread(has_a_life, NULL);
}

static void forks_in_prepare_handlers(void)
{
  begin_threaded();
  in_prepare = raises_twice;
  one_fork_is_forks_nest();
}

static void forks_in_parent_handlers(void)
{
  begin_threaded();
  in_parent = raises_twice;
  one_fork_is_forks_nest();
}

static void forks_in_child_handlers(void)
{
  begin_threaded();
  in_child = raises_twice;
  one_fork_is_forks_nest();
}

/* ---- out of a handler, beside a thread that stands still ---- */

/* Both wait in calls that the library makes: the main thread, which will fork there, and the other, which the child will not have. */
static enum kind main_waits_at, other_waits_at;
static pthread_t main_thread;
static sem_t main_is_there, other_is_ready, other_is_there;
static bool forks_there, stands_still;
static pid_t born;

static void meet(enum kind kind)
{
  if (!pthread_equal(pthread_self(), main_thread)) {
    if (kind != other_waits_at || !__atomic_load_n(&stands_still, __ATOMIC_RELAXED)) return;
    __atomic_store_n(&stands_still, false, __ATOMIC_RELAXED);
    sem_post(&other_is_there);
    if (kind != WAIT) sem_wait(&main_is_there);
  } else if (kind == main_waits_at && forks_there) {
    forks_there = false;
    stands_still = true;
    sem_post(&main_is_there);
    sem_wait(&other_is_there);
    born = fork();
    if (born == 0) free(malloc(100)); /* may be refused, in here */
    sem_post(&main_is_there);
  }
}

/* `mine` is what the main thread does, `others` what the other does meanwhile. */
static void fork_in_the_middle(void (*mine)(void), enum kind mine_waits_at, void *(*others)(void *), enum kind others_wait_at)
{
  main_thread = pthread_self();
  main_waits_at = mine_waits_at;
  other_waits_at = others_wait_at;
  sem_init(&main_is_there, 0, 0);
  sem_init(&other_is_ready, 0, 0);
  sem_init(&other_is_there, 0, 0);
  pthread_t other = spawn(others, NULL);
  sem_wait(&other_is_ready);
  forks_there = true;
  kernel.visit = meet;
  mine();
  kernel.visit = NULL;
  require(!forks_there);
  if (born == 0) return;
  join(other);
  require(wait_for(born) == 0);
  use_each_tier();
  require(heap_is_sound());
}

static void wait_for_main(void)
{
  sem_post(&other_is_ready);
  sem_wait(&main_is_there);
}

static void the_heap_grows(void)
{
  for (int i = 0; i < 400 && forks_there; i++) require(malloc(60000));
}

static void mappings_go(void)
{
  free(malloc(MB));
  malloc_trim(0);
}

static void *is_born(void *unused)
{
  wait_for_main();
  free(malloc(100));
  return unused;
}

/* By realloc, which takes no other lock on its way. */
static void *grows_the_heap(void *unused)
{
  void *first = malloc(2000);
  wait_for_main();
  for (int i = 0; i < 100; i++) require(realloc(malloc(2000), 120000));
  free(first);
  return unused;
}

static void *held[100];

static void *gives_pages_back(void *unused)
{
  void *blocks[1000];
  for (size_t i = 0; i < COUNT(blocks); i++) touch(blocks[i] = malloc(20000), 20000);
  wait_for_main();
  for (size_t i = 0; i < COUNT(blocks); i++) {
    kernel.ahead_s++;
    free(blocks[i]);
  }
  return unused;
}

static void *unmaps(void *unused)
{
  void *first = malloc(MB);
  wait_for_main();
  free(first);
  malloc_trim(0);
  return unused;
}

static void is_a_whole_process(void)
{
  alarm(PATIENCE_S);
  use_each_tier();
  run_thread(has_a_life, NULL);
  require(fate_of(use_each_tier) == 0);
  for (size_t i = 0; i < COUNT(held); i++) free(held[i]);
  malloc_trim(0);
  require(heap_is_sound());
  _exit(0);
}

/* The other holds the lock for births and waits for the arena, which the frame below holds. */
static void another_is_being_born(void)
{
  use_each_tier();
  fork_in_the_middle(the_heap_grows, BRK, is_born, WAIT);
  if (born == 0) is_a_whole_process();
}

/* The only arena and the growth of the heap stand still: mappings serve. */
static void another_grows_the_heap(void)
{
  for (size_t i = 0; i < COUNT(held); i++) held[i] = malloc(i * 100);
  fork_in_the_middle(mappings_go, MUNMAP, grows_the_heap, BRK);
  if (born == 0) is_a_whole_process();
}

/* The only arena stands still: another is made. */
static void another_gives_pages_back(void)
{
  for (size_t i = 0; i < COUNT(held); i++) held[i] = malloc(i * 1000);
  fork_in_the_middle(mappings_go, MUNMAP, gives_pages_back, MADVISE);
  if (born != 0) return;
  for (size_t i = 0; i < 4000; i++) require(malloc(i));
  require(library_stats().mapped_bytes < 2 * MB); /* blocks are blocks */
  is_a_whole_process();
}

/* The table of mappings stands still: large blocks come from the heap or not at all, and those that are freed are lost. */
static void another_unmaps(void)
{
  held[0] = malloc(MB);
  fork_in_the_middle(the_heap_grows, BRK, unmaps, MUNMAP);
  if (born != 0) return;
  alarm(PATIENCE_S);
  require(malloc(200) && malloc(50000) && malloc(2 * MB));
  free(malloc(20 * MB));
  free(held[0]);
  require(fate_of(use_each_tier) == 0);
  require(heap_is_sound());
  _exit(0);
}

/* ---- out of a handler, on top of a fork that is at its end ---- */

/* fork's parent leaves stdio's lock: the library's call comes here, libc's own does not. (Looked up in advance: glibc's dlsym takes memory, before 2.34.) */
static void (*libcs_unlock)(void);
static __attribute__((constructor)) void look_up(void) { libcs_unlock = (void (*)(void))dlsym(RTLD_NEXT, "_IO_list_unlock"); }

void _IO_list_unlock(void)
{
  meet(WAIT);
  libcs_unlock();
}

static pid_t first_born;

static void fork_once(void)
{
  if ((first_born = fork()) == 0) _exit(0);
}

/* It knows that it is on top of one, and goes without the lock that another keeps: who waits for stdio's, with that one's lock in hand, would never come on. */
static void a_fork_leaves_while_another_gives_pages_back(void)
{
  begin_threaded();
  fork_in_the_middle(fork_once, WAIT, gives_pages_back, MADVISE);
  if (born == 0) is_a_whole_process();
  require(wait_for(first_born) == 0);
}

/* ---- a wait that is interrupted ---- */

/* Main waits for the growth of the heap, with its arena in hand; a handler forks there, and does not get what another has. The child goes on in that wait: nobody will end it. */
static bool grows_there;
static void *first_of_each[80];

static void waits_for_growth(enum kind kind)
{
  if (!pthread_equal(pthread_self(), main_thread)) {
    if (kind != BRK || !grows_there) return;
    grows_there = false;
    sem_post(&other_is_there);
    sem_wait(&main_is_there);
  } else if (kind == WAIT && forks_there) {
    forks_there = false;
    if ((born = fork()) == 0) alarm(10);
    else sem_post(&main_is_there);
  }
}

/* In a heap of its own, as who came to the first one often has. */
static void *grows_its_own_heap(void *unused)
{
  for (size_t i = 0; i < COUNT(first_of_each); i++) require((first_of_each[i] = malloc(60000)));
  wait_for_main();
  for (int i = 0; i < 400; i++) require(malloc(60000));
  return unused;
}

static void a_child_waits_for_nobody(void)
{
  main_thread = pthread_self();
  sem_init(&main_is_there, 0, 0);
  sem_init(&other_is_ready, 0, 0);
  sem_init(&other_is_there, 0, 0);
  pthread_t other = spawn(grows_its_own_heap, NULL);
  sem_wait(&other_is_ready);
  grows_there = forks_there = true;
  kernel.visit = waits_for_growth;
  sem_post(&main_is_there);
  sem_wait(&other_is_there);
  the_heap_grows();
  kernel.visit = NULL;
  require(!forks_there);
  if (born == 0) is_a_whole_process();
  join(other);
  require(wait_for(born) == 0 && heap_is_sound());
}

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST(handlers_may_allocate),
      TEST(a_handler_makes_no_block_heap),
      TEST(forks_in_handlers_of_a_single_thread),
      TEST(forks_in_prepare_handlers),
      TEST(forks_in_parent_handlers),
      TEST(forks_in_child_handlers),
      TEST(another_is_being_born),
      TEST(another_grows_the_heap),
      TEST(another_gives_pages_back),
      TEST(another_unmaps),
      TEST(a_fork_leaves_while_another_gives_pages_back),
      TEST(a_child_waits_for_nobody),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
