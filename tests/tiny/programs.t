#!/bin/sh
# SPDX-License-Identifier: MIT
# Real programs on the tiny heap print what they print without. Small inputs: to this heap they are large.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/tiny/tiny.sh"
. "$top/tests/fixtures.sh"

make_text text 20000
make_tree tree
make_cpp templates.cpp
make_repo repo
cat >work.py <<'PY'
import json, threading, zlib
sums = {}
def work(n): sums[n] = zlib.crc32(json.dumps([{"id": i, "text": "x" * (i * n % 300), "list": list(range(i % 50))} for i in range(500)]).encode())
threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
big = bytearray(b"grow")
for _ in range(200): big += b"more" * 1000
print(sorted(sums.items()), zlib.crc32(big), sum(len(set(range(i))) for i in range(1000)))
PY

active 'a child of sh' sh -c 'cat /proc/self/maps'
same 'sort' 'sort -S 300K -T . -k4,4n text | cksum'
same 'awk' 'awk "{ count[\$2 \$4]++; line[\$4] = line[\$4] NR } END { for (k in line) print k, line[k] }" text | sort | cksum'
same 'grep, uniq, join' 'grep -cE "(page|heap) .*7[0-9]+5" text; cut -d" " -f2,3 text | sort | uniq -c; head -n 5000 text >left; join left text | cksum'
same 'tar, gzip, xz' 'tar cf - tree | gzip -9 | gzip -dc | tar tf - | cksum; xz -0 -T2 <text | xz -dc | cksum'
same 'bash' 'bash -c "declare -A m; for i in {1..3000}; do m[k\$((i * 7919 % 503))]+=\$i; done; echo \${#m[@]} \${m[k1]}; for i in {1..40}; do echo \$(echo \$i); done"'
same 'perl' "perl -e 'for my \$i (1..30000) { \$d{\$i*7919%5021}{\$i%13} .= \"value \$i \"; push @{\$l[\$i%97]}, \$i } print join(q(,), map { scalar @\$_ } @l), length join q(), map { values %{\$d{\$_}} } sort keys %d'"
same 'python3: threads, json' "$python work.py"
can 'lua' command -v lua5.4 && same 'lua' "lua5.4 -e 'local t = {} for i = 1, 30000 do t[i * 7919 % 5003] = (t[i * 7919 % 5003] or \"\") .. i end local n = 0 for _, s in pairs(t) do n = n + #s end print(n)'"
same 'g++: the same object file' 'g++ -std=c++17 -O1 -c templates.cpp -o templates.o && cksum templates.o'
can 'sqlite3' command -v sqlite3 && same 'sqlite3' 'sqlite3 :memory: "create table t(k integer primary key, v text); with recursive i(x) as (select 1 union all select x + 1 from i where x < 20000) insert into t select x, hex(x * 7919) from i; create index b on t(v); select count(*), max(v) from t; delete from t where k % 3 = 0; select length(group_concat(v)) from t; pragma integrity_check"'
can 'git' command -v git && same 'git: log, gc, fsck' 'rm -rf clone; git clone -q --mirror repo clone && cd clone && git log --all --stat | cksum; git -c pack.threads=2 gc -q --prune=now && git fsck --full --strict && git rev-list --all --objects | sort | cksum'
finish
