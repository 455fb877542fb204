/* SPDX-License-Identifier: MIT */
/* See due.h. */
#include "due.h"

#include "arena.h"
#include "large.h"
#include "lock.h"
#include "purge.h"
#include "slab.h"
#include "thread.h"

enum { FREES_MAX = 31 }; /* between two looks at the clock: who was busy, and then frees one block a second, is late by half a minute once */

__thread struct due_look due_look;

/* One thread for all, in a tick. (Each for itself: 64 threads with 64 arenas looked into all of them, 250 times a second each.) */
static bool is_first_in(uint64_t tick) {
  static uint64_t last; /* atomic */
  uint64_t before = __atomic_load_n(&last, __ATOMIC_RELAXED);
  return before != tick && __atomic_compare_exchange_n(&last, &before, tick, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* What comes free there may be much: one portion of it goes by the way. */
static void look_at_mail(void) {
  bool begun = giving_begin();
  budget_note_due(DUE_MAIL, theap_look_at_mail());
  giving_end(begun);
}

static void give(uint64_t now) {
  uint32_t what = __atomic_load_n(&budget_due.what, __ATOMIC_RELAXED);
  if (what & DUE_MAPPINGS) large_give_due();
  if (what & DUE_BLOCKS) arenas_give_idle(now);
  if (what & DUE_MAIL) look_at_mail();
}

/* A portion for each tick of the clock that somebody frees in. A thread that frees all the time looks at it no more than once in FREES_MAX frees, one that frees
 * now and then each time. Not out of a handler that interrupted the library, nor out of a system call in here that somebody wraps, and frees something in. (One free took 62 s, 3,252 deep.) */
COLD void due_give_slow(void) {
  uint64_t now = sys_coarse_time();
  bool new_tick = now != due_look.tick;
  due_look.tick = now;
  due_look.looks = new_tick ? 0 : due_look.looks + 1;
  due_look.frees_left = due_look.pause = new_tick ? 0 : (uint32_t)min_size(2 * due_look.pause + 1, FREES_MAX);
  if (!new_tick || thread_locks || due_look.gives) return;
  due_look.gives = true;
  if (is_first_in(now)) give(now);
  if (due_look.slabs_left > 0) slab_give_idle(self, now); /* it is born, then */
  if (theap_is_born(self)) slab_listen(self);
  due_look.gives = false;
}

COLD bool due_is_busy(void) { return due_was_busy() && sys_coarse_time() == due_look.tick; }
