/* SPDX-License-Identifier: MIT */
/* The validator that most tests end with, os_check(): heaps of which one word is wrong, each named by what is wrong with it. A heap
 * in which nothing is wrong passes, before and after. */
#include "kernel.h"

#include "../../src/slab.h"
#include "../../src/thread.h"

#include "osmem.h"

/* In the tiny geometry the row must fit in a chunk, too. */
enum { BLOCKS = 16, EACH = SIZED(40000, 5008), OBJECTS = 100, HOLE = 4, LIVE = 9 };
static char *blocks[BLOCKS];   /* in a row, and the last of all before the top; that of HOLE is free */
static char *objects[OBJECTS]; /* the last of them in a slab that has free ones */

static void build_heap(void)
{
  for (size_t i = 0; i < OBJECTS; i++) objects[i] = os_malloc(64);
  for (size_t i = 0; i < BLOCKS; i++) blocks[i] = os_malloc(EACH);
  os_free(blocks[HOLE]);
  os_trim((size_t)1 << 40); /* out of the thread's cache */
  os_free(objects[OBJECTS - 2]);
  for (size_t i = 1; i < BLOCKS; i++) require(i == HOLE || i == HOLE + 1 || blocks[i] == blocks[i - 1] + EACH + 16);
  require(os_check());
}

static struct arena *arena(void) { return arena_at(0); }

static struct block *block(size_t i) { return block_of(blocks[i]); }

static struct slab *slab(void) { return slab_at(brk_base(), (uintptr_t)objects[OBJECTS - 1]); }

static struct block **bin_of_hole(void)
{
  for (size_t i = 0; i < BINS; i++)
    if (arena()->bins[i] == block(HOLE)) return &arena()->bins[i];
  return NULL;
}

static void tag(void) { block(LIVE)->header ^= (uint64_t)1 << 40; }
static void size_before(void) { block(HOLE + 1)->prev_bytes += 16; }
static void free_beside_free(void) { set_flags(block(HOLE + 1), 0, BLOCK_USED); }
static void size(void) { set_header(block(BLOCKS - 1), 0x07ff0000, BLOCK_USED | BLOCK_PREV_USED); }
static void sample_of_none(void) { set_header(block(LIVE), block_bytes(block(LIVE)) | BLOCK_SAMPLED, (unsigned)(block_header(block(LIVE)) & BLOCK_FLAGS)); }
static void free_beside_top(void) { set_flags(block(BLOCKS - 1), 0, BLOCK_USED); }
static void slab_before(void) { slab()->prev_free_bytes = 64; }
static void map_of_bins(void) { arena()->bin_map[0] |= 1 << 5; }
static void link_of_a_bin(void) { block(HOLE)->next = (struct block *)blocks; }
static void live_in_a_bin(void) { block(HOLE)->next = block(LIVE); }

static void lost_by_its_bin(void)
{
  struct block **bin = bin_of_hole();
  size_t index = (size_t)(bin - arena()->bins);
  *bin = NULL;
  arena()->bin_map[index / 64] &= ~((uint64_t)1 << index % 64);
}

static void live_bytes(void) { arena()->live_bytes += 16; }
static void free_blocks(void) { arena()->free_blocks++; }
static void clean_bytes(void) { arena()->clean_bytes += 4096; }
static void seal_of_an_object(void) { slab()->free->seal = 0; }
static void ring_of_objects(void) { object_seal(slab(), slab()->free, slab()->free); }
static void seal_of_a_cached_block(void) { os_free(blocks[LIVE]); block(LIVE)->seal++; }
static void size_of_a_cached_block(void) { os_free(blocks[LIVE]); set_header(block(LIVE), EACH / 2, BLOCK_USED | BLOCK_PREV_USED); }
static void cached_bytes(void) { self->cached_bytes += 16; }
static void remote_list_too_short(void) { slab_remote(slab())->head = (uint64_t)5000 << REMOTE_COUNT_SHIFT | (uintptr_t)slab()->free; }
static void owner_of_a_current_slab(void) { slab()->owner = (struct theap *)blocks; }
static void class_without_its_slab(void) { self->direct[64 / ALIGNMENT] = NO_SLAB; }
static void lost_object(void) { slab()->free = slab()->free->next; }

static const struct {
  const char *wrong;
  void (*spoil)(void);
  const char *said;
} DAMAGE[] = {
    {"sample_of_none", sample_of_none, "a block that is no sample says that it is one"},
    {"tag", tag, "a header was overwritten"},
    {"size_before", size_before, "a block and the one before it disagree"},
    {"free_beside_free", free_beside_free, "two free neighbours were not coalesced"},
    {"size", size, "blocks run over the chunk's end"},
    {"free_beside_top", free_beside_top, "a free block next to the top"},
    {"slab_before", slab_before, "a slab and the block before it disagree"},
    {"map_of_bins", map_of_bins, "the bin map and a bin disagree"},
    {"link_of_a_bin", link_of_a_bin, "a bin leads astray"},
    {"live_in_a_bin", live_in_a_bin, "a bin holds a block that does not belong there"},
    {"lost_by_its_bin", lost_by_its_bin, "a free block is in no bin"},
    {"live_bytes", live_bytes, "the counters of an arena are off"},
    {"free_blocks", free_blocks, "the counters of an arena are off"},
    {"clean_bytes", clean_bytes, "the counters of an arena are off"},
    {"seal_of_an_object", seal_of_an_object, "a slab's free list leads astray"},
    {"ring_of_objects", ring_of_objects, "a slab's free list is a ring"},
    {"lost_object", lost_object, "a slab's objects do not add up"},
    {"remote_list_too_short", remote_list_too_short, "a list of remote frees has another length than it says"},
    {"owner_of_a_current_slab", owner_of_a_current_slab, "a current slab is not that"},
    {"class_without_its_slab", class_without_its_slab, "a slab with room is in no heap"},
    {"seal_of_a_cached_block", seal_of_a_cached_block, "a cached block was overwritten"},
    {"size_of_a_cached_block", size_of_a_cached_block, "a header was overwritten"},
    {"cached_bytes", cached_bytes, "a thread's cache does not add up"},
};

static size_t current; /* of DAMAGE */

static void is_named(void)
{
  char wanted[128], got[256] = {0};
  int file = memfd_create("said", 0), before = dup(STDERR_FILENO);
  build_heap();
  DAMAGE[current].spoil();
  dup2(file, STDERR_FILENO);
  bool sound = os_check();
  dup2(before, STDERR_FILENO);
  snprintf(wanted, sizeof wanted, "osmem: check: %s at ", DAMAGE[current].said);
  require(pread(file, got, sizeof got - 1, 0) >= 0);
  if (sound || strncmp(got, wanted, strlen(wanted)) != 0) {
    say("# %s: wanted \"%s\", got \"%s\"\n", DAMAGE[current].wrong, wanted, got);
    _exit(1);
  }
  _exit(0);
}

static void every_damage_is_named(void)
{
  for (current = 0; current < COUNT(DAMAGE); current++) require(fate_of(is_named) == 0);
  build_heap();
  churn(1, 1000);
  require(os_check());
}

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST(every_damage_is_named),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
