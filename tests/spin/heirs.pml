/* SPDX-License-Identifier: MIT */
/* What a fork left behind (src/heirs.h): slabs of gone heaps are taken over, then the heaps are renewed, and then nobody asks any more. Who frees an object
 * meanwhile posts the slab to its owner: never to a heap that was gone, which may be another thread's by then.
 *
 * Here memory order is part of the model. A load that nothing orders may be made before the loads in front of it, as arm64 and riscv64 do, and
 * of two such stores the second first. Two loads of one word stay in their order.
 *
 * Each #ifdef plants a bug that spin must find; spin.t has the list. */
#define SLABS 3
#define FREERS 2
#define GONE 0 /* owners */
#define HEIR 1

byte owner[SLABS];
bit locked, walked, renewed, wanted = 1;

inline enter() { atomic { !locked -> locked = 1 } }
inline leave() { locked = 0 }

/* heirs_adopt(): portion by portion. */
active proctype adopter() {
  byte slab = 0;
  do
  :: slab < SLABS ->
    enter();
#ifdef WALKED_RELAXED
    if
    :: slab == SLABS - 1 -> walked = 1
    :: true
    fi;
#endif
    owner[slab] = HEIR;
    slab++;
    if
    :: slab == SLABS -> walked = 1
    :: else
    fi;
    leave()
  :: else -> break
  od
}

/* renew_gone(), in whatever thread. */
active proctype renewer() {
  walked;
  renewed = 1;
  wanted = 0
}

/* slab_free_remote(). */
active [FREERS] proctype freer() {
  byte slab, seen, again, times = 0;
  bit is_wanted, is_renewed, early;
  do
  :: times < 2 ->
    times++;
    select (slab : 0 .. SLABS - 1);
    early = 0;
#ifdef WANTED_RELAXED
    if
    :: again = owner[slab]; early = 1 /* and the same word is not read older after that */
    :: true
    fi;
#endif
    is_wanted = wanted;
    if
    :: is_wanted ->
      if
      :: early -> seen = again
      :: else -> seen = owner[slab]
      fi;
#ifdef GONE_RELAXED
      if
      :: again = owner[slab]; early = 1
      :: true
      fi;
#endif
      is_renewed = renewed;
      if
      :: seen == GONE && !is_renewed -> /* free_orphaned() */
        enter();
        if
        :: owner[slab] == GONE -> owner[slab] = HEIR; leave(); goto next
        :: else -> leave(); early = 0
        fi
      :: else
      fi
    :: else
    fi;
#ifdef OWNER_READ_ONCE
    if
    :: is_wanted -> again = seen; early = 1
    :: else
    fi;
#endif
    if
    :: early
    :: else -> again = owner[slab]
    fi;
    assert(again == HEIR);
next: skip
  :: else -> break
  od
}
