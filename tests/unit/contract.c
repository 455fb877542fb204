/* SPDX-License-Identifier: MIT */
/* Every statement of include/osmem.h about the os_* functions. */
#include "verbs.h"

#include "osmem.h"

enum { UNTOUCHED = 4711 }; /* an errno nobody sets */

static const size_t IMPOSSIBLE[] = {
    (size_t)PTRDIFF_MAX + 1, SIZE_MAX / 2 + 17, SIZE_MAX - 4095, SIZE_MAX - 64, SIZE_MAX - 15, SIZE_MAX - 1, SIZE_MAX,
};

/* ---- results and errno ---- */

static void empty_requests_give_null(void)
{
  volatile size_t most = SIZE_MAX; /* volatile: gcc would see through it and warn */
  errno = UNTOUCHED;
  require(os_malloc(0) == NULL);
  require(os_calloc(0, 10) == NULL && os_calloc(10, 0) == NULL && os_calloc(0, 0) == NULL);
  require(os_calloc(0, most) == NULL && os_calloc(most, 0) == NULL);
  require(os_realloc(NULL, 0) == NULL);
  require(os_reallocarray(NULL, 0, most) == NULL && os_reallocarray(NULL, most, 0) == NULL);
  for (size_t alignment = 1; alignment <= 1 << 20; alignment *= 2) require(os_aligned_alloc(alignment, 0) == NULL);
  require(errno == UNTOUCHED);
}

static void errno_is_untouched_on_success(void)
{
  errno = UNTOUCHED;
  os_free(NULL);
  for (size_t s = 0; s < COUNT(SIZES); s++) {
    void *blocks[] = {
        os_malloc(SIZES[s]),          os_calloc(SIZES[s], 1),           os_realloc(NULL, SIZES[s]),
        os_reallocarray(NULL, 1, SIZES[s]), os_aligned_alloc(64, SIZES[s]), os_aligned_alloc(1 << 16, SIZES[s]),
    };
    for (size_t i = 0; i < COUNT(blocks); i++) {
      require(blocks[i] && os_usable_size(blocks[i]) >= SIZES[s]);
      blocks[i] = os_realloc(blocks[i], SIZES[s] * 3);
      require(blocks[i]);
    }
    for (size_t i = 0; i < COUNT(blocks); i++) os_free(blocks[i]);
    require(errno == UNTOUCHED);
  }
  os_trim(0);
  require(os_check() && errno == UNTOUCHED);
}

static void too_much_gives_null_and_enomem(void)
{
  for (size_t i = 0; i < COUNT(IMPOSSIBLE); i++) {
    size_t n = IMPOSSIBLE[i];
    errno = 0;
    require(os_malloc(n) == NULL && errno == ENOMEM);
    errno = 0;
    require(os_calloc(1, n) == NULL && errno == ENOMEM);
    errno = 0;
    require(os_realloc(NULL, n) == NULL && errno == ENOMEM);
    for (size_t alignment = 1; alignment <= 1 << 24; alignment *= 8) {
      errno = 0;
      require(os_aligned_alloc(alignment, n) == NULL && errno == ENOMEM);
    }
  }
  /* A size that exists, but not in this address space. */
  errno = 0;
  require(os_malloc((size_t)1 << 60) == NULL && errno == ENOMEM);
  errno = 0;
  require(os_aligned_alloc((size_t)1 << 62, 1) == NULL && errno == ENOMEM);
}

static void overflowing_products_give_null_and_enomem(void)
{
  static const size_t FACTORS[][2] = {{SIZE_MAX, 2}, {(size_t)1 << 32, (size_t)1 << 32}, {SIZE_MAX / 24 + 2, 24}, {PTRDIFF_MAX, 2}};
  void *p = os_malloc(100);
  fill(p, 100, 1);
  for (size_t i = 0; i < COUNT(FACTORS); i++) {
    errno = 0;
    require(os_calloc(FACTORS[i][0], FACTORS[i][1]) == NULL && errno == ENOMEM);
    errno = 0;
    require(os_reallocarray(NULL, FACTORS[i][0], FACTORS[i][1]) == NULL && errno == ENOMEM);
    errno = 0;
    require(os_reallocarray(p, FACTORS[i][0], FACTORS[i][1]) == NULL && errno == ENOMEM);
    require(holds(p, 100, 1));
  }
  os_free(p);
}

static void failed_realloc_leaves_the_block(void)
{
  for (size_t s = 0; s < COUNT(SIZES); s++) {
    void *p = os_malloc(SIZES[s]);
    size_t usable = os_usable_size(p);
    fill(p, usable, s);
    for (size_t i = 0; i < COUNT(IMPOSSIBLE); i++) {
      errno = 0;
      require(os_realloc(p, IMPOSSIBLE[i]) == NULL && errno == ENOMEM);
      require(os_usable_size(p) == usable);
    }
    require(holds(p, usable, s));
    os_free(p);
  }
  require(os_check());
}

static void realloc_to_zero_frees(void)
{
  struct os_stats before, after;
  os_get_stats(&before, sizeof before);
  errno = UNTOUCHED;
  for (size_t s = 0; s < COUNT(SIZES); s++) {
    require(os_realloc(os_malloc(SIZES[s]), 0) == NULL);
    require(os_reallocarray(os_malloc(SIZES[s]), 0, 8) == NULL);
  }
  require(errno == UNTOUCHED);
  os_trim(0);
  os_get_stats(&after, sizeof after);
  require(after.large_live_count == before.large_live_count && after.small_live_count == before.small_live_count);
}

static void bad_alignments_are_einval(void)
{
  static const size_t BAD[] = {0, 3, 5, 6, 7, 12, 24, 48, 100, 4095, 4097, SIZE_MAX, SIZE_MAX - 1, ((size_t)1 << 63) + 1};
  for (size_t i = 0; i < COUNT(BAD); i++)
    for (size_t s = 0; s < COUNT(SIZES); s++) {
      errno = 0;
      require(os_aligned_alloc(BAD[i], SIZES[s]) == NULL && errno == EINVAL);
    }
}

/* ---- alignment ---- */

static void every_block_is_16_aligned(void)
{
  for (size_t n = 1; n <= 5000; n++) {
    void *p = os_malloc(n), *z = os_calloc(1, n), *r = os_realloc(os_malloc(n * 2), n);
    require(p && is_aligned(p, 16) && z && is_aligned(z, 16) && r && is_aligned(r, 16));
    os_free(p);
    if (n % 3) os_free(z);
    if (n % 2) os_free(r);
  }
}

static void powers_of_two_are_served(void)
{
  for (size_t alignment = 1; alignment <= (size_t)1 << 30; alignment *= 2)
    for (size_t s = 0; s < COUNT(SIZES); s++) {
      char *p = os_aligned_alloc(alignment, SIZES[s]);
      require(p && is_aligned(p, alignment) && is_aligned(p, 16) && os_usable_size(p) >= SIZES[s]);
      p[0] = p[SIZES[s] - 1] = 1;
      os_free(p);
    }
  require(os_check());
}

static void realloc_of_aligned_keeps_the_data(void)
{
  for (size_t alignment = 32; alignment <= 1 << 20; alignment *= 4)
    for (size_t s = 0; s < COUNT(SIZES); s++) {
      char *p = os_aligned_alloc(alignment, SIZES[s]);
      fill(p, SIZES[s], s);
      p = os_realloc(p, SIZES[s] * 2);
      require(p && holds(p, SIZES[s], s));
      p = os_realloc(p, SIZES[s] / 2 + 1);
      require(p && holds(p, SIZES[s] / 2 + 1, s));
      os_free(p);
    }
  require(os_check());
}

/* ---- usable size ---- */

static void usable_size_is_writable_and_stable(void)
{
  require(os_usable_size(NULL) == 0);
  static struct {
    char *at;
    size_t usable;
  } live[COUNT(SIZES)];
  for (size_t s = 0; s < COUNT(SIZES); s++) {
    live[s].at = os_malloc(SIZES[s]);
    live[s].usable = os_usable_size(live[s].at);
    require(live[s].usable >= SIZES[s]);
    fill(live[s].at, live[s].usable, s);
  }
  churn(1, 5000);
  require(os_check());
  for (size_t s = 0; s < COUNT(SIZES); s++) {
    require(os_usable_size(live[s].at) == live[s].usable && holds(live[s].at, live[s].usable, s));
    os_free(live[s].at);
  }
}

/* ---- one heap behind two sets of names ---- */

static void both_names_share_one_heap(void)
{
  for (size_t s = 0; s < COUNT(SIZES); s++) {
    os_free(malloc(SIZES[s]));
    free(os_malloc(SIZES[s]));
    char *p = os_realloc(calloc(1, SIZES[s]), SIZES[s] * 2);
    require(p && all_zero(p, SIZES[s]) && malloc_usable_size(p) == os_usable_size(p));
    free(realloc(p, SIZES[s]));
    os_free(memalign(4096, SIZES[s]));
  }
  require(os_check());
}

/* ---- calloc ---- */

static void calloc_is_zero_after_reuse_and_trim(void)
{
  for (int trimmed = 0; trimmed < 2; trimmed++)
    for (size_t s = 0; s < COUNT(SIZES); s++) {
      char *blocks[6];
      for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = os_malloc(SIZES[s]);
        memset(blocks[i], 0xEE, os_usable_size(blocks[i]));
      }
      for (size_t i = 0; i < COUNT(blocks); i++) os_free(blocks[i]);
      if (trimmed) os_trim(0);
      for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = os_calloc(i % 2 ? SIZES[s] : 1, i % 2 ? 1 : SIZES[s]);
        require(blocks[i] && all_zero(blocks[i], SIZES[s]));
        memset(blocks[i], 0xEE, os_usable_size(blocks[i]));
      }
      for (size_t i = 0; i < COUNT(blocks); i++) os_free(blocks[i]);
    }
  require(os_check());
}

/* ---- trim ---- */

static void trim_says_whether_it_released(void)
{
  static void *blocks[1000];
  for (size_t i = 0; i < COUNT(blocks); i++) touch(blocks[i] = os_malloc(20000), 20000);
  for (size_t i = 0; i < COUNT(blocks); i++) os_free(blocks[i]);
  require(os_trim(0));
  require(!os_trim(0)); /* nothing is left */
  require(os_check());
}

static void trim_keeps_the_pad(void)
{
  static void *blocks[1000];
  for (size_t i = 0; i < COUNT(blocks); i++) touch(blocks[i] = os_malloc(20000), 20000);
  for (size_t i = 0; i < COUNT(blocks); i++) os_free(blocks[i]);
  uintptr_t before = program_break();
  os_trim(4 * MB);
  uintptr_t padded = program_break();
  os_trim(0);
  uintptr_t after = program_break();
  require(padded <= before && padded >= after + 3 * MB && padded <= after + 5 * MB);
}

/* ---- statistics and version ---- */

static void stats_write_only_what_both_sides_know(void)
{
  union {
    struct os_stats stats;
    unsigned char bytes[sizeof(struct os_stats) + 64];
  } room;
  for (size_t asked = 0; asked <= sizeof room; asked += 8) {
    memset(&room, 0xA5, sizeof room);
    os_get_stats(&room.stats, asked);
    size_t written = asked < sizeof room.stats ? asked : sizeof room.stats;
    for (size_t i = written; i < sizeof room; i++) require(room.bytes[i] == 0xA5);
    if (asked >= sizeof(size_t)) require(room.stats.heap_bytes < (size_t)1 << 40);
  }
}

static void the_version_is_that_of_the_header(void)
{
  char text[32];
  snprintf(text, sizeof text, "%d.%d.%d", OSMEM_VERSION_MAJOR, OSMEM_VERSION_MINOR, OSMEM_VERSION_PATCH);
  require(strcmp(os_version(), text) == 0);
}

/* ---- check ---- */

/* os_check() can say no: the tests that ask for yes could not fail otherwise. */
static void breaks_a_header(void)
{
  dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
  char *blocks[8];
  for (size_t i = 0; i < COUNT(blocks); i++) blocks[i] = os_malloc(3000);
  require(os_check());
  memset(blocks[4] - 8, 0xFF, 8);
  _exit(os_check() ? 1 : 0);
}

static void breaks_a_free_list(void)
{
  dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
  char *blocks[8];
  for (size_t i = 0; i < COUNT(blocks); i++) blocks[i] = os_malloc(30000);
  os_free(blocks[4]);
  os_trim((size_t)1 << 30); /* out of the thread's cache */
  require(os_check());
  memset(blocks[4], 0xA5, 32);
  _exit(os_check() ? 1 : 0);
}

static void check_finds_damage(void)
{
  require(fate_of(breaks_a_header) == 0);
  require(fate_of(breaks_a_free_list) == 0);
}

/* ---- what the header tells the compiler ---- */

static void the_compiler_knows_the_sizes(void)
{
  void *p = os_malloc(10), *z = os_calloc(3, 5), *a = os_aligned_alloc(64, 33);
  require(__builtin_object_size(p, 0) == 10);
  require(__builtin_object_size(z, 0) == 15);
  require(__builtin_object_size(a, 0) == 33);
  os_free(p);
  os_free(z);
  os_free(a);
}

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST(empty_requests_give_null),
      TEST(errno_is_untouched_on_success),
      TEST(too_much_gives_null_and_enomem),
      TEST(overflowing_products_give_null_and_enomem),
      TEST(failed_realloc_leaves_the_block),
      TEST(realloc_to_zero_frees),
      TEST(bad_alignments_are_einval),
      TEST(every_block_is_16_aligned),
      TEST(powers_of_two_are_served),
      TEST(realloc_of_aligned_keeps_the_data),
      TEST(usable_size_is_writable_and_stable),
      TEST(both_names_share_one_heap),
      TEST(calloc_is_zero_after_reuse_and_trim),
      TEST(trim_says_whether_it_released),
      TEST(trim_keeps_the_pad),
      TEST(stats_write_only_what_both_sides_know),
      TEST(the_version_is_that_of_the_header),
      TEST(check_finds_damage),
      TEST(the_compiler_knows_the_sizes),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
