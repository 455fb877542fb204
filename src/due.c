/* See due.h. */
#include "due.h"

#include "arena.h"
#include "large.h"
#include "lock.h"
#include "slab.h"
#include "thread.h"

enum {
  FREES_MAX = 31, /* between two looks at the clock: who was busy, and then frees one block a second, is late by half a minute once */
  LOOKS_MAX = 64  /* in one tick: who frees 2,000 objects in 4 ms is not to make a call for each */
};

__thread struct due_look due_look;

/* A portion for each tick of the clock that a thread frees in. One that frees all the time looks at it no more than once in FREES_MAX frees, one that frees
 * now and then each time. Not out of a handler that interrupted the library. */
COLD void due_give_slow(void) {
  uint64_t now = sys_coarse_time();
  bool new_tick = now != due_look.tick;
  due_look.tick = now;
  due_look.looks = new_tick ? 0 : due_look.looks + 1;
  due_look.frees_left = due_look.pause = new_tick ? 0 : (uint32_t)min_size(2 * due_look.pause + 1, FREES_MAX);
  if (!new_tick || thread_locks) return;
  uint32_t what = __atomic_load_n(&budget_due.what, __ATOMIC_RELAXED);
  if (what & DUE_MAPPINGS) large_give_due();
  if (what & DUE_BLOCKS) arenas_give_idle(now);
  if (theap_is_born(self)) slab_listen(self);
}

COLD bool due_is_busy(void) { return due_look.looks >= LOOKS_MAX && sys_coarse_time() == due_look.tick; }
