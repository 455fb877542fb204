/* Block heaps ("arenas"): medium blocks and slabs, with boundary tags, split, coalesce, best fit, grown in place. */
#ifndef OSMEM_BLOCK_H
#define OSMEM_BLOCK_H

#include "block_meta.h"

/* The arena of a block or slab record's memory. */
struct arena *arena_of(const void *memory);

void arena_leave(struct arena *arena);
/* Wait for this very arena. */
bool arena_enter_this(struct arena *arena);

/* How many heaps have the arena for their own. */
size_t arena_threads(const struct arena *arena);
/* Which arena is a thread heap's own: that of the first thread, until it shares it with others and comes there often (thread.c). */
bool arena_is_shared(const struct arena *arena);
void arena_join(struct theap *heap, struct arena *arena);
void arena_quit(struct theap *heap);
struct arena *arena_least_crowded(void);
/* To an arena that fewer threads have for their own, or a new one, if either can be had. */
void arena_move_out(struct theap *heap);
/* To one that no thread has for its own, if its free memory makes `bytes` likely; false: there is none. */
bool arena_join_orphan(struct theap *heap, size_t bytes);

/* Where memory may come from: what is free and in memory; fresh memory that the heap has, too; and more from the kernel. */
enum arena_growth { ARENA_WARM, ARENA_AS_IS, ARENA_MAY_GROW };

/* Take something for the heap out of its own arena, as far as `growth` says; with ARENA_WARM then out of others that have warm memory,
 * waiting for none of them. `taker` gets each of them locked, and `what`. NULL: nowhere. */
typedef void *arena_taker(struct arena *arena, void *what, enum arena_growth growth);
void *arena_serve(const struct theap *heap, arena_taker *taker, void *what, enum arena_growth growth);

/* The arena's lock is held for all of these. */

/* A block of at least `bytes` (from block_bytes_for()) whose payload is a multiple of `alignment`; or NULL. From *zero_from on its
 * payload is known to be zero. */
struct block *arena_take_locked(struct arena *arena, size_t bytes, size_t alignment, enum arena_growth growth,
                                uintptr_t *zero_from);
void arena_give_locked(struct arena *arena, struct block *block);
/* Grow or shrink in place; false: the neighbour is in use, nothing changed. */
bool arena_resize_locked(struct arena *arena, struct block *block, size_t bytes);
/* A granule for a slab; its record's owner is set, the rest is the caller's to fill. */
struct slab *arena_take_slab_locked(struct arena *arena, struct theap *owner, enum arena_growth growth);
void arena_give_slab_locked(struct arena *arena, struct slab *slab);

/* The start of a slab's granule. */
uintptr_t slab_start(const struct slab *slab);

/* Free a block that is in use, whoever holds its arena: never waits. */
void block_release(struct block *block);
void slab_release(struct slab *slab);

/* Release wholly free pages and the top but for `pad` bytes; bytes released. */
size_t arena_trim(struct arena *arena, size_t pad);

/* Walk everything; the first broken invariant as text, or NULL. *where: its address. */
const char *arena_check(struct arena *arena, const void **where);

size_t arena_count(void);
struct arena *arena_at(size_t index);

/* All threads are gone: no arena is anybody's own. */
void arenas_forget_threads(void);
/* fork(): take all locks in order, release those; or start over in the child. */
void arenas_before_fork(void);
void arenas_after_fork(bool child);

#endif
