/* SPDX-License-Identifier: MIT */
/* The first and the last calls of a process: before any constructor, in constructors, at exit, with nothing open. */
#include "verbs.h"

#include <sys/auxv.h>

#include "osmem.h"

/* ---- first calls ---- */

static void *kept; /* freed by main, whoever allocated it */

static void first_free(void) { free(NULL); }
static void first_malloc(void) { kept = malloc(100); }
static void first_calloc(void) { kept = calloc(10, 10); }
static void first_realloc(void) { kept = realloc(NULL, 100); }
static void first_reallocarray(void) { kept = reallocarray(NULL, 10, 10); }
static void first_posix_memalign(void) { require(posix_memalign(&kept, 4096, 100) == 0); }
static void first_aligned_alloc(void) { kept = aligned_alloc(64, 128); }
static void first_medium(void) { kept = malloc(50000); }
static void first_huge(void) { kept = malloc((size_t)1 << 28); }
static void first_impossible(void) { require(malloc(PTRDIFF_MAX) == NULL); }
static void first_empty(void) { kept = malloc(0); }
static void first_usable_size(void) { require(malloc_usable_size(NULL) == 0); }
static void first_trim(void) { malloc_trim(0); }
static void first_mallinfo(void) { require(mallinfo2().uordblks < 1 * MB); }
static void first_mallopt(void) { mallopt(M_TRIM_THRESHOLD, 1); }

static void *ours(const char *name)
{
  return dlsym(RTLD_DEFAULT, name);
}

static void first_os_malloc(void)
{
  void *(*call)(size_t) = (void *(*)(size_t))ours("os_malloc");
  if (call) kept = call(100);
}
static void first_os_free(void)
{
  void (*call)(void *) = (void (*)(void *))ours("os_free");
  if (call) call(NULL);
}
static void first_os_check(void)
{
  bool (*call)(void) = (bool (*)(void))ours("os_check");
  require(!call || call());
}
static void first_os_trim(void)
{
  bool (*call)(size_t) = (bool (*)(size_t))ours("os_trim");
  if (call) call(0);
}
static void first_os_get_stats(void)
{
  struct os_stats stats;
  void (*call)(struct os_stats *, size_t) = (void (*)(struct os_stats *, size_t))ours("os_get_stats");
  if (call) call(&stats, sizeof stats);
}

static const struct {
  const char *name;
  test_body *call;
} FIRST[] = {
    {"free", first_free},
    {"malloc", first_malloc},
    {"calloc", first_calloc},
    {"realloc", first_realloc},
    {"reallocarray", first_reallocarray},
    {"posix_memalign", first_posix_memalign},
    {"aligned_alloc", first_aligned_alloc},
    {"medium", first_medium},
    {"huge", first_huge},
    {"impossible", first_impossible},
    {"empty", first_empty},
    {"usable_size", first_usable_size},
    {"trim", first_trim},
    {"mallinfo", first_mallinfo},
    {"mallopt", first_mallopt},
    {"os_malloc", first_os_malloc},
    {"os_free", first_os_free},
    {"os_check", first_os_check},
    {"os_trim", first_os_trim},
    {"os_get_stats", first_os_get_stats},
};

/* The program's argument as the kernel has it: musl calls constructors without. */
static const char *argument(void)
{
  static char words[4096];
  int fd = open("/proc/self/cmdline", O_RDONLY);
  require(fd >= 0 && read(fd, words, sizeof words - 2) > 0);
  close(fd);
  return words + strlen(words) + 1;
}

/* Carry out "PHASE:CALL" if that is the argument and this its phase. */
static void first_call_of(const char *phase)
{
  const char *said = argument();
  size_t length = strlen(phase);
  if (strncmp(said, phase, length) != 0 || said[length] != ':') return;
  for (size_t i = 0; i < COUNT(FIRST); i++)
    if (strcmp(said + length + 1, FIRST[i].name) == 0) FIRST[i].call();
}

static void before_all_constructors(void) { first_call_of("preinit"); }
__attribute__((section(".preinit_array"), used)) static void (*const PREINIT)(void) = before_all_constructors;

__attribute__((constructor(101))) static void in_a_constructor(void) { first_call_of("constructor"); }

static void every_first_call_in(const char *phase)
{
  for (size_t i = 0; i < COUNT(FIRST); i++) {
    char argument[64], said[8];
    snprintf(argument, sizeof argument, "%s:%s", phase, FIRST[i].name);
    require(rerun(argument, NULL, said, sizeof said) == 0);
    require(strcmp(said, "done") == 0);
  }
}

static void first_calls_in_preinit(void) { every_first_call_in("preinit"); }
static void first_calls_in_a_constructor(void) { every_first_call_in("constructor"); }
static void first_calls_in_main(void) { every_first_call_in("main"); }

static void after_a_first_call(void)
{
  alarm(PATIENCE_S);
  first_call_of("main");
  free(kept);
  use_each_tier();
  require(write(STDOUT_FILENO, "done", 4) == 4);
}

/* ---- last calls ---- */

static char *from_main;

static void allocate_at_the_end(void)
{
  use_each_tier();
  if (from_main) require(holds(from_main, 5000, 9));
  free(from_main);
  from_main = malloc(5000);
  require(from_main);
  fill(from_main, 5000, 9);
}

__attribute__((destructor(101))) static void in_a_destructor(void)
{
  allocate_at_the_end();
}

__attribute__((unused)) static void on_exit_handler(int status, void *block)
{
  (void)status;
  allocate_at_the_end();
  free(block);
}

static void handlers_at_exit_allocate_and_free(void)
{
  for (int i = 0; i < 100; i++) require(atexit(allocate_at_the_end) == 0); /* more than libc's static room */
#ifdef __GLIBC__
  require(on_exit(on_exit_handler, malloc(300)) == 0);
#endif
}

static void quick_exit_allocates_and_frees(void)
{
  require(at_quick_exit(allocate_at_the_end) == 0);
  quick_exit(0);
}

/* ---- file descriptors ---- */

static void works_with_nothing_open(void)
{
  require(close_range(0, ~0U, 0) == 0);
  use_each_tier();
  churn(3, 3000);
  malloc_trim(0);
  mallinfo2();
  malloc_stats(); /* stderr is closed: nobody hears */
  require(open("/dev/null", O_RDWR) == 0); /* the heap holds no descriptor of its own */
  use_each_tier();
  require(open("/dev/null", O_RDWR) == 1);
}

static void close_all(void)
{
  close_range(3, ~0U, 0);
  close(STDERR_FILENO);
}

/* The library's first descriptor would be number 2, and the program would write into it. */
static void starts_with_stderr_closed(void)
{
  use_each_tier();
  require(open("/dev/null", O_RDWR) == STDERR_FILENO);
}

/* No process needs more threads than it started. */
static void no_thread_of_our_own(void)
{
  churn(5, 3000);
  char text[4096] = {0};
  int fd = open("/proc/self/status", O_RDONLY);
  require(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
  char *line = strstr(text, "\nThreads:");
  require(line && strtoul(line + 9, NULL, 10) == 1);
}

/* ---- what a trivial process costs ---- */

/* The C library makes the stack canary and the guard of its pointers of the random bytes that the kernel gives at exec. Our marks, which
 * can be read out of memory that was never written, must not lead there, by any mixture with an address that a reader would know. */
static bool leads_to(uint64_t word, uintptr_t at, uint64_t random)
{
  uintptr_t granule = at & ~(uintptr_t)32767, block = at - 8;
  uint64_t mixed[] = {word, word ^ at, word ^ granule, word ^ block, word ^ (block * 0x9e3779b97f4a7c15u)};
  for (size_t i = 0; i < COUNT(mixed); i++)
    if (mixed[i] >> 8 == random >> 8 || mixed[i] >> 32 == random >> 32) return true;
  return false;
}

static void nothing_leads_to_the_canary(void)
{
  const uint64_t *random = (const uint64_t *)getauxval(AT_RANDOM);
  char *blocks[40];
  for (size_t i = 0; i < COUNT(blocks); i++) blocks[i] = malloc(1000 + 3000 * i);
  for (size_t i = 0; i < COUNT(blocks); i++) free(blocks[i]);
  malloc_trim((size_t)1 << 40);
  uintptr_t start = (uintptr_t)blocks[0] & ~(uintptr_t)32767, end = (uintptr_t)sbrk(0);
  require(start - 32768 > 0 && end - start > 32768);
  for (uintptr_t at = start - 32768; at < end; at += 8) {
    uint64_t word = *(volatile uint64_t *)at;
    if (word) require(!leads_to(word, at, random[0]) && !leads_to(word, at, random[1]));
  }
}

static void a_trivial_process_stays_small(void)
{
  free(malloc(100));
  require(resident_bytes() < 4 * MB);
}

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST(first_calls_in_preinit),
      TEST(first_calls_in_a_constructor),
      TEST(first_calls_in_main),
      TEST(handlers_at_exit_allocate_and_free),
      TEST(quick_exit_allocates_and_frees),
      TEST(works_with_nothing_open),
      TEST_AFTER(close_all, starts_with_stderr_closed),
      TEST(no_thread_of_our_own),
      TEST(a_trivial_process_stays_small),
      TEST(nothing_leads_to_the_canary),
  };
  if (argc > 1 && strchr(argv[1], ':')) return after_a_first_call(), 0;
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
