/* SPDX-License-Identifier: MIT */
/* The textbook core, rule by rule: exact addresses, positions of the break, system calls.
 *
 * Build (the core's object and this file in one program, its system calls through the counters below):
 *
 *   cc -std=gnu11 -O2 -fvisibility=hidden -Iinclude -c src/textbook.c -o textbook.o
 *   cc -std=gnu11 -O2 tests/textbook/unit.c textbook.o -lcmocka -o unit \
 *      -Wl,--wrap=brk,--wrap=sbrk,--wrap=mmap,--wrap=munmap
 *   CMOCKA_MESSAGE_OUTPUT=TAP ./unit
 *
 * For coverage compile the core with --coverage -O0 and link with --coverage. It is the only object
 * that needs it.
 *
 * Each test has a process of its own, so that each starts with an empty heap, whose addresses follow from `base`,
 * the break at that moment. Nothing in such a process may call malloc (it would move the break);
 * that is why the checks are ours and not cmocka's.
 *
 * osmem.h is not included: it promises the compiler 16-aligned results, which the textbook does not give,
 * and a compiler that believes it may fold the comparisons of addresses below. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

void os_free(void *ptr);
void *os_malloc(size_t size);
void *os_calloc(size_t nmemb, size_t size);
void *os_realloc(void *ptr, size_t size);

enum { H = 32, PAGE = 4096, KIB128 = 128 * 1024 }; /* H: a header */

/* ---- system calls, counted and made to fail -------------------------------------------------- */

int __real_brk(void *end);
void *__real_sbrk(intptr_t bytes);
void *__real_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t bytes);

int __wrap_brk(void *end);
void *__wrap_sbrk(intptr_t bytes);
void *__wrap_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *at, size_t bytes);

static struct calls {
  int brk, mmap, munmap;
  size_t mapped_bytes, unmapped_bytes; /* of the latest call */
} calls;

/* The name of the call that fails next, once: what flushes coverage data afterwards needs the system again. */
static const char *failing = "";

static bool fails(const char *call)
{
  if (strcmp(failing, call) != 0)
    return false;
  failing = "";
  errno = ENOMEM;
  return true;
}

int __wrap_brk(void *end)
{
  calls.brk++;
  return fails("brk") ? -1 : __real_brk(end);
}

void *__wrap_sbrk(intptr_t bytes)
{
  return fails("sbrk") ? (void *)-1 : __real_sbrk(bytes);
}

void *__wrap_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
  calls.mmap++;
  calls.mapped_bytes = bytes;
  return fails("mmap") ? MAP_FAILED : __real_mmap(at, bytes, prot, flags, fd, offset);
}

int __wrap_munmap(void *at, size_t bytes)
{
  calls.munmap++;
  calls.unmapped_bytes = bytes;
  return fails("munmap") ? -1 : __real_munmap(at, bytes);
}

/* ---- a process per test ----------------------------------------------------------------------- */

enum { PASSED = 0, FAILED = 1, ABORTED = 2 };

static char *base; /* where the heap of this process begins */

/* Leave by exit(): it writes the coverage data, which the default action would lose. */
static void on_abort(int number)
{
  (void)number;
  exit(ABORTED);
}

/* Run `body` in a fresh process; its exit status, and in `said` what it wrote to stderr. */
static int in_child(void (*body)(void), char *said, size_t said_bytes)
{
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    signal(SIGABRT, on_abort);
    base = __real_sbrk(0);
    memset(&calls, 0, sizeof calls);
    body();
    exit(PASSED);
  }
  close(ends[1]);
  size_t length = 0;
  ssize_t got;
  while ((got = read(ends[0], said + length, said_bytes - 1 - length)) > 0)
    length += (size_t)got;
  said[length] = '\0';
  close(ends[0]);

  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void expect_pass(void (*body)(void))
{
  char said[4096];
  int status = in_child(body, said, sizeof said);
  if (status != PASSED || said[0] != '\0')
    print_message("%s", said);
  assert_string_equal(said, "");
  assert_int_equal(status, PASSED);
}

static void expect_death(void (*body)(void), const char *last_words)
{
  char said[4096];
  assert_int_equal(in_child(body, said, sizeof said), ABORTED);
  assert_string_equal(said, last_words);
}

static void check_failed(int line, const char *what, intmax_t is, intmax_t wanted)
{
  dprintf(STDERR_FILENO, "unit.c:%d: %s is %jd, not %jd\n", line, what, is, wanted);
  exit(FAILED);
}

#define CHECK(what, is, wanted)                                \
  do {                                                         \
    intmax_t is_ = (intmax_t)(is), wanted_ = (intmax_t)(wanted); \
    if (is_ != wanted_)                                        \
      check_failed(__LINE__, what, is_, wanted_);              \
  } while (0)

/* The block at `p` has its header `offset` bytes behind the start of the heap. */
#define CHECK_AT(p, offset) CHECK(#p " - base", (char *)(p) - base, (ptrdiff_t)(offset) + H)
#define CHECK_BREAK(offset) CHECK("sbrk(0) - base", (char *)__real_sbrk(0) - base, offset)
#define CHECK_SAME(p, q) CHECK(#p, (uintptr_t)(p), (uintptr_t)(q))
#define CHECK_NULL(p) CHECK_SAME(p, NULL)

static void check_bytes(int line, const void *at, int byte, size_t bytes)
{
  const unsigned char *is = at;
  for (size_t i = 0; i < bytes; i++)
    if (is[i] != byte)
      check_failed(line, "a byte", is[i], byte);
}

#define CHECK_BYTES(at, byte, bytes) check_bytes(__LINE__, at, byte, bytes)

/* TEST(name) { body } makes the test test_name, which runs the body in its own process. */
#define TEST(name)                                             \
  static void body_##name(void);                               \
  static void test_##name(void **state)                        \
  {                                                            \
    (void)state;                                               \
    expect_pass(body_##name);                                  \
  }                                                            \
  static void body_##name(void)

/* ---- os_malloc -------------------------------------------------------------------------------- */

TEST(malloc_of_nothing_is_null)
{
  errno = 77;
  CHECK_NULL(os_malloc(0));
  CHECK("errno", errno, 77);
  CHECK("calls of brk", calls.brk, 0);
  CHECK_BREAK(0);
}

TEST(first_allocation_preallocates_128_kib)
{
  errno = 77;
  CHECK_AT(os_malloc(100), 0);
  CHECK_BREAK(KIB128);
  CHECK("calls of brk", calls.brk, 1);
  CHECK("calls of mmap", calls.mmap, 0);
  CHECK("errno", errno, 77);
}

TEST(blocks_follow_each_other_in_multiples_of_8)
{
  CHECK_AT(os_malloc(1), 0);
  CHECK_AT(os_malloc(8), H + 8);
  CHECK_AT(os_malloc(9), 2 * (H + 8));
  CHECK_AT(os_malloc(1), 2 * (H + 8) + H + 16);
  CHECK_BREAK(KIB128);
}

TEST(preallocation_is_not_page_rounded_and_starts_at_an_odd_break)
{
  __real_sbrk(3);
  CHECK_AT(os_malloc(8), 8);
  CHECK_BREAK(8 + KIB128);
}

TEST(header_is_size_and_status)
{
  char *small = os_malloc(13), *large = os_malloc(KIB128);
  CHECK("size", *(size_t *)(void *)(small - 32), 16);
  CHECK("status", *(int *)(void *)(small - 24), 1);
  CHECK("size", *(size_t *)(void *)(large - 32), KIB128);
  CHECK("status", *(int *)(void *)(large - 24), 2);
  os_free(small);
  CHECK("status", *(int *)(void *)(small - 24), 0);
}

TEST(largest_heap_block_takes_the_preallocation_whole)
{
  CHECK_AT(os_malloc(KIB128 - H - 8), 0); /* a rest of 8 bytes is no block */
  CHECK_BREAK(KIB128);
  CHECK_AT(os_malloc(8), KIB128);
  CHECK_BREAK(KIB128 + H + 8);
  CHECK("calls of brk", calls.brk, 2);
}

TEST(threshold_is_header_and_aligned_size)
{
  os_free(os_malloc(KIB128 - H - 8));
  CHECK("calls of mmap", calls.mmap, 0);
  char *mapped = os_malloc(KIB128 - H - 7);
  CHECK("calls of mmap", calls.mmap, 1);
  CHECK("mapped bytes", calls.mapped_bytes, KIB128);
  CHECK("offset in page", (uintptr_t)mapped % PAGE, H);
  memset(mapped, 1, KIB128 - H - 7);
  CHECK_BREAK(KIB128);
}

TEST(mapping_does_not_preallocate)
{
  os_free(os_malloc(KIB128));
  CHECK("calls of brk", calls.brk, 0);
  CHECK_AT(os_malloc(8), 0);
  CHECK("calls of brk", calls.brk, 1);
}

TEST(too_large_is_enomem)
{
  errno = 0;
  CHECK_NULL(os_malloc(SIZE_MAX));
  CHECK("errno", errno, ENOMEM);
  errno = 0;
  CHECK_NULL(os_malloc((size_t)PTRDIFF_MAX + 1));
  CHECK("errno", errno, ENOMEM);
  CHECK("calls of mmap", calls.mmap, 0);
}

/* ---- search ----------------------------------------------------------------------------------- */

TEST(split_needs_a_header_and_8_bytes)
{
  os_free(os_malloc(104));
  CHECK_AT(os_malloc(104), 0);
  void *first = os_malloc(104), *wall = os_malloc(8);
  os_free(first);
  CHECK_SAME(os_malloc(104 - 40), first); /* a rest of 40: split */
  CHECK_SAME(os_malloc(8), (char *)first + 104 - 40 + H);
  CHECK_AT(os_malloc(8), 2 * (H + 104) + H + 8);

  void *second = os_malloc(104), *after = os_malloc(8);
  os_free(second);
  CHECK_SAME(os_malloc(104 - 32), second); /* a rest of 32: whole */
  CHECK("size", *(size_t *)(void *)((char *)second - 32), 104);
  CHECK_SAME(os_malloc(8), (char *)after + 8 + H);
  CHECK_AT(wall, 2 * (H + 104));
}

TEST(best_fit_is_the_smallest_that_fits)
{
  void *large = os_malloc(400);
  os_malloc(8);
  void *small = os_malloc(200);
  os_malloc(8);
  void *tiny = os_malloc(100);
  os_malloc(8);
  os_free(large);
  os_free(small);
  os_free(tiny);
  CHECK_SAME(os_malloc(104), tiny);
  CHECK_SAME(os_malloc(150), small);
  CHECK_SAME(os_malloc(201), large);
}

TEST(first_among_equals)
{
  void *first = os_malloc(200);
  os_malloc(8);
  void *second = os_malloc(200);
  os_malloc(8);
  os_free(second);
  os_free(first);
  CHECK_SAME(os_malloc(200), first);
  CHECK_SAME(os_malloc(200), second);
}

TEST(free_neighbours_merge_before_the_search)
{
  void *a = os_malloc(100), *b = os_malloc(100), *c = os_malloc(100);
  os_malloc(8);
  os_free(c);
  os_free(a);
  os_free(b);
  CHECK_SAME(os_malloc(3 * 104 + 2 * H), a);
}

TEST(merging_comes_first_even_when_an_exact_block_was_free)
{
  void *a = os_malloc(96), *b = os_malloc(56);
  os_malloc(8);
  void *exact = os_malloc(64);
  os_malloc(8);
  os_free(a);
  os_free(b);
  os_free(exact);
  CHECK_SAME(os_malloc(56), exact); /* b was of 56, and is part of a block of 184 now */
  CHECK_SAME(os_malloc(184), a);
}

TEST(last_free_block_expands_by_the_missing_bytes)
{
  CHECK_AT(os_malloc(1000), 0);
  CHECK_AT(os_malloc(KIB128 - 2000), H + 1000); /* leaves a free block of 2000 - 1000 - 3 * H */
  CHECK_BREAK(KIB128);
  CHECK_AT(os_malloc(1000), H + 1000 + H + KIB128 - 2000);
  CHECK_BREAK(KIB128 + 1000 - (2000 - 1000 - 3 * H));
  CHECK("calls of brk", calls.brk, 2);
}

TEST(new_block_is_exact_when_the_last_is_in_use)
{
  os_malloc(KIB128 - H - 8);
  CHECK_AT(os_malloc(1001), KIB128);
  CHECK_BREAK(KIB128 + H + 1008);
  CHECK_AT(os_malloc(5), KIB128 + H + 1008);
  CHECK_BREAK(KIB128 + H + 1008 + H + 8);
  CHECK("calls of brk", calls.brk, 3);
}

/* ---- os_free ---------------------------------------------------------------------------------- */

TEST(free_of_null_does_nothing)
{
  errno = 77;
  os_free(NULL);
  CHECK("errno", errno, 77);
  CHECK("calls of brk", calls.brk, 0);
}

TEST(free_never_lowers_the_break)
{
  void *a = os_malloc(100000), *b = os_malloc(100000);
  CHECK_BREAK(2 * (H + 100000));
  os_free(b);
  os_free(a);
  CHECK_BREAK(2 * (H + 100000));
  CHECK_AT(os_malloc(8), 0);
  CHECK("calls of brk", calls.brk, 2);
}

TEST(free_unmaps_a_mapped_block)
{
  void *mapped = os_malloc(200001);
  CHECK("mapped bytes", calls.mapped_bytes, H + 200008);
  os_free(mapped);
  CHECK("calls of munmap", calls.munmap, 1);
  CHECK("unmapped bytes", calls.unmapped_bytes, H + 200008);
}

/* ---- os_calloc -------------------------------------------------------------------------------- */

TEST(calloc_of_nothing_is_null)
{
  errno = 77;
  CHECK_NULL(os_calloc(0, 8));
  CHECK_NULL(os_calloc(8, 0));
  CHECK_NULL(os_calloc(0, SIZE_MAX));
  CHECK("errno", errno, 77);
  CHECK("calls of brk", calls.brk, 0);
}

TEST(calloc_overflow_is_enomem)
{
  errno = 0;
  CHECK_NULL(os_calloc(SIZE_MAX / 2 + 1, 2)); /* 0, modulo 2^64 */
  CHECK("errno", errno, ENOMEM);
  errno = 0;
  CHECK_NULL(os_calloc(SIZE_MAX, 1));
  CHECK("errno", errno, ENOMEM);
}

TEST(calloc_zeroes_a_recycled_block)
{
  void *used = os_malloc(1000);
  os_malloc(8);
  memset(used, 0xff, 1000);
  os_free(used);
  CHECK_SAME(os_calloc(125, 8), used);
  CHECK_BYTES(used, 0, 1000);
}

TEST(calloc_maps_from_a_page_on)
{
  CHECK_AT(os_calloc(1, PAGE - H - 8), 0);
  CHECK("calls of mmap", calls.mmap, 0);
  char *mapped = os_calloc(1, PAGE - H - 7); /* aligned and with its header: a page */
  CHECK("calls of mmap", calls.mmap, 1);
  CHECK("mapped bytes", calls.mapped_bytes, PAGE);
  CHECK_BYTES(mapped, 0, PAGE - H);
  os_free(mapped);
  CHECK("calls of munmap", calls.munmap, 1);
  CHECK_AT(os_malloc(PAGE), PAGE - 8);
}

/* ---- os_realloc ------------------------------------------------------------------------------- */

TEST(realloc_of_null_is_malloc)
{
  CHECK_NULL(os_realloc(NULL, 0));
  CHECK_AT(os_realloc(NULL, 100), 0);
  os_realloc(NULL, KIB128);
  CHECK("calls of mmap", calls.mmap, 1);
}

TEST(realloc_to_nothing_is_free)
{
  void *a = os_malloc(100), *mapped = os_malloc(KIB128);
  CHECK_NULL(os_realloc(a, 0));
  CHECK_NULL(os_realloc(mapped, 0));
  CHECK("calls of munmap", calls.munmap, 1);
  CHECK_SAME(os_malloc(100), a);
}

TEST(realloc_of_a_free_block_is_null)
{
  void *a = os_malloc(100);
  os_malloc(8);
  os_free(a);
  CHECK_NULL(os_realloc(a, 50));
  CHECK_NULL(os_realloc(a, 200));
  CHECK_SAME(os_malloc(100), a);
}

TEST(realloc_too_large_leaves_the_block)
{
  char *a = os_malloc(100);
  memset(a, 5, 100);
  errno = 0;
  CHECK_NULL(os_realloc(a, SIZE_MAX));
  CHECK("errno", errno, ENOMEM);
  CHECK_BYTES(a, 5, 100);
  CHECK_SAME(os_realloc(a, 100), a);
}

TEST(realloc_to_the_same_aligned_size_is_the_same_block)
{
  void *a = os_malloc(97), *mapped = os_malloc(KIB128 + 1);
  CHECK_SAME(os_realloc(a, 104), a);
  CHECK_SAME(os_realloc(mapped, KIB128 + 8), mapped);
  CHECK("calls of mmap", calls.mmap, 1);
  CHECK_SAME(os_malloc(8), (char *)a + 104 + H);
}

TEST(realloc_shrinks_in_place_and_splits)
{
  void *a = os_malloc(200), *wall = os_malloc(8);
  CHECK_SAME(os_realloc(a, 168), a); /* a rest of 32 stays in the block: 200 again */
  CHECK_SAME(os_realloc(a, 200), a);
  CHECK_SAME(os_realloc(a, 160), a); /* a rest of 40 is a block of 8 */
  CHECK_SAME(os_malloc(8), (char *)a + 160 + H);
  CHECK_AT(wall, H + 200);
}

TEST(realloc_leaves_the_rest_unmerged_until_the_next_search)
{
  void *a = os_malloc(200), *b = os_malloc(56);
  os_malloc(8);
  os_free(b);
  CHECK_SAME(os_realloc(a, 100), a);        /* 104, and a rest of 64 before b */
  CHECK_SAME(os_realloc(a, 104 + 40), a);   /* one merge (104 + 32 + 64 = 200) is enough, split again */
  CHECK_SAME(os_malloc(24 + H + 56), (char *)a + 144 + H); /* the rest of 24 and b as one */
}

TEST(realloc_grows_the_last_block_by_the_missing_bytes)
{
  void *filler = os_malloc(KIB128 - H - 8);
  char *last = os_malloc(100);
  CHECK_BREAK(KIB128 + H + 104);
  memset(last, 5, 100);
  CHECK_SAME(os_realloc(last, 200), last);
  CHECK_BREAK(KIB128 + H + 200);
  CHECK("calls of brk", calls.brk, 3);
  CHECK_BYTES(last, 5, 100);
  CHECK_AT(filler, 0);
}

TEST(realloc_of_the_last_block_extends_even_with_room_elsewhere)
{
  os_free(os_malloc(KIB128 - H - 8));
  void *first = os_malloc(65000), *last = os_malloc(KIB128 - 65000 - 2 * H);
  CHECK_BREAK(KIB128);
  os_free(first);
  CHECK_SAME(os_realloc(last, KIB128 - 65000), last);
  CHECK_BREAK(KIB128 + 2 * H);
}

TEST(realloc_merges_one_block_at_a_time_until_it_fits)
{
  char *a = os_malloc(104);
  void *b = os_malloc(104), *c = os_malloc(104), *wall = os_malloc(8);
  memset(a, 5, 104);
  os_free(b);
  os_free(c);
  CHECK_SAME(os_realloc(a, 220), a); /* b is enough: 104 + 32 + 104, and the rest of 16 stays */
  CHECK_BYTES(a, 5, 104);
  CHECK_SAME(os_malloc(104), c); /* c was left alone */
  CHECK_AT(wall, 3 * (H + 104));
}

TEST(realloc_merges_as_many_blocks_as_it_takes)
{
  char *a = os_malloc(104);
  void *b = os_malloc(104), *c = os_malloc(104);
  os_malloc(8);
  memset(a, 5, 104);
  os_free(b);
  os_free(c);
  CHECK_SAME(os_realloc(a, 300), a); /* 3 * 104 + 2 * 32 = 376, split: a rest of 72 */
  CHECK_BYTES(a, 5, 104);
  CHECK_SAME(os_malloc(40), a + 304 + H);
}

TEST(realloc_grows_into_the_free_end_of_the_heap)
{
  void *a = os_malloc(100);
  CHECK_SAME(os_realloc(a, 100000), a);
  CHECK_SAME(os_malloc(8), (char *)a + 100000 + H);
  CHECK("calls of brk", calls.brk, 1);
}

TEST(realloc_moves_and_what_it_merged_stays_merged)
{
  char *a = os_malloc(104);
  void *b = os_malloc(104), *wall = os_malloc(8);
  memset(a, 5, 104);
  os_free(b);
  char *moved = os_realloc(a, 300);
  CHECK_SAME(moved, (char *)wall + 8 + H);
  CHECK_BYTES(moved, 5, 104);
  CHECK("size", *(size_t *)(void *)(a - 32), 104 + H + 104);
  CHECK("status", *(int *)(void *)(a - 24), 0);
  CHECK_SAME(os_malloc(240), a);
}

TEST(realloc_that_merges_the_end_of_the_heap_in_vain_moves)
{
  char *a = os_malloc(60000);
  os_realloc(os_malloc(KIB128 - 60000 - 2 * H), 60000); /* a free end of KIB128 - 120000 - 3 * H */
  char *b = a + 60000 + H;
  size_t end_bytes = KIB128 - 120000 - 3 * H;
  memset(b, 5, 60000);
  char *moved = os_realloc(b, 60000 + H + end_bytes + 8);
  CHECK_AT(moved, KIB128);
  CHECK_BREAK(KIB128 + H + 60000 + H + end_bytes + 8);
  CHECK_BYTES(moved, 5, 60000);
  CHECK_SAME(os_malloc(60000 + H + end_bytes), b);
}

TEST(realloc_past_the_threshold_moves_to_a_mapping)
{
  char *a = os_malloc(100);
  memset(a, 5, 100);
  char *moved = os_realloc(a, KIB128 - H);
  CHECK("mapped bytes", calls.mapped_bytes, KIB128);
  CHECK_BYTES(moved, 5, 100);
  CHECK_SAME(os_malloc(100), a);
}

TEST(realloc_up_to_the_threshold_stays_in_the_heap)
{
  void *a = os_malloc(100);
  CHECK_SAME(os_realloc(a, KIB128 - H - 8), a);
  CHECK("calls of mmap", calls.mmap, 0);
}

TEST(realloc_moves_a_mapped_block)
{
  char *mapped = os_malloc(KIB128);
  memset(mapped, 5, KIB128);
  char *longer = os_realloc(mapped, 3 * KIB128);
  CHECK("calls of mmap", calls.mmap, 2);
  CHECK("mapped bytes", calls.mapped_bytes, H + 3 * KIB128);
  CHECK("unmapped bytes", calls.unmapped_bytes, H + KIB128);
  CHECK_BYTES(longer, 5, KIB128);
  memset(longer, 6, 3 * KIB128);
  char *shorter = os_realloc(longer, 2 * KIB128);
  CHECK("calls of mmap", calls.mmap, 3);
  CHECK_BYTES(shorter, 6, 2 * KIB128);
  char *small = os_realloc(shorter, 100);
  CHECK_AT(small, 0);
  CHECK("calls of munmap", calls.munmap, 3);
  CHECK_BYTES(small, 6, 100);
}

TEST(realloc_of_a_mapped_calloc_goes_by_the_malloc_threshold)
{
  char *mapped = os_calloc(1, 5000);
  CHECK("calls of mmap", calls.mmap, 1);
  char *moved = os_realloc(mapped, 6000);
  CHECK_AT(moved, 0);
  CHECK_BYTES(moved, 0, 5000);
  CHECK("calls of munmap", calls.munmap, 1);
}

/* ---- a break that somebody else moved --------------------------------------------------------- */

TEST(new_block_starts_behind_a_hole)
{
  os_malloc(KIB128 - H - 8);
  __real_sbrk(PAGE);
  CHECK_AT(os_malloc(100), KIB128 + PAGE);
  CHECK_BREAK(KIB128 + PAGE + H + 104);
}

TEST(free_blocks_do_not_merge_over_a_hole)
{
  void *first = os_malloc(KIB128 - H - 8);
  __real_sbrk(PAGE);
  void *second = os_malloc(60000);
  os_free(first);
  os_free(second);
  CHECK_AT(os_malloc(60008), 0);
  CHECK_SAME(os_malloc(60000), second); /* still 60000, the best fit */
}

TEST(last_block_does_not_expand_into_a_hole)
{
  void *first = os_malloc(60000);
  __real_sbrk(PAGE);
  CHECK_AT(os_malloc(100000), KIB128 + PAGE); /* the free end of 71008 bytes stays as it is */
  CHECK_SAME(os_malloc(71008), (char *)first + 60000 + H);
  CHECK_BREAK(KIB128 + PAGE + H + 100000);
}

TEST(realloc_of_the_last_block_moves_over_a_hole)
{
  os_malloc(KIB128 - H - 8);
  char *last = os_malloc(100);
  memset(last, 5, 100);
  __real_sbrk(PAGE);
  char *moved = os_realloc(last, 200);
  CHECK_AT(moved, KIB128 + H + 104 + PAGE);
  CHECK_BYTES(moved, 5, 100);
  CHECK_SAME(os_malloc(100), last);
}

/* ---- DIE -------------------------------------------------------------------------------------- */

static void refuse_sbrk(void)
{
  failing = "sbrk";
  os_malloc(8);
}

static void refuse_brk(void)
{
  failing = "brk";
  os_malloc(8);
}

static void refuse_brk_when_expanding(void)
{
  os_malloc(8);
  failing = "brk";
  os_malloc(KIB128 - H - 8);
}

static void refuse_mmap(void)
{
  failing = "mmap";
  os_malloc(KIB128);
}

static void refuse_munmap(void)
{
  void *mapped = os_malloc(KIB128);
  failing = "munmap";
  os_free(mapped);
}

/* No wrapping: the kernel's own refusal. */
static void refuse_by_limit(void)
{
  struct rlimit none = {0, 0};
  setrlimit(RLIMIT_DATA, &none);
  os_malloc(8);
}

static void refuse_by_address_space(void)
{
  os_malloc(PTRDIFF_MAX);
}

#define DEATH(name, call)                                                             \
  static void test_##name(void **state)                                               \
  {                                                                                   \
    (void)state;                                                                      \
    expect_death(name, "osmem-textbook: " call ": Cannot allocate memory\n");         \
  }

DEATH(refuse_sbrk, "sbrk")
DEATH(refuse_brk, "brk")
DEATH(refuse_brk_when_expanding, "brk")
DEATH(refuse_mmap, "mmap")
DEATH(refuse_munmap, "munmap")
DEATH(refuse_by_limit, "brk")
DEATH(refuse_by_address_space, "mmap")

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_malloc_of_nothing_is_null),
      cmocka_unit_test(test_first_allocation_preallocates_128_kib),
      cmocka_unit_test(test_blocks_follow_each_other_in_multiples_of_8),
      cmocka_unit_test(test_preallocation_is_not_page_rounded_and_starts_at_an_odd_break),
      cmocka_unit_test(test_header_is_size_and_status),
      cmocka_unit_test(test_largest_heap_block_takes_the_preallocation_whole),
      cmocka_unit_test(test_threshold_is_header_and_aligned_size),
      cmocka_unit_test(test_mapping_does_not_preallocate),
      cmocka_unit_test(test_too_large_is_enomem),
      cmocka_unit_test(test_split_needs_a_header_and_8_bytes),
      cmocka_unit_test(test_best_fit_is_the_smallest_that_fits),
      cmocka_unit_test(test_first_among_equals),
      cmocka_unit_test(test_free_neighbours_merge_before_the_search),
      cmocka_unit_test(test_merging_comes_first_even_when_an_exact_block_was_free),
      cmocka_unit_test(test_last_free_block_expands_by_the_missing_bytes),
      cmocka_unit_test(test_new_block_is_exact_when_the_last_is_in_use),
      cmocka_unit_test(test_free_of_null_does_nothing),
      cmocka_unit_test(test_free_never_lowers_the_break),
      cmocka_unit_test(test_free_unmaps_a_mapped_block),
      cmocka_unit_test(test_calloc_of_nothing_is_null),
      cmocka_unit_test(test_calloc_overflow_is_enomem),
      cmocka_unit_test(test_calloc_zeroes_a_recycled_block),
      cmocka_unit_test(test_calloc_maps_from_a_page_on),
      cmocka_unit_test(test_realloc_of_null_is_malloc),
      cmocka_unit_test(test_realloc_to_nothing_is_free),
      cmocka_unit_test(test_realloc_of_a_free_block_is_null),
      cmocka_unit_test(test_realloc_too_large_leaves_the_block),
      cmocka_unit_test(test_realloc_to_the_same_aligned_size_is_the_same_block),
      cmocka_unit_test(test_realloc_shrinks_in_place_and_splits),
      cmocka_unit_test(test_realloc_leaves_the_rest_unmerged_until_the_next_search),
      cmocka_unit_test(test_realloc_grows_the_last_block_by_the_missing_bytes),
      cmocka_unit_test(test_realloc_of_the_last_block_extends_even_with_room_elsewhere),
      cmocka_unit_test(test_realloc_merges_one_block_at_a_time_until_it_fits),
      cmocka_unit_test(test_realloc_merges_as_many_blocks_as_it_takes),
      cmocka_unit_test(test_realloc_grows_into_the_free_end_of_the_heap),
      cmocka_unit_test(test_realloc_moves_and_what_it_merged_stays_merged),
      cmocka_unit_test(test_realloc_that_merges_the_end_of_the_heap_in_vain_moves),
      cmocka_unit_test(test_realloc_past_the_threshold_moves_to_a_mapping),
      cmocka_unit_test(test_realloc_up_to_the_threshold_stays_in_the_heap),
      cmocka_unit_test(test_realloc_moves_a_mapped_block),
      cmocka_unit_test(test_realloc_of_a_mapped_calloc_goes_by_the_malloc_threshold),
      cmocka_unit_test(test_new_block_starts_behind_a_hole),
      cmocka_unit_test(test_free_blocks_do_not_merge_over_a_hole),
      cmocka_unit_test(test_last_block_does_not_expand_into_a_hole),
      cmocka_unit_test(test_realloc_of_the_last_block_moves_over_a_hole),
      cmocka_unit_test(test_refuse_sbrk),
      cmocka_unit_test(test_refuse_brk),
      cmocka_unit_test(test_refuse_brk_when_expanding),
      cmocka_unit_test(test_refuse_mmap),
      cmocka_unit_test(test_refuse_munmap),
      cmocka_unit_test(test_refuse_by_limit),
      cmocka_unit_test(test_refuse_by_address_space),
  };
  return cmocka_run_group_tests_name("textbook", tests, NULL, NULL);
}
