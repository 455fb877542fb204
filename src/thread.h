/* Thread heaps: birth, adoption, the cache of freed blocks, fork. */
#ifndef OSMEM_THREAD_H
#define OSMEM_THREAD_H

#include "block_meta.h"

/* The calling thread's heap; never NULL: `unborn` before its first allocation. With what lock.h knows of it, all that is thread-local. */
extern __thread struct theap *self __attribute__((tls_model("initial-exec")));

/* A heap for the calling thread, left in `self`; the library is set up on the first call of all. NULL: no memory. */
struct theap *theap_birth(void);

static inline bool theap_is_born(const struct theap *heap) { return heap->arena != NULL; }

/* See that the heap has an arena where it meets few others. */
void theap_settle(struct theap *heap);

/* Take back what threads that ended have left: their caches and empty slabs. Looks at a few heaps a call. */
void theap_reclaim_dead(void);
/* The same, and of slabs still in use the pages that are wholly free; bytes released of those. */
size_t theap_trim_dead(void);
/* The same for the caller's own heap. */
size_t theap_trim(struct theap *heap);

/* ---- the cache of freed medium blocks, bounded in bytes; here, because it is the medium tier's fast path --------------- */

static inline bool cache_accepts(size_t bytes) { return bytes - CACHE_BLOCK_MIN < CACHE_BLOCK_MAX - CACHE_BLOCK_MIN; }

static inline size_t cache_bin(size_t bytes) {
  unsigned log = 63 - (unsigned)__builtin_clzl(bytes);
  return (log - CACHE_BLOCK_MIN_LOG) * CACHE_BINS_PER_DOUBLING + (bytes >> (log - CACHE_BINS_PER_DOUBLING_LOG)) % CACHE_BINS_PER_DOUBLING;
}

/* Too much is cached: give blocks back to their arenas. */
void cache_evict(struct theap *heap);

static inline void cache_put(struct theap *heap, struct block *block, size_t bytes) {
  struct block **bin = &heap->cache[cache_bin(bytes)];
  block->next = *bin;
  block->prev = block_key(block);
  *bin = block;
  heap->cached_bytes += bytes;
  if (UNLIKELY(heap->cached_bytes >= heap->cache_limit)) cache_evict(heap);
}

static inline struct block *cache_pop(struct theap *heap, struct block **bin) {
  struct block *block = *bin;
  *bin = block->next;
  heap->cached_bytes -= block_bytes(block);
  block->prev = NULL;
  return block;
}

/* A cached block of at least `bytes`, at most an eighth too large; or NULL. The request's own bin may hold one, the next always does
 * unless it is empty, the one after that sometimes. */
static inline struct block *cache_take(struct theap *heap, size_t bytes) {
  struct block **bin = &heap->cache[cache_bin(bytes)];
  for (int i = 0; i < CACHE_BINS_TRIED; i++, bin++)
    if (*bin && block_bytes(*bin) - bytes <= bytes / 8) return cache_pop(heap, bin);
  return NULL;
}

/* To be told now and then how much is live in the thread's arena. */
void cache_set_limit(struct theap *heap, size_t live_bytes);

/* All heaps ever made, newest first; they are never freed. */
struct theap *theap_list(void);

#endif
