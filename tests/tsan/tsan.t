#!/bin/sh
# SPDX-License-Identifier: MIT
# The stress under ThreadSanitizer: no report. And that it would report: with one memory order of the library weakened it must.
. "$(dirname "$0")/../tap.sh"
needs /usr/include/cmocka.h

stress=$top/build/tests/tsan/stress
echo 'int main(void) { return 0; }' >empty.c
if ! can 'ThreadSanitizer' sh -c 'cc -fsanitize=thread empty.c -o empty && ./empty'; then finish; fi

reported=66
export TSAN_OPTIONS="halt_on_error=1 exitcode=$reported suppressions=$top/tests/tsan/suppressions"
export CMOCKA_MESSAGE_OUTPUT=TAP

timeout -k 5 "$patience" "$stress" >tap 2>err
status=$?
while read -r line; do
  case $line in
    'ok '*) pass "${line#* - }" ;;
    'not ok '*) fail "${line#* - }" ;;
  esac
done <tap
like 'all of the stress has run' "status $status, $(grep -c '^ok' tap) well, planned $(grep '^1\.\.' tap)" \
  "^status 0, $cases well, planned 1\.\.$cases\$"
[ "$status" = 0 ] || head -n 60 err | diag

# weakened FILE.c WHERE FROM TO: the library with a weaker order in FILE.c (or in a header that it includes: HEADER:FILE.c).
weakened() {
  rm -rf src weak && cp -r "$top/src" src && mkdir -p weak include && cp "$top/include/osmem.h" include/ || return 1
  sed -i "\\|$2|,/^}/ s/$3/$4/" "src/${1%%:*}"
  ! cmp -s "src/${1%%:*}" "$top/src/${1%%:*}" || return 1
  object=$(basename "${1##*:}" .c).o
  cc -std=gnu11 -D_GNU_SOURCE -O1 -g -fPIC -fvisibility=hidden -ftls-model=initial-exec -fsanitize=thread \
    -c "src/${1##*:}" -o "weak/$object" &&
    cc -fsanitize=thread -shared -Wl,-soname,libosmem.so.0 -Wl,--version-script="$top/src/libosmem.map" weak/*.o \
      $(ls "$top"/build/tsan/*.o | grep -v "/$object") -o weak/libosmem.so.0
}

# reports WHERE FILE.c FROM TO: so weakened, the stress ends with a report of a race. Each of the three finds nearly all of these by
# itself; a run in which the threads never meet where it matters is possible, three are not likely.
reports() {
  weakened "$2" "$1" "$3" "$4" >cc.out 2>&1 || { fail "$1 can be weakened"; diag <cc.out; return; }
  for test in heaps_of_the_dead_are_adopted blocks_change_hands objects_go_one_way; do
    LD_LIBRARY_PATH=$PWD/weak timeout -k 5 "$patience" "$stress" "$test" >err 2>&1
    status=$?
    [ "$status" = 0 ] || break
  done
  like "reports ${1#void } with $4 for $3" "status $status $(grep SUMMARY err)" \
    "^status $reported SUMMARY: ThreadSanitizer: data race"
}

# The push on a remote list: the owner's read of mail_next comes before it, the object's link too.
reports slab_free_remote slab.c ACQ_REL RELEASE
reports slab_free_remote slab.c ACQ_REL ACQUIRE
# The mail.
reports 'void push' slab.c RELEASE RELAXED
reports 'slab .take_all' slab.c ATOMIC_ACQUIRE ATOMIC_RELAXED
# Blocks freed while the arena was taken.
reports 'void defer' arena.c RELEASE RELAXED
reports give_deferred arena.c ACQUIRE RELAXED
# The lock, as the arenas use it.
reports lock_try_word lock.h:arena.c ATOMIC_ACQUIRE ATOMIC_RELAXED
reports 'void lock_leave' lock.h:arena.c RELEASE RELAXED
finish
