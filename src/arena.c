/* SPDX-License-Identifier: MIT */
/* See arena.h.
 *
 * Freeing never waits: when the lock is taken the block goes on the arena's deferred stack, and the next holder empties that. */
#include "arena.h"

#include "budget.h"
#include "purge.h"
#include "report.h"

static struct arena first_arena;
struct arena *arenas[ARENAS_MAX] = {&first_arena};
static size_t arenas_made = 1; /* atomic */
static struct lock making_lock = {.rank = LOCK_MAKING}; /* guards adding one */

/* ---- entering, leaving, making -------------------------------------------------------------------------------------- */

size_t arena_count(void) { return __atomic_load_n(&arenas_made, __ATOMIC_ACQUIRE); }

struct arena *arena_at(size_t index) { return arenas[index]; }

static void defer(struct arena *arena, struct block *block) {
  block->next = __atomic_load_n(&arena->deferred, __ATOMIC_RELAXED);
  do block->seal = block_seal(block);
  while (!__atomic_compare_exchange_n(&arena->deferred, &block->next, block, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

/* Some of them at a time: while the holder of the lock is not running thousands may gather. */
COLD static void give_deferred_slow(struct arena *arena) {
  enum { AT_ONCE = 512 };
  size_t bytes = 0;
  if (!arena->waiting) arena->waiting = __atomic_exchange_n(&arena->deferred, NULL, __ATOMIC_ACQUIRE);
  struct block *block;
  for (int i = 0; i < AT_ONCE && (block = arena->waiting); i++) {
    block_unseal(block);
    arena->waiting = block->next;
    bytes += block_bytes(block);
    arena_give_locked(arena, block);
  }
  settle_dirt(arena, bytes);
}

static bool has_deferred(const struct arena *arena) {
  return arena->waiting || __atomic_load_n(&arena->deferred, __ATOMIC_RELAXED);
}

static void give_deferred(struct arena *arena) {
  if (UNLIKELY(has_deferred(arena))) give_deferred_slow(arena);
}

static bool try_arena(struct arena *arena) {
  if (!lock_try(&arena->lock)) return false;
  give_deferred(arena);
  return true;
}

static bool spin_for(struct arena *arena) {
  if (!lock_spin(&arena->lock)) return false;
  give_deferred(arena);
  return true;
}

bool arena_enter_this(struct arena *arena) {
  if (!lock_enter(&arena->lock)) return false;
  give_deferred(arena);
  return true;
}

/* What had been taken off the stack already, and what was there then. No more: beside threads that allocate or free there are always some, and all that they free would become this
 * call's work. (mallinfo2 took 2.8 s beside two threads that freed 800,000 blocks.) And of that so many portions at most. */
bool arena_enter_settled(struct arena *arena) {
  enum { PORTIONS = 20 };
  for (int batches = 2, portions = PORTIONS; arena_enter_this(arena); portions--) {
    bool settled = !arena->waiting && (--batches == 0 || !has_deferred(arena));
    if (settled || portions == 0 || lock_is_wanted(&arena->lock)) return true;
    arena_leave(arena);
  }
  return false;
}

/* For the limit. */
COLD static void tell_clean(struct arena *arena) {
  sys_count_back(arena->clean_bytes - arena->told_bytes);
  arena->told_bytes = arena->clean_bytes;
}

void arena_leave(struct arena *arena) {
  note_least_dirt(arena);
  if (UNLIKELY(arena->clean_bytes != arena->told_bytes)) tell_clean(arena);
  lock_leave(&arena->lock);
}

/* Arenas may number twice the processors seen at contention (a preempted holder blocks one without using a processor). */
static bool arena_may_be_added(void) {
  static size_t processors; /* atomic, racy maximum */
  size_t seen = max_size(__atomic_load_n(&processors, __ATOMIC_RELAXED), sys_processor() + 1u);
  __atomic_store_n(&processors, seen, __ATOMIC_RELAXED);
  return arena_count() < min_size(2 * max_size(seen, 2), ARENAS_MAX);
}

/* (Not in a handler of a fork: that has the locks of all there are, and would not have this one's. Another thread held it, and the child, in the next handler, waited for
 * that for good.) */
COLD static struct arena *make_arena(void) {
  if (!lock_enter(&making_lock)) return NULL;
  struct arena *arena = !making_lock.nested && arena_may_be_added() ? sys_map(round_up(sizeof *arena, page_bytes)) : NULL;
  size_t index = arena_count();
  if (arena) {
    arenas[index] = arena;
    __atomic_store_n(&arenas_made, index + 1, __ATOMIC_RELEASE);
  }
  lock_leave(&making_lock);
  return arena;
}

bool arena_is_abandoned(const struct arena *arena) { return lock_is_abandoned(&arena->lock); }

COLD struct arena *arena_first(void) {
  for (size_t i = 0; i < arena_count(); i++)
    if (!arena_is_abandoned(arenas[i])) return arenas[i];
  return make_arena();
}

/* ---- sharing -------------------------------------------------------------------------------------------------------- */

size_t arena_threads(const struct arena *arena) { return __atomic_load_n(&arena->threads, __ATOMIC_RELAXED); }

bool arena_is_shared(const struct arena *arena) { return arena_threads(arena) > 1; }

void arena_count_thread(struct arena *own) {
  if (own) __atomic_fetch_add(&own->threads, 1, __ATOMIC_RELAXED);
}

/* One store changes a living thread's arena: a signal handler must always find one. (One that forks in between has its child count anew, where
 * this goes on: the number may be off by one there, but not below zero.) */
static void set_own_arena(struct theap *heap, struct arena *arena) {
  struct arena *before = heap->arena;
  arena_count_thread(arena);
  heap->arena = arena;
  if (before && arena_threads(before) > 0) __atomic_fetch_sub(&before->threads, 1, __ATOMIC_RELAXED);
}

void arena_join(struct theap *heap, struct arena *arena) { set_own_arena(heap, arena); }

void arena_quit(struct theap *heap) { set_own_arena(heap, NULL); }

struct arena *arena_least_crowded(void) {
  struct arena *best = arena_first();
  for (size_t i = 0; best && i < arena_count(); i++)
    if (!arena_is_abandoned(arenas[i]) && arena_threads(arenas[i]) < arena_threads(best)) best = arenas[i];
  return best;
}

COLD void arena_move_out(struct theap *heap) {
  struct arena *best = arena_least_crowded();
  if (best && arena_threads(best) + 1 >= arena_threads(heap->arena)) best = make_arena();
  if (best) arena_join(heap, best);
}

/* Its top, too: what others free of a thread that ended may all have melted into that. */
static bool has_free(struct arena *arena, size_t bytes) {
  if (!try_arena(arena)) return false;
  size_t has = arena->free_bytes + top_dirty_bytes(arena);
  arena_leave(arena);
  return has >= bytes;
}

COLD bool arena_join_orphan(struct theap *heap, size_t bytes) {
  for (size_t i = 0; i < arena_count(); i++) {
    if (arena_threads(arenas[i]) > 0 || !has_free(arenas[i], max_size(2 * bytes, WORTH_A_LOOK))) continue;
    arena_join(heap, arenas[i]);
    return true;
  }
  return false;
}

/* ---- serving -------------------------------------------------------------------------------------------------------- */

/* Each thread looks at them from another on: else all would meet in the first. */
static struct arena *try_others(const struct arena *own) {
  size_t count = arena_count();
  for (size_t i = 0; i < count; i++) {
    struct arena *arena = arenas[(thread_number + i) % count];
    if (arena != own && try_arena(arena)) return arena;
  }
  return NULL;
}

/* For this once any other will do, also where a signal handler interrupted us in our own. (When a thread slept until its own came, it was woken to find that
 * taken again, by one that runs or by one that was preempted: of 17 threads on two processors the one that allocates now and then waited 16 to 26 ms at
 * the 99th percentile; now 0.03.) */
static COLD struct arena *enter_contended(struct theap *heap) {
  if (arena_is_abandoned(heap->arena)) {
    struct arena *other = arena_least_crowded();
    if (!other) return NULL;
    arena_join(heap, other);
  }
  struct arena *own = heap->arena, *other;
  if (spin_for(own)) return own;
  if ((other = try_others(own))) return other;
  if (arena_enter_this(own)) return own;
  struct arena *added = make_arena();
  return added && try_arena(added) ? added : NULL;
}

static struct arena *enter_own(struct theap *heap) {
  struct arena *own = heap->arena; /* a handler that comes meanwhile may give the thread another */
  return LIKELY(try_arena(own)) ? own : enter_contended(heap);
}

/* In turn; each thread begins with another one, as above. */
static struct arena *next_other(struct theap *heap) {
  struct arena *arena = arenas[(thread_number + heap->looks_elsewhere++) % arena_count()];
  return arena != heap->arena ? arena : arenas[(thread_number + heap->looks_elsewhere++) % arena_count()];
}

static void *take_from_others(struct theap *heap, arena_taker *taker, void *what, size_t looks) {
  for (; looks > 0; looks--) {
    struct arena *arena = next_other(heap);
    bool worth = arena != heap->arena && __atomic_load_n(&arena->free_bytes, __ATOMIC_RELAXED) >= WORTH_A_LOOK;
    if (!worth || !try_arena(arena)) continue;
    void *taken = taker(arena, what, ARENA_WARM);
    arena_leave(arena);
    if (taken) return taken;
  }
  return NULL;
}

static void *take_from_own(struct theap *heap, arena_taker *taker, void *what, enum arena_growth growth) {
  struct arena *arena = enter_own(heap);
  if (!arena) return NULL;
  void *taken = taker(arena, what, growth);
  arena_leave(arena);
  return taken;
}

/* One other at a time, all where there is no more to be had. (All each time: with 64 threads in 64 arenas each took the lock of every other one, and looked into its bins, at every
 * second malloc of a medium block, and 3.5 lines a call went from cache to cache; with one 0.7, at the same RSS: make counts.) */
void *arena_serve(struct theap *heap, arena_taker *taker, void *what, enum arena_growth growth) {
  void *taken = take_from_own(heap, taker, what, growth == ARENA_WARM_ANYWHERE ? ARENA_WARM : growth);
  if (taken || growth == ARENA_AS_IS) return taken;
  return take_from_others(heap, taker, what, growth == ARENA_WARM ? 1 : arena_count());
}

void block_release(struct block *block) {
  struct arena *arena = arena_of(block);
  if (!try_arena(arena)) {
    defer(arena, block);
    return;
  }
  size_t bytes = block_bytes(block);
  arena_give_locked(arena, block);
  settle_dirt(arena, bytes);
  arena_leave(arena);
}

void slab_release_locked(struct arena *arena, struct slab *slab) {
  arena_give_slab_locked(arena, slab);
  settle_dirt(arena, GRANULE_BYTES);
}

bool slab_release(struct slab *slab) {
  struct arena *arena = arena_of(slab);
  if (!arena_enter_this(arena)) return false;
  slab_release_locked(arena, slab);
  arena_leave(arena);
  return true;
}

/* True: more is dirty there than its share still, or was when last seen. */
static bool give_idle_of(struct arena *arena, uint64_t now, int *portions) {
  bool more = true, too_dirty = !arena_is_abandoned(arena);
  while (more && try_arena(arena)) {
    more = *portions > 0 && give_idle(arena, now);
    *portions -= more;
    too_dirty = is_too_dirty(arena);
    arena_leave(arena);
  }
  return too_dirty;
}

/* (The note is taken off first: who frees meanwhile makes it again.) */
COLD void arenas_give_idle(uint64_t now) {
  int portions = IDLE_PORTIONS;
  budget_note_due(DUE_BLOCKS, false);
  for (size_t i = 0; i < arena_count(); i++)
    if (give_idle_of(arenas[i], now, &portions)) budget_note_due(DUE_BLOCKS, true);
}

/* Between two portions: whoever waits for the lock gets it before we come again. (We would be back sooner than a sleeper is up.) */
static void leave_to_others(struct arena *arena) {
  enum { LET_IN_NS = 100 * 1000 };
  bool wanted = lock_is_wanted(&arena->lock);
  arena_leave(arena);
  if (wanted) sys_sleep(LET_IN_NS);
}

COLD bool arena_trim_top(struct arena *arena, size_t pad, size_t *released) {
  bool dropped = false, more = true;
  for (size_t left = region_bytes() / PORTION + 1; more && left > 0; left--) { /* while others may put back what we take */
    if (!arena_enter_settled(arena)) return dropped;
    const struct chunk *newest = arena->chunks;
    more = trim_top(arena, pad, released);
    dropped |= arena->chunks != newest;
    leave_to_others(arena);
  }
  return dropped;
}

COLD size_t arena_trim_bins(struct arena *arena) {
  size_t released = 0;
  bool begun = false;
  for (bool more = true; more; leave_to_others(arena)) {
    if (!arena_enter_this(arena)) break;
    if (!begun) purge_begin(arena);
    begun = true;
    more = purge_on(arena, &released);
  }
  return released;
}

/* ---- fork ----------------------------------------------------------------------------------------------------------- */

bool arenas_are_held_by_me(void) {
  bool held = lock_held_by_me(&making_lock);
  for (size_t i = 0; i < arena_count(); i++) held |= lock_held_by_me(&arenas[i]->lock);
  return held;
}

void arenas_before_fork(uint32_t *patience) {
  lock_enter_for_fork(&making_lock, patience); /* no arena is added while we take them all */
  for (size_t i = 0; i < arena_count(); i++) lock_enter_for_fork(&arenas[i]->lock, patience);
}

COLD void arenas_forget_threads(void) {
  for (size_t i = 0; i < arena_count(); i++) __atomic_store_n(&arenas[i]->threads, 0, __ATOMIC_RELAXED);
}

void arenas_after_fork(bool child) {
  for (size_t i = 0; i < arena_count(); i++) {
    lock_leave_after_fork(&arenas[i]->lock, child);
    if (child) lock_abandon_orphan(&arenas[i]->lock);
  }
  lock_leave_after_fork(&making_lock, child);
  if (child) lock_free_orphan(&making_lock); /* an arena is added by one store */
}
