/* SPDX-License-Identifier: MIT */
/* What each call of the malloc family means: results, errno, alignment of plain blocks, sizes that cannot be. */
#include "verbs.h"

#include "../../src/foreign.h"
#include "../../src/libc.h"

/* Every way to ask for `size` bytes. */
static void *by_malloc(size_t size) { return malloc(size); }
static void *by_calloc(size_t size) { return calloc(1, size); }
static void *by_calloc_of_bytes(size_t size) { return calloc(size, 1); }
static void *by_realloc(size_t size) { return realloc(NULL, size); }
static void *by_reallocarray(size_t size) { return reallocarray(NULL, size, 1); }
static void *by_aligned_alloc(size_t size) { return aligned_alloc(64, size); }
static void *by_memalign(size_t size) { return memalign(32, size); }
static void *by_memalign_of_pages(size_t size) { return memalign(8192, size); }
static void *by_memalign_zero(size_t size) { return memalign(0, size); }
static void *by_valloc(size_t size) { return valloc(size); }
static void *by_pvalloc(size_t size) { return pvalloc(size); }

static void *(*const ENTRIES[])(size_t) = {
    by_malloc,   by_calloc,           by_calloc_of_bytes, by_realloc, by_reallocarray, by_aligned_alloc,
    by_memalign, by_memalign_of_pages, by_memalign_zero,   by_valloc,  by_pvalloc,
};

/* Nothing of these sizes exists, whatever is added to or rounded off them. */
static const size_t IMPOSSIBLE[] = {
    PTRDIFF_MAX,   (size_t)PTRDIFF_MAX + 1, (size_t)PTRDIFF_MAX + 4096, SIZE_MAX / 2 + 17, SIZE_MAX - 65536, SIZE_MAX - 4096,
    SIZE_MAX - 4095, SIZE_MAX - 64,           SIZE_MAX - 16,              SIZE_MAX - 15,     SIZE_MAX - 8,     SIZE_MAX - 1,
    SIZE_MAX,
};

enum { UNTOUCHED = 4711 }; /* an errno nobody sets */

static void impossible_sizes_give_null_and_enomem(void)
{
  for (size_t e = 0; e < COUNT(ENTRIES); e++)
    for (size_t i = 0; i < COUNT(IMPOSSIBLE); i++) {
      errno = 0;
      require(ENTRIES[e](IMPOSSIBLE[i]) == NULL);
      require(errno == ENOMEM);
    }
}

static void impossible_realloc_leaves_the_block(void)
{
  for (size_t s = 0; s < COUNT(SIZES); s++) {
    char *p = malloc(SIZES[s]);
    fill(p, SIZES[s], s);
    for (size_t i = 0; i < COUNT(IMPOSSIBLE); i++) {
      errno = 0;
      require(realloc(p, IMPOSSIBLE[i]) == NULL && errno == ENOMEM);
      errno = 0;
      require(reallocarray(p, IMPOSSIBLE[i], 1) == NULL && errno == ENOMEM);
    }
    volatile size_t too_many = SIZE_MAX / 8 + 2; /* volatile: gcc would see through it and warn */
    errno = 0;
    require(reallocarray(p, too_many, 8) == NULL && errno == ENOMEM);
    require(holds(p, SIZES[s], s));
    free(p);
  }
}

static void overflowing_products_give_null_and_enomem(void)
{
  static const size_t FACTORS[][2] = {
      {SIZE_MAX, 2}, {2, SIZE_MAX}, {SIZE_MAX, SIZE_MAX}, {(size_t)1 << 32, (size_t)1 << 32}, {SIZE_MAX / 16 + 1, 16},
      {SIZE_MAX / 24 + 2, 24}, {PTRDIFF_MAX, 2}, {(size_t)1 << 62, 2}, {((size_t)1 << 32) + 1, (size_t)1 << 32},
  };
  for (size_t i = 0; i < COUNT(FACTORS); i++) {
    errno = 0;
    require(calloc(FACTORS[i][0], FACTORS[i][1]) == NULL && errno == ENOMEM);
    errno = 0;
    require(reallocarray(NULL, FACTORS[i][0], FACTORS[i][1]) == NULL && errno == ENOMEM);
  }
}

static void success_and_free_leave_errno(void)
{
  errno = UNTOUCHED;
  for (size_t e = 0; e < COUNT(ENTRIES); e++)
    for (size_t s = 0; s < COUNT(SIZES); s++) {
      void *p = ENTRIES[e](SIZES[s]);
      require(p && errno == UNTOUCHED);
      touch(p, SIZES[s]);
      p = realloc(p, SIZES[s] * 2 + 1);
      require(p && errno == UNTOUCHED);
      free(p);
      require(errno == UNTOUCHED);
    }
  free(NULL);
  require(malloc_usable_size(NULL) == 0);
  malloc_trim(0);
  require(errno == UNTOUCHED);
}

static void aligned_entries_keep_their_alignment(void)
{
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  for (size_t s = 0; s < COUNT(SIZES); s++) {
    size_t size = SIZES[s], natural = size <= 8 ? 8 : 16;
    void *blocks[] = {by_malloc(size), by_calloc(size), by_realloc(size), by_reallocarray(size)};
    for (size_t i = 0; i < COUNT(blocks); i++) require(blocks[i] && is_aligned(blocks[i], natural));
    for (size_t i = 0; i < COUNT(blocks); i++) free(blocks[i]);
    void *v = valloc(size), *pv = pvalloc(size);
    require(v && is_aligned(v, page));
    require(pv && is_aligned(pv, page) && malloc_usable_size(pv) >= (size + page - 1) / page * page);
    free(v);
    free(pv);
  }
}

static void every_small_size_is_aligned_and_large_enough(void)
{
  static void *blocks[3000];
  for (size_t n = 1; n < COUNT(blocks); n++) {
    blocks[n] = malloc(n);
    require(blocks[n] && is_aligned(blocks[n], n <= 8 ? 8 : 16) && malloc_usable_size(blocks[n]) >= n);
    fill(blocks[n], malloc_usable_size(blocks[n]), n);
  }
  for (size_t n = 1; n < COUNT(blocks); n++) {
    require(holds(blocks[n], malloc_usable_size(blocks[n]), n));
    free(blocks[n]);
  }
}

static void posix_memalign_rules(void)
{
  static const size_t BAD[] = {0, 1, 2, 4, 3, 7, 12, 24, 40, 100, 4095, 4097, SIZE_MAX, (size_t)PTRDIFF_MAX};
  char anchor;
  errno = UNTOUCHED;
  for (size_t i = 0; i < COUNT(BAD); i++)
    for (size_t size = 0; size <= 300000; size = size * 3 + 1) {
      void *p = &anchor;
      require(posix_memalign(&p, BAD[i], size) == EINVAL);
      require(p == &anchor && errno == UNTOUCHED);
    }
  for (size_t i = 0; i < COUNT(IMPOSSIBLE); i++)
    for (size_t alignment = 8; alignment <= 1 << 20; alignment *= 4) {
      void *p = &anchor;
      errno = UNTOUCHED;
      require(posix_memalign(&p, alignment, IMPOSSIBLE[i]) == ENOMEM);
      require(p == &anchor && errno == ENOMEM); /* glibc leaves it so, and programs print it */
    }
  errno = UNTOUCHED;
  for (size_t s = 0; s < COUNT(SIZES); s++) {
    void *p = NULL;
    require(posix_memalign(&p, 128, SIZES[s]) == 0 && p && is_aligned(p, 128) && errno == UNTOUCHED);
    free(p);
  }
}

static void an_impossible_alignment_is_refused(void)
{
  void *p = NULL;
  errno = 0;
  require(aligned_alloc((size_t)1 << 63, 100) == NULL && errno != 0);
  errno = 0;
  require(memalign((size_t)1 << 62, PTRDIFF_MAX / 2) == NULL && errno != 0);
  require(posix_memalign(&p, (size_t)1 << 63, 1) == ENOMEM && p == NULL);
}

/* As glibc 2.36 has it, for both. */
static void odd_alignments_are_rounded_up(void)
{
  static const size_t ODD[] = {0, 1, 2, 3, 5, 7, 12, 24, 48, 100, 1000, 4097, 65537, 3 << 20};
  static void *(*const ALIGNED[])(size_t, size_t) = {aligned_alloc, memalign};
  errno = UNTOUCHED;
  for (size_t f = 0; f < COUNT(ALIGNED); f++)
    for (size_t i = 0; i < COUNT(ODD); i++)
      for (size_t s = 0; s < COUNT(SIZES); s++) {
        size_t power = 8;
        while (power < ODD[i]) power *= 2;
        char *p = ALIGNED[f](ODD[i], SIZES[s]);
        require(p && is_aligned(p, power) && errno == UNTOUCHED);
        p[0] = p[SIZES[s] - 1] = 1;
        free(p);
      }
  for (size_t f = 0; f < COUNT(ALIGNED); f++)
    for (size_t i = 1; i < 1000; i += 333) {
      errno = UNTOUCHED;
      require(ALIGNED[f](((size_t)1 << 63) + i, 10) == NULL && errno == EINVAL);
      require(ALIGNED[f](((size_t)1 << 62) + i, 10) == NULL && errno == ENOMEM);
    }
}

static void empty_blocks_are_unique(void)
{
  static void *(*const EMPTY[])(size_t) = {by_malloc, by_calloc, by_realloc};
  static void *blocks[3 * 300];
  for (size_t i = 0; i < COUNT(blocks); i++) {
    blocks[i] = EMPTY[i % 3](0);
    require(blocks[i] && is_aligned(blocks[i], 8));
    for (size_t j = 0; j < i; j++) require(blocks[i] != blocks[j]);
  }
  for (size_t i = 0; i < COUNT(blocks); i++) free(blocks[i]);
}

static size_t cycle_bytes;
static void (*cycle_end)(void *);

static void cycle(void)
{
  for (int i = 0; i < 2000; i++) {
    void *p = malloc(cycle_bytes);
    require(p);
    touch(p, cycle_bytes);
    cycle_end(p);
  }
}

static void end_by_realloc_zero(void *p)
{
  errno = UNTOUCHED;
  require(is_left_of_nothing(realloc(p, 0)) && errno == UNTOUCHED);
}

static void end_by_nothing(void *p) { (void)p; }

static void realloc_to_zero_frees(void)
{
  static const size_t OF_EACH_TIER[] = {1000, 30000, 200000};
  for (size_t i = 0; i < COUNT(OF_EACH_TIER); i++) {
    cycle_bytes = OF_EACH_TIER[i];
    cycle_end = end_by_realloc_zero;
    cycle(); /* what the first brings into memory stays: of libraries, and a spare */
    require(growth_of(cycle) < 1 * MB);
  }
  cycle_bytes = 1000;
  cycle_end = end_by_nothing;
  require(growth_of(cycle) > 1 * MB); /* the measure sees a leak */
}

static void usable_bytes_are_writable_stable_and_copied(void)
{
  for (size_t e = 0; e < COUNT(ENTRIES); e++)
    for (size_t s = 0; s < COUNT(SIZES) - 1; s++) {
      char *p = ENTRIES[e](SIZES[s]), *neighbour = ENTRIES[e](SIZES[s]);
      size_t usable = malloc_usable_size(p);
      require(usable >= SIZES[s]);
      fill(neighbour, malloc_usable_size(neighbour), e);
      fill(p, usable, s);
      require(holds(neighbour, malloc_usable_size(neighbour), e));
      require(malloc_usable_size(p) == usable);
      char *q = realloc(p, usable * 3 + 100);
      require(q && holds(q, usable, s));
      require(holds(neighbour, malloc_usable_size(neighbour), e));
      free(neighbour);
      require(malloc_usable_size(q) >= usable * 3 + 100 && holds(q, usable, s));
      size_t half = SIZES[s] / 2 + 1;
      q = realloc(q, half);
      require(q && holds(q, half, s));
      free(q);
    }
}

static void realloc_between_all_sizes_keeps_the_data(void)
{
  for (size_t from = 0; from < COUNT(SIZES); from++)
    for (size_t to = 0; to < COUNT(SIZES); to++) {
      size_t kept = SIZES[from] < SIZES[to] ? SIZES[from] : SIZES[to];
      char *p = malloc(SIZES[from]);
      fill(p, kept, from);
      p = realloc(p, SIZES[to]);
      require(p && holds(p, kept, from));
      p[SIZES[to] - 1] = 1;
      free(p);
    }
}

static void dirty_then_free(size_t size)
{
  void *dirty[8];
  for (size_t i = 0; i < COUNT(dirty); i++) {
    dirty[i] = malloc(size);
    memset(dirty[i], 0xEE, malloc_usable_size(dirty[i]));
  }
  for (size_t i = 0; i < COUNT(dirty); i++) free(dirty[i]);
}

static void calloc_is_zero_after_reuse(void)
{
  for (int trimmed = 0; trimmed < 2; trimmed++)
    for (size_t s = 0; s < COUNT(SIZES) - 1; s++) {
      dirty_then_free(SIZES[s]);
      if (trimmed) malloc_trim(0);
      char *blocks[10];
      for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = i % 2 ? calloc(1, SIZES[s]) : calloc(SIZES[s], 1);
        require(blocks[i] && all_zero(blocks[i], SIZES[s]));
        memset(blocks[i], 0xEE, SIZES[s]);
      }
      for (size_t i = 0; i < COUNT(blocks); i++) free(blocks[i]);
    }
}

/* A smaller calloc out of dirty larger memory, and a larger one over several dirty small ones. */
static void calloc_is_zero_after_split_and_merge(void)
{
  for (int round = 0; round < 50; round++)
    for (size_t size = 3000; size < 3000000; size *= 3) {
      dirty_then_free(size);
      char *less = calloc(1, size / 3), *more = calloc(3, size);
      require(all_zero(less, size / 3) && all_zero(more, 3 * size));
      memset(less, 0xEE, size / 3);
      memset(more, 0xEE, 3 * size);
      free(less);
      free(more);
    }
}

typedef void sized_free(void *, size_t);
typedef void aligned_sized_free(void *, size_t, size_t);

static void *exported(const char *name)
{
  void *symbol = dlsym(RTLD_DEFAULT, name);
  if (!symbol && !runs_on_osmem()) skip_test("this libc lacks it");
  require(symbol);
  return symbol;
}

static void sizes_given_to_free_are_only_hints(void)
{
  sized_free *free_sized = (sized_free *)exported("free_sized");
  aligned_sized_free *free_aligned_sized = (aligned_sized_free *)exported("free_aligned_sized");
  free_sized(NULL, 0);
  free_aligned_sized(NULL, 16, 100);
  errno = UNTOUCHED;
  for (size_t s = 0; s < COUNT(SIZES); s++)
    for (size_t hint = 0; hint < COUNT(SIZES); hint++) {
      char *p = malloc(SIZES[s]), *q = aligned_alloc(256, SIZES[s]), *live = malloc(SIZES[s]);
      require(p && q && live);
      fill(live, SIZES[s], hint);
      free_sized(p, SIZES[hint]);
      free_aligned_sized(q, hint % 2 ? 256 : 16, SIZES[hint]);
      require(errno == UNTOUCHED);
      char *again = malloc(SIZES[s]);
      require(again && again != live);
      touch(again, SIZES[s]);
      require(holds(live, SIZES[s], hint));
      free(again);
      free(live);
    }
}

/* In the version alone that programs of before 2017 ask for: who asks for none means a function of his own. */
static void cfree_frees(void)
{
  void (*cfree_)(void *) = (void (*)(void *))dlvsym(RTLD_DEFAULT, "cfree", LIBC_VERSION);
  require(cfree_ && dlsym(RTLD_DEFAULT, "cfree") == NULL);
  cfree_(NULL);
  cycle_bytes = 20000;
  cycle_end = cfree_;
  require(growth_of(cycle) < 1 * MB);
}

static void mallinfo_sees_live_bytes(void)
{
  struct mallinfo2 before = mallinfo2();
  void *medium[100], *large = malloc(20 * MB);
  for (size_t i = 0; i < COUNT(medium); i++) medium[i] = malloc(50000);
  struct mallinfo2 during = mallinfo2();
  require(during.uordblks + during.hblkhd >= before.uordblks + before.hblkhd + 20 * MB + 100 * 50000);
  require(during.hblks > before.hblks);
  struct mallinfo old_form = ((struct mallinfo (*)(void))exported("mallinfo"))();
  require(old_form.hblks > 0 && old_form.hblkhd >= 20 * MB);
  free(large);
  for (size_t i = 0; i < COUNT(medium); i++) free(medium[i]);
  malloc_trim(0); /* what waits in the thread's cache counts as live */
  struct mallinfo2 after = mallinfo2();
  require(after.uordblks + after.hblkhd < before.uordblks + before.hblkhd + 1 * MB);
}

static void mallopt_and_trim_answer(void)
{
  require(mallopt(M_MMAP_THRESHOLD, 128 * KB) == 1);
  require(mallopt(M_ARENA_MAX, 1) == 1);
  static void *blocks[2000];
  for (size_t i = 0; i < COUNT(blocks); i++) touch(blocks[i] = malloc(20000), 20000);
  for (size_t i = 0; i < COUNT(blocks); i++) free(blocks[i]);
  malloc_trim(0);
  require(malloc_trim(0) == 0); /* nothing is left to give */
  require(resident_bytes() < 20 * MB);
}

static void malloc_info_writes_xml(void)
{
  char text[20000] = {0};
  FILE *memory = fmemopen(text, sizeof text - 1, "w");
  require(malloc_info(0, memory) == 0);
  fclose(memory);
  require(strncmp(text, "<malloc version=\"1\">", 20) == 0);
  require(strcmp(text + strlen(text) - 10, "</malloc>\n") == 0);
  /* In glibc's schema, of which readers take what is in use for this difference. */
  const char *totals = strstr(text, "</heap>");
  size_t fast, rest, mapped, current;
  require(totals && sscanf(totals,
                           "</heap> <total type=\"fast\" count=\"%*u\" size=\"%zu\"/> <total type=\"rest\" count=\"%*u\" size=\"%zu\"/>"
                           " <total type=\"mmap\" count=\"%*u\" size=\"%zu\"/> <system type=\"current\" size=\"%zu\"/>",
                           &fast, &rest, &mapped, &current) == 4);
  size_t used = current - fast - rest, counted = mallinfo2().uordblks;
  require(used <= counted + 10000 && counted <= used + 10000);
  errno = 0;
  int refused = malloc_info(1, stdout);
  require(refused == EINVAL || (refused == -1 && errno == EINVAL));
}

static bool stats_are_printed;

static void *prints_while_being_cancelled(void *none)
{
  pthread_cancel(pthread_self());
  malloc_stats();
  stats_are_printed = true;
  return none;
}

/* With write() there, a thread would end within a call that no standard lists among those where it may. */
static void malloc_stats_is_no_cancellation_point(void)
{
  dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
  run_thread(prints_while_being_cancelled, NULL);
  require(stats_are_printed);
}

static void malloc_stats_writes_to_stderr_only(void)
{
  int ends[2];
  char text[4096];
  require(pipe(ends) == 0);
  int was = dup(STDERR_FILENO);
  dup2(ends[1], STDERR_FILENO);
  malloc_stats();
  fflush(stderr);
  dup2(was, STDERR_FILENO);
  ssize_t length = read(ends[0], text, sizeof text - 1);
  require(length > 20);
  text[length] = 0;
  unsigned long system[2], in_use[2], regions, bytes; /* as those read it who know glibc's */
  require(sscanf(text, "Arena 0:\nsystem bytes     = %lu\nin use bytes     = %lu\nTotal (incl. mmap):\nsystem bytes     = %lu\nin use bytes     = %lu\nmax mmap regions = %lu\nmax mmap bytes   = %lu\n",
                 &system[0], &in_use[0], &system[1], &in_use[1], &regions, &bytes) == 6);
  require(in_use[0] <= system[0] && system[1] == system[0] + bytes && in_use[1] == in_use[0] + bytes);
}

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST(impossible_sizes_give_null_and_enomem),
      TEST(impossible_realloc_leaves_the_block),
      TEST(overflowing_products_give_null_and_enomem),
      TEST(success_and_free_leave_errno),
      TEST(aligned_entries_keep_their_alignment),
      TEST(every_small_size_is_aligned_and_large_enough),
      TEST(posix_memalign_rules),
      TEST(an_impossible_alignment_is_refused),
      TEST(odd_alignments_are_rounded_up),
      TEST(empty_blocks_are_unique),
      TEST(realloc_to_zero_frees),
      TEST(usable_bytes_are_writable_stable_and_copied),
      TEST(realloc_between_all_sizes_keeps_the_data),
      TEST(calloc_is_zero_after_reuse),
      TEST(calloc_is_zero_after_split_and_merge),
      TEST(sizes_given_to_free_are_only_hints),
      TEST(cfree_frees),
      TEST(mallinfo_sees_live_bytes),
      TEST(mallopt_and_trim_answer),
      TEST(malloc_info_writes_xml),
      TEST(malloc_stats_writes_to_stderr_only),
      TEST(malloc_stats_is_no_cancellation_point),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
