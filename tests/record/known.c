/* SPDX-License-Identifier: MIT */
/* known NAME: programs whose allocations have exact numbers, for the recorder to find. They print what they did themselves,
 * as `name value` lines, and allocate nothing else: a C program starts without a call of malloc, and there is no stream. */
#include "../verbs.h"

#include <sys/time.h>

enum { THREADS = 4, EACH = 5000, SHORT_LIVES = 2000, MANY = 200000, FORKED = 100 };

static long ops, live, peak;

static void grew(size_t bytes)
{
  ops++;
  live += (long)bytes;
  if (live > peak) peak = live;
}

static void *got(void *ptr, size_t bytes)
{
  require(ptr);
  grew(bytes);
  return ptr;
}

static void gone(void *ptr, size_t bytes)
{
  free(ptr);
  ops++;
  live -= (long)bytes;
}

static void tell(const char *name, long value)
{
  char line[64];
  int length = snprintf(line, sizeof line, "%s %ld\n", name, value);
  require(write(STDOUT_FILENO, line, (size_t)length) == length);
}

/* ---- one thread: every call once at each size; what fails is no event ---- */

static void *resized(void *old, size_t from, size_t to, bool array)
{
  void *ptr = array ? reallocarray(old, 1, to) : realloc(old, to);
  require(ptr);
  live -= (long)from;
  grew(to);
  return ptr;
}

static void each_call(size_t bytes)
{
  enum { CALLS = 9 };
  void *block[CALLS], *aligned;
  size_t page = 4096, whole_pages = (bytes + page - 1) & ~(page - 1);
  block[0] = got(malloc(bytes), bytes);
  block[1] = got(calloc(3, bytes), 3 * bytes);
  block[2] = got(realloc(NULL, bytes), bytes);
  block[3] = got(reallocarray(NULL, 2, bytes), 2 * bytes);
  require(posix_memalign(&aligned, 64, bytes) == 0);
  block[4] = got(aligned, bytes);
  block[5] = got(aligned_alloc(32, bytes), bytes);
  block[6] = got(memalign(1024, bytes), bytes);
  block[7] = got(valloc(bytes), bytes);
  block[8] = got(pvalloc(bytes), whole_pages);
  block[0] = resized(block[0], bytes, bytes * 3, false);
  block[2] = resized(block[2], bytes, bytes / 2 + 1, true);
  gone(NULL, 0);
  volatile size_t too_much = (size_t)PTRDIFF_MAX + 1;
  require(!malloc(too_much) && !calloc(too_much, 2) && !reallocarray(block[0], too_much, 2));
  require(!realloc(block[0], too_much)); /* and leaves the block */
  require(!realloc(block[3], 0));                       /* a free */
  ops++;
  live -= 2 * (long)bytes;
  const size_t sizes[CALLS] = {bytes * 3, bytes * 3, bytes / 2 + 1, 0, bytes, bytes, bytes, bytes, whole_pages};
  for (int i = 0; i < CALLS; i++)
    if (i != 3) gone(block[i], sizes[i]);
}

static void single(void)
{
  void *kept = got(malloc(12345), 12345);
  for (size_t i = 0; i < COUNT(SIZES); i++) each_call(SIZES[i]);
  gone(kept, 12345);
}

/* ---- threads ---- */

static void *ring[THREADS][EACH];
static pthread_barrier_t meeting;

static void *give_and_take(void *arg)
{
  size_t mine = (size_t)(uintptr_t)arg, theirs = (mine + 1) % THREADS;
  for (size_t i = 0; i < EACH; i++) require((ring[mine][i] = malloc(i % 300)));
  pthread_barrier_wait(&meeting);
  for (size_t i = 0; i < EACH; i++) free(ring[theirs][i]);
  return NULL;
}

static void threads(void)
{
  pthread_t id[THREADS];
  pthread_barrier_init(&meeting, NULL, THREADS);
  for (uintptr_t i = 0; i < THREADS; i++) id[i] = spawn(give_and_take, (void *)i);
  for (int i = 0; i < THREADS; i++) join(id[i]);
  for (size_t i = 0; i < EACH; i++) grew(THREADS * (i % 300));
  ops = 2 * THREADS * EACH;
}

/* Blocks of one size that wander: an address freed by one thread is born again in another at once. */
static void *swap_places(void *arg)
{
  uint32_t seed = (uint32_t)(uintptr_t)arg + 1;
  pthread_barrier_wait(&meeting);
  for (int i = 0; i < MANY / THREADS; i++) {
    void *mine = malloc(3000);
    require(mine);
    free(__atomic_exchange_n(&ring[0][next_random(&seed) % 16], mine, __ATOMIC_ACQ_REL));
  }
  return NULL;
}

static void swaps(void)
{
  pthread_t id[THREADS];
  pthread_barrier_init(&meeting, NULL, THREADS);
  for (uintptr_t i = 0; i < THREADS; i++) id[i] = spawn(swap_places, (void *)i);
  for (int i = 0; i < THREADS; i++) join(id[i]);
  for (int i = 0; i < 16; i++) free(ring[0][i]);
  ops = 2 * MANY;
}

static void *live_shortly(void *arg)
{
  free(malloc(77));
  return arg;
}

static void short_lives(void)
{
  for (int i = 0; i < SHORT_LIVES; i++) run_thread(live_shortly, NULL);
  ops = 2 * SHORT_LIVES;
}

/* ---- ends and descriptors ---- */

static void killed(void)
{
  for (int i = 0; i < MANY; i++) grew(malloc((size_t)i % 100) ? (size_t)i % 100 : 0);
  tell("ops", ops);
  tell("peak", peak);
  kill(getpid(), SIGKILL);
}

static void leaves_at_once(void)
{
  (void)got(malloc(10), 10);
  tell("ops", ops);
  tell("peak", peak);
  _exit(0);
}

static void closes_all(void)
{
  for (int i = 0; i < MANY; i++) {
    if (i % 1000 == 0)
      for (int fd = 3; fd < 64; fd++) close(fd);
    errno = EXDEV;
    gone(got(malloc(200), 200), 200);
    require(errno == EXDEV);
  }
  require(open("/", O_RDONLY) == 3);
}

/* ---- signals, fork ---- */

static void allocate_in_handler(int signal)
{
  (void)signal;
  free(malloc(50));
}

static void signals(void)
{
  struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
  signal(SIGALRM, allocate_in_handler);
  setitimer(ITIMER_REAL, &often, NULL);
  for (uint32_t i = 0; i < 40; i++) churn(i + 1, 5000);
  setitimer(ITIMER_REAL, &never, NULL);
}

static volatile bool stop;

static void *keep_busy(void *arg)
{
  while (!stop) free(malloc(1000));
  return arg;
}

/* A child frees what it inherited, which is unknown to its own trace, and has objects of its own. The other thread is in the
 * recorder's locks at many of the forks. */
static void forks(void)
{
  pthread_t busy = spawn(keep_busy, NULL);
  void *inherited[FORKED], *own[FORKED];
  for (int i = 0; i < FORKED; i++) inherited[i] = malloc(64);
  for (int child = 0; child < 20; child++) {
    pid_t pid = fork();
    if (pid == 0) {
      for (int i = 0; i < FORKED; i++) require((own[i] = malloc(32)));
      for (int i = 0; i < FORKED; i++) free(inherited[i]);
      for (int i = 0; i < FORKED; i++) free(own[i]);
      _exit(0);
    }
    require(wait_for(pid) == 0);
  }
  stop = true;
  join(busy);
}

int main(int argc, char **argv)
{
  static const struct test PROGRAMS[] = {TEST(single),     TEST(threads), TEST(swaps), TEST(short_lives), TEST(killed),
                                         TEST(leaves_at_once), TEST(closes_all), TEST(signals), TEST(forks)};
  for (size_t i = 0; i < COUNT(PROGRAMS); i++)
    if (argc > 1 && strcmp(argv[1], PROGRAMS[i].name) == 0) {
      alarm(PATIENCE_S);
      PROGRAMS[i].run();
      tell("ops", ops);
      tell("peak", peak);
      return 0;
    }
  return 2;
}
