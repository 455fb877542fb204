#!/bin/sh
# SPDX-License-Identifier: MIT
# demo.sh   osmem at its main job, under commands that know nothing of it; make demo builds and calls it. It takes a minute.
#
# Status 0: the library was active and the commands did the same as under glibc's malloc.
set -u
. "$(dirname -- "$(readlink -f -- "$0")")/common.sh"
case ${1-} in
  '') ;;
  -h | --help) usage ;;
  *) refuse "$1: it takes no arguments" ;;
esac
cd "$top" || exit
run=$top/scripts/run.sh
scratch=$(mkdir -p build && mktemp -d "$top/build/demo.XXXXXX") || exit 1 # where programs can be run, whatever TMPDIR is
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM
unset LD_PRELOAD OSMEM_OPTIONS
export PERL_HASH_SEED=0 LC_ALL=C

say() { printf '\n== %s\n' "$*"; }
fail() { echo "demo: $*" >&2; exit 1; }

say 'Is it there? A shell under osmem, asked by its process number'
"$run" sh -c "'$run' --verify \$\$" || [ $? = 2 ] || fail 'the preload is not active'

# Every word of the system's headers with the places where it stands. Perl is on every Debian.
cat >"$scratch/index.pl" <<'PERL'
while (<>) { push @{$at{$_}}, "$ARGV:$." for /\w+/g }
print "$_ ", scalar @{$at{$_}}, "\n" for (sort { @{$at{$b}} <=> @{$at{$a}} || $a cmp $b } keys %at)[0 .. 4];
PERL
say 'perl indexes the words of /usr/include/*.h on osmem; what the library counted stands below its output'
OSMEM_OPTIONS=stats=1 "$run" perl "$scratch/index.pl" /usr/include/*.h >"$scratch/osmem" 2>"$scratch/table" || fail 'perl ended badly'
cat "$scratch/osmem" "$scratch/table"
grep -q 'osmem: statistics' "$scratch/table" || fail 'no statistics: the preload was not active'
perl "$scratch/index.pl" /usr/include/*.h >"$scratch/glibc"
cmp "$scratch/osmem" "$scratch/glibc" || fail 'another output than under glibc'
echo 'The same output under glibc.'

say 'The C compiler with its children, on osmem and on glibc: are the objects equal?'
compile='cc -std=gnu11 -D_GNU_SOURCE -O2 -c src/unity.c -o'
"$run" $compile "$scratch/osmem.o" && $compile "$scratch/glibc.o" || fail 'cc ended badly'
cmp "$scratch/osmem.o" "$scratch/glibc.o" || fail 'the objects differ'
cksum <"$scratch/osmem.o"
echo 'They are.'

# strace-compare.sh ends with 0 or 1 when it has an answer. None (no strace, tracing forbidden) is not the library's fault.
compare() {
  printf '\n$ %s\n' "$*"
  scripts/strace-compare.sh "$@" || [ $? = 1 ] || echo 'No answer here; the rest of the demo stands.'
}
say 'System calls for memory, children included, under glibc and under osmem'
scripts/setup.sh strace python3
if command -v strace >/dev/null && command -v python3 >/dev/null; then
  compare ls -lR /usr/include
  compare perl "$scratch/index.pl" /usr/include/stdio.h /usr/include/stdlib.h
  compare $compile "$scratch/traced.o"
else
  echo 'Skipped: counting takes strace and python3. The line "calls" of the table above has the count of osmem alone.'
fi

# A program that forgets what it read, once in a while.
cat >"$scratch/forgets.c" <<'C'
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void) {
  char *line = NULL, *longest = strdup("");
  for (size_t room = 0; getline(&line, &room, stdin) > 0;)
    if (strlen(line) > strlen(longest)) longest = strdup(line); /* and the one before? */
  printf("%zu bytes in the longest line\n", strlen(longest));
  return 0;
}
C
look_inside() {
  say 'From outside into a perl that holds that index and waits: where is its memory?'
  printf '%s\n' '$| = 1; print "ready"; <STDIN>' | cat "$scratch/index.pl" - >"$scratch/holds.pl"
  mkfifo "$scratch/hold"
  : >"$scratch/said"
  "$run" perl "$scratch/holds.pl" /usr/include/*.h <"$scratch/hold" >"$scratch/said" &
  held=$!
  exec 9>"$scratch/hold"
  until grep -q ready "$scratch/said"; do
    kill -0 "$held" 2>/dev/null || fail 'perl ended badly'
    sleep 0.1
  done
  mkdir -p build/demo
  scripts/osmem stats "$held" >"$scratch/stats" || echo 'No answer here; the rest of the demo stands.'
  sed '/^$/q' "$scratch/stats"
  scripts/osmem map --html build/demo/map.html "$held" || echo 'No answer here; the rest of the demo stands.'
  exec 9>&-
  wait "$held"

  say 'Who asked for it? A profile of the same perl, by samples, at its highest moment'
  [ -e build/report/speedscope.js ] || ! command -v npm >/dev/null || ${MAKE:-make} -s report >/dev/null 2>&1
  page= && [ -e build/report/speedscope.js ] && page="--html build/demo/flame.html"
  scripts/osmem profile --peak --rate 64K --top 6 -o "$scratch/profile" --folded build/demo/perl.folded $page -- \
    perl "$scratch/index.pl" /usr/include/*.h >/dev/null || echo 'No answer here; the rest of the demo stands.'
  sed '/^$/q' "$scratch/profile"
  sed -n '/function, by/,/^$/p' "$scratch/profile"
  echo "Its stacks: build/demo/perl.folded${page:+, and as a flame graph, for a browser: build/demo/flame.html}"

  say 'What does a program lose that forgets some of what it read? osmem leaks --stacks CMD'
  cc -O1 -g "$scratch/forgets.c" -o "$scratch/forgets" || fail 'cc ended badly'
  scripts/osmem leaks --stacks "$scratch/forgets" </usr/include/stdio.h
  [ $? = 1 ] || echo 'No answer here; the rest of the demo stands.'
}
if command -v python3 >/dev/null; then look_inside; else echo 'Skipped: a look inside takes python3.'; fi

say 'Any other command: scripts/run.sh CMD, and OSMEM_OPTIONS=stats=1 for the table'
