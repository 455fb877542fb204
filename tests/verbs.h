/* SPDX-License-Identifier: MIT */
/* The verbs of the C tests.
 *
 * A test is a function; a file of tests ends in a table and `return run_table(...)`. Every test runs in a
 * process of its own, this program executed again with the test's name, so that each starts from an untouched heap
 * and a crash, a hang or a lowered limit is the fault of one test only. `PROGRAM NAME` runs one test by hand.
 *
 * Inside a test `require` is the only assertion: cmocka's long-jump, which is wrong in threads, forked children,
 * constructors and destructors. cmocka counts and prints. */
#ifndef VERBS_H
#define VERBS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "older.h"
#include "osmem.h"
#ifndef __GLIBC__
#include "musl/glibc.h"
#endif

enum {
  KB = 1024,
  MB = 1024 * 1024,
  SKIPPED = 77,
};

#ifndef PATIENCE_S /* on a machine that is emulated */
#define PATIENCE_S 60 /* a test that takes longer hangs: SIGALRM ends it */
#endif

/* What is done so often that it takes seconds on any machine: there minutes. */
#define OFTEN(times) (PATIENCE_S > 60 ? (times) / 5 : (times))

/* One of each tier, the edges between them, and some in between. */
static const size_t SIZES[] = {1,     8,     16,     24,     100,    255,     256,    500,    1000,   1023,     1024,      1025,
                               2000,  5000,  16384,  60000,  100000, 131071,  131072, 131073, 200000, 1000000,  10 * MB};
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* An alignment that is no power of two is rounded up by glibc; with musl it is EINVAL. realloc(p, 0) frees, with glibc; with musl it leaves a
 * block, as malloc(0) makes one, */
#ifdef __GLIBC__
static const bool ODD_ALIGNMENTS_ARE_ROUNDED = true, REALLOC_TO_NOTHING_FREES = true;
#else
static const bool ODD_ALIGNMENTS_ARE_ROUNDED = false, REALLOC_TO_NOTHING_FREES = false;
#endif

/* which goes here. */
static inline bool is_left_of_nothing(void *left)
{
  if (REALLOC_TO_NOTHING_FREES) return !left;
  free(left);
  return left != NULL;
}

/* ---- saying no ---- */

/* printf to stderr without a heap, a stream or any system call but write. */
__attribute__((format(printf, 1, 2))) static inline void say(const char *format, ...)
{
  char text[512];
  va_list rest;
  va_start(rest, format);
  int length = vsnprintf(text, sizeof text, format, rest);
  va_end(rest);
  size_t bytes = (size_t)length < sizeof text ? (size_t)length : sizeof text;
  if (write(STDERR_FILENO, text, bytes) < 0) _exit(2);
}

static inline void blame(const char *file, int line, const char *what)
{
  say("# %s:%d: not so: %s (errno %d)\n", file, line, what, errno);
  _exit(1);
}
#define require(truth) ((truth) ? (void)0 : blame(__FILE__, __LINE__, #truth))

/* End the test as skipped. The reason stands in the TAP line, where prove counts it. */
static inline void skip_test(const char *reason)
{
  _exit(write(STDOUT_FILENO, reason, strlen(reason)) < 0 ? 1 : SKIPPED);
}

/* ---- contents ---- */

static inline unsigned char pattern(size_t i, size_t seed)
{
  return (unsigned char)(i * 31 + seed * 7 + 1);
}

static inline void fill(void *block, size_t bytes, size_t seed)
{
  unsigned char *at = (unsigned char *)block;
  for (size_t i = 0; i < bytes; i++) at[i] = pattern(i, seed);
}

static inline bool holds(const void *block, size_t bytes, size_t seed)
{
  const unsigned char *at = (const unsigned char *)block;
  for (size_t i = 0; i < bytes; i++)
    if (at[i] != pattern(i, seed)) return false;
  return true;
}

static inline bool all_zero(const void *block, size_t bytes)
{
  const unsigned char *at = (const unsigned char *)block;
  return bytes == 0 || (at[0] == 0 && memcmp(at, at + 1, bytes - 1) == 0); /* each byte equals the one before */
}

/* Write to every page, so that it is resident. */
static inline void touch(void *block, size_t bytes)
{
  for (size_t i = 0; i < bytes; i += 4096) ((volatile char *)block)[i] = 1;
}

static inline bool is_aligned(const void *ptr, size_t alignment)
{
  return ((uintptr_t)ptr & (alignment - 1)) == 0;
}

static inline bool inside(const void *ptr, const void *start, size_t bytes)
{
  return (uintptr_t)ptr - (uintptr_t)start < bytes;
}

/* xorshift: the same sequence on every machine. */
static inline uint32_t next_random(uint32_t *state)
{
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return *state;
}

/* Sizes as programs ask for them: mostly small, sometimes medium, seldom large. */
static inline size_t random_size(uint32_t *state)
{
  uint32_t kind = next_random(state) % 64;
  size_t below = kind < 48 ? 512 : kind < 62 ? 20000 : kind < 63 ? 120000 : 400000;
  return 1 + next_random(state) % below;
}

/* ---- the process ---- */

/* The kernel's own word: sbrk(0) is only what libc remembers. */
static inline uintptr_t program_break(void)
{
  return (uintptr_t)syscall(SYS_brk, 0);
}

static inline size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

static inline size_t resident_bytes(void)
{
  char text[128] = {0};
  int fd = open("/proc/self/statm", O_RDONLY);
  require(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
  close(fd);
  return strtoul(strchr(text, ' '), NULL, 10) * page_size();
}

/* Lines of /proc/self/maps. The kernel allows 65,530. */
static inline size_t areas(void)
{
  static char text[64 * KB];
  int fd = open("/proc/self/maps", O_RDONLY);
  require(fd >= 0);
  size_t lines = 0;
  for (ssize_t got; (got = read(fd, text, sizeof text)) > 0;)
    for (ssize_t i = 0; i < got; i++) lines += text[i] == '\n';
  close(fd);
  return lines;
}

/* By how many bytes `work` made the process grow. */
static inline size_t growth_of(void (*work)(void))
{
  size_t before = resident_bytes();
  work();
  size_t after = resident_bytes();
  return after > before ? after - before : 0;
}

static inline pthread_t spawn(void *(*body)(void *), void *arg)
{
  pthread_t thread;
  require(pthread_create(&thread, NULL, body, arg) == 0);
  return thread;
}

static inline void join(pthread_t thread)
{
  require(pthread_join(thread, NULL) == 0);
}

static inline void run_thread(void *(*body)(void *), void *arg)
{
  join(spawn(body, arg));
}

static inline int wait_for(pid_t pid)
{
  int status;
  require(pid > 0);
  while (waitpid(pid, &status, 0) < 0) require(errno == EINTR);
  return status;
}

/* How many instructions the build under test takes, at most, for one of the release's. */
static inline unsigned slowness(void)
{
  const char *said = getenv("OSMEM_SLOWNESS");
  return said ? (unsigned)atoi(said) : 1;
}

typedef void test_body(void);

/* How `body` ends in a forked child: for what may end badly. */
static inline int fate_of(test_body *body)
{
  pid_t pid = fork();
  if (pid == 0) {
    alarm(PATIENCE_S);
    body();
    exit(0);
  }
  return wait_for(pid);
}

/* The path of a shared object of tests/plugin, which is built beside the folder this program is built in. */
static inline const char *plugin_path(const char *name)
{
  static char path[4096];
  ssize_t length = readlink("/proc/self/exe", path, sizeof path - 64);
  require(length > 0);
  path[length] = 0;
  *strrchr(path, '/') = 0;
  strcpy(strrchr(path, '/'), "/plugin/");
  return strcat(path, name);
}

/* ---- a little of everything ---- */

static inline void use_each_tier(void)
{
  static const size_t OF_EACH_TIER[] = {24, 500, 1000, 5000, 60000, 200000};
  for (size_t i = 0; i < COUNT(OF_EACH_TIER); i++) {
    size_t bytes = OF_EACH_TIER[i], marked = bytes < 500 ? bytes : 500;
    char *p = (char *)malloc(bytes), *zero = (char *)calloc(1, bytes);
    require(p && zero);
    require(all_zero(zero, bytes));
    fill(p, marked, i);
    memset(zero, 0xEE, bytes);
    p = (char *)realloc(p, bytes * 2);
    require(p);
    require(holds(p, marked, i));
    free(zero);
    free(p);
  }
}

/* `steps` random operations on a table of blocks whose contents are checked before they go. */
static inline void churn(uint32_t seed, int steps)
{
  enum { PLACES = 256 };
  struct {
    char *at;
    size_t bytes;
  } live[PLACES];
  memset(live, 0, sizeof live);
  for (int i = 0; i < steps; i++) {
    size_t place = next_random(&seed) % PLACES, bytes = random_size(&seed), old = live[place].bytes;
    char *p = live[place].at;
    require(!p || holds(p, old, place));
    if (next_random(&seed) % 3) {
      free(p);
      p = (char *)malloc(bytes);
    } else {
      p = (char *)realloc(p, bytes);
      require(p && holds(p, bytes < old ? bytes : old, place));
    }
    require(p);
    fill(p, bytes, place);
    live[place].at = p;
    live[place].bytes = bytes;
  }
  for (size_t i = 0; i < PLACES; i++) {
    require(holds(live[i].at, live[i].bytes, i));
    free(live[i].at);
  }
}

struct link {
  struct link *next;
};

/* Blocks of `bytes` until there are none. */
static inline struct link *exhaust(size_t bytes, size_t *count)
{
  struct link *all = NULL, *link;
  for (*count = 0; (errno = 0, link = (struct link *)malloc(bytes)); ++*count) {
    link->next = all;
    all = link;
  }
  require(errno == ENOMEM);
  return all;
}

static inline void release_links(struct link *all)
{
  while (all) {
    struct link *next = all->next;
    free(all);
    all = next;
  }
}

/* ---- the runner ---- */

struct test {
  const char *name;
  test_body *run;
  test_body *prepare; /* NULL, or called in the new process before exec: limits, filters, environment */
};
#define TEST(body) {#body, body, NULL}
#define TEST_AFTER(prepare, body) {#body "_after_" #prepare, body, prepare}

/* Run this program again as `PROGRAM argument`; gives its wait status. What it writes to stdout lands in `said`. Its children end with it, at the latest: those of a test that is
 * given up would go on for ever, with prove waiting for what they might say. */
static inline int rerun(const char *argument, test_body *prepare, char *said, size_t said_bytes)
{
  int pipe_ends[2];
  require(pipe2(pipe_ends, O_CLOEXEC) == 0);
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(pipe_ends[1], STDOUT_FILENO);
    if (prepare) prepare();
    execl("/proc/self/exe", program_invocation_name, argument, (char *)NULL);
    blame(__FILE__, __LINE__, "execl");
  }
  close(pipe_ends[1]);
  siginfo_t end;
  require(waitid(P_PID, (id_t)pid, &end, WEXITED | WNOWAIT) == 0);
  kill(-pid, SIGKILL);
  size_t length = 0;
  for (ssize_t got; (got = read(pipe_ends[0], said + length, said_bytes - 1 - length)) > 0;) length += (size_t)got;
  said[length] = 0;
  close(pipe_ends[0]);
  return wait_for(pid);
}

/* What cmocka is told of one test. The name comes first in the TAP line and may be extended there. */
struct unit {
  const struct test *test;
  char title[256];
};

static inline void in_own_process(void **state)
{
  struct unit *unit = (struct unit *)*state;
  char said[128];
  int status = rerun(unit->test->name, unit->test->prepare, said, sizeof said);
  if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
    /* Not cmocka's skip(): 1.1.5 prints "not ok N # SKIP", which prove takes for a failure. */
    snprintf(unit->title, sizeof unit->title, "%s # SKIP %s", unit->test->name, said);
    return;
  }
  if (WIFSIGNALED(status)) fprintf(stderr, "# %s: ended by %s\n", unit->test->name, strsignal(WTERMSIG(status)));
  assert_int_equal(status, 0);
}

/* A preload that failed leaves glibc in place, and most tests would pass. OSMEM_TEST_ANY=1 lets them run on any
 * allocator, to see what others make of them. */
static inline bool runs_on_osmem(void)
{
  return dlsym(RTLD_DEFAULT, "os_version") != NULL;
}

/* What the library, when it is only preloaded, says of itself; of another allocator nothing is known. */
static inline struct os_stats library_stats(void)
{
  void (*get_stats)(struct os_stats *, size_t) = (void (*)(struct os_stats *, size_t))dlsym(RTLD_DEFAULT, "os_get_stats");
  struct os_stats stats;
  memset(&stats, 0, sizeof stats);
  if (get_stats) get_stats(&stats, sizeof stats);
  return stats;
}

static inline size_t thread_heaps(void) { return library_stats().thread_heaps; }

/* Only where no thread is within malloc. In the child of a fork what other threads left half done is passed by, until it is taken over. */
static inline bool heap_is_sound(void)
{
  bool (*check)(void) = (bool (*)(void))dlsym(RTLD_DEFAULT, "os_check");
  return !check || check();
}

/* Is the test one of those that OSMEM_TEST_EXCEPT leaves out? What is so called there is about the normal geometry. */
static inline bool is_left_out(const char *name)
{
  const char *except = getenv("OSMEM_TEST_EXCEPT");
  size_t length = strlen(name);
  for (const char *at = except; at && (at = strstr(at, name)); at += length)
    if ((at == except || at[-1] == ' ') && (at[length] == 0 || at[length] == ' ')) return true;
  return false;
}

static inline int run_table(const struct test *tests, size_t count, int argc, char **argv)
{
  if (argc > 1) {
    for (size_t i = 0; i < count; i++)
      if (strcmp(argv[1], tests[i].name) == 0) {
        alarm(PATIENCE_S);
        tests[i].run();
        return 0;
      }
    blame(__FILE__, __LINE__, "a test has that name");
  }
  if (!runs_on_osmem() && !getenv("OSMEM_TEST_ANY")) {
    puts("Bail out! libosmem.so is not loaded");
    return 1;
  }
  static struct unit units[64];
  static struct CMUnitTest group[64];
  require(count <= COUNT(units));
  size_t left = 0;
  for (size_t i = 0; i < count; i++) {
    if (is_left_out(tests[i].name)) continue;
    struct unit *unit = &units[left];
    unit->test = &tests[i];
    snprintf(unit->title, sizeof unit->title, "%s", tests[i].name);
    group[left].name = unit->title;
    group[left].test_func = in_own_process;
    group[left++].initial_state = unit;
  }
  cmocka_set_message_output(CM_OUTPUT_TAP);
  return _cmocka_run_group_tests(program_invocation_short_name, group, left, NULL, NULL);
}

#endif
