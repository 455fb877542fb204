/* SPDX-License-Identifier: MIT */
/* See cache.h. */
#include "cache.h"

#include "arena.h"
#include "purge.h"

/* Where threads share an arena the limit doubles, up to the thread's share, when a thread wants memory that has given back as much as it may
 * keep: so one that allocated some hundred blocks, freed them and waits keeps next to nothing (2,000 threads with 300 blocks of up to
 * 8 KB: 53 MB instead of 147, glibc 94), and one that goes on soon has its share.
 *
 * What it holds itself counts as live in the arena, but not here: a cache that counted grew by itself. (Threads one after the other that each grew 100 bytes to 50,000 at the
 * top, and freed them: 3 MB in the cache that the next one had, now 0.25.)
 *
 * (A share for each thread instead of each arena's would let a thousand idle threads keep a thousand times 4 MiB.) */
void cache_set_limit(struct theap *heap, size_t live_bytes, size_t threads) {
  size_t used = live_bytes - min_size(live_bytes, heap->cached_bytes);
  size_t all = min_size(max_size(used, CACHE_BYTES_MIN), CACHE_BYTES_MAX), limit = heap->cache_limit;
  if (LIKELY(threads <= 1)) {
    heap->cache_limit = all;
    return;
  }
  if (heap->cache_evicted >= limit) {
    heap->cache_evicted = 0;
    limit *= 2;
  }
  heap->cache_limit = min_size(limit, max_size(all / threads, CACHE_BYTES_LEAST));
}

/* One bin is emptied, then the next, so that no size holds the cache for good. (Tried: a block from every bin in turn. Looking for the next bin
 * that has one took a third of all time with medium blocks: the pattern `medium` 0.48 of glibc's against 0.32.) */
static void evict_to(struct theap *heap, size_t bytes) {
  while (heap->cached_bytes >= bytes) {
    cached_block *bin = &heap->cache[heap->cache_evict % CACHE_BINS];
    if (*bin)
      block_release(cache_pop(heap, bin));
    else
      heap->cache_evict++;
  }
}

void cache_evict(struct theap *heap) {
  size_t before = heap->cached_bytes;
  bool begun = giving_begin();
  evict_to(heap, heap->cache_limit);
  giving_end(begun);
  heap->cache_evicted += before - heap->cached_bytes;
}

void cache_flush(struct theap *heap) {
  for (size_t bin = 0; bin < CACHE_BINS; bin++)
    while (heap->cache[bin]) block_release(cache_pop(heap, &heap->cache[bin]));
}

/* Taken out before it goes back: another fork may come in between, and its child do this again. */
COLD void cache_inherit(struct theap *gone) {
  for (size_t bin = 0; bin < CACHE_BINS; bin++) {
    struct block *block;
    while ((block = block_of_cached(gone->cache[bin])) && block_is_tagged(block) && block_is_sealed(block))
      block_release(cache_pop(gone, &gone->cache[bin]));
    gone->cache[bin] = 0;
  }
}

bool cache_give_up(struct theap *heap) {
  size_t keep = heap->cache_limit / CACHE_KEEP_SHARE;
  if (heap->cached_bytes < keep) return false;
  evict_to(heap, keep);
  return true;
}
