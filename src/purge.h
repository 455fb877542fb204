/* Giving back: free memory of an arena that is more than it will soon need goes to the kernel. The arena's lock is held. */
#ifndef OSMEM_PURGE_H
#define OSMEM_PURGE_H

#include "block_meta.h"

/* What is free and in memory ("dirty") is kept for reuse up to a share of what is in use, but not less than this. */
enum { DIRTY_MIN = 4 * 1024 * 1024 };

static inline size_t top_dirty_bytes(const struct arena *arena) {
  return arena->resident > arena->top ? arena->resident - arena->top : 0;
}

static inline size_t dirty_bytes(const struct arena *arena) { return arena->free_bytes - arena->clean_bytes + top_dirty_bytes(arena); }

void give_back(struct arena *arena);

/* After each free. */
static inline void settle_dirt(struct arena *arena) {
  if (LIKELY(dirty_bytes(arena) <= DIRTY_MIN)) return;
  if (arena->patience > 0)
    arena->patience--;
  else
    give_back(arena);
}

/* Release every wholly free page in the arena's bins; bytes released. */
size_t purge_bins(struct arena *arena);

#endif
