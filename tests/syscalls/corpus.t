#!/bin/sh
# SPDX-License-Identifier: MIT
# Everyday commands never need more memory system calls than under glibc, in sum fewer,
# and no kind of call that a seccomp filter written for glibc would not expect.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/fixtures.sh"
needs python3 strace

# The calls osmem may add; everything else a process does is its own business and glibc's.
allowed='brk|mmap|munmap|madvise|mremap|futex|write'
# When a signal interrupts a call is chance, so these come and go between two runs of one command.
chance='rt_sigreturn|restart_syscall'

# Where a compiler's heap lies decides about a call or two: the same addresses in every run, if permitted.
steady=
setarch -R true 2>/dev/null && steady='setarch -R'

glibc_sum=0 osmem_sum=0

# Reads the comparison: the calls outside `allowed` for which CONDITION (awk; $3 glibc, $4 osmem) holds.
intruders() {
  awk -v known="^($allowed|$chance)\$" '($1 == "memory" || $1 == "other") && $2 !~ known && '"$1"' { printf "%s %d->%d ", $2, $3, $4 }' calls
}

# at_most NAME CMD...: the total under osmem is at most glibc's, and no kind of call is new.
at_most() {
  name=$1
  shift
  $steady "$top/scripts/strace-compare.sh" --tsv "$@" >calls 2>errors
  status=$?
  if [ $status = 2 ]; then
    fail "$name: compared"
    diag <errors
    return
  fi
  read -r glibc osmem <<TOTAL
$(awk '$1 == "total" { print $3, $4 }' calls)
TOTAL
  glibc_sum=$((glibc_sum + glibc)) osmem_sum=$((osmem_sum + osmem))
  is "$name: $osmem memory calls, glibc $glibc" $status 0
  [ $status = 0 ] || awk '$1 == "memory" || $1 == "total"' calls | diag
  is "$name: no new kind of call" "$(intruders '$3 == 0 && $4 > 0')" ''
}

# exactly NAME CMD...: the same for a single process without chance: no call outside the list is made even once more.
exactly() {
  at_most "$@"
  is "$1: no other call more often" "$(intruders '$4 > $3')" ''
}

if ! can 'the corpus under strace' strace -qq -o /dev/null true; then finish; fi

make_tree tree
make_text text 20000
make_repo repo
make_cpp templates.cpp
cat >numbers.c <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void) { char *text = strdup("text"); printf("%s %zu\n", text, strlen(text)); free(text); return 0; }
C
cat >words.pl <<'PERL'
my (%count, %lines);
while (<>) { for my $word (split) { $count{$word}++; push @{$lines{$word}}, $. } }
print "$_ $count{$_} @{$lines{$_}}[0]\n" for sort keys %count;
PERL
cat >rows.sql <<'SQL'
create table t(k integer primary key, v text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
  insert into t select i, hex(i * 7919) from n;
create index by_v on t(v);
select count(*), max(v) from t where v like '3%';
SQL

exactly 'true' true
exactly 'ls -lR' ls -lR tree
exactly 'find' find tree -name 'file-1*' -size +0 -newer text
exactly 'grep -r' grep -rc 'block.*9' tree
# Before 2.32 glibc does not say that a program has no threads: what is large goes back in two steps, as beside others.
can 'sort, as one thread' glibc_from 2.32 && exactly 'sort' sort --parallel=1 -k2,2 -k4,4n text
exactly 'awk' "$(command -v mawk || echo awk)" '{ seen[$2 $4]++ } END { for (key in seen) print key, seen[key] }' text
exactly 'sed' sed -E 's/(heap|page) ([a-z]+)/\2 \1/; /free/d' text
exactly 'xz' xz -c -T1 -1 text
exactly 'perl, hashes' perl words.pl text
# From 3.14 on it reads its own maps, where we are, too.
at_most 'python3, imports' "$python" -c 'import json, subprocess; print(json.dumps({"a": list(range(99))}))'
at_most 'python3, a child' "$python" -c 'import subprocess; print(subprocess.run(["ls", "-l"], capture_output=True).stdout)'
at_most 'git log' git -C repo log --stat --all
at_most 'gcc -c' gcc -O1 -c numbers.c -o numbers.o
at_most 'g++ -c' g++ -std=c++17 -c templates.cpp -o templates.o
can 'sqlite3' command -v sqlite3 && exactly 'sqlite3' sqlite3 -init rows.sql :memory: .quit
at_most 'tar | gzip' sh -c 'tar cf - tree | gzip -c'
at_most 'bash, forks' bash -c 'for i in {1..50}; do x=$(echo $i); y=$(ls tree); done; ls $x'

diag <<SUM
in sum: osmem $osmem_sum memory calls, glibc $glibc_sum
SUM
ok "in sum fewer: osmem $osmem_sum, glibc $glibc_sum" test "$osmem_sum" -lt "$glibc_sum"
finish
