/* Thread heaps: birth, adoption, the cache of freed blocks, fork. */
#ifndef OSMEM_THREAD_H
#define OSMEM_THREAD_H

#include "block_meta.h"

/* The calling thread's heap; never NULL: `unborn` before its first allocation. With its number (lock.h) all that is thread-local. */
extern __thread struct theap *self __attribute__((tls_model("initial-exec")));

/* A heap for the calling thread, left in `self`; the library is set up on the first call of all. NULL: no memory. */
struct theap *theap_birth(void);

static inline bool theap_is_born(const struct theap *heap) { return heap->arena != NULL; }

/* Take back what threads that ended have left: their caches and empty slabs. Looks at a few heaps a call. */
void theap_reclaim_dead(void);
/* The same for the caller's own heap. */
void theap_flush(struct theap *heap);

/* The cache of freed medium blocks, bounded in bytes. */
static inline bool cache_accepts(const struct theap *heap, size_t bytes) {
  return bytes >= CACHE_BLOCK_MIN && bytes < CACHE_BLOCK_MAX && theap_is_born(heap);
}
/* Keeps the block; when that is too much in all, others are given back to their arenas. */
void cache_put(struct theap *heap, struct block *block, size_t bytes);
/* To be told now and then how much is live in the thread's arena. */
void cache_set_limit(struct theap *heap, size_t live_bytes);
/* A cached block of at least `bytes` (CACHE_BLOCK_MIN or more), at most an eighth too large; or NULL. */
struct block *cache_take(struct theap *heap, size_t bytes);

/* All heaps ever made, newest first; they are never freed. */
struct theap *theap_list(void);

#endif
