/* SPDX-License-Identifier: MIT */
/* Signals: a handler that reports a crash allocates, though it should not; it must not hang for ever. */
#include "verbs.h"
#include <sys/time.h>

enum { REPORTED = 42 };

static void reports_with_malloc(int signal_number)
{
  (void)signal_number;
  use_each_tier();
  _exit(REPORTED);
}

static void install(int signal_number, void (*handler)(int), int flags)
{
  struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
  require(sigaction(signal_number, &action, NULL) == 0);
}

/* The expected messages are no news. */
static void silence(void)
{
  dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
}

static void double_free_of(size_t bytes)
{
  silence();
  install(SIGABRT, reports_with_malloc, (int)SA_RESETHAND);
  void *volatile p = malloc(bytes);
  free(p);
  free(p);
}

static void double_free_small(void) { double_free_of(100); }
static void double_free_medium(void) { double_free_of(20000); }
static void double_free_large(void) { double_free_of(500000); }

/* abort() comes out of the middle of free: no lock may be held there that the handler's malloc waits for. */
static void a_handler_of_abort_may_allocate(void)
{
  require(fate_of(double_free_small) == REPORTED << 8);
  require(fate_of(double_free_medium) == REPORTED << 8);
  require(fate_of(double_free_large) == REPORTED << 8);
}

/* Write over freed memory, then allocate: whatever malloc makes of it, crash, abort or nothing, the process ends. */
static void scribble_over_freed(void)
{
  silence();
  install(SIGABRT, reports_with_malloc, (int)SA_RESETHAND);
  install(SIGSEGV, reports_with_malloc, (int)SA_RESETHAND);
  install(SIGBUS, reports_with_malloc, (int)SA_RESETHAND);
  enum { BLOCKS = 64 };
  char *volatile blocks[BLOCKS];
  for (size_t bytes = 40; bytes < 100000; bytes *= 5) {
    for (size_t i = 0; i < BLOCKS; i++) blocks[i] = malloc(bytes);
    for (size_t i = 0; i < BLOCKS; i += 2) free(blocks[i]);
    malloc_trim((size_t)1 << 30); /* out of caches, into the heap */
    for (size_t i = 0; i < BLOCKS; i += 2) memset(blocks[i], 0xA5, bytes);
    for (size_t i = 0; i < BLOCKS; i++) blocks[i] = malloc(bytes + 100);
  }
}

static void a_crash_inside_malloc_ends_the_process(void)
{
  int status = fate_of(scribble_over_freed);
  require(!WIFSIGNALED(status) || WTERMSIG(status) != SIGALRM);
}

/* The rest of the process goes on while a handler interrupts malloc again and again, as a profiler's does. */
static volatile sig_atomic_t ticks;

static void counts(int signal_number)
{
  (void)signal_number;
  ticks++;
}

static void *churns(void *seed)
{
  for (int i = 0; i < 3; i++) churn((uint32_t)(size_t)seed, 5000);
  return NULL;
}

static void interruptions_are_harmless(void)
{
  install(SIGPROF, counts, SA_RESTART);
  struct itimerval often = {{0, 1000}, {0, 1000}};
  require(setitimer(ITIMER_PROF, &often, NULL) == 0);
  pthread_t one = spawn(churns, (void *)1), two = spawn(churns, (void *)2);
  join(one);
  join(two);
  while (ticks < 5) churns((void *)3);
}

static void *mappings[8000];
static volatile size_t mappings_left;

static void frees_a_mapping(int signal_number)
{
  (void)signal_number;
  if (mappings_left) free(mappings[--mappings_left]);
}

/* What the handler frees is live, whatever the code it interrupted was doing: never misuse. */
static void a_handler_may_free_large_blocks(void)
{
  for (size_t i = 0; i < COUNT(mappings); i++) require(mappings[i] = malloc(140000));
  mappings_left = COUNT(mappings);
  install(SIGALRM, frees_a_mapping, SA_RESTART);
  struct itimerval often = {{0, 50}, {0, 50}};
  require(setitimer(ITIMER_REAL, &often, NULL) == 0);
  for (size_t i = 0; mappings_left; i++) free(malloc(200000 + i % 100 * 4096));
  struct itimerval never = {{0, 0}, {0, 0}};
  require(setitimer(ITIMER_REAL, &never, NULL) == 0);
}

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST(a_handler_of_abort_may_allocate),
      TEST(a_crash_inside_malloc_ends_the_process),
      TEST(interruptions_are_harmless),
      TEST(a_handler_may_free_large_blocks),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
