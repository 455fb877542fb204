/* See lock.h: what happens when a lock is taken, and around a fork. */
#include "lock.h"

__thread uint32_t thread_number, thread_locks;

uint32_t thread_take_number(void) {
  static uint32_t taken; /* atomic; after 2^31 threads numbers come again, and meet in one lock hardly ever */
  uint32_t number = __atomic_add_fetch(&taken, 1, __ATOMIC_RELAXED) & INT32_MAX;
  return thread_number = number ? number : 1;
}

static void lock_sleep(struct lock *lock) {
  uint32_t seen = __atomic_load_n(&lock->word, __ATOMIC_RELAXED);
  if (seen == 0) return;
  uint32_t marked = seen | LOCK_SLEEPERS;
  if (seen == marked || __atomic_compare_exchange_n(&lock->word, &seen, marked, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
    sys_wait(&lock->word, marked, 0);
}

__attribute__((noinline)) bool lock_enter_slow(struct lock *lock, bool may_wait) {
  for (int spin = 0; spin < LOCK_SPINS; spin++) {
    if (lock_try(lock)) return true;
    if (!may_wait || lock_held_by_me(lock)) return false;
    cpu_relax();
  }
  lock_count(lock);
  /* Whoever slept takes it marked: others may sleep still. */
  while (!lock_try_word(lock, lock_word_of_me() | LOCK_SLEEPERS)) lock_sleep(lock);
  return true;
}

__attribute__((noinline, cold)) bool lock_enter_for_fork(struct lock *lock) {
  if (!lock_enter_slow(lock, true)) return false;
  lock->forking = 1;
  lock_uncount(lock);
  return true;
}

__attribute__((noinline, cold)) void lock_leave_after_fork(struct lock *lock, bool entered, bool child) {
  if (!entered) return;
  lock->forking = 0;
  if (child) {
    *lock = (struct lock){.rank = lock->rank};
    return;
  }
  lock_count(lock);
  lock_leave(lock);
}
