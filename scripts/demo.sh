#!/bin/sh
# demo.sh: osmem at its main job, under commands that know nothing of it; make demo builds and calls it. Status 0: the library was
# active and the commands did the same as under glibc's malloc.
set -u
cd "$(dirname "$0")/.." || exit 1
run=$PWD/scripts/run.sh
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM
unset LD_PRELOAD OSMEM_OPTIONS
export PERL_HASH_SEED=0 LC_ALL=C

say() { printf '\n== %s\n' "$*"; }
fail() { echo "demo: $*" >&2; exit 1; }

say 'Is it there? A shell under osmem, asked by its process number'
"$run" sh -c "'$run' --verify \$\$" || fail 'the preload is not active'

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

say 'Any other command: scripts/run.sh CMD, and OSMEM_OPTIONS=stats=1 for the table'
