#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/run-tests.py itself: it must not pass what is wrong. One snippet, its reference spoilt in every way that should be noticed.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/traces.sh"

can 'the suite refuses wrong references' can_trace ltrace || finish

name=malloc-split-first
spoil() { mkdir -p ref && sed "$1" "$top/tests/ref/engine/$name.ref" >"ref/$name.ref"; }
verdict() { suite --references ref "$@" "$name" 2>&1; echo "status $?"; }

# refused WHAT SED ERE [OPTION...]: with the reference edited the suite fails, and says so.
refused() {
  what=$1 wanted=$3
  spoil "$2"
  shift 3
  got=$(verdict "$@")
  like "$what: the suite says what is wrong" "$(echo "$got" | grep -v '^ ')" "^failed $name: $wanted"
  like "$what: the suite fails" "$got" '^status 1$'
}

spoil ''
like 'an untouched reference passes' "$(verdict -m)" "^passed $name \(5 blocks left\)"
refused 'a wrong address' '$s/0xe000/0xe010/' 'the trace differs: -d shows where'
refused 'a call too few' '$d' 'the trace differs'
refused 'a call too many' '$p' 'the trace differs'
refused 'a wrong system call' 's/brk(HeapStart + 0x80000)/brk(HeapStart + 0x81000)/' 'the trace differs'
refused 'a wrong number of blocks left' 's/^# blocks left: 5/# blocks left: 4/' '5 blocks left, the reference says 4' -m
like 'without -m nobody counts' "$(verdict)" "^passed $name$"
refused 'no number of blocks left' '/^# blocks left/d' '5 blocks left, the reference says None' -m
refused 'no reason' '/^# blocks left/!{/^#/d}' 'its reference does not say why'
refused 'an empty reference' d 'no reference'

spoil '$s/0xe000/0xe010/'
got=$(verdict -d)
like '-d shows what was wanted' "$got" '^    -os_malloc\(16376\) = HeapStart \+ 0xe010$'
like '-d shows what came' "$got" '^    \+os_malloc\(16376\) = HeapStart \+ 0xe000$'
is '-v shows the trace' "$(verdict -v | sed -n 's/^    //p')" "$(grep -v '^#' "$top/tests/ref/engine/$name.ref")"

# Recording must not make a wrong reference right, and a recorded one must not pass before somebody has written why.
verdict --record >/dev/null
like '--record leaves a reviewed reference alone' "$(cat "ref/$name.ref")" '0xe010$'
rm "ref/$name.ref"
like 'a recorded reference does not pass' "$(verdict --record)" "^failed $name: its reference does not say why"
like 'nor the next time' "$(verdict)" "^failed $name: its reference does not say why"

touch ref/nobody.ref
like 'a reference without a snippet is refused' "$(verdict)" 'references without a snippet: nobody'
rm ref/nobody.ref
like 'a name that no snippet has is refused' "$(suite nobody 2>&1)" 'no snippet nobody'
spoil ''
like 'another allocator does not pass' "$(verdict --library "$top/libosmem-textbook.so")" "^failed $name: the trace differs"

# A snippet that finds wrong contents, or crashes, has a last line that tells how it ended.
cat >broken.c <<'EOF'
#include <stdlib.h>
#include <string.h>
void *os_malloc(size_t size) { return malloc(size); }
void *os_calloc(size_t count, size_t size) { return memset(malloc(count * size), 1, count * size); }
#ifdef CRASH
void os_free(void *block) { (void)block, abort(); }
#else
void os_free(void *block) { free(block); }
#endif
EOF
name=calloc-split-first
spoil ''
ended_as() {
  cc -shared -fPIC "$@" broken.c -o broken.so
  verdict -v --library broken.so
}
like 'a calloc that does not zero ends the snippet' "$(ended_as)" '^    exited \(status 1\)$'
like 'a crash ends the trace' "$(ended_as -DCRASH)" '^    killed by SIGABRT$'
finish
