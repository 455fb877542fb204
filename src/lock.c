/* SPDX-License-Identifier: MIT */
/* See lock.h: what happens when a lock is taken, and around a fork. */
#include "lock.h"

__thread uint32_t thread_number, thread_locks;

uint32_t thread_take_number(void) {
  static uint32_t taken; /* atomic; after 2^31 threads numbers come again, and meet in one lock hardly ever */
  uint32_t number = __atomic_add_fetch(&taken, 1, __ATOMIC_RELAXED) % INT32_MAX; /* less: LOCK_ABANDONED is no thread's */
  return thread_number = number ? number : 1;
}

/* Nobody sleeps for longer at a time: who left the lock may owe the wake still, below a handler that forks, and waits there for what the sleeper has. */
enum { SLEEP_NS = 50 * 1000 * 1000, PATIENCE_NS = 1000 * 1000 };

static void lock_sleep(struct lock *lock, uint32_t at_most_ns) {
  uint32_t seen = __atomic_load_n(&lock->word, __ATOMIC_RELAXED);
  if (seen == 0 || seen == LOCK_ABANDONED) return;
  uint32_t marked = seen | LOCK_SLEEPERS;
  if (seen == marked || __atomic_compare_exchange_n(&lock->word, &seen, marked, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
    sys_wait(&lock->word, marked, at_most_ns);
}

bool lock_spin(struct lock *lock) {
  for (int spin = 0; spin < LOCK_SPINS; spin++) {
    if (lock_try(lock)) return true;
    if (!lock_will_come(lock)) break;
    cpu_relax();
  }
  return false;
}

/* It does not count while it sleeps: who sleeps for his first lock holds nothing, and a handler on top of him that forks may wait like any other fork. And each time he wakes he asks
 * again whether the lock will come: not in the child of a handler's fork that went without it. (There he slept for good.) */
__attribute__((noinline)) bool lock_enter_slow(struct lock *lock) {
  if (lock_spin(lock)) return true;
  while (lock_will_come(lock)) {
    lock_count(lock);
    /* Whoever slept takes it marked: others may sleep still. */
    if (lock_try_word(lock, lock_word_of_me() | LOCK_SLEEPERS)) return true;
    lock_uncount(lock);
    lock_sleep(lock, SLEEP_NS);
  }
  return false;
}

/* ---- fork ----------------------------------------------------------------------------------------------------------- */

/* The same for a fork out of a signal handler that interrupted the library: the lock's holder may wait for what the frame below
 * holds, so for a time only. */
static bool enter_in_time(struct lock *lock, uint32_t *patience) {
  for (;; (*patience)--) {
    lock_count(lock);
    if (lock_try_word(lock, lock_word_of_me() | LOCK_SLEEPERS)) return true;
    lock_uncount(lock);
    if (lock_is_abandoned(lock) || *patience == 0) break;
    lock_sleep(lock, PATIENCE_NS);
  }
  sys_wake(&lock->word); /* for whoever sleeps as well: the last wake may have been ours */
  return false;
}

/* A frame further up is inside of what the lock guards. */
static bool is_further_up(const struct lock *lock) { return lock->nested || !lock->forking; }

__attribute__((noinline, cold)) void lock_enter_for_fork(struct lock *lock, uint32_t *patience) {
  if (lock_held_by_me(lock)) {
    if (!is_further_up(lock)) lock->forking++;
    return;
  }
  if (*patience == LOCK_FOREVER ? !lock_enter_slow(lock) : !enter_in_time(lock, patience)) return;
  lock->forking = 1;
  lock_uncount(lock);
}

__attribute__((noinline, cold)) void lock_leave_after_fork(struct lock *lock, bool child) {
  if (!lock_held_by_me(lock) || is_further_up(lock)) return;
  if (lock->forking > 1) {
    lock->forking--;
    return;
  }
  lock_count(lock);
  lock->forking = 0;
  if (child) __atomic_store_n(&lock->word, lock_word_of_me(), __ATOMIC_RELAXED); /* who slept did not come along */
  lock_leave(lock);
}

bool lock_is_orphaned(const struct lock *lock) {
  return __atomic_load_n(&lock->word, __ATOMIC_RELAXED) != 0 && !lock_held_by_me(lock);
}

void lock_abandon_orphan(struct lock *lock) {
  if (lock_is_orphaned(lock)) __atomic_store_n(&lock->word, LOCK_ABANDONED, __ATOMIC_RELAXED);
}

void lock_free_orphan(struct lock *lock) {
  if (lock_is_orphaned(lock)) *lock = (struct lock){.rank = lock->rank};
}
