/* SPDX-License-Identifier: MIT */
/* The cross-thread free of src/slab.c, one access to shared memory a step.
 *
 * One thread heap with one size class, SLABS slabs of OBJECTS objects. Any thread may hold the heap, one at a time (the robust mutex
 * `alive`). The holder allocates, frees, trims, or dies; then another may adopt the heap, for good or to flush it and
 * let go. The others free what is handed out. It ends when a holder says so; until then everything may go on for
 * ever, so interleavings of any length are covered: the state space is finite. One of the others also looks through the mail as it is, and gives back
 * what nobody has an object of. With READ_IN_PARTS who reads a mail may stop before any slab, and sets the rest aside as a bundle.
 *
 * Asserted: an object is free when it is handed out and none is lost; a slab is in the mail once exactly while its remote list holds
 * something and no pusher is about to post it; a slab that retires is not in the mail and not in use; used == handed
 * out + being freed + on the remote list; and when all is quiet one collection takes everything back.
 *
 * A step is one access to what threads share, with the private work around it; a load that a compare-and-swap confirms belongs to the
 * step before (had it come later, the exchange that failed would have reloaded). So a push whose link nobody else reads is one step: that of a bundle.
 *
 * Left out: memory order (steps are sequentially consistent; tests/tsan looks at that), the order of a class's queue (any
 * queued slab may be next), carving, spurious failures of compare-and-swap (they repeat a step).
 *
 * Each #ifdef plants a bug that spin must find; spin.t has the list. */
#ifndef THREADS
#define THREADS 3
#endif
#ifndef HOLDERS /* threads that may hold the heap in turn */
#define HOLDERS 2
#endif
#ifndef SLABS
#define SLABS 2
#endif
#ifndef OBJECTS
#define OBJECTS 2
#endif
#define ALL (SLABS * OBJECTS)
#define NIL 0 /* objects and slabs are numbered from 1 */
#define SLAB_OF(object) (((object) - 1) / OBJECTS + 1)
#define FIRST_OF(slab) (((slab) - 1) * OBJECTS + 1)
#define USED(slab) (countdown[slab] + wake[slab])

#define WAKE_NEVER (-1)
#define WAKE_EMPTY 0
#define WAKE_FULL (OBJECTS - 1)

byte next[ALL + 1]; /* of an object */

/* The holder's side: touched by it alone. */
bit born[SLABS + 1], queued[SLABS + 1];
byte free_list[SLABS + 1];
short countdown[SLABS + 1], wake[SLABS + 1];
byte current;

/* The foreign side; head and count are one word, read and written in one step. */
bit alive; /* the mutex is held */
byte head[SLABS + 1], count[SLABS + 1];
byte mail, mail_next[SLABS + 1];
byte unread, next_bundle[SLABS + 1];

/* What the code does not know: for the assertions. */
#define FREE 0
#define OUT 1     /* handed out */
#define FREEING 2 /* another thread's free has begun */
#define REMOTE 3  /* on the remote list */
byte state[ALL + 1];
byte posting[SLABS + 1]; /* pushers that have to post the slab */
byte posted[SLABS + 1];  /* times it is in the mail, counted until its list is taken */
byte busy;               /* remote frees that have begun and not ended */
bit closing;

byte i, j, seen; /* scratch, zero between steps */

#define LISTED_AS_POSTED(slab) ((head[slab] != NIL) == (posting[slab] + posted[slab] == 1))
#define POSTED_ONCE(slab) (posting[slab] + posted[slab] <= 1)

/* ---- private to the holder: no steps of their own --------------------------------------------------------------------- */

inline set_wake(slab, value) {
  countdown[slab] = USED(slab) - (value);
  wake[slab] = value
}

/* Every object of the slab that is free is on its list, once. */
inline check_free_list(slab) {
  seen = 0;
  for (j : FIRST_OF(slab) .. FIRST_OF(slab) + OBJECTS - 1) { seen = seen + (state[j] == FREE) }
  j = free_list[slab];
  do
  :: j != NIL && seen > 0 -> assert(state[j] == FREE); seen--; j = next[j]
  :: else -> break
  od;
  assert(j == NIL && seen == 0)
}

inline release(slab) {
  assert(head[slab] == NIL && posting[slab] + posted[slab] == 0); /* not in the mail */
  check_free_list(slab);
  for (j : FIRST_OF(slab) .. FIRST_OF(slab) + OBJECTS - 1) { assert(state[j] == FREE) } /* not in use */
  j = 0;
  born[slab] = 0;
  free_list[slab] = NIL;
  set_wake(slab, 0)
}

inline settle(slab) {
  if
  :: wake[slab] == WAKE_EMPTY && USED(slab) == 0 -> assert(queued[slab]); queued[slab] = 0; release(slab)
  :: wake[slab] > WAKE_EMPTY && USED(slab) == 0 -> release(slab)
  :: wake[slab] > WAKE_EMPTY && USED(slab) != 0 && USED(slab) <= wake[slab] ->
     assert(!queued[slab]);
     queued[slab] = 1;
     set_wake(slab, WAKE_EMPTY)
  :: else -> skip
  fi
}

inline format(slab) {
  born[slab] = 1;
  j = FIRST_OF(slab);
  free_list[slab] = j;
  do
  :: j + 1 < FIRST_OF(slab) + OBJECTS -> next[j] = j + 1; j++
  :: else -> break
  od;
  next[j] = NIL;
  j = 0
}

inline set_current(slab) {
  current = slab;
  set_wake(slab, WAKE_NEVER)
}

inline pop(slab) {
  j = free_list[slab];
  assert(state[j] == FREE); /* handed out once */
  state[j] = OUT;
  free_list[slab] = next[j];
  next[j] = NIL;
  countdown[slab]++;
  j = 0
}

inline push(slab, object) {
  next[object] = free_list[slab];
  free_list[slab] = object;
  state[object] = FREE;
  countdown[slab]--;
  if
  :: countdown[slab] == 0 -> settle(slab)
  :: else -> skip
  fi
}

inline splice(slab, list, length) {
  j = list;
  seen = 1;
  do
  :: assert(state[j] == REMOTE && SLAB_OF(j) == slab);
     state[j] = FREE;
     if
     :: next[j] == NIL -> break
     :: else -> j = next[j]; seen++
     fi
  od;
  assert(seen == length); /* the number above the list's head is its length */
#ifndef LIST_REPLACES_FREE
  next[j] = free_list[slab];
#endif
  free_list[slab] = list;
  j = 0;
  seen = 0;
#ifndef REMOTE_IS_NOT_USED
  countdown[slab] = countdown[slab] - length;
#endif
  settle(slab)
}

inline check_sums() {
  assert(current == NIL || born[current]);
  i = 1;
  do
  :: i > SLABS -> break
  :: else ->
#ifndef REMOTE_IS_NOT_USED /* this would see the bug itself; what it leads to is to be seen */
     for (j : FIRST_OF(i) .. FIRST_OF(i) + OBJECTS - 1) { seen = seen + (state[j] != FREE) }
     assert(USED(i) == seen);
#endif
     if
     :: born[i] -> check_free_list(i)
     :: else -> seen = 0
     fi;
     j = 0;
     i++
  od;
  i = 0
}

/* An object that is handed out, any; NIL if the choice fell on another. */
inline choose(object) {
  object = 1;
  do
  :: object < ALL -> object++
  :: break
  od;
  if
  :: state[object] == OUT -> skip
  :: else -> object = NIL
  fi
}

#ifdef ADOPTED_ALIVE
#define MAY_ADOPT true
#else
#define MAY_ADOPT !alive
#endif

/* ---- take_mail, set_aside ---------------------------------------------------------------------------------------------- */

inline push_bundle(bundle) {
#ifndef BUNDLE_REPLACES_OTHERS
  next_bundle[bundle] = unread;
#endif
  unread = bundle
}

/* Its first step. */
inline take_unread() {
  slab = unread;
  unread = NIL;
  others = next_bundle[slab];
  next_bundle[slab] = NIL
}

/* The rest: all but one bundle goes back; where there is none it is the mail. */
inline take_mail() {
#ifdef OTHERS_ARE_LOST
  others = NIL;
#endif
  do
  :: others == NIL -> break
  :: else -> atomic { following = next_bundle[others]; push_bundle(others); others = following; following = NIL }
  od;
  if
  :: slab == NIL -> atomic { slab = mail; mail = NIL }
  :: else -> skip
  fi
}

#ifdef READ_IN_PARTS
#define set_aside() atomic { slab != NIL -> push_bundle(slab); slab = NIL }
#else
#define set_aside() false -> skip
#endif

/* ---- slab_collect ------------------------------------------------------------------------------------------------------ */

/* One exchange, and what the holder does with the list by itself. */
inline take_list(slab) {
  length = count[slab];
  old = head[slab];
  head[slab] = NIL;
  count[slab] = 0;
  assert(old != NIL); /* what is in the mail has mail */
  posted[slab]--;
  assert(LISTED_AS_POSTED(slab));
  splice(slab, old, length);
  old = NIL;
  length = 0
}

/* Of the mail, which was taken whole, as many slabs as it comes to. */
inline collect() {
  do
  :: slab == NIL -> break
  :: set_aside()
  :: slab != NIL ->
#ifdef NEXT_READ_LATE
     atomic { take_list(slab) }
     slab = mail_next[slab]
#else
     following = mail_next[slab];
     atomic {
       mail_next[slab] = NIL; /* nobody reads it again: fewer states */
       take_list(slab);
       slab = following;
       following = NIL
     }
#endif
  od
}

/* ---- slab_release_mail --------------------------------------------------------------------------------------------------- */

#ifdef RELEASES_CURRENT
#define IS_ANYBODYS(slab) (count[slab] == OBJECTS)
#else
#define IS_ANYBODYS(slab) (count[slab] == OBJECTS && wake[slab] > WAKE_EMPTY)
#endif

/* By a thread that does not hold the heap: what nobody has an object of goes, the rest is posted again. */
inline look_through() {
  do
  :: slab == NIL -> break
  :: set_aside()
  :: slab != NIL ->
     following = mail_next[slab];
     atomic {
       if
       :: IS_ANYBODYS(slab) ->
          mail_next[slab] = NIL;
          take_list(slab);
          if
          :: born[slab] -> release(slab)
          :: else -> skip /* it settled so */
          fi
       :: else -> posted[slab]--; posting[slab]++; must_post = 1; old = mail
       fi
     }
     do
     :: !must_post -> break
     :: else ->
        mail_next[slab] = old;
        atomic {
          if
          :: mail == old -> mail = slab; posting[slab]--; posted[slab]++; must_post = 0
          :: else -> old = mail
          fi
        }
     od;
     atomic { slab = following; following = NIL; old = NIL }
  od
}

/* ---- slab_free_remote -------------------------------------------------------------------------------------------------- */

#if defined(POST_ALWAYS)
#define POSTS true
#elif defined(POST_BY_FIRST_LOOK)
#define POSTS (first_look == NIL)
#else
#define POSTS (old == NIL)
#endif

inline look_at(slab) {
  old = head[slab];
  length = count[slab]
}

#ifdef POST_BY_FIRST_LOOK
#define REMEMBER_LOOK first_look = old
#else
#define REMEMBER_LOOK skip
#endif

inline push_remote(slab, object) {
  must_post = POSTS;
  next[object] = old;
  head[slab] = object;
  count[slab] = length + 1;
  state[object] = REMOTE;
#ifdef REMOTE_IS_NOT_USED
  countdown[slab]--;
#endif
  posting[slab] = posting[slab] + must_post;
  assert(POSTED_ONCE(slab));
  assert(LISTED_AS_POSTED(slab));
  object = NIL;
  length = 0;
  old = mail
}

inline end_of_free() {
  slab = NIL;
  old = NIL;
  busy--
}

inline post(slab) {
  do
  :: mail_next[slab] = old;
     atomic {
       if
       :: mail == old -> mail = slab; posting[slab]--; posted[slab]++; must_post = 0; end_of_free(); break
       :: else -> old = mail
       fi
     }
  od
}

/* The list was looked at when the free began. */
inline free_remote(slab, object) {
  do
  :: atomic {
       if
       :: head[slab] == old && count[slab] == length ->
          push_remote(slab, object);
          if
          :: must_post -> break
          :: else -> end_of_free(); break
          fi
       :: else -> look_at(slab)
       fi
     }
  od;
  if
  :: must_post -> post(slab)
  :: else -> skip
  fi
}

/* ---- a holder's life --------------------------------------------------------------------------------------------------- */

inline retire_empty() {
  if
  :: current != NIL && USED(current) == 0 -> set_wake(current, 0); release(current); current = NIL
  :: else -> skip
  fi
}

inline next_current() {
  slab = 1;
  do
  :: slab < SLABS -> slab++
  :: break
  od;
  if
  :: queued[slab] -> queued[slab] = 0; set_current(slab)
  :: !born[slab] -> format(slab); set_current(slab)
  :: else -> skip /* full: no memory */
  fi;
  slab = NIL
}

#define CURRENT_HAS_OBJECTS (current != NIL && free_list[current] != NIL)

/* What slab_refill() does after it collected, and hands out if there is anything. */
inline refill() {
  if
  :: current != NIL && free_list[current] == NIL -> set_wake(current, WAKE_FULL); current = NIL
  :: else -> skip
  fi;
  if
  :: current == NIL -> next_current()
  :: else -> skip
  fi;
  if
  :: CURRENT_HAS_OBJECTS -> pop(current)
  :: else -> skip
  fi
}

/* Nobody frees any more, and one collection was made. */
inline check_all_is_back() {
  assert(mail == NIL && unread == NIL);
  for (i : 1 .. SLABS) { assert(head[i] == NIL) }
  for (i : 1 .. ALL) {
    assert(state[i] == FREE || state[i] == OUT);
    if
    :: state[i] == OUT -> push(SLAB_OF(i), i)
    :: else -> skip
    fi
  }
  retire_empty();
  for (i : 1 .. SLABS) { assert(!born[i]) } /* they could all retire: no object was lost */
}

active [THREADS] proctype thread() {
  byte object, slab, old, length, following, others;
  bit mine, must_post;
#ifdef POST_BY_FIRST_LOOK
  byte first_look;
#endif

again:
  do
  :: atomic { !mine && closing -> break }
  :: atomic { /* free what somebody handed out */
       !mine && !closing -> choose(object);
       if
       :: object != NIL -> state[object] = FREEING; busy++; slab = SLAB_OF(object); look_at(slab); REMEMBER_LOOK
       :: else -> goto again
       fi
     }
     free_remote(slab, object)
  :: atomic { /* about to grow another heap; one thread does, that is enough */
       !mine && !closing && _pid == THREADS - 1 && (unread != NIL || mail != NIL) -> take_unread(); busy++
     }
     take_mail();
     look_through();
     atomic { busy--; check_sums() }
  :: atomic { /* be born, or reclaim what a dead thread left */
       !mine && !closing && _pid < HOLDERS && MAY_ADOPT -> alive = 1; mine = 1
     }
  :: atomic { /* malloc */
       mine ->
       if
       :: CURRENT_HAS_OBJECTS -> pop(current); check_sums(); goto again
#ifdef LIST_WITHOUT_MAIL
       :: !CURRENT_HAS_OBJECTS && current != NIL && head[current] != NIL -> take_list(current); check_sums(); goto again
#endif
       :: else -> take_unread()
       fi
     }
     take_mail();
     collect();
     atomic { refill(); check_sums() }
  :: atomic { /* free one's own */
       mine -> choose(object);
       if
       :: object != NIL -> push(SLAB_OF(object), object); check_sums(); object = NIL
       :: else -> skip
       fi
     }
  :: atomic { mine -> take_unread() } /* malloc_trim, or a part of one */
     take_mail();
     collect();
     atomic { retire_empty(); check_sums() }
  :: atomic { mine -> mine = 0; alive = 0 } /* die, or let go of what was reclaimed */
  :: atomic { mine -> closing = 1 }
     atomic { busy == 0 -> take_unread() }
     do
     :: slab == NIL && unread == NIL && mail == NIL -> break
     :: else ->
        take_mail();
        collect();
        take_unread()
     od;
     atomic { check_all_is_back(); break }
  od
}
