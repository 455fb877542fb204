/* SPDX-License-Identifier: MIT */
/* See thread.h.
 *
 * A thread heap is born with a thread's first allocation and given up by nobody: it holds a robust mutex that the kernel marks when
 * the thread is gone, whichever way it went. So there is no destructor that could run too early (a thread may
 * allocate until its very last instruction), no pthread key is used up, and a thread's end costs nothing. The next thread takes a dead heap
 * over whole, slabs, cache, mail and all. What it costs: memory of a dead thread waits for a birth, the next growth of the heap, a trim, or until others freed much of it.
 *
 * A birth finds a dead heap in a bounded number of steps, whatever else there is, so that the heaps number little more than the threads that lived
 * at once:
 *   - a thread whose thread-local memory lies where a former thread's did proves that that one is gone. (libc gives the next thread the stack of the
 *     last that ended.) This needs no mark: it finds heaps of threads that replaced their robust list, too, and what there is under
 *     qemu-user, which knows none;
 *   - else it looks at some heaps in turn and keeps those that bear the mark on a stack, for this birth and the next ones. Looking
 *     at eight for each that it takes it finds them faster than they are used up, from a third more heaps than threads on. (Looking only until one was found,
 *     beside 64 idle threads: 2,362 heaps after 64,000 births, one after the other.)
 *
 * Who looks after what the dead left takes a heap by its mutex and does the work without the lock for births. */
#include "thread.h"

#include <errno.h>
#include <string.h>

#include "arena.h"
#include "budget.h"
#include "cache.h"
#include "foreign.h"
#include "fork.h"
#include "heirs.h"
#include "libc.h"
#include "slab.h"
#include "start.h"
#include "symbols.h"

enum { HOMES = 1 << HOMES_LOG };

#define NO_SLABS_8 NO_SLAB, NO_SLAB, NO_SLAB, NO_SLAB, NO_SLAB, NO_SLAB, NO_SLAB, NO_SLAB
#define NO_SLABS_64 NO_SLABS_8, NO_SLABS_8, NO_SLABS_8, NO_SLABS_8, NO_SLABS_8, NO_SLABS_8, NO_SLABS_8, NO_SLABS_8

/* Owns nothing and offers nothing, so that the fast paths need no test for a thread's first operation. (The limit is for the heap that is
 * born from it: cache_evict() would never come below none.) */
static const struct theap unborn = {.direct = {NO_SLABS_64, NO_SLAB}, .cache_limit = CACHE_BYTES_START};
_Static_assert(SIZE_STEPS == 65, "unborn's table is complete");

__thread struct theap *self = (struct theap *)&unborn;

static struct born_theap first_heap;
struct theap *theaps; /* atomic, only ever pushed on */
static struct lock birth_lock = {.rank = LOCK_BIRTH};

/* Under birth_lock. */
static struct theap *homes[HOMES]; /* heaps of threads that may live, by home; not touched before the second thread */
static struct theap *dead;         /* heaps known to be nobody's, of generation dead_since; who looks after one holds it all the same */
static uint32_t dead_since;
static struct theap *unused_heaps;       /* those that own nothing; forks leave them alone */

struct theap *theap_list(void) { return __atomic_load_n(&theaps, __ATOMIC_ACQUIRE); }

/* What tools put around these two (profilers, checkers of locks) allocates, or takes a lock under which others allocate, and we call them under
 * birth_lock. */
LIBC_BY_RESERVED_NAME(pthread_mutex_trylock);
LIBC_BY_RESERVED_NAME(pthread_mutex_unlock);

/* ---- birth ---------------------------------------------------------------------------------------------------------- */

/* (Not lock: in a fork's child a handler that forked may have come in between, and its child have locked it for us. The first heap's thread may come before it can have a robust one, and
 * counts as one that lives, then: who is born in its place finds it all the same.) */
static void hold_alive(struct theap *heap) {
  static const pthread_mutex_t robust = ROBUST_MUTEX_INITIALIZER, plain = PTHREAD_MUTEX_INITIALIZER;
  heap->alive = heap->next || libc_has_robust_lists() ? robust : plain;
  pthread_mutex_trylock(&heap->alive);
}

/* Hold a heap that belongs to no thread: one that died, or one that nobody took since. The mutex of one that died is let go, which takes it off our thread's
 * list, and made anew. Nobody sees it in between: who tries to hold a heap has birth_lock. */
static bool hold_dead(struct theap *heap) {
  int taken = pthread_mutex_trylock(&heap->alive);
  if (taken != EOWNERDEAD) return taken == 0;
  pthread_mutex_unlock(&heap->alive);
  hold_alive(heap);
  return true;
}

static struct theap **bucket_of(const void *home) { return &homes[(uintptr_t)home * 0x9e3779b97f4a7c15u >> (64 - HOMES_LOG)]; }

static void move_in(struct theap *heap) {
  struct theap **bucket = bucket_of(&self);
  heap->home = &self;
  heap->link = *bucket;
  *bucket = heap;
}

static void move_out(struct theap *heap) {
  if (!heap->home) return;
  struct theap **at = bucket_of(heap->home);
  while (*at && *at != heap) at = &(*at)->link;
  if (*at) *at = heap->link;
  heap->home = NULL;
}

/* A fork out of a handler may come at any instruction of who adds to the list or takes from it, and that frame goes on in the child, where all that
 * is listed is gone. So the list is of one generation, and asked for before anything else. */
static struct theap *first_dead(void) {
  if (dead_since != fork_generation) dead = NULL;
  dead_since = fork_generation;
  return dead;
}

static void keep_dead(struct theap *heap) {
  struct theap *first = first_dead();
  if (heap->known_dead || theap_is_gone(heap)) return;
  heap->known_dead = true;
  heap->link = first;
  dead = heap;
}

/* The heap of the thread that lived where the calling one does. Its mutex may still look held: then nobody was there to mark it. */
static struct theap *take_from_predecessor(void) {
  struct theap *heap = *bucket_of(&self);
  while (heap && (heap->home != &self || theap_is_gone(heap))) heap = heap->link;
  if (!heap) return NULL;
  move_out(heap);
  if (!hold_dead(heap)) hold_alive(heap);
  return heap;
}

static void look_around(void) {
  static struct theap *cursor;
  for (int i = 0; i < LOOK_AT_HEAPS; i++) {
    cursor = cursor && cursor->next ? cursor->next : theap_list();
    if (!cursor || cursor->known_dead || cursor->unused || theap_is_gone(cursor) || !hold_dead(cursor)) continue;
    move_out(cursor);
    keep_dead(cursor);
    pthread_mutex_unlock(&cursor->alive);
  }
}

/* One that is being looked after goes back there afterwards. */
static struct theap *take_known_dead(void) {
  for (struct theap *heap; (heap = first_dead());) {
    dead = heap->link;
    heap->known_dead = false;
    if (hold_dead(heap)) return heap;
  }
  return NULL;
}

static struct theap *take_unused(void) {
  struct theap *heap = unused_heaps;
  if (!heap) return NULL;
  unused_heaps = heap->link;
  hold_alive(heap);
  heap->generation = fork_generation;
  heap->unused = false;
  return heap;
}

static bool few_are_unused(void) {
  const struct theap *heap = unused_heaps;
  for (int i = 0; i < LOOK_AT_HEAPS && heap; i++) heap = heap->link;
  return !heap;
}

static struct theap *take_dead(void) {
  struct theap *heap = take_from_predecessor();
  if (heap) return heap;
  look_around();
  heap = take_known_dead();
  return heap ? heap : take_unused();
}

/* Of the arena; where it can have no more, a thread still needs a heap to be served by other tiers. (What may be unloaded has none in itself: its mutex stays in the list of a
 * thread, which goes on, and the next one that was locked there ended in a SIGSEGV.) */
static struct theap *new_heap_memory(struct arena *arena) {
  if (!theaps && !image_of_ours_may_go()) return &first_heap.theap;
  if (!arena_enter_this(arena)) return NULL;
  uintptr_t zero_from;
  struct block *block = arena_take_locked(arena, block_bytes_for(sizeof(struct born_theap)), _Alignof(max_align_t), ARENA_MAY_GROW,
                                          &zero_from);
  arena_leave(arena);
  return block ? block_payload(block) : sys_map(round_up(sizeof(struct born_theap), page_bytes));
}

static void empty_queues(struct theap *heap) {
  memset(as_born(heap)->queue, 0, sizeof as_born(heap)->queue);
}

static struct theap *new_heap(void) {
  struct arena *arena = arena_first();
  struct theap *heap = arena ? new_heap_memory(arena) : NULL;
  if (!heap) return NULL;
  *heap = unborn;
  as_born(heap)->sampler_kept = NULL;
  empty_queues(heap);
  heap->generation = fork_generation;
  arena_join(heap, arena);
  heap->next = theaps;
  hold_alive(heap);
  __atomic_store_n(&theaps, heap, __ATOMIC_RELEASE);
  return heap;
}

static struct theap *take_or_make(void) {
  struct theap *heap = take_dead();
  return heap ? heap : new_heap();
}

/* ---- taking back ---------------------------------------------------------------------------------------------------- */

static void let_go(struct theap *heap) {
  slab_retire_empty(heap);
  cache_flush(heap);
}

/* What came free, in granules: that of its cache, and 1 for the rest, which nobody counts. */
static size_t flush(struct theap *heap) {
  bool collected = slab_collect(heap);
  if (!collected && !heap->arena) return 0; /* flushed before, see put_back() */
  size_t cached = heap->cached_bytes / GRANULE_BYTES;
  let_go(heap);
  return 1 + cached;
}

size_t theap_trim(struct theap *heap) {
  while (slab_collect(heap)) continue;
  let_go(heap);
  return slab_purge(heap);
}

/* A thread that shares its arena moves when it has come there often: early, since all that it leaves behind is stranded there. Tried and
 * dropped: moving when the lock was found taken a few times in a row (threads wander or move late: RSS of four threads with medium
 * blocks 2.0 of glibc's, against 1.2). */
void theap_settle(struct theap *heap) {
  if (LIKELY(!arena_is_shared(heap->arena)) || ++heap->visits % VISITS_TO_MOVE) return;
  theap_reclaim();
  if (arena_is_shared(heap->arena)) arena_move_out(heap);
}

/* The heaps that this thread looks after, the last first: those of a frame, and of frames further up. A fork out of a handler on top of them takes
 * them along into the child, where the frames go on: they must not be gone there, and be taken over by others at the same time. */
static __thread struct theap *looked_after __attribute__((tls_model("initial-exec")));

/* False: a fork came before that, and the heap is gone. */
static bool look_after(struct theap *heap) {
  heap->below = looked_after;
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  looked_after = heap;
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  if (!theap_is_gone(heap)) return true;
  looked_after = heap->below;
  return false;
}

static void look_away(struct theap *heap) {
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  looked_after = heap->below;
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void take_along(struct theap *heap) {
  if (heap->generation != fork_generation) heap->mail = heap->unread = NULL; /* its slabs will be posted again */
  heap->generation = fork_generation;
  heap->known_dead = false; /* that list is dropped */
  arena_count_thread(heap->arena);
  libc_let_go_in_child(&heap->alive);
  hold_alive(heap);
}

/* Hold the heap, if its thread is gone. */
static bool take_if_dead(struct theap *heap) {
  if (heap == self || heap->unused || theap_is_gone(heap) || !lock_enter(&birth_lock)) return false;
  bool taken = !heap->unused && !theap_is_gone(heap) && hold_dead(heap) && look_after(heap); /* renew() may have been there */
  if (taken) move_out(heap);
  lock_leave(&birth_lock);
  return taken;
}

/* For whoever is born next. */
static void put_back(struct theap *heap) {
  arena_quit(heap);
  bool locked = lock_enter(&birth_lock);
  look_away(heap);
  pthread_mutex_unlock(&heap->alive);
  if (!locked) return; /* it will be found again */
  keep_dead(heap);
  lock_leave(&birth_lock);
}

/* What a dead heap has is treated; what others freed to one that lives is looked through. */
static size_t visit(struct theap *heap, size_t (*treat)(struct theap *), size_t (*look_through)(struct theap *)) {
  if (take_if_dead(heap)) {
    size_t released = treat(heap);
    put_back(heap);
    return released;
  }
  return heap == self || heap->unused || theap_is_gone(heap) ? 0 : look_through(heap);
}

/* ---- what a fork left ------------------------------------------------------------------------------------------------ */

/* Hold a gone heap, of which no slab is left. */
static bool take_if_gone(struct theap *heap) {
  if (!theap_is_gone(heap) || !lock_enter(&birth_lock)) return false;
  bool taken = theap_is_gone(heap);
  if (taken) {
    move_out(heap);
    hold_alive(heap);
    heap->known_dead = false;
    heap->mail = heap->unread = NULL; /* before the heap counts as one that lives, whose mail others read */
    __atomic_store_n(&heap->generation, fork_generation, __ATOMIC_RELEASE);
    taken = look_after(heap);
  }
  lock_leave(&birth_lock);
  return taken;
}

/* What its thread had cached goes back, and it is as new. */
static void renew(struct theap *heap) {
  cache_inherit(heap);
  memcpy(heap, &unborn, offsetof(struct theap, next));
  empty_queues(heap);
  bool locked = lock_enter(&birth_lock);
  look_away(heap);
  pthread_mutex_unlock(&heap->alive);
  if (!locked) return; /* it will be found as a dead one */
  heap->unused = true;
  heap->link = unused_heaps;
  unused_heaps = heap;
  lock_leave(&birth_lock);
}

/* Gone heaps, when their slabs have been taken over. */
static size_t renew_gone(size_t most) {
  static struct theap *cursor; /* atomic; all before it are done, */
  static uint32_t generation;  /* atomic; of that number */
  bool goes_on = __atomic_load_n(&generation, __ATOMIC_ACQUIRE) == fork_generation;
  struct theap *heap = goes_on ? __atomic_load_n(&cursor, __ATOMIC_RELAXED) : theap_list();
  size_t renewed = 0;
  for (; heap && renewed < most; heap = heap->next)
    if (take_if_gone(heap)) renew(heap), renewed++;
  __atomic_store_n(&cursor, heap, __ATOMIC_RELAXED);
  __atomic_store_n(&generation, fork_generation, __ATOMIC_RELEASE); /* or another would go on from where the generation before ended: nothing would be left */
  if (!heap) __atomic_store_n(&heirs_wanted, false, __ATOMIC_RELEASE);
  return renewed;
}

static size_t inherit(size_t most) {
  if (LIKELY(!__atomic_load_n(&heirs_wanted, __ATOMIC_RELAXED)) || !theap_is_born(self)) return 0;
  size_t found = heirs_adopt(self, most);
  size_t renewals = most == HEIRS_A_PORTION ? LOOK_AT_HEAPS : most; /* a birth would make a new one for each that it does not find */
  return heirs_are_done() ? found + renew_gone(renewals) : found;
}

bool theap_inherit(void) { return inherit(HEIRS_A_PORTION) > 0; }

/* ---- the first operation --------------------------------------------------------------------------------------------- */

struct theap *theap_birth(void) {
  if (left_alone || !lock_enter(&birth_lock)) return NULL;
  start();
  struct theap *heap = left_alone ? NULL : take_or_make();
  if (heap) {
    if (!heap->arena) arena_join(heap, arena_least_crowded());
    if (theap_list()->next) move_in(heap);
    slab_begin_anew(heap);
    self = heap;
    if (heap->generation != fork_generation) take_along(heap); /* a handler forked before that, so we are the child */
  }
  bool few = few_are_unused();
  lock_leave(&birth_lock);
  if (few) inherit(HEIRS_FOR_BIRTH); /* before births at the same moment find none: each would make one, and a long line of forks need more and more */
  return heap;
}

/* ---- all others ------------------------------------------------------------------------------------------------------ */

bool theap_reclaim(void) {
  static struct theap *cursor; /* atomic; where two threads go on from the same place, one finds less */
  struct theap *heap = __atomic_load_n(&cursor, __ATOMIC_RELAXED), *newest = theap_list();
  size_t found = 0;
  if (!newest || !newest->next) return false;
  for (int i = 0; i < LOOK_AT_HEAPS && found < MAIL_READ; i++) { /* no malloc pays for more than about one of them */
    heap = heap && heap->next ? heap->next : newest;
    found += visit(heap, flush, slab_release_mail);
  }
  __atomic_store_n(&cursor, heap, __ATOMIC_RELAXED);
  return found > 0;
}

static size_t look_at_mail_of(struct theap *heap) { return heap == self ? slab_collect(heap) : visit(heap, flush, slab_release_mail); }

bool theap_look_at_mail(void) {
  static struct theap *cursor; /* atomic, both; where two threads look at the same time, one starts anew: they look again */
  static bool found_some;      /* this time round */
  struct theap *heap = __atomic_load_n(&cursor, __ATOMIC_RELAXED);
  if (!heap) {
    __atomic_store_n(&found_some, false, __ATOMIC_RELAXED);
    heap = theap_list();
  }
  size_t found = 0;
  for (int i = 0; i < LOOK_AT_HEAPS && heap && !(found = look_at_mail_of(heap)); i++) heap = heap->next;
  if (found) __atomic_store_n(&found_some, true, __ATOMIC_RELAXED);
  __atomic_store_n(&cursor, heap, __ATOMIC_RELAXED);
  return heap || __atomic_load_n(&found_some, __ATOMIC_RELAXED);
}

size_t theap_trim_others(void) {
  size_t released = 0;
  inherit(HEIRS_ALL);
  for (struct theap *heap = theap_list(); heap; heap = heap->next) released += visit(heap, theap_trim, slab_release_all_mail);
  return released;
}

/* ---- fork ----------------------------------------------------------------------------------------------------------- */

bool theaps_are_held_by_me(void) { return lock_held_by_me(&birth_lock); }

void theaps_before_fork(uint32_t *patience) { lock_enter_for_fork(&birth_lock, patience); }

COLD void theaps_after_fork(bool child) {
  lock_leave_after_fork(&birth_lock, child);
  if (!child) return;
  lock_free_orphan(&birth_lock); /* the list of heaps is whole at every instruction */
  if (!libc_single_threaded()) heirs_begin(); /* others' heaps are gone, also those that were known to be dead: heirs.c need not tell them apart */
  arenas_forget_threads();
  for (struct theap *heap = looked_after; heap; heap = heap->below) take_along(heap);
  if (theap_is_born(self)) take_along(self);
}
