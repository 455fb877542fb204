/* SPDX-License-Identifier: MIT */
/* Medium blocks and slabs of an arena: taken, given, resized in place. The caller of all this holds the arena's lock. */
#ifndef OSMEM_BLOCK_H
#define OSMEM_BLOCK_H

#include "top.h"

/* A block of at least `bytes` (from block_bytes_for()) whose payload is a multiple of `alignment`; or NULL. From *zero_from on its
 * payload is known to be zero. */
struct block *arena_take_locked(struct arena *arena, size_t bytes, size_t alignment, enum arena_growth growth,
                                uintptr_t *zero_from);
void arena_give_locked(struct arena *arena, struct block *block);
/* Grow or shrink in place; false: the neighbour is in use, nothing changed. */
bool arena_resize_locked(struct arena *arena, struct block *block, size_t bytes);
/* A granule for a slab; its record's owner is set, the rest is the caller's to fill. `fills`: one of its class was filled before, so this one will be. */
struct slab *arena_take_slab_locked(struct arena *arena, struct theap *owner, bool fills, enum arena_growth growth);
void arena_give_slab_locked(struct arena *arena, struct slab *slab);

#endif
