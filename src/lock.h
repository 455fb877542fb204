/* SPDX-License-Identifier: MIT */
/* A mutex that knows its holder: four bytes of state, a futex behind it.
 *
 * Three things the C library's mutex would not give: nothing is atomic while the process has one thread; a thread that
 * comes back in (a signal handler that allocates) is told so instead of hanging for ever; and the child of a fork may
 * simply start over.
 *
 * Locks have ranks, and who holds one waits only for those of later ranks. The library's own frames keep to that by themselves;
 * a handler on top of them does not: it would wait for an arena while the frame below it holds the
 * growth lock, which that arena's holder waits for. So it gets what is free, else is told no.
 *
 *   word == 0                      free
 *   word == 2 * holder's number    held          (one word, so that a signal never sees a lock without its holder)
 *   word == the same + 1           held, and somebody may sleep
 *   word == LOCK_ABANDONED         held for ever: in the child of a fork that could not wait for the holder */
#ifndef OSMEM_LOCK_H
#define OSMEM_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "libc.h"
#include "os.h"

enum lock_rank { LOCK_ATFORK = -4, LOCK_BIRTH, LOCK_LARGE, LOCK_MAKING, LOCK_ARENA /* 0: fresh memory is an arena */, LOCK_GROWTH, LOCK_SAMPLES, LOCK_GUARD };

struct lock {
  uint32_t word;
  uint16_t forking; /* so many forks, one inside the other, hold it, with nothing half done: the holder may enter again, once, */
  uint8_t nested;   /* and did */
  int8_t rank;
};

enum { LOCK_SLEEPERS = 1, LOCK_SPINS = 100 };
#define LOCK_ABANDONED UINT32_MAX
#define LOCK_FOREVER UINT32_MAX

/* The calling thread's number, never 0 once it was taken. */
extern __thread uint32_t thread_number __attribute__((tls_model("initial-exec")));
uint32_t thread_take_number(void);

/* What it holds: a number of four bits for each rank, the first rank lowest. A lock counts from before it is taken until after it
 * is left, so that a handler never sees too few. */
extern __thread uint32_t thread_locks __attribute__((tls_model("initial-exec")));

static inline uint32_t lock_word_of_me(void) { return 2 * (thread_number ? thread_number : thread_take_number()); }

static inline void cpu_relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#elif defined(__riscv)
  __asm__ volatile(".4byte 0x0100000f"); /* pause, by its number: a fence that orders nothing where it is not known */
#endif
}

static inline bool lock_held_by_me(const struct lock *lock) {
  return (__atomic_load_n(&lock->word, __ATOMIC_RELAXED) & ~(uint32_t)LOCK_SLEEPERS) == lock_word_of_me();
}

/* By a fork of this thread, and by no frame further up: what it guards is whole. */
static inline bool lock_is_held_for_fork(const struct lock *lock) { return lock_held_by_me(lock) && lock->forking && !lock->nested; }

static inline bool lock_is_abandoned(const struct lock *lock) {
  return __atomic_load_n(&lock->word, __ATOMIC_RELAXED) == LOCK_ABANDONED;
}

/* Handlers of signals and of others' forks run between our own handlers of a fork and may allocate. Once: a second time would be a signal
 * that interrupted the first, half way through something. */
static inline bool lock_enter_again(struct lock *lock) {
  if (!lock_held_by_me(lock) || !lock->forking || lock->nested) return false;
  lock->nested = 1;
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  return true;
}

static inline bool lock_try_word(struct lock *lock, uint32_t word) {
  uint32_t seen = __atomic_load_n(&lock->word, __ATOMIC_RELAXED);
  if (seen != 0) return false;
  if (!libc_single_threaded())
    return __atomic_compare_exchange_n(&lock->word, &seen, word, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
  __atomic_store_n(&lock->word, word, __ATOMIC_RELAXED);
  return true;
}

static inline uint32_t lock_unit(const struct lock *lock) { return (uint32_t)1 << 4 * (lock->rank - LOCK_ATFORK); }

/* Does the caller hold this lock, once, and no other? Then it can leave it, and take it again for certain. */
static inline bool lock_is_only(const struct lock *lock) { return thread_locks == lock_unit(lock); }

static inline void lock_count(const struct lock *lock) {
  thread_locks += lock_unit(lock);
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void lock_uncount(const struct lock *lock) {
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  thread_locks -= lock_unit(lock);
}

static inline bool lock_try(struct lock *lock) {
  lock_count(lock);
  if (lock_try_word(lock, lock_word_of_me()) || lock_enter_again(lock)) return true;
  lock_uncount(lock);
  return false;
}

/* Held by us: may somebody sleep until we leave it? */
static inline bool lock_is_wanted(const struct lock *lock) { return __atomic_load_n(&lock->word, __ATOMIC_RELAXED) & LOCK_SLEEPERS; }

/* Will it come to us if we wait? No, if this thread is inside the library already, one frame further up, where it holds this lock or one
 * that this lock's holder may wait for. */
static inline bool lock_will_come(const struct lock *lock) {
  return thread_locks < lock_unit(lock) && !lock_held_by_me(lock) && !lock_is_abandoned(lock);
}

/* A few looks. */
bool lock_spin(struct lock *lock);
bool lock_enter_slow(struct lock *lock);

/* Wait for the lock. False: it will not come. */
static inline bool lock_enter(struct lock *lock) { return lock_try(lock) || lock_enter_slow(lock); }

static inline void lock_leave(struct lock *lock) {
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  if (lock->nested)
    lock->nested = 0;
  else if (libc_single_threaded())
    __atomic_store_n(&lock->word, 0, __ATOMIC_RELAXED);
  else if (__atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) & LOCK_SLEEPERS)
    sys_wake(&lock->word);
  lock_uncount(lock);
}

/* Around a fork, which takes all locks in the order of their ranks and does not count them: no handler of it ever waits, see
 * lock_enter_again(). What a fork did is written in the lock, so that forks may nest (a signal handler may fork at any instruction of a
 * fork): a lock that an outer fork holds is counted up, and down again; one that a frame further up is inside of is left alone, by
 * both. Afterwards the frames below are as they were before, so both see the same.
 *
 * *patience: so many milliseconds may still be spent on waiting, or LOCK_FOREVER. A fork that did not get a lock goes on without. */
void lock_enter_for_fork(struct lock *lock, uint32_t *patience);
/* `child`: without system calls. */
void lock_leave_after_fork(struct lock *lock, bool child);

/* In the child, after that: does a thread hold the lock that did not come along? What it guards may be half done. */
bool lock_is_orphaned(const struct lock *lock);
/* Then nobody can have it any more, nor waits for it; */
void lock_abandon_orphan(struct lock *lock);
/* or everybody again, where what it guards is whole at every instruction, or was made anew. */
void lock_free_orphan(struct lock *lock);

#endif
