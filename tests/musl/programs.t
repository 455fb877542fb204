#!/bin/sh
# SPDX-License-Identifier: MIT
# Programs built for musl print the same with the library as without: preloaded, linked with it, and wholly static. The shell around them is
# busybox, so that each process is one of musl's.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/musl/musl.sh"
. "$top/tests/fixtures.sh"
needs "$programs/busybox"
shell="$programs/busybox sh"

make_text text 20000
make_tree tree
active busybox $shell -c 'cat /proc/self/maps'
is 'and not without the preload' "$($shell -c 'cat /proc/self/maps' | grep -c "$lib")" 0
same 'sort' 'sort -k4,4n -k1,1r text | cksum; cut -d" " -f2,3 text | sort | uniq -c'
same 'awk' 'awk "{ count[\$2 \$4]++; line[\$4] = line[\$4] NR } END { for (k in line) print k, line[k] }" text | sort | cksum'
same 'grep, sed' 'grep -cE "(page|heap) .*7[0-9]+5" text; sed -E "s/([a-z]+) ([a-z]+)/\2 \1/g; /line 1.*5/d" text | cksum'
same 'tar, gzip, bzip2' 'tar cf - tree | gzip -9 | gunzip | tar tf - | sort | cksum; bzip2 <text | bunzip2 | cksum; gzip <text | md5sum'
same 'find, xargs, sha256sum' 'find tree -type f | sort | xargs -n 7 sha256sum | cksum'
same 'bc' 'echo "scale = 300; 4 * a(1); 2 ^ 3000 % 10 ^ 50" | bc -l'
same 'dc, factor' 'echo "20k 2v p 3 400 ^ p" | dc; factor 600851475143 9007199254740991'
same 'diff' 'sed s/5/6/ text >changed; diff text changed | cksum'
same 'sh: variables, substitutions, forks' 'i=0; while [ $i -lt 300 ]; do eval "v$i=\"\$v$i$(echo $i | tr 0-9 a-j)$i\""; i=$((i + 1)); done; set | grep "^v[0-9]" | cksum'

make_lua work.lua
if can lua test -x "$programs/lua"; then
  active lua "$programs/lua" -e 'print(io.open("/proc/self/maps"):read("a"))'
  same 'lua' "$programs/lua work.lua"
  for way in linked static; do
    is "lua, $way" "$("$programs/lua-$way" work.lua 2>&1)" "$(cat plain.out)"
    like "the library is in lua, $way" "$(OSMEM_OPTIONS=stats=1 "$programs/lua-$way" work.lua 2>&1)" 'osmem: statistics'
  done
  is 'lua-static wants no loader' "$("$programs/busybox" grep -c ld-musl "$programs/lua-static")" 0
fi

cat >work.sql <<'SQL'
create table t(k integer primary key, v text, r real);
with recursive i(x) as (select 1 union all select x + 1 from i where x < 100000) insert into t select x, hex(x * 7919) || x, x / 7.0 from i;
create index b on t(v, r);
select count(*), max(v), sum(r) from t;
delete from t where k % 3 = 0;
update t set v = v || v where k % 5 = 0;
select length(group_concat(v)), count(distinct substr(v, 1, 3)) from t;
select a.k % 97, count(*) from t a join t b on a.v = b.v and a.k <= b.k group by 1 order by 2 desc, 1 limit 5;
vacuum;
pragma integrity_check;
SQL
if can sqlite3 test -x "$programs/sqlite3"; then
  like 'the library is active in sqlite3' "$(OSMEM_OPTIONS=stats=1 preloaded "$programs/sqlite3" :memory: 'select 1' 2>&1)" 'osmem: statistics'
  same 'sqlite3' "$programs/sqlite3 :memory: <work.sql"
  same 'sqlite3: a file, with little cache' "rm -f base; $programs/sqlite3 -cmd 'pragma cache_size = 50' base <work.sql; cksum <base"
fi

make_perl work.pl
if can perl test -x "$programs/perl"; then
  active perl "$programs/perl" -e 'open F, "/proc/self/maps"; print <F>'
  same 'perl: hashes, regular expressions, forks' "$programs/perl work.pl"
fi

if can zstd test -x "$programs/zstd"; then
  like 'the library is active in zstd' "$(OSMEM_OPTIONS=stats=1 preloaded "$programs/zstd" -q -c text 2>&1 >/dev/null)" 'osmem: statistics'
  same 'zstd: threads' "for level in 1 9 19; do $programs/zstd -q -c -T3 -B100000 -\$level text | cksum; done; tar cf - tree text | $programs/zstd -q -c --ultra -22 --long | $programs/zstd -q -d -c | tar tf - | cksum"
  same 'zstd: a dictionary' "$programs/zstd -q -f --train -r tree -o words 2>/dev/null; cksum <words; $programs/zstd -q -c -D words tree/folder-3/file-4 | $programs/zstd -q -d -c -D words | cksum"
fi
finish
