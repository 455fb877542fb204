/* SPDX-License-Identifier: MIT */
/* See fork.h.
 *
 * Ours must be the innermost handlers: those of another library take its own locks, whose holders may wait for the heap. So we register
 * before anybody else can: whoever registers some under the shared library comes to our __register_atfork(), and that begins with ours. (By -z initfirst our constructors run
 * before all others, those of the executable's preinit_array included, but for one library alone, the last loaded: before glibc 2.34 that was libpthread, and in every threaded
 * program there ours came after those of all libraries.) In a program that libosmem.a is linked into, ours has the earliest priority; what its preinit_array registers is
 * earlier all the same, and has handlers that run while we hold every lock: they may allocate, but not wait for a thread that does.
 *
 * glibc has a lock of its own for the list of handlers. Since 2.36 it is free while a handler runs, and taken again after ours, with the heap held; who
 * registers a handler holds it while the list grows, by our malloc. So nobody registers one while we fork: fork_register() holds a lock that
 * comes before all others. (The archive has no way to stand before glibc's function: there that deadlock remains.) Before 2.36 it was held by who forks from before the first
 * handler on, and who registered waited for it with our lock in hand: so a fork goes without ours there after some milliseconds. (Where both are done, in a 2.34 with what 2.36
 * has, that leaves a deadlock with who takes longer than that to have the list grow.)
 *
 * All locks are taken in one order, stdio's list lock first, as glibc itself does for its own malloc: a heap lock held while fork waits
 * for stdio, and stdio for the heap, would be a deadlock. What a fork holds is written in the locks (lock.h), so forks may nest: a
 * signal handler may fork, at any instruction of a fork, and its child may go on with the fork that was interrupted.
 *
 * A handler that interrupted the library while it held a lock cannot wait for long: another's holder may wait for that one. What it
 * does not get in some milliseconds it goes without. Stdio's lock it must have, since glibc's fork takes that, too; so no other fork holds it while it waits for
 * the heap for longer than that: it lets go of all, and begins again. (Two that waited for each other ended all forks of a process.) In the child a lock whose holder did not come along is then abandoned: nobody has
 * it any more, an arena serves nobody and takes what is freed without looking at it. */
#include "fork.h"

#include "arena.h"
#include "budget.h"
#include "foreign.h"
#include "guard.h"
#include "large.h"
#include "libc.h"
#include "purge.h"
#include "region.h"
#include "samples.h"
#include "slab.h"
#include "symbols.h"
#include "thread.h"

enum { PATIENCE_MS = 20, PATIENCE_MAX_MS = 320, LET_IN_NS = 1000 * 1000 };

static struct lock atfork_lock = {.rank = LOCK_ATFORK};
static bool retired; /* under atfork_lock: a fork holds nothing any more */

/* How many forks of this thread, one inside the other, hold that. (A process is not threaded until it has been so, and from then on it is: those
 * that do not hold it are the outer ones.) */
static __thread uint32_t stdio_held __attribute__((tls_model("initial-exec")));

static void enter_stdio(void) {
  if (libc_forks_alone() || !libc_has_stdio_lock()) return;
  libc_lock_stdio();
  stdio_held++;
}

static void leave_stdio(void) {
  if (stdio_held == 0 || !libc_has_stdio_lock()) return;
  stdio_held--;
  libc_unlock_stdio();
}

/* (Of a process with one thread glibc 2.31 left it as it was: held by us, for good. The first thread of the child that opened a file hung, of any daemon.) */
static void reset_stdio(void) {
  if (stdio_held > 0 && libc_has_stdio_lock()) libc_reset_stdio();
  stdio_held = 0;
}

/* Stdio's lock and the heap's. False: the patience is used up, and some may be missing. */
static bool enter_heap(uint32_t patience) {
  enter_stdio();
  theaps_before_fork(&patience);
  large_before_fork(&patience);
  arenas_before_fork(&patience);
  lock_enter_for_fork(&growth_lock, &patience);
  samples_before_fork(&patience);
  guard_before_fork(&patience);
  return patience > 0;
}

static void leave_heap(bool child) {
  guard_after_fork(child);
  samples_after_fork(child);
  lock_leave_after_fork(&growth_lock, child);
  if (child) lock_abandon_orphan(&growth_lock);
  arenas_after_fork(child);
  large_after_fork(child);
  theaps_after_fork(child);
}

/* Does a frame further up hold anything? (thread_locks counts what it only tries for, or has just left and is waking somebody for, too. Taken for held, a fork on top of that went
 * without a lock that it need not have missed, and in 4 of some 5,000 such children the frame could not take again what it had dropped.) */
static bool holds_any(void) {
  return stdio_held || lock_held_by_me(&atfork_lock) || theaps_are_held_by_me() || large_is_held_by_me() || arenas_are_held_by_me() || lock_held_by_me(&growth_lock) || samples_are_held_by_me() || guard_is_held_by_me();
}

/* (Who interrupted a fork that waits cannot give up what that one has.) */
COLD static void enter_all(bool interrupted) {
  uint32_t patience = interrupted || !libc_registers_in_forks() ? PATIENCE_MS : LOCK_FOREVER;
  lock_enter_for_fork(&atfork_lock, &patience);
  if (retired) {
    lock_leave_after_fork(&atfork_lock, false);
    return;
  }
  if (!interrupted) patience = PATIENCE_MS;
  while (!enter_heap(patience) && !interrupted) {
    leave_heap(false);
    leave_stdio();
    sys_sleep(LET_IN_NS);
    if (patience < PATIENCE_MAX_MS) patience *= 2;
  }
}

/* (With one thread nothing is held, as in libc. A debugger's checkpoint is a fork of which the child goes on before its call: what the handlers here held was held there for
 * good, and threads that came later waited for it.) */
COLD static void before_fork(void) {
  bool interrupted = holds_any();
  if (libc_forks_alone() && !interrupted) return;
  uint32_t counted = thread_locks;
  if (!interrupted) thread_locks = 0; /* else nothing would come */
  enter_all(interrupted);
  thread_locks = counted;
}

/* (Our own lock goes last: stdio's count is not true for some instructions, and a handler's fork just then must know that it is on top of one.) */
COLD static void after_fork_in_parent(void) {
  slab_note_fork(false);
  leave_heap(false);
  leave_stdio();
  lock_leave_after_fork(&atfork_lock, false);
}

COLD static void after_fork_in_child(void) {
  reset_stdio();
  leave_heap(true);
  lock_leave_after_fork(&atfork_lock, true);
  lock_free_orphan(&atfork_lock);
  giving = GIVES_EACH_TIME; /* a malloc that a handler interrupted may never go on here */
  budget_start_over();
  slab_note_fork(true);
}

int fork_register(fork_registrar *registrar, void (*prepare)(void), void (*parent)(void), void (*child)(void), void *library) {
  bool entered = !left_alone && lock_enter(&atfork_lock); /* there nobody frees it in a child */
  int error = registrar(prepare, parent, child, library);
  if (entered) lock_leave(&atfork_lock);
  return error;
}

/* pthread_atfork() would have the handlers taken away when our destructors run. At exit() another thread may be in a fork just then: it had every lock, and left none of
 * them. (Of processes that fork all the time 6 to 10 % never ended.) So they stay for good, but where the archive is a part of a library, which may be unloaded: there a
 * destructor waits for the fork that is under way, and has the next ones hold nothing. */
static void *whose_end_they_share(void) {
#ifdef OSMEM_ARCHIVE
  extern void *__dso_handle __attribute__((visibility("hidden")));
  if (image_of_ours_may_go()) return &__dso_handle;
#endif
  return NULL;
}

#ifdef OSMEM_ARCHIVE
static __attribute__((destructor)) void retire(void) {
  if (!image_of_ours_may_go()) return;
  bool entered = lock_enter(&atfork_lock);
  retired = true;
  if (entered) lock_leave(&atfork_lock);
}
#endif

void fork_set_up(void) {
  LIBC_REGISTER_ATFORK(before_fork, after_fork_in_parent, after_fork_in_child, whose_end_they_share());
}
