/* SPDX-License-Identifier: MIT */
/* Large blocks: a mapping each, recorded out of line, resized with mremap, freed ones kept for reuse within bounds. */
#ifndef OSMEM_LARGE_H
#define OSMEM_LARGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum large_state {
  LARGE_UNKNOWN, /* no mapping of ours starts there */
  LARGE_LIVE,
  LARGE_FREED, /* one did: the pointer was freed before */
  LARGE_BUSY   /* cannot be told: in a signal handler that interrupted us here */
};

/* Where a mapping may come from. */
enum large_growth {
  LARGE_SHARED, /* what is kept; from the kernel only while we have fewer than our share of mappings */
  LARGE_ALWAYS
};

/* A mapping of at least `bytes` at a multiple of `alignment` (a power of two), or NULL. *zeroed: it reads as zero. */
void *large_take(size_t bytes, size_t alignment, enum large_growth growth, bool *zeroed);
/* A mapping's first `bytes` read as zero from now on. Takes no lock; O(what was written to it before), more or less. */
void large_clear(void *payload, size_t bytes);
/* memcpy() to memory of this file, but pages that are zero on both sides stay as they are: untouched, maybe. Takes no lock; O(bytes). */
void large_copy(void *to, const void *from, size_t bytes);

/* Are there as many mappings of ours as we want to have? */
bool large_is_crowded(void);

/* What `payload` is; *bytes: how many of a live one may be used, else 0. */
enum large_state large_find(const void *payload, size_t *bytes);

/* Free a mapping: LARGE_LIVE if it was one (and is no longer), LARGE_BUSY if it is lost, else what is wrong. */
enum large_state large_give(void *payload);

/* Resize a live mapping, moving it if need be; NULL: nothing changed, refused or better copied to a new one. */
void *large_resize(void *payload, size_t bytes);

/* The block heap is about to ask for `bytes` of fresh memory: unmap cached mappings if that would raise the process's peak. */
void large_make_way(size_t bytes);

/* Would the kernel refuse so many bytes for their size? Asked by trying. */
bool large_refuses_size(size_t bytes);

/* A portion of what is cached beyond its share and was left for want of budget, if that has recovered; waits for nobody. */
void large_give_due(void);

/* Unmap all that is cached; bytes released. */
size_t large_trim(void);

/* Verify the registry: a fault as text or NULL. */
const char *large_check(void);

struct large_stats {
  size_t live_count, live_bytes, cached_bytes, allocations;
  size_t most_live_bytes; /* since that was set back */
};
void large_get_stats(struct large_stats *out);
void large_set_back_most(void);

bool large_is_held_by_me(void);
void large_before_fork(uint32_t *patience);
void large_after_fork(bool child);

#endif
