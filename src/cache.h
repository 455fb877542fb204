/* SPDX-License-Identifier: MIT */
/* A thread's cache of freed medium blocks, bounded in bytes: the medium tier's fast path. Only its thread touches it. */
#ifndef OSMEM_CACHE_H
#define OSMEM_CACHE_H

#include "bins.h"
#include "report.h"

static inline bool cache_accepts(size_t bytes) { return bytes - CACHE_BLOCK_MIN < CACHE_BLOCK_MAX - CACHE_BLOCK_MIN; }

static inline size_t cache_bin(size_t bytes) {
  unsigned log = log2_of(bytes);
  return (log - CACHE_BLOCK_MIN_LOG) * CACHE_BINS_PER_DOUBLING + (bytes >> (log - CACHE_BINS_PER_DOUBLING_LOG)) % CACHE_BINS_PER_DOUBLING;
}

/* Too much is cached: give blocks back to their arenas. */
void cache_evict(struct theap *heap);

/* How long a block is to be that serves a request of one of `bytes`. Requests of ever other sizes come to bins that have blocks, but too small by a little: there
 * all are as long as the bin's longest, and what is freed serves the next, which no branch has to guess. A bin earns that by misses: who asks for one size only
 * pays nothing. (Not rounded, of random sizes every third found a block a bin or two further up: 1 byte to 16 KiB 0.31 of glibc's time, now
 * 0.22, to 64 KiB 0.33 and 0.27; RSS 1.15 and 1.13, 1.18 and 1.21.) */
static inline size_t cache_rounded(const struct theap *heap, size_t bytes) {
  if (LIKELY(heap->cache_misses[cache_bin(bytes)] < CACHE_MISSES_MAX)) return bytes;
  size_t rounded = round_up(bytes, (size_t)1 << (log2_of(bytes) - CACHE_BINS_PER_DOUBLING_LOG));
  return rounded < CACHE_BLOCK_MAX ? rounded : bytes; /* what is longer is not cached */
}

static inline void cache_count_miss(struct theap *heap, const cached_block *bin) {
  uint8_t *misses = &heap->cache_misses[bin - heap->cache];
  if (*bin && *misses < CACHE_MISSES_MAX) ++*misses;
}

static inline struct block *block_of_cached(cached_block word) {
  return (struct block *)(word & (((cached_block)1 << CACHED_UNITS_SHIFT) - 1));
}

static inline size_t bytes_of_cached(cached_block word) { return (word >> CACHED_UNITS_SHIFT) * ALIGNMENT; }

static inline void cache_put(struct theap *heap, struct block *block, size_t bytes) {
  cached_block *bin = &heap->cache[cache_bin(bytes)];
  block->next = (struct block *)*bin;
  block->seal = block_seal(block);
  __atomic_signal_fence(__ATOMIC_RELEASE); /* a fork may come here: see cache_inherit() */
  *bin = (cached_block)block | bytes / ALIGNMENT << CACHED_UNITS_SHIFT;
  heap->cached_bytes += bytes;
  if (UNLIKELY(heap->cached_bytes >= heap->cache_limit)) cache_evict(heap);
}

static inline struct block *cache_pop(struct theap *heap, cached_block *bin) {
  struct block *block = block_of_cached(*bin);
  size_t bytes = bytes_of_cached(*bin);
  if (UNLIKELY(block_bytes(block) != bytes)) report_misuse("malloc", MISUSE_DAMAGED, block_payload(block));
  block_unseal(block);
  heap->cached_bytes -= bytes;
  *bin = (cached_block)block->next;
  return block;
}

static inline bool is_aligned_cached(cached_block word, size_t alignment) {
  return alignment <= ALIGNMENT || ((uintptr_t)block_payload(block_of_cached(word)) & (alignment - 1)) == 0;
}

static inline bool cached_fits(cached_block word, size_t bytes, size_t alignment) {
  return bytes_of_cached(word) - bytes <= bytes / 8 && is_aligned_cached(word, alignment); /* an empty bin's word is 0: too small for anything */
}

/* A cached block of at least `bytes`, at most an eighth too large; or NULL. The bin of what that is rounded to may hold one, the next always does
 * unless it is empty, the one after that sometimes. Whether the own one serves is branched on, since one size again and again is common (a
 * pair of 4 KiB 8 ns; 15 where that is computed, too); which of the others is computed, not branched on: nobody could predict it. */
static inline __attribute__((always_inline)) struct block *cache_take(struct theap *heap, size_t bytes, size_t rounded, size_t alignment) {
  cached_block *bin = &heap->cache[cache_bin(rounded)];
  if (!cached_fits(*bin, bytes, alignment)) {
    cache_count_miss(heap, bin);
    bin += cached_fits(bin[1], bytes, alignment) ? 1 : 2;
    if (!cached_fits(*bin, bytes, alignment)) return NULL;
  }
  return cache_pop(heap, bin);
}

/* All of it goes back. */
void cache_flush(struct theap *heap);
/* The same for a heap whose thread a fork left behind, at any instruction: of each bin as much as says that it is cached. */
void cache_inherit(struct theap *gone);

/* Fresh memory is about to be touched: most of what is cached goes back to the arenas, where it coalesces, unless it is little. So the
 * cache may be large where memory is plenty. False: nothing went. (Patterns with 1 to 64 KiB blocks against a cache of an eighth of the
 * live blocks that gave up nothing: time 0.71 at the same RSS. Giving up all of it: RSS 0.93, time 0.88.) */
bool cache_give_up(struct theap *heap);

/* To be told now and then how much is live in the thread's arena, and how many threads share that. */
void cache_set_limit(struct theap *heap, size_t live_bytes, size_t threads);

#endif
