/* SPDX-License-Identifier: MIT */
/* Slabs: small objects of one size, owned by one thread, freed by any. The slow exits of the fast paths in heap.c. */
#ifndef OSMEM_SLAB_H
#define OSMEM_SLAB_H

#include "arena.h"

/* Stands in a table of current slabs where there is none: full, owned by nobody, never written. */
extern const struct slab no_slab;
#define NO_SLAB ((struct slab *)&no_slab)

/* ---- the free list -------------------------------------------------------------------------------------------------- */

/* An object is free from here on, before `next`. */
static inline void object_seal(struct slab *slab, struct object *object, struct object *next) {
  object->next = next;
  object->seal = object_proof(slab, object) - (uintptr_t)next;
}

/* The object freed last: it is in the cache of the processor. NULL: none is left, or it was written to since (object_take() tells). */
static inline struct object *object_pop(struct slab *slab) {
  struct object *object = slab->free;
  if (UNLIKELY(!object_is_sealed(slab, object))) return NULL;
  slab->free = object->next;
  slab->countdown++;
  object->seal = 0;
  return object;
}

static inline void object_link(struct slab *slab, struct object *object) {
  object_seal(slab, object, slab->free);
  slab->free = object;
}

/* ---- slow exits ----------------------------------------------------------------------------------------------------- */

/* An object of a class whose current slab has none left, from: the page not carved yet, what other threads freed, the class's queue, a
 * new slab. NULL: no memory (or, with ARENA_AS_IS, none without growing). */
void *slab_refill(struct theap *heap, size_t size_class, enum arena_growth growth);

/* The thread samples from now on, or (NULL) no more: malloc's fast path finds current slabs only where it does not. Owner only. */
void slab_begin_samples(struct theap *heap, struct sampler *sampler);

/* What serves the class now, or NO_SLAB. */
struct slab *slab_current(const struct theap *heap, size_t size_class);

/* The countdown reached zero: the slab has room again (full -> queued), has become sparse (to another queue) or is empty (queued -> retired). Owner only. */
void slab_wake(struct slab *slab);

/* Free an object of somebody else's slab. Lock-free, never waits, but for the arena of an orphaned slab (heirs.h). */
void slab_free_remote(struct slab *slab, struct object *object);

/* Take back what other threads freed, of so many slabs at a time; false: nothing. Owner only. */
enum { MAIL_READ = SIZED(64, 2) };
bool slab_collect(struct theap *heap);

/* Of so many slabs in another thread's mail, or of all, those go back to their arenas that nobody has an object of; how many. By anybody. */
size_t slab_release_mail(struct theap *owner);
size_t slab_release_all_mail(struct theap *owner);

/* Make an orphaned slab the heir's, or free memory, if nothing in it is in use. Under its arena's lock. */
void slab_adopt_locked(struct theap *heir, struct slab *slab);

/* In the child of a fork: what others had freed into a slab, and perhaps not posted, is posted. */
void slab_post_again(struct slab *slab);

/* A new thread begins in the heap of one that ended: what a class has earned counts half, unless it has a slab. (Whole: of 1500 threads, 60 times anew, with 60 objects
 * each, each heap had a slab of each class in time, 1090 MB in all, now 219; glibc 147. Not at all: threads of 100 objects took a quarter more time than with it, with half of it a tenth.) */
void slab_begin_anew(struct theap *heap);

/* Something is due (due.h): the owner wants to hear of frees into current slabs, too. Owner only. */
void slab_listen(struct theap *heap);

/* Give current slabs that are empty back to their arena. Owner only. */
void slab_retire_empty(struct theap *heap);

/* Give back pages inside slabs in use on which every object is free; bytes released. Owner only, after slab_collect(). */
size_t slab_purge(struct theap *heap);

/* The same, of a few slabs that nobody has taken from for an age, as far as the budget goes. Owner only. */
void slab_give_idle(struct theap *heap, uint64_t now);

/* In both processes, after a fork: for a while, or for as long as most memory is from before, nobody does that. */
void slab_note_fork(bool child);

/* Bits of the pages that the object there in the granule touches. */
static inline unsigned slab_pages_of(const struct slab *slab, size_t offset) {
  size_t first = offset / page_bytes, last = (offset + slab_object_bytes(slab) - 1) / page_bytes;
  return (2u << last) - (1u << first);
}

/* Is the object free, on a purged page? */
static inline bool slab_has_purged(const struct slab *slab, const struct object *object) {
  unsigned purged = __atomic_load_n(&slab->purged, __ATOMIC_RELAXED);
  return UNLIKELY(purged) && (slab_pages_of(slab, (uintptr_t)object & (GRANULE_BYTES - 1)) & purged);
}

enum { WAKE_NEVER = -1, WAKE_EMPTY = 0, WAKE_ALWAYS = SLAB_USABLE / ALIGNMENT };

static inline bool wake_is_of_full(int32_t wake, size_t object_bytes) { return 2 * wake * (int32_t)object_bytes > SLAB_USABLE && wake < WAKE_ALWAYS; }

static inline bool slab_is_current(const struct slab *slab) { return slab->wake == WAKE_NEVER || slab->wake == WAKE_ALWAYS; }

static inline bool slab_is_full(const struct slab *slab) { return wake_is_of_full(slab->wake, slab_object_bytes(slab)); }

static inline size_t slab_used(const struct slab *slab) { return (size_t)(slab->countdown + slab->wake); }

#endif
