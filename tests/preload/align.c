/* SPDX-License-Identifier: MIT */
/* Alignments from 8 bytes to 1 GiB at sizes from nothing to large, in every call that takes one. */
#include "verbs.h"

static void *by_posix_memalign(size_t alignment, size_t size)
{
  void *p = NULL;
  return posix_memalign(&p, alignment, size) == 0 ? p : NULL;
}
static void *by_aligned_alloc(size_t alignment, size_t size) { return aligned_alloc(alignment, size); }
static void *by_memalign(size_t alignment, size_t size) { return memalign(alignment, size); }

typedef void *aligned_entry(size_t alignment, size_t size);
static aligned_entry *const ENTRIES[] = {by_posix_memalign, by_aligned_alloc, by_memalign};

static const size_t GIANT = (size_t)1 << 30;

static void every_alignment_at_every_size(void)
{
  for (size_t e = 0; e < COUNT(ENTRIES); e++)
    for (size_t alignment = 8; alignment <= GIANT; alignment *= 2)
      for (size_t s = 0; s < COUNT(SIZES); s++) {
        char *p = ENTRIES[e](alignment, SIZES[s]);
        require(p && is_aligned(p, alignment) && malloc_usable_size(p) >= SIZES[s]);
        p[0] = p[SIZES[s] - 1] = 1;
        free(p);
      }
}

/* Nothing of size 0 may be NULL or not: what is given has to be aligned and free of trouble. */
static void size_zero(void)
{
  for (size_t e = 0; e < COUNT(ENTRIES); e++)
    for (size_t alignment = 8; alignment <= GIANT; alignment *= 2) {
      void *p = ENTRIES[e](alignment, 0), *q = ENTRIES[e](alignment, 0);
      require(is_aligned(p, alignment) && is_aligned(q, alignment) && (!p || p != q));
      free(p);
      free(q);
    }
}

/* Many at a time, plain blocks between them: what is cut off in front and behind belongs to nobody twice. */
static void aligned_blocks_overlap_nothing(void)
{
  enum { BLOCKS = 600 };
  static struct {
    char *at;
    size_t size;
  } live[BLOCKS];
  uint32_t dice = 7;
  for (int round = 0; round < 20; round++) {
    for (size_t i = 0; i < BLOCKS; i++) {
      if (live[i].at && next_random(&dice) % 2) continue;
      if (live[i].at) {
        require(holds(live[i].at, live[i].size, i));
        free(live[i].at);
      }
      size_t alignment = (size_t)8 << next_random(&dice) % 12;
      live[i].size = 1 + random_size(&dice) % 9000;
      live[i].at = i % 3 ? ENTRIES[i % 3](alignment, live[i].size) : malloc(live[i].size);
      require(live[i].at && (i % 3 == 0 || is_aligned(live[i].at, alignment)));
      fill(live[i].at, live[i].size, i);
    }
    for (size_t i = 0; i < BLOCKS; i++) require(holds(live[i].at, live[i].size, i));
  }
  for (size_t i = 0; i < BLOCKS; i++) free(live[i].at);
}

static void realloc_keeps_the_data(void)
{
  for (size_t alignment = 8; alignment <= 16 * MB; alignment *= 2)
    for (size_t s = 0; s < COUNT(SIZES) - 1; s++)
      for (size_t to = 1; to < 500000; to = to * 5 + 3) {
        size_t kept = SIZES[s] < to ? SIZES[s] : to;
        char *p = memalign(alignment, SIZES[s]);
        require(p);
        fill(p, kept, s);
        p = realloc(p, to);
        require(p && holds(p, kept, s));
        free(p);
      }
}

static void aligned_cycles(void)
{
  for (int i = 0; i < 300; i++)
    for (size_t alignment = 32; alignment <= 4 * MB; alignment *= 8) {
      char *small = memalign(alignment, 40), *medium = memalign(alignment, 9000), *large = memalign(alignment, 150000);
      require(small && medium && large);
      touch(small, 40);
      touch(medium, 9000);
      touch(large, 150000);
      free(small);
      free(medium);
      free(large);
    }
}

static void aligned_blocks_are_wholly_given_back(void)
{
  aligned_cycles();
  require(growth_of(aligned_cycles) < 1 * MB);
}

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST(every_alignment_at_every_size),
      TEST(size_zero),
      TEST(aligned_blocks_overlap_nothing),
      TEST(realloc_keeps_the_data),
      TEST(aligned_blocks_are_wholly_given_back),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
