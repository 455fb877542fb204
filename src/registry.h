/* SPDX-License-Identifier: MIT */
/* Which mappings there are: a record of each, found by the address where it begins; free ones by where they end, too. The caller
 * of all this holds large.c's lock.
 *
 * Records never move and never go: that of a mapping which is no more remembers the address, so that a double free can be named, until
 * it is needed for another. So giving a mapping back needs no new record, and what was once on record cannot be lost. */
#ifndef OSMEM_REGISTRY_H
#define OSMEM_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mapping_state {
  MAPPING_FREED, /* no memory: only the address, which is known to have been one of ours */
  MAPPING_LIVE,
  MAPPING_SPARE,    /* freed, kept */
  MAPPING_EMPTYING, /* freed; a thread drops its pages, without the lock */
  MAPPING_STATES
};

enum mapping_edge { MAPPING_BASE, MAPPING_END, MAPPING_EDGES };

struct mapping {
  uintptr_t base;
  size_t bytes;       /* 0 if freed */
  size_t dirty_bytes; /* of a spare: no more of it is in memory */
  struct mapping *chain[MAPPING_EDGES];
  struct mapping *older, *younger; /* in the same state */
  union {
    uint32_t since;   /* of a spare: when it was wanted last, in ms */
    uint32_t emptier; /* of one that is emptied: the number of the thread that does it */
  };
  uint8_t state;
};

/* In a state: the order is that in which they came to it. */
struct mapping_list {
  struct mapping *oldest, *youngest;
  size_t count, bytes; /* atomic: others read them without the lock */
  size_t most_bytes;   /* atomic: the highest that was, since heap.c set it back */
};

extern struct mapping_list mappings[MAPPING_STATES];

/* Make sure of records for so many registry_add() until they are unclaimed; false: no memory for them. */
bool registry_claim(size_t records);
void registry_unclaim(size_t records);

/* In the child of a fork: what other threads had claimed is free. */
void registry_forget_other_threads(void);

/* The record of what begins at `base`, whatever its state; or NULL. */
struct mapping *registry_find(uintptr_t base);

/* The spare that ends at `end`, or NULL. */
struct mapping *registry_find_end(uintptr_t end);

/* A live mapping. The record must have been claimed. */
struct mapping *registry_add(uintptr_t base, size_t bytes);

/* The mapping has another size from now on; with none it is freed. */
void registry_resize(struct mapping *mapping, size_t bytes);

/* The youngest of another state, or once more of the same. */
void registry_become(struct mapping *mapping, enum mapping_state state);

/* A fault as text or NULL. */
const char *registry_check(void);

#endif
