#!/bin/sh
# SPDX-License-Identifier: MIT
# make plants: bugs planted by hand, one line each, in a copy of the tree; the test named must fail and say so. Before that, it must pass
# without. What was planted and what it was caught by goes into build/plants/planted.md; the copy in tests/plants must list the same bugs.
# plants.t CLASS: only those of one class, of which the lines go into build/plants/CLASS.md.
. "$(dirname "$0")/../tap.sh"
only=${1-}
tree=$tmp/tree
mkdir "$tree" && (cd "$top" && cp -a Makefile src include tests scripts build libosmem* "$tree" && cp -a src "$tmp/healthy") || { echo 'Bail out! no copy of the tree'; exit 1; }
unset OSMEM_LIB
export CMOCKA_MESSAGE_OUTPUT=TAP
export TSAN_OPTIONS="halt_on_error=1 exitcode=66 suppressions=$top/tests/tsan/suppressions"

# prepare TEST...: build what it needs from the tree's sources.
prepare() {
  case $1 in
    tests/fault/*) needs=build/${1%.c} ;;
    build/tests/tsan/*) needs=build/tsan/libosmem.so ;;
    build/tiny/*) needs=$1 ;;
    *lines.t) needs=build/counts/counts ;;
    *.t) needs='libosmem.so libosmem.a' ;;
    *) needs=libosmem.so ;;
  esac
  nice make -s -C "$tree" $needs
}

# try TEST...: its status; what it says, and how it ended if not by itself, is in said.
try() {
  case $1 in
    *.t | *.c) set -- tests/run-one.sh "$@" ;;
  esac
  { sh -c 'cd "$0" && exec timeout -k 5 "$@"' "$tree" "$patience" "$@" >said 2>&1 </dev/null; } 2>/dev/null
  status=$?
  [ $status != 124 ] || echo hangs >>said
  [ $status -le 128 ] || echo "ended by $(kill -l $status)" >>said
  return $status
}

# survives TEST...: it passes, three times: a race may not show each time.
survives() { try "$@" && try "$@" && try "$@"; }

# healthy TEST...: it passes on the tree as it is. Once for each test; $patience is then how long it may take with a bug, which often shows as a hang.
healthy() {
  limit=limit.$(echo "$*" | cksum | cut -d ' ' -f 1) patience=300
  if [ ! -e "$limit" ] && prepare "$@" >make.out 2>&1; then
    began=$(date +%s)
    if try "$@"; then echo $((30 + 4 * ($(date +%s) - began))) >"$limit"; fi
  fi
  if [ -e "$limit" ]; then
    patience=$(cat "$limit")
    return
  fi
  fail "$*: passes without a bug"
  tail -n 20 make.out said | diag
  return 1
}

# changed FILE: the lines that differ, as one; or the line that is missing.
changed() {
  diff "healthy/$1" "$tree/src/$1" >difference
  { sed -n 's/^> *//p' difference | grep . || sed -n 's/^< */without /p' difference; } | tr '\n' ' ' | sed 's/ $//; s/|/\\|/g'
}

# plant CLASS WHAT FILE SED MESSAGE TEST [ARGUMENT...]: with SED applied to src/FILE the test fails, with MESSAGE (an ERE).
plant() {
  class=$1 what=$2 file=$3 edit=$4 message=$5
  shift 5
  [ -z "$only" ] || [ "$only" = "$class" ] || return
  healthy "$@" || return
  sed -i "$edit" "$tree/src/$file"
  change=$(changed "$file")
  name=$(echo "$*" | sed 's|^build/tests/||; s|^tests/||; s|\.c$||; s|\.c | |')
  if [ -z "$change" ]; then
    fail "$class: $what can be planted"
  elif ! prepare "$@" >make.out 2>&1; then
    fail "$class: $what compiles"
    tail -n 20 make.out | diag
  elif survives "$@"; then
    fail "$class: $what is caught by $name"
    echo "$change" | diag
  else
    like "$class: $what is caught by $name" "$(tr '\n' ' ' <said)" "$message"
    heard=$(grep -m 1 -oE "($message).*" said | sed 's/ (errno.*//; s/ (pid.*//; s/0x[0-9a-f]*/ADDRESS/g; s/|/\\|/g' | cut -c 1-100)
    echo "| $class | $what | \`$file\`: \`$change\` | \`$name\` | $heard |" >>table
  fi
  cp "healthy/$file" "$tree/src/$file" && touch "$tree/src/$file"
}

unit=tests/unit preload=tests/preload fault=tests/fault memory=tests/memory
model='build/tests/model/model --seed 1 --validate 1 --places 64 --ops 60000'
large_heap='build/tests/model/model --seed 1 --ops 250000'

. "$top/tests/plants/bugs.sh"

# listed FILE: the class and the name of each bug in a table.
listed() { sed -n 's/^| \([a-z][^|]*| [^|]*\) | `.*/\1/p' "$1"; }

mkdir -p "$top/build/plants"
if [ -n "$only" ]; then
  cp table "$top/build/plants/$only.md"
else
  { printf '| class | bug | the line as planted | caught by | which said |\n|---|---|---|---|---|\n'; cat table; } >planted.md
  cp planted.md "$top/build/plants/"
  is 'planted.md lists what is planted here' "$(listed "$top/tests/plants/planted.md")" "$(listed planted.md)"
fi
finish
