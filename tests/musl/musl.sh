# SPDX-License-Identifier: MIT
# Sourced after tap.sh by the tests on musl: the library for musl, programs that were built for it, and other tests run again there.
programs=$top/build/musl/programs
lib=$top/build/musl/libosmem.so
needs "$lib" # make musl: it wants musl-gcc

# The same tree with musl's compiler for cc (musl.mk).
heap=musl where=$top/build/musl/tree
. "$top/tests/others.sh"
export OSMEM_LIB= # that of the tree

# on_musl TEST: every case of a C test, but those that left-out names, which are skips with its reason.
on_musl() {
  needs "$where/build/tests/${1%.c}"
  awk -v test="$1" '
    /^#/ || !NF { next }
    /^[^ ]/ { reason = $0; next }
    $1 == test { for (i = 2; i <= NF; i++) print $i, reason }' "$top/tests/musl/left-out" >without
  all_of "$1" $(cut -d' ' -f1 without)
  while read -r name reason; do skip "$heap: $1: $name" "$reason"; done <without
}

# in_tree TEST: a test that is a script, as it is there.
in_tree() {
  needs "$where/libosmem.so"
  OSMEM_TREE=$where exec sh "$where/tests/$1"
}
