/* Giving back: free memory of an arena that is more than it will soon need goes to the kernel. The arena's lock is held.
 *
 * All of it in portions (PORTION): no free takes longer than one, and nobody holds a lock for longer. A round looks at the top and
 * at the free runs of an arena, the largest first, and goes on at the next free or, for a trim, when the lock was left in between. */
#ifndef OSMEM_PURGE_H
#define OSMEM_PURGE_H

#include "block_meta.h"

static inline size_t top_dirty_bytes(const struct arena *arena) {
  return arena->resident > arena->top ? arena->resident - arena->top : 0;
}

static inline size_t dirty_bytes(const struct arena *arena) { return arena->free_bytes - arena->clean_bytes + top_dirty_bytes(arena); }

void give_back(struct arena *arena);

/* After each free, of `bytes`. */
static inline void settle_dirt(struct arena *arena, size_t bytes) {
  if (LIKELY(dirty_bytes(arena) <= DIRTY_MIN)) return;
  if (arena->patience > bytes)
    arena->patience -= bytes;
  else
    give_back(arena);
}

/* Release every wholly free page in the arena's bins: begin, then a portion at each call, until false. */
void purge_begin(struct arena *arena);
bool purge_on(struct arena *arena, size_t *released);

#endif
