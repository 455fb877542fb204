/* SPDX-License-Identifier: MIT */
/* Address space for the block heaps: the brk heap first, mappings where brk is refused. Hands out chunks and lets them grow. */
#ifndef OSMEM_REGION_H
#define OSMEM_REGION_H

#include "block_meta.h"

/* Held while address space is taken; inside any arena's lock. */
extern struct lock growth_lock;

/* The region an address lies in, or NULL. Lock-free. */
const struct region *region_of(uintptr_t address);

/* Is `address` (in a region) memory of ours, and not of a foreign sbrk() that came in between? */
bool region_owns(const struct region *region, uintptr_t address);

/* A chunk for the arena with metadata and at least `bytes` of block space, or NULL: no memory, or re-entered. */
struct chunk *region_new_chunk(struct arena *arena, size_t bytes);

/* Let the chunk's memory reach `end` or further, or as far as false. Grows the brk heap geometrically. */
bool region_extend(struct chunk *chunk, uintptr_t end);

/* Give the end of the brk heap back so that the chunk ends at `end` (its very start: so that it is gone); false: the chunk is not at the heap's end. */
bool region_shrink(struct chunk *chunk, uintptr_t end);

/* Has somebody, so far as libc knows, moved the break below the end of the brk heap? (By the raw call: noticed before the next growth.) */
static inline bool region_is_cut(void) { return UNLIKELY(sys_known_break() < brk_base() + brk_bytes()); }

/* Write down where the break is: limits of chunks may come down. */
void region_look_at_break(void);

/* How much the brk heap grows by next. */
size_t region_growth_step(void);

/* Bytes of all regions. */
size_t region_bytes(void);

#endif
