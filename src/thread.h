/* SPDX-License-Identifier: MIT */
/* Thread heaps: birth, adoption. */
#ifndef OSMEM_THREAD_H
#define OSMEM_THREAD_H

#include "block_meta.h"

/* The calling thread's heap; never NULL: `unborn` before its first allocation. With what lock.h knows of it, all that is thread-local. */
extern __thread struct theap *self __attribute__((tls_model("initial-exec")));

/* A heap for the calling thread, left in `self`; the library is set up on the first call of all. NULL: no memory. */
struct theap *theap_birth(void);

static inline bool theap_is_born(const struct theap *heap) { return heap->arena != NULL; }

/* See that the heap has an arena where it meets few others. */
void theap_settle(struct theap *heap);

/* Take back what threads that ended have left, caches and empty slabs, and of those that live slabs that nobody has an object of. Looks at a few
 * heaps a call. */
bool theap_reclaim(void); /* false: found none */
/* The same, when somebody frees, while it is due: of one heap after the other, as long as there is something. False: of none since the last time round. */
bool theap_look_at_mail(void);
/* In the child of a fork, a portion of what threads left that it does not have; false: there is none. */
bool theap_inherit(void);
/* All three, all of it, and of the dead's slabs in use the pages that are wholly free; 0: nothing was found. */
size_t theap_trim_others(void);
/* The same for the caller's own heap. */
size_t theap_trim(struct theap *heap);

/* All heaps ever made, newest first; they are never freed. (By name only for who reads from outside: layout.c.) */
extern struct theap *theaps;
struct theap *theap_list(void);

bool theaps_are_held_by_me(void);
void theaps_before_fork(uint32_t *patience);
void theaps_after_fork(bool child);

#endif
