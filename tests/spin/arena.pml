/* SPDX-License-Identifier: MIT */
/* The lock of src/lock.h and the deferred frees of src/block.c, one access to shared memory a step.
 *
 * THREADS threads, each with BLOCKS blocks to free and as many times to enter the arena and leave it (what malloc does). A free
 * tries the lock; when it is taken the block goes on the arena's deferred stack, which the next holder empties. Whoever waits for
 * the lock sleeps on a futex: the kernel compares the word and puts the thread to sleep in one step, wakes one
 * sleeper, any; and SIGNALS times one that nobody woke.
 *
 * Asserted: one thread at a time is inside; a block is given back once; nobody sleeps for ever (spin's "invalid end state"); and
 * once all have done what they had to, one more holder finds that every block is free. A block deferred after the last
 * holder looked waits for the next one, however long that takes: that is allowed, and is why the last holder is needed.
 *
 * Left out: memory order (see remote.pml), threads that come in again (lock_held_by_me), fork, and how often
 * lock_enter() tries before it sleeps: any number of times here.
 *
 * Each #ifdef plants a bug that spin must find; spin.t has the list. */
#ifndef THREADS
#define THREADS 3
#endif
#ifndef BLOCKS
#define BLOCKS 1
#endif
#ifndef SIGNALS
#define SIGNALS 0
#endif
#define ALL (THREADS * BLOCKS)
#define NIL 0 /* blocks are numbered from 1 */

/* The lock's word: 0, or the holder's number with or without the mark. */
#define WORD(thread) (2 * ((thread) + 1))
#define SLEEPERS 1
byte word;
bit sleeping[THREADS + 1];
byte woken; /* sleepers that a signal woke */

byte deferred, next[ALL + 1];
byte inside, done;

#define IN_USE 0
#define DEFERRED 1
#define GIVEN 2
byte state[ALL + 1];

/* ---- lock.h ------------------------------------------------------------------------------------------------------------ */

/* lock_try_word(): the look before the exchange only saves the exchange. */
inline try_word(value, taken) {
  atomic {
    if
    :: word == 0 -> word = value; taken = 1
    :: else -> taken = 0
    fi
  }
}

#ifdef WAKER_TAKES_UNMARKED
#define WORD_AFTER_SLEEP WORD(_pid)
#else
#define WORD_AFTER_SLEEP (WORD(_pid) | SLEEPERS)
#endif

inline futex_wait(value) {
  atomic {
    if
    :: word == value -> sleeping[_pid] = 1
    :: else -> skip
    fi
  };
  !sleeping[_pid]
}

inline lock_sleep() {
  seen = word;
  if
  :: seen == 0 -> skip
  :: else ->
#ifdef SLEEPS_UNMARKED
     futex_wait(seen)
#else
     atomic {
       if
       :: seen & SLEEPERS -> skip
       :: !(seen & SLEEPERS) && word == seen -> word = seen | SLEEPERS; seen = word
       :: else -> seen = 0 /* it changed: try again */
       fi
     }
     if
     :: seen != 0 -> futex_wait(seen)
     :: else -> skip
     fi
#endif
  fi;
  seen = 0
}

inline lock_enter() {
  taken = 0;
  do
  :: try_word(WORD(_pid), taken);
     if
     :: taken -> break
     :: else -> skip
     fi
  :: break /* tried often enough */
  od;
  do
  :: taken -> break
  :: else ->
     try_word(WORD_AFTER_SLEEP, taken);
     if
     :: taken -> break
     :: else -> lock_sleep()
     fi
  od
}

inline futex_wake() {
  atomic {
    if
    :: sleeping[0] -> sleeping[0] = 0
    :: sleeping[1] -> sleeping[1] = 0
    :: sleeping[2] -> sleeping[2] = 0
    :: sleeping[THREADS] -> sleeping[THREADS] = 0
    :: else -> skip
    fi
  }
}

inline lock_leave() {
#ifdef MARK_IS_READ_FIRST
  atomic { inside--; seen = word }
  word = 0;
#else
  atomic { inside--; seen = word; word = 0 }
#endif
  if
  :: atomic { seen & SLEEPERS -> seen = 0; futex_wake() }
  :: atomic { else -> seen = 0 }
  fi
}

/* ---- block.c ----------------------------------------------------------------------------------------------------------- */

inline give(block) {
  assert(state[block] != GIVEN); /* given back once */
  state[block] = GIVEN
}

/* The look before the exchange only saves the exchange. What follows is private. */
inline give_deferred() {
#ifdef STACK_READ_FIRST
  chain = deferred;
#endif
  atomic {
    inside++;
    assert(inside == 1); /* one thread at a time */
#ifndef STACK_READ_FIRST
    chain = deferred;
#endif
    deferred = NIL;
    do
    :: chain == NIL -> break
    :: else -> give(chain); chain = next[chain]
    od
  }
}

inline defer(block) {
  seen = deferred;
  do
  :: next[block] = seen;
     atomic {
       if
       :: deferred == seen -> deferred = block; state[block] = DEFERRED; break
       :: else -> seen = deferred
       fi
     }
  od;
  seen = 0
}

inline release(block) {
#ifdef FREES_WITHOUT_LOCK
  taken = 1;
#else
  try_word(WORD(_pid), taken);
#endif
  if
  :: taken -> give_deferred(); give(block); lock_leave()
  :: else -> defer(block)
  fi
}

active [THREADS] proctype thread() {
  byte seen, chain, block = _pid * BLOCKS + 1;
  bit taken;

  do
  :: block > (_pid + 1) * BLOCKS -> break
  :: else ->
     if
     :: release(block); lock_enter(); give_deferred(); lock_leave()
     :: lock_enter(); give_deferred(); lock_leave(); release(block)
     fi;
     block++
  od;
  done++
}

/* Signals, and the last holder. */
active proctype world() {
  byte seen, chain, i;
  bit taken;

  do
  :: woken < SIGNALS -> atomic { woken++; futex_wake() }
  :: done == THREADS -> break
  od;
  lock_enter();
  give_deferred();
  lock_leave();
  i = 1;
  do
  :: i > ALL -> break
  :: else -> assert(state[i] == GIVEN); i++ /* none was lost */
  od;
  assert(word == 0 && deferred == NIL)
}
