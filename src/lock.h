/* A mutex that knows its holder: four bytes of state, a futex behind it.
 *
 * Three things the C library's mutex would not give: nothing is atomic while the process has one thread; a thread that
 * comes back in while it holds the lock (a signal handler that allocates) is told so instead of hanging for ever;
 * and the child of a fork may simply start over. */
#ifndef OSMEM_LOCK_H
#define OSMEM_LOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/single_threaded.h>

#include "os.h"

struct lock {
  uint32_t word; /* LOCK_FREE, LOCK_HELD, LOCK_CONTENDED: held and somebody may sleep */
  const void *holder;
};

enum { LOCK_FREE, LOCK_HELD, LOCK_CONTENDED };
enum { LOCK_SPINS = 100 };

/* An address that no other living thread has; defined by thread.c. */
const void *thread_token(void);

static inline void cpu_relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static inline bool lock_try(struct lock *lock) {
  if (__libc_single_threaded) {
    if (lock->word != LOCK_FREE) return false;
    lock->word = LOCK_HELD;
  } else {
    uint32_t free_word = LOCK_FREE;
    if (__atomic_load_n(&lock->word, __ATOMIC_RELAXED) != LOCK_FREE ||
        !__atomic_compare_exchange_n(&lock->word, &free_word, LOCK_HELD, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
      return false;
  }
  __atomic_store_n(&lock->holder, thread_token(), __ATOMIC_RELAXED);
  return true;
}

static inline bool lock_held_by_me(const struct lock *lock) {
  return __atomic_load_n(&lock->holder, __ATOMIC_RELAXED) == thread_token();
}

/* Wait for the lock. False: this thread holds it already, one frame further up. */
static inline bool lock_enter(struct lock *lock) {
  for (int spin = 0; spin < LOCK_SPINS; spin++) {
    if (lock_try(lock)) return true;
    if (lock_held_by_me(lock)) return false;
    cpu_relax();
  }
  while (__atomic_exchange_n(&lock->word, LOCK_CONTENDED, __ATOMIC_ACQUIRE) != LOCK_FREE) sys_wait(&lock->word, LOCK_CONTENDED);
  __atomic_store_n(&lock->holder, thread_token(), __ATOMIC_RELAXED);
  return true;
}

static inline void lock_leave(struct lock *lock) {
  __atomic_store_n(&lock->holder, NULL, __ATOMIC_RELAXED);
  if (__libc_single_threaded)
    lock->word = LOCK_FREE;
  else if (__atomic_exchange_n(&lock->word, LOCK_FREE, __ATOMIC_RELEASE) == LOCK_CONTENDED)
    sys_wake(&lock->word);
}

/* After a fork: what lock_enter() took before it is left in the parent; in the child it starts over, without system calls. `entered`
 * is what lock_enter() said: a lock that this thread held before stays with the frame that holds it. */
static inline void lock_leave_after_fork(struct lock *lock, bool entered, bool child) {
  if (!entered) return;
  if (child)
    *lock = (struct lock){LOCK_FREE, NULL};
  else
    lock_leave(lock);
}

#endif
