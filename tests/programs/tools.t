#!/bin/sh
# SPDX-License-Identifier: MIT
# Compilers, version control, databases and the text tools, on material large enough to matter.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/fixtures.sh"

make_text text 500000
make_tree tree

active 'a child of sh' sh -c 'cat /proc/self/maps'
same 'sort: threads, 22 MB' 'sort -k2,3 -k4,4n text | cksum'
same 'sort: small buffers, merging files' 'sort -r -S 2M -T . -k4,4n text | cksum'
same 'tar, gzip, xz of a tree and back' '
  tar cf - tree text | gzip -1 | gzip -dc | tar tf - | cksum
  head -c 8000000 text | xz -0 -T2 | xz -dc | cksum
  gzip -9 <tree/all | cksum'
same 'awk, grep, uniq, join' '
  awk "{ count[\$2 \$4]++; line[\$4] = line[\$4] NR } END { for (k in count) print k, count[k]; for (k in line) print length(line[k]) }" text | sort | cksum
  grep -cE "(page|heap) .*7[0-9]+5" text
  cut -d" " -f2,3 text | sort | uniq -c
  head -n 50000 text >left; tail -n +25000 text >right; join left right | cksum'
same 'bash: 500 forks' 'bash -c "for i in {1..500}; do list[i]=\$(echo \$((i * i))); done; echo \${list[@]}"'
same 'bash: arrays and strings' 'bash -c "declare -A map; for i in {1..20000}; do map[key\$((i * 7919 % 5003))]+=\$i; done; echo \${#map[@]} \${map[key1]} | cksum"'

if can 'g++' command -v g++; then
  make_cpp templates.cpp
  same 'g++ -O1: the same object file' 'g++ -std=c++17 -O1 -g -c templates.cpp -o templates.o && cksum templates.o'
  cat >lto.c <<'C'
#include <stdio.h>
#include <stdlib.h>
int main(void) { int *cells = calloc(1000, sizeof *cells); for (int i = 1; i < 1000; i++) cells[i] = cells[i - 1] + i; printf("%d\n", cells[999]); free(cells); return 0; }
C
  same 'gcc -flto: compiler, linker and program' 'gcc -O2 -flto lto.c -o lto && ./lto'
fi

if can 'git' command -v git; then
  make_repo repo
  same 'git: clone, log, diff' '
    rm -rf clone && git clone -q repo clone && cd clone
    git log --all --stat | cksum; git log -p --format=%H | cksum; git diff HEAD~50 | cksum; git blame folder-0/file-0.txt | cksum'
  same 'git: repack in threads, gc, fsck' '
    rm -rf clone && git clone -q --mirror repo clone && cd clone
    git -c pack.threads=4 repack -q -adf --depth=20 --window=20 && git gc -q --prune=now && git fsck --full --strict && git rev-list --all --objects | sort | cksum'
fi

cat >rows.sql <<'SQL'
create table t(k integer primary key, v text, n integer);
with recursive i(x) as (select 1 union all select x + 1 from i where x < 200000)
  insert into t select x, hex(x * 7919), x * 104729 % 1009 from i;
create index by_v on t(v);
select count(*), max(v), sum(n) from t;
select n, count(*), min(v) from t group by n having count(*) > 198 order by 2, 1 limit 20;
select count(*) from t a join t b on a.v = b.v where a.n < 100;
delete from t where n % 3 = 0;
select length(group_concat(v)) from t;
vacuum;
pragma integrity_check;
SQL
can 'sqlite3' command -v sqlite3 && same 'sqlite3: 200,000 rows' '
  rm -f rows.db; sqlite3 rows.db <rows.sql; cksum <rows.db; sqlite3 :memory: <rows.sql'
finish
