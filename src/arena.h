/* SPDX-License-Identifier: MIT */
/* Arenas: block heaps with a lock each. Which is whose, who waits for whom, and freeing without waiting. */
#ifndef OSMEM_ARENA_H
#define OSMEM_ARENA_H

#include "block.h"

void arena_leave(struct arena *arena);
/* Wait for this very arena. */
bool arena_enter_this(struct arena *arena);
/* The same, and give up all blocks whose freeing was put off. */
bool arena_enter_settled(struct arena *arena);

/* How many heaps have the arena for their own. */
size_t arena_threads(const struct arena *arena);
/* Which arena is a thread heap's own: that of the first thread, until it shares it with others and comes there often (thread.c). */
bool arena_is_shared(const struct arena *arena);
void arena_join(struct theap *heap, struct arena *arena);
void arena_quit(struct theap *heap);
struct arena *arena_least_crowded(void);
/* The first that is not abandoned, made if need be; NULL: none can be had. */
struct arena *arena_first(void);
/* To an arena that fewer threads have for their own, or a new one, if either can be had. */
void arena_move_out(struct theap *heap);
/* To one that no thread has for its own, if its free memory makes `bytes` likely; false: there is none. */
bool arena_join_orphan(struct theap *heap, size_t bytes);

/* Take something for the heap out of its own arena, as far as `growth` says; with ARENA_WARM then out of another that has warm memory, with
 * ARENA_WARM_ANYWHERE and ARENA_MAY_GROW out of any, waiting for none of them. `taker` gets each of them locked, and `what`. NULL: nowhere. */
typedef void *arena_taker(struct arena *arena, void *what, enum arena_growth growth);
void *arena_serve(struct theap *heap, arena_taker *taker, void *what, enum arena_growth growth);

/* Free a block that is in use, whoever holds its arena: never waits. */
void block_release(struct block *block);
/* False: not from here, in a signal handler that interrupted us in its arena. */
bool slab_release(struct slab *slab);
void slab_release_locked(struct arena *arena, struct slab *slab);

/* Release the top but for `pad` bytes, and chunks that are empty. True: of these there was one, so another arena's may be the last of the
 * heap now. The lock is left after each portion, here as in the next one. */
bool arena_trim_top(struct arena *arena, size_t pad, size_t *released);

/* Release wholly free pages below; bytes released. */
size_t arena_trim_bins(struct arena *arena);

/* In each arena, a portion or some of what nobody has wanted for an age; waits for none of them. */
void arenas_give_idle(uint64_t now);

size_t arena_count(void);
struct arena *arena_at(size_t index);
extern struct arena *arenas[ARENAS_MAX]; /* by name only for who reads from outside: layout.c */

/* Caught by a fork half way through something: see fork.c. */
bool arena_is_abandoned(const struct arena *arena);
/* All threads are gone; but this is the own arena (or NULL) of one that came along. */
void arenas_forget_threads(void);
void arena_count_thread(struct arena *own);
/* Does the caller hold any of their locks? */
bool arenas_are_held_by_me(void);
/* fork(): take all locks in order, release those. */
void arenas_before_fork(uint32_t *patience);
void arenas_after_fork(bool child);

#endif
