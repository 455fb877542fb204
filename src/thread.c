/* See thread.h.
 *
 * A thread heap is born with a thread's first allocation and given up by nobody: it holds a robust mutex that the kernel marks when
 * the thread is gone, whichever way it went. So there is no destructor that could run too early (a thread may
 * allocate until its very last instruction), no pthread key is used up, and a thread's end costs nothing. Who needs a heap, or more memory,
 * looks at a few heaps for that mark: the next thread takes a dead one over whole, slabs, cache, mail and all.
 *
 * What it costs: memory of a dead thread waits for the next birth or growth of the heap. (Where the kernel knows no robust futexes, as under
 * qemu-user, heaps of dead threads are not found again.)
 *
 * fork: all locks are taken in one order, stdio's list lock first, as glibc itself does for its own malloc: a
 * heap lock held while fork waits for stdio, and stdio for the heap, would be a deadlock. */
#include "thread.h"

#include <errno.h>

#include "arena.h"
#include "budget.h"
#include "cache.h"
#include "large.h"
#include "region.h"
#include "report.h"
#include "slab.h"

enum { LOOK_AT_HEAPS = 8 };

#define NO_SLABS_8 NO_SLAB, NO_SLAB, NO_SLAB, NO_SLAB, NO_SLAB, NO_SLAB, NO_SLAB, NO_SLAB
#define NO_SLABS_64 NO_SLABS_8, NO_SLABS_8, NO_SLABS_8, NO_SLABS_8, NO_SLABS_8, NO_SLABS_8, NO_SLABS_8, NO_SLABS_8

/* Owns nothing and offers nothing, so that the fast paths need no test for a thread's first operation. (The limit is for the heap that is
 * born from it: cache_evict() would never come below none.) */
static const struct theap unborn = {.direct = {NO_SLABS_64, NO_SLAB}, .cache_limit = CACHE_BYTES_MIN};
_Static_assert(SIZE_STEPS == 65, "unborn's table is complete");

__thread struct theap *self = (struct theap *)&unborn;

static struct theap first_heap;
static struct theap *heaps; /* atomic, only ever pushed on */
static struct lock birth_lock = {.rank = LOCK_BIRTH};
static bool ready;

struct theap *theap_list(void) { return __atomic_load_n(&heaps, __ATOMIC_ACQUIRE); }

/* ---- fork ----------------------------------------------------------------------------------------------------------- */

/* glibc's lock of the list of all stdio streams: recursive, and taken by fork() itself after the prepare handlers. */
extern void _IO_list_lock(void) __attribute__((weak));
extern void _IO_list_unlock(void) __attribute__((weak));

static bool stdio_entered, birth_entered, growth_entered; /* by before_fork(); written and read under birth_lock */

COLD static void before_fork(void) {
  bool lock_stdio = !__libc_single_threaded && _IO_list_lock && _IO_list_unlock;
  if (lock_stdio) _IO_list_lock();
  birth_entered = lock_enter_for_fork(&birth_lock);
  stdio_entered = lock_stdio;
  large_before_fork();
  arenas_before_fork();
  growth_entered = lock_enter_for_fork(&growth_lock);
}

COLD static void leave_all(bool child) {
  lock_leave_after_fork(&growth_lock, growth_entered, child);
  arenas_after_fork(child);
  large_after_fork(child);
  bool unlock_stdio = stdio_entered && !child; /* the child's stdio locks are new */
  lock_leave_after_fork(&birth_lock, birth_entered, child);
  if (unlock_stdio) _IO_list_unlock();
}

static void after_fork_in_parent(void) { leave_all(false); }

static void hold_alive(struct theap *heap);

static void after_fork_in_child(void) {
  leave_all(true);
  /* The robust list went with the other threads. Their heaps stay as they are: one may have been interrupted anywhere. But what is
   * free in their arenas is ours to use. */
  arenas_forget_threads();
  for (struct theap *heap = theap_list(); heap; heap = heap->next)
    if (heap != self) heap->arena = NULL; /* counted no more: who takes over one that was dead before the fork must not quit it */
  budget_start_over();
  if (!theap_is_born(self)) return;
  hold_alive(self);
  struct arena *own = self->arena;
  self->arena = NULL;
  arena_join(self, own);
}

/* ---- birth ---------------------------------------------------------------------------------------------------------- */

static void hold_alive(struct theap *heap) {
  pthread_mutexattr_t robust;
  pthread_mutexattr_init(&robust);
  pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
  if (pthread_mutex_init(&heap->alive, &robust) != 0 || pthread_mutex_lock(&heap->alive) != 0) DIE("a heap's mutex");
  pthread_mutexattr_destroy(&robust);
}

/* Take a heap that belongs to no thread: one that died, or one that nobody took since. */
static bool adopt(struct theap *heap) {
  int taken = pthread_mutex_trylock(&heap->alive);
  if (taken == EOWNERDEAD) taken = pthread_mutex_consistent(&heap->alive);
  return taken == 0;
}

/* Look at the next few heaps in turn for one to adopt, or NULL. Under birth_lock. */
static struct theap *find_dead(void) {
  static struct theap *cursor;
  for (int i = 0; i < LOOK_AT_HEAPS; i++) {
    cursor = cursor && cursor->next ? cursor->next : theap_list();
    if (!cursor) return NULL;
    if (cursor != self && adopt(cursor)) return cursor;
  }
  return NULL;
}

static struct theap *new_heap_memory(void) {
  if (!heaps) return &first_heap;
  struct arena *arena = arena_at(0);
  if (!arena_enter_this(arena)) return NULL;
  uintptr_t zero_from;
  struct block *block = arena_take_locked(arena, block_bytes_for(sizeof(struct theap)), _Alignof(max_align_t), ARENA_MAY_GROW,
                                          &zero_from);
  arena_leave(arena);
  return block ? block_payload(block) : NULL;
}

static struct theap *new_heap(void) {
  struct theap *heap = new_heap_memory();
  if (!heap) return NULL;
  *heap = unborn;
  arena_join(heap, arena_at(0));
  hold_alive(heap);
  heap->next = heaps;
  __atomic_store_n(&heaps, heap, __ATOMIC_RELEASE);
  return heap;
}

/* On the first allocation or by our constructor, whichever comes first: fork handlers registered before ours run while we hold
 * every lock (they may allocate all the same, see lock_enter_again()). */
static __attribute__((constructor)) void set_up(void) {
  if (ready) return;
  ready = true;
  sys_init();
  secrets_make();
  budget_start();
  pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

struct theap *theap_birth(void) {
  if (!lock_enter(&birth_lock)) return NULL;
  set_up();
  struct theap *heap = find_dead();
  if (!heap) heap = new_heap();
  if (heap) {
    if (!heap->arena) arena_join(heap, arena_least_crowded());
    self = heap;
  }
  lock_leave(&birth_lock);
  return heap;
}

/* ---- taking back ---------------------------------------------------------------------------------------------------- */

/* Returns 1, for a heap that was looked after: how many bytes came free nobody counts. */
static size_t flush(struct theap *heap) {
  slab_collect(heap);
  slab_retire_empty(heap);
  cache_flush(heap);
  return 1;
}

size_t theap_trim(struct theap *heap) {
  flush(heap);
  return slab_purge(heap);
}

/* A thread that shares its arena moves when it has come there often: early, since all that it leaves behind is stranded there. Tried and
 * dropped: moving when the lock was found taken a few times in a row (threads wander or move late: RSS of four threads with medium
 * blocks 2.0 of glibc's, against 1.2). */
void theap_settle(struct theap *heap) {
  enum { VISITS_TO_MOVE = 64 };
  if (LIKELY(!arena_is_shared(heap->arena)) || ++heap->visits % VISITS_TO_MOVE) return;
  theap_reclaim_dead();
  if (arena_is_shared(heap->arena)) arena_move_out(heap);
}

/* A few heaps of ended threads, or none. */
static size_t treat_dead(size_t (*treat)(struct theap *)) {
  const struct theap *newest = theap_list();
  size_t released = 0;
  if (!newest || !newest->next || !lock_enter(&birth_lock)) return 0;
  for (int i = 0; i < LOOK_AT_HEAPS; i++) {
    struct theap *heap = find_dead();
    if (!heap) break;
    released += treat(heap);
    arena_quit(heap);
    pthread_mutex_unlock(&heap->alive);
  }
  lock_leave(&birth_lock);
  return released;
}

bool theap_reclaim_dead(void) { return treat_dead(flush) > 0; }

size_t theap_trim_dead(void) { return treat_dead(theap_trim); }
