/* SPDX-License-Identifier: MIT */
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

/* One call may free much: a cache, what others freed, what threads left that ended. However much it is, the call gives back one portion by the way;
 * the rest is the next calls' matter. (8 threads that slept, 200 MB of each freed by another: one malloc made 256 calls to the kernel in 10 ms.) */
enum giving { GIVES_EACH_TIME, GIVES_ONCE, HAS_GIVEN };
extern __thread enum giving giving __attribute__((tls_model("initial-exec")));

/* From here on no more than once, until the end. False: so it is already, for who called us. */
static inline bool giving_begin(void) {
  if (giving != GIVES_EACH_TIME) return false;
  giving = GIVES_ONCE;
  return true;
}

static inline void giving_end(bool begun) {
  if (begun) giving = GIVES_EACH_TIME;
}

void give_back(struct arena *arena);

/* A portion of what is idle: dirty beyond its share, and was so all the time for an age (budget.h). The time is sys_coarse_time()'s.
 * False: there is no more for now. */
bool give_idle(struct arena *arena, uint64_t now);
/* Is more dirty than its share? */
bool is_too_dirty(const struct arena *arena);

/* The least that was dirty since the last look; before the lock is left. */
static inline void note_least_dirt(struct arena *arena) {
  size_t dirty = dirty_bytes(arena);
  if (UNLIKELY(dirty < arena->least_dirty)) arena->least_dirty = dirty;
}

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
