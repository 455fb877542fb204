#!/bin/sh
# SPDX-License-Identifier: MIT
# What threads agree on, as models that spin searches whole: what src/ does holds in every interleaving, and each bug planted in a model is
# found by the assertion that is there for it. A search that is cut short (depth, memory) counts as failed.
. "$(dirname "$0")/../tap.sh"

if ! can 'models' sh -c 'command -v spin && command -v cc'; then finish; fi

# verdict MODEL DEFINE...: what spin says of the model so defined, in one line.
verdict() {
  model=$top/tests/spin/$1.pml
  shift
  spin -a "$@" "$model" >spin.out 2>&1 && cc -O0 -w -DSAFETY -DMEMLIM=2000 pan.c -o pan >cc.out 2>&1 || {
    tail -n 5 spin.out cc.out
    return
  }
  timeout -k 5 "$patience" ./pan -m6000000 >pan.out 2>&1
  awk '/^pan:1:/ || /^error:/ || /not completed/ { said = said ? said : $0 }
    /errors: 0$/ { clean = 1 }
    /states, stored/ { states = $1 }
    END { print said || !clean ? said : "no error in " states " states" }' pan.out
}

holds() {
  what=$1
  shift
  said=$(verdict "$@")
  like "$what: $said" "$said" '^no error in [0-9]{5,} states$'
}

# finds BUG MODEL WHAT-SPIN-SAYS DEFINE...
finds() {
  bug=$1 model=$2 says=$3
  shift 3
  like "$model.pml finds $bug" "$(verdict "$model" "-D$bug" "$@")" "^pan:1: $says"
}

# ---- slab.c: frees by other threads ----
holds 'two slabs, three threads, two of which hold the heap in turn' remote
holds 'larger slabs: full, in the queue, empty' remote -DSLABS=1 -DOBJECTS=3
holds 'a mail that its owner and another read in parts' remote -DREAD_IN_PARTS -DHOLDERS=1

# mail_next is read when the slab may have been posted again: the rest of the mail is lost, or read twice.
finds NEXT_READ_LATE remote 'assertion violated \(old!=0\)'
# Every push posts, or the one whose first look found the list empty, not the one whose exchange did.
finds POST_ALWAYS remote 'assertion violated \(\(posting\[slab\]\+posted\[slab\]\)<=1\)'
finds POST_BY_FIRST_LOOK remote 'assertion violated \(\(posting\[slab\]\+posted\[slab\]\)<=1\)'
# Objects on a remote list do not count as used: a slab retires while it is in the mail.
finds REMOTE_IS_NOT_USED remote 'assertion violated \(\(head\[.*\]==0\)&&\(\(posting\[.*\]\+posted\[.*\]\)==0\)\)'
# malloc helps itself to its current slab's remote list: the mail brings an empty list.
finds LIST_WITHOUT_MAIL remote 'assertion violated \(old!=0\)'
# A slab that its owner allocates from is given back by who looks through the mail.
finds RELEASES_CURRENT remote 'assertion violated \(\(current==0\)\|\|born\[current\]\)'
# The list is put in place of the free list, not before it: objects are lost.
finds LIST_REPLACES_FREE remote 'assertion violated \(\(j==0\)&&\(seen==0\)\)'
# A heap is adopted without asking whether its thread is dead.
finds ADOPTED_ALIVE remote 'assertion violated \(head\[i\]==0\)'
# Of the bundles that were set aside one is read, and the others are not put back; or the next to be set aside takes their place.
finds OTHERS_ARE_LOST remote 'assertion violated \(head\[i\]==0\)' -DREAD_IN_PARTS -DHOLDERS=1
finds BUNDLE_REPLACES_OTHERS remote 'assertion violated \(head\[i\]==0\)' -DREAD_IN_PARTS -DHOLDERS=1

# ---- heirs.h: what a fork left, with loads and stores that come out of order where nothing orders them ----
holds 'slabs of gone heaps are taken over while others free into them' heirs
# That an arena was walked is seen before whose its slabs are now; that nobody is wanted any more, before an older owner is read; or that a heap was renewed.
finds WALKED_RELAXED heirs 'assertion violated \(again==1\)'
finds WANTED_RELAXED heirs 'assertion violated \(again==1\)'
finds GONE_RELAXED heirs 'assertion violated \(again==1\)'
# The owner that was no orphan's is not read again.
finds OWNER_READ_ONCE heirs 'assertion violated \(again==1\)'

# ---- lock.h, block.c: the lock, frees that do not wait ----
holds 'the lock and the deferred frees, three threads and a last one' arena
holds 'two threads, which signals wake' arena -DTHREADS=2 -DBLOCKS=2 -DSIGNALS=2

# Who slept takes the lock unmarked; or sleeps without a mark; or the mark is read before the word is cleared: a sleeper is forgotten.
finds WAKER_TAKES_UNMARKED arena 'invalid end state'
finds SLEEPS_UNMARKED arena 'invalid end state'
finds MARK_IS_READ_FIRST arena 'invalid end state'
# The deferred stack is read, then cleared: what came in between is lost.
finds STACK_READ_FIRST arena 'assertion violated \(state\[i\]==2\)'
# A free works on the arena without having its lock.
finds FREES_WITHOUT_LOCK arena 'assertion violated \(inside==1\)'
finish
