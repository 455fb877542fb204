/* SPDX-License-Identifier: MIT */
/* In the child of a fork: slabs of threads that did not come along are taken over by those that are there. */
#ifndef OSMEM_HEIRS_H
#define OSMEM_HEIRS_H

#include "thread.h"

/* How many forks of threaded processes led to this one. A heap in use whose own number is another is gone: its thread stayed behind. */
extern uint32_t fork_generation;

/* False: there are no gone heaps, or nothing is left of them. Then no slab has one of them for its owner, and who reads it so, with acquire, sees that. */
extern bool heirs_wanted;

/* (Acquire: a heap that is renewed has no slab any more, and who finds it so must see whose each of them is.) */
static inline bool theap_is_gone(const struct theap *heap) {
  return __atomic_load_n(&heap->generation, __ATOMIC_ACQUIRE) != fork_generation && heap != self && !heap->unused;
}

static inline bool slab_is_orphan(const struct slab *slab) {
  const struct theap *owner = slab_owner(slab);
  return owner && theap_is_gone(owner);
}

/* In the child of a threaded process, by the thread that is left. */
void heirs_begin(void);

/* Take over a portion of slabs, or portion by portion so many: how many it was. */
enum { HEIRS_A_PORTION = 1, HEIRS_ALL = INT32_MAX };
size_t heirs_adopt(struct theap *heir, size_t most);
/* Was the whole heap looked at? */
bool heirs_are_done(void);

#endif
