/* See due.h. */
#include "due.h"

#include "arena.h"
#include "large.h"
#include "lock.h"

enum { FREES_MAX = 31 }; /* between two looks at the clock: who was busy, and then frees one block a second, is late by half a minute once */

__thread uint32_t due_frees_left;

/* A portion for each tick of the clock that a thread frees in. One that frees all the time looks at it no more than once in FREES_MAX frees, one that frees
 * now and then each time. Not out of a handler that interrupted the library. */
COLD void due_give_slow(void) {
  static __thread struct {
    uint64_t tick;
    uint32_t pause; /* in frees */
  } look __attribute__((tls_model("initial-exec")));
  uint64_t now = sys_coarse_time();
  bool new_tick = now != look.tick;
  look.tick = now;
  due_frees_left = look.pause = new_tick ? 0 : (uint32_t)min_size(2 * look.pause + 1, FREES_MAX);
  if (!new_tick || thread_locks) return;
  uint32_t what = __atomic_load_n(&budget_due.what, __ATOMIC_RELAXED);
  if (what & DUE_MAPPINGS) large_give_due();
  if (what & DUE_BLOCKS) arenas_give_idle(now);
}
