/* fork: from threaded programs, twice at once, out of a signal handler, beside stdio, with handlers that allocate. */
#include "verbs.h"
#include <spawn.h>
#include <sys/time.h>

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
  for (int i = 0; i < 1000; i++) fork_and_check();
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
  pthread_t one = spawn(forks_often, (void *)300), two = spawn(forks_often, (void *)300);
  join(one);
  join(two);
}

static void several_threads_fork_among_busy_ones(void)
{
  pthread_t busy[BUSY], forkers[4];
  start_busy(busy);
  for (size_t i = 0; i < COUNT(forkers); i++) forkers[i] = spawn(forks_often, (void *)50);
  for (size_t i = 0; i < COUNT(forkers); i++) join(forkers[i]);
  stop_busy(busy);
}

/* All work, all pause, two fork in the same moment, and nobody was inside malloc: the children own a heap in which nothing is amiss. */
enum { ROUNDS = 60, WORKERS = 4 };
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
  for (int i = 0; i < 60; i++) {
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

static void a_child_makes_block_heaps(void)
{
  use_each_tier();
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

/* Who forks is another thread in the child, with the same heap. When it dies there, others must find that heap. */
static pthread_t forker;

static void *outlives_the_forker(void *unused)
{
  use_each_tier();
  size_t heaps_of_two = thread_heaps();
  pthread_barrier_wait(&paused);
  join(forker);
  for (int i = 0; i < 10; i++) run_thread(lives_in_the_child, NULL);
  require(thread_heaps() == heaps_of_two);
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
  while (forks_in_handler >= 0 && forks_in_handler < 150) replace(&dice, random_size(&dice));
  if (forks_in_handler < 0) {
    for (int i = 0; i < 1000; i++) replace(&dice, random_size(&dice));
    require(heap_is_sound());
    child_lives();
  }
  memset(&often, 0, sizeof often);
  setitimer(ITIMER_VIRTUAL, &often, NULL);
  int status;
  for (int i = 0; i < 150; i++) {
    require(wait(&status) > 0);
    require(status == 0);
  }
  require(heap_is_sound());
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
  for (int i = 0; i < 300; i++) {
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

/* Before the library's own handlers, if nothing has allocated yet: then these run while it holds every lock. */
static void register_early(void)
{
  pthread_atfork(allocating_handler, allocating_handler, allocating_handler);
}
__attribute__((section(".preinit_array"), used)) static void (*const EARLY)(void) = register_early;

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

/* ---- the relatives of fork ---- */

static void vfork_spawn_and_system(void)
{
  pthread_t busy[BUSY];
  start_busy(busy);
  char *const arguments[] = {(char *)"true", NULL};
  for (int i = 0; i < 50; i++) {
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
      TEST(fork_out_of_a_handler),
      TEST(fork_beside_getline_and_fclose),
      TEST(handlers_may_allocate),
      TEST(vfork_spawn_and_system),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
