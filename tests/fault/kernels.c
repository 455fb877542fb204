/* SPDX-License-Identifier: MIT */
/* Kernels that are not this machine's: with pages of 16 and 64 KiB, as aarch64 has them; one whose MADV_DONTNEED succeeds and
 * keeps the contents, as under qemu-user; one before 5.14, that knows no MADV_POPULATE_WRITE, or with a filter before it; and misers, that have little to give
 * at once or take nothing back, until the library's own tables are full. */
#include "kernel.h"

#include "osmem.h"

static void refuse_for_good(unsigned kinds)
{
  kernel.refuse = kinds;
  kernel.from = 1;
  kernel.to = SIZE_MAX;
}

/* ---- larger pages ---- */

static void page_16_kb(void) { setenv("OSMEM_TEST_PAGE", "16384", 1); }
static void page_64_kb(void) { setenv("OSMEM_TEST_PAGE", "65536", 1); }

/* The break in the middle of a large page, as it may be when the program begins: the heap's chunks then begin there too. */
static void page_64_kb_halved(void)
{
  page_64_kb();
  setenv("OSMEM_TEST_BREAK", "32768", 1);
}

static bool calloc_is_zero(size_t bytes)
{
  char *p = os_calloc(1, bytes);
  bool zero = p && all_zero(p, bytes);
  memset(p, 0xEE, bytes);
  os_free(p);
  return zero;
}

static void all_sizes_and_alignments(void)
{
  for (size_t s = 0; s < COUNT(SIZES); s++)
    for (size_t alignment = 16; alignment <= 1 * MB; alignment *= 4) {
      char *p = os_aligned_alloc(alignment, SIZES[s]);
      require(p && is_aligned(p, alignment));
      fill(p, SIZES[s], s);
      p = os_realloc(p, SIZES[s] * 2);
      require(p && holds(p, SIZES[s], s));
      os_free(p);
      require(calloc_is_zero(SIZES[s]));
    }
}

/* The heap grows over several chunks and gives each back again, dirty: what comes back must read as if it were new. */
static void chunks_come_and_go(void)
{
  static char *blocks[400];
  for (int round = 0; round < 4; round++) {
    uintptr_t before = program_break();
    for (size_t i = 0; i < COUNT(blocks); i++) {
      size_t bytes = 1000 + (i * 7919 + (size_t)round * 4096) % 110000;
      blocks[i] = os_calloc(1, bytes);
      require(blocks[i] && all_zero(blocks[i], bytes));
      memset(blocks[i], 0xEE, bytes);
      os_free(os_malloc(i % 1024)); /* slabs at the ends of all chunks */
    }
    uintptr_t high = program_break();
    require(high > before + 16 * MB && os_check());
    for (size_t i = 0; i < COUNT(blocks); i++) os_free(blocks[i]);
    require(os_trim(0) && os_check());
    require(program_break() < high - 16 * MB);
  }
}

/* Three blocks of four go, and their pages with them; what is put there reads as zero if it is meant to. */
static void holes_are_purged(void)
{
  static char *blocks[200];
  enum { EACH = 80000 };
  for (size_t i = 0; i < COUNT(blocks); i++) memset(blocks[i] = os_malloc(EACH), 0xEE, EACH);
  for (size_t i = 0; i < COUNT(blocks); i++)
    if (i % 4) os_free(blocks[i]);
  size_t before = kernel.seen[MADVISE];
  require(os_trim(0) && kernel.seen[MADVISE] > before && os_check());
  for (size_t i = 0; i < COUNT(blocks); i++)
    if (i % 4) require((blocks[i] = os_calloc(1, EACH)) && all_zero(blocks[i], EACH));
  for (size_t i = 0; i < COUNT(blocks); i++) os_free(blocks[i]);
}

static void everything_works(void)
{
  use_each_tier();
  churn(1, 20000);
  require(os_check());
  all_sizes_and_alignments();
  chunks_come_and_go();
  holes_are_purged();
  for (size_t pad = 1; pad < 1 * MB; pad *= 3) {
    churn((uint32_t)pad, 2000);
    os_trim(pad);
    require(os_check());
  }
  struct os_stats stats;
  os_trim(0);
  os_get_stats(&stats, sizeof stats);
  require(stats.small_live_count == 0 && stats.large_live_count == 0 && stats.medium_live_count == 0);
}

static void larger_pages(void)
{
  require(kernel.page > 4096);
  everything_works();
  require(kernel.seen[BRK] && kernel.seen[MMAP] && kernel.seen[MUNMAP] && kernel.seen[MREMAP]);
}

/* A chunk goes back, and its place in the middle of a large page, where a stranger leaves what he likes, is a chunk's again. */
static void records_begin_empty(void)
{
  enum { CHUNK = 8 * MB, FILLERS = 4000, EACH = 5000 };
  static char *fillers[FILLERS];
  uintptr_t second = ((uintptr_t)os_malloc(EACH) & ~(uintptr_t)(32 * KB - 1)) - 32 * KB + CHUNK;
  for (int round = 0; round < 2; round++) {
    for (size_t i = 0; i < FILLERS; i++)
      if (!fillers[i]) fill(fillers[i] = os_malloc(EACH), EACH, i);
    for (size_t i = 0; i < 5000; i++) require(!round || os_malloc(100));
    require((uintptr_t)fillers[FILLERS - 1] > second && os_check());
    for (size_t i = 0; i < FILLERS; i++) {
      require(holds(fillers[i], EACH, i));
      if ((uintptr_t)fillers[i] < second) continue;
      os_free(fillers[i]);
      fillers[i] = NULL;
    }
    os_trim(0);
    require(os_check());
    if (round) break;
    require(move_break(0) == second && move_break(second + 32 * KB) == second + 32 * KB);
    memset((void *)second, 0xEE, 32 * KB);
    require(move_break(second) == second);
  }
}

/* The same where all chunks come from mmap. */
static void larger_pages_without_a_break(void)
{
  refuse_for_good(1 << BRK);
  use_each_tier();
  churn(1, 20000);
  require(os_check());
  all_sizes_and_alignments();
  require(kernel.page > 4096 && kernel.refused > 0);
}

/* ---- DONTNEED that keeps ---- */

static void purged_memory_is_not_zero(void)
{
  enum { HUGE_BLOCK = 8 * MB };
  kernel.keeps = true;
  everything_works();
  for (size_t i = 0; i < 8; i++) {
    char *block = os_calloc(1, HUGE_BLOCK);
    require(block && all_zero(block, HUGE_BLOCK));
    memset(block + i * MB + 100, 1, 300);
    os_free(block);
  }
}

/* Nor is it when brk is refused and the top of a region is dropped by madvise. */
static void purged_regions_are_not_zero(void)
{
  kernel.keeps = true;
  refuse_for_good(1 << BRK | 1 << MUNMAP);
  for (int round = 0; round < 50; round++) {
    for (size_t s = 0; s < COUNT(SIZES); s++) require(calloc_is_zero(SIZES[s]));
    os_trim(0);
    require(os_check());
  }
  require(kernel.refused > 0);
}

/* ---- without MADV_POPULATE_WRITE ---- */

static void a_dense_heap(void)
{
  for (size_t i = 0; i < 200000; i++) require(os_malloc(100));
}

/* Asked for once: a kernel that does not know it is not asked again, nor is a filter. */
static void populate_is_refused_for_good(void)
{
  a_dense_heap();
  require(kernel.seen[MADVISE] == 1);
  require(os_check());
}

static void populate_is_refused(void)
{
  static const int ERRORS[] = {EINVAL, EPERM, ENOSYS, EACCES, ENOTSUP};
  for (size_t i = 0; i < COUNT(ERRORS); i++) {
    kernel.populate = ERRORS[i];
    require(fate_of(populate_is_refused_for_good) == 0);
  }
}

/* And a kernel that is short of memory is asked again. */
static void populate_is_refused_for_now(void)
{
  kernel.populate = ENOMEM;
  a_dense_heap();
  require(kernel.seen[MADVISE] > 1);
}

static void populate_is_known(void)
{
  a_dense_heap();
  require(kernel.seen[MADVISE] > 1);
}

/* ---- addresses above 48 bits ---- */

/* Of these no heap is made: what is asked for has mappings, which no number is packed with. */
static void what_is_out_of_reach_is_given_back(void)
{
  static char *blocks[1000];
  kernel.high = 100 * KB;
  for (size_t i = 0; i < COUNT(blocks); i++) {
    require((blocks[i] = os_malloc(5000)));
    fill(blocks[i], 5000, i);
  }
  require(kernel.seen[BRK_FILTER] && unmap_asked.base == HIGH && os_check());
  for (size_t i = 0; i < COUNT(blocks); i++) {
    require(holds(blocks[i], 5000, i));
    os_free(blocks[i]);
  }
}

/* ---- full tables ---- */

/* No break, and mmap in small pieces: as many regions as there can be, then a mapping for each block. */
static void regions_run_out(void)
{
  static char *blocks[10000];
  struct os_stats stats;
  refuse_for_good(1 << BRK);
  kernel.most = 512 * KB;
  for (size_t i = 0; i < COUNT(blocks); i++) {
    require((blocks[i] = os_malloc(5000)));
    fill(blocks[i], 5000, i);
  }
  os_get_stats(&stats, sizeof stats);
  require(stats.heap_bytes < COUNT(blocks) * 5000 && stats.large_live_count > 1000 && os_check());
  for (size_t i = 0; i < COUNT(blocks); i++) require(holds(blocks[i], 5000, i));
  for (size_t i = 0; i < COUNT(blocks); i++) os_free(blocks[i]);
  require(os_check());
  use_each_tier();
}

/* Near a limit regions are small. When the limit is raised the heap grows again, and not by a mapping for each block. */
static void small_regions_leave_room_for_larger_ones(void)
{
  struct os_stats before, after;
  refuse_for_good(1 << BRK);
  kernel.most = 512 * KB;
  for (size_t i = 0; i < 14000; i++) require(os_malloc(5000));
  kernel.most = 0;
  os_get_stats(&before, sizeof before);
  require(before.large_live_count > 1000);
  for (size_t i = 0; i < 200000; i++) require(os_malloc(5000));
  os_get_stats(&after, sizeof after);
  require(after.large_live_count < before.large_live_count + 10 && os_check());
}

/* More freed mappings that are no neighbours than there is room to keep, and the kernel takes none back. */
static void spares_run_out(void)
{
  static char *blocks[300];
  refuse_for_good(1 << MUNMAP);
  for (size_t i = 0; i < COUNT(blocks); i++) require((blocks[i] = os_malloc(150000)));
  for (size_t i = 0; i < COUNT(blocks); i += 2) os_free(blocks[i]);
  require(kernel.refused > 0 && os_check());
  for (size_t i = 1; i < COUNT(blocks); i += 2) fill(blocks[i], 150000, i);
  for (size_t i = 0; i < COUNT(blocks); i += 2) {
    require((blocks[i] = os_calloc(1, 150000)) && all_zero(blocks[i], 150000));
    memset(blocks[i], 0xEE, 150000);
  }
  for (size_t i = 1; i < COUNT(blocks); i += 2) require(holds(blocks[i], 150000, i));
  for (size_t i = 0; i < COUNT(blocks); i++) os_free(blocks[i]);
  require(os_check());
}

/* No mapping as large as the records of mappings would next have: they do with smaller ones. */
static void records_of_mappings_come_in_pieces(void)
{
  enum { EACH = 135000 };
  static char *blocks[9000];
  struct os_stats stats;
  kernel.most = 200 * KB; /* 4096 records more would have 256 KB */
  for (size_t i = 0; i < COUNT(blocks); i++) {
    require((blocks[i] = os_malloc(EACH)));
    fill(blocks[i], 100, i);
  }
  os_get_stats(&stats, sizeof stats);
  require(stats.large_live_count == COUNT(blocks) && os_check());
  require(kernel.mapped < stats.mapped_bytes + stats.cached_bytes + COUNT(blocks) * 128);
  for (size_t i = 0; i < COUNT(blocks); i++) require(holds(blocks[i], 100, i));
  for (size_t i = 0; i < COUNT(blocks); i++) os_free(blocks[i]);
  require(os_check());
  use_each_tier();
}

/* What asks for less than it has is served when nothing is left at all, and errno is as it was. */
static void shrinking_needs_no_memory(void)
{
  static const size_t FROM[] = {1 * MB, 1000, 5000, 100000}; /* a shrunk block leaves room behind it, so the others come first */
  static char *large[COUNT(FROM)];
  for (int i = 0; i < 20; i++) require(os_malloc(1000)); /* the first few of a class are blocks */
  for (size_t i = 0; i < COUNT(FROM); i++) fill(large[i] = os_malloc(FROM[i]), FROM[i], i);
  refuse_for_good(1 << BRK | 1 << MMAP | 1 << MREMAP);
  for (size_t bytes = 100000; bytes >= 16; bytes /= 2)
    while (os_malloc(bytes)) continue;
  for (size_t i = 0; i < COUNT(FROM); i++) {
    errno = EXDEV;
    large[i] = os_realloc(large[i], 24);
    require(large[i] && errno == EXDEV && holds(large[i], 24, i));
  }
  require(os_check());
}

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST_AFTER(page_16_kb, larger_pages),
      TEST_AFTER(page_64_kb, larger_pages),
      TEST_AFTER(page_64_kb_halved, larger_pages),
      TEST_AFTER(page_64_kb, larger_pages_without_a_break),
      TEST_AFTER(page_64_kb_halved, records_begin_empty),
      TEST(purged_memory_is_not_zero),
      TEST(purged_regions_are_not_zero),
      TEST(populate_is_refused),
      TEST(populate_is_refused_for_now),
      TEST(populate_is_known),
      TEST(what_is_out_of_reach_is_given_back),
      TEST(regions_run_out),
      TEST(small_regions_leave_room_for_larger_ones),
      TEST(spares_run_out),
      TEST(records_of_mappings_come_in_pieces),
      TEST(shrinking_needs_no_memory),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
