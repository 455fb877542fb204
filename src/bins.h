/* SPDX-License-Identifier: MIT */
/* Free blocks: bins by size, boundary tags, coalescing. The caller of all this holds the arena's lock. */
#ifndef OSMEM_BINS_H
#define OSMEM_BINS_H

#include "block_meta.h"
#include "region.h"
#include "report.h"

enum {
  EXACT_BINS = 64,   /* units of 16 bytes below this have a bin each */
  EXACT_BINS_LOG = 6,
  BINS_PER_DOUBLING_LOG = 4
};

static inline unsigned log2_of(size_t n) { return 63 ^ (unsigned)__builtin_clzl(n); }

static inline size_t bin_of(size_t bytes) {
  size_t units = bytes / ALIGNMENT;
  if (units < EXACT_BINS) return units;
  unsigned log = log2_of(units);
  size_t step = (units >> (log - BINS_PER_DOUBLING_LOG)) & ((1 << BINS_PER_DOUBLING_LOG) - 1);
  return EXACT_BINS + ((log - EXACT_BINS_LOG) << BINS_PER_DOUBLING_LOG) + step;
}

/* Where in [start, start + have) a block of `bytes` with aligned payload may begin: what stays before and behind it is nothing or
 * a block; for slabs exactly so, since nothing of a granule can be lent to a rest of 16 bytes. 0: it does not fit. */
static inline uintptr_t place_in(uintptr_t start, size_t have, size_t bytes, size_t alignment) {
  if (LIKELY(alignment <= ALIGNMENT)) return bytes <= have ? start : 0;
  uintptr_t at = round_up(start + HEADER_BYTES, alignment) - HEADER_BYTES;
  if (at != start && at - start < BLOCK_MIN) at += round_up(BLOCK_MIN, alignment);
  if (at + bytes > start + have) return 0;
  bool rest_too_small = start + have - at - bytes == ALIGNMENT;
  return rest_too_small ? 0 : at;
}

/* The base of the region that `address`, which is ours, lies in. */
uintptr_t region_base(uintptr_t address);

/* The start of a slab's granule. */
uintptr_t slab_start(const struct slab *slab);

/* The arena of a block or slab record's memory. */
struct arena *arena_of(const void *memory);

/* The slab whose block starts at `start`, or NULL. The sentinel at a chunk's end is none, though it starts 16 bytes
 * before a granule too: that of the next chunk's metadata. */
struct slab *slab_starting(uintptr_t start);

static inline void set_header(struct block *block, size_t bytes, unsigned flags) {
  __atomic_store_n(&block->header, block_header_of(block, bytes | flags), __ATOMIC_RELAXED);
}

/* Ends the process where the header was overwritten. */
void check_header(const struct block *block, uint64_t header);

/* The header of a block that has one changes in its flags. */
static inline void set_flags(struct block *block, unsigned set, unsigned unset) {
  uint64_t header = block_header(block);
  check_header(block, header);
  set_header(block, header & (BLOCK_BYTES_MASK | BLOCK_SAMPLED), ((unsigned)header & BLOCK_FLAGS & ~unset) | set);
}

/* A block leaves a cache or a deferred stack. Ends the process where its header, its link or its seal was overwritten meanwhile. */
static inline void block_unseal(struct block *block) {
  if (UNLIKELY(!block_is_tagged(block) || !block_is_sealed(block))) report_misuse("malloc", MISUSE_DAMAGED, block_payload(block));
  block->seal = 0;
}

/* Tell what starts at `start` that the block before it is free and has `bytes`, or is in use (0). */
void set_prev_free(struct arena *arena, uintptr_t start, size_t bytes);

/* Returns what of the block is not in memory. */
clean_part bin_remove(struct arena *arena, struct block *block);

/* The smallest of the first few of the request's own bin that fits, else of the next bin that has one; or NULL. */
struct block *best_fit(const struct arena *arena, size_t bytes, size_t alignment);

/* Free space that has no free neighbour becomes a block in a bin. `clean` of it is not in memory, or less. */
void make_free(struct arena *arena, uintptr_t start, size_t bytes, clean_part clean);

/* Space in use becomes free and coalesces with what is free around it. */
void coalesce(struct arena *arena, uintptr_t start, size_t bytes, size_t prev_free_bytes);

#endif
