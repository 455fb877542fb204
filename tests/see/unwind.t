#!/bin/sh
# SPDX-License-Identifier: MIT
# The frames that src/unwind.c finds are those of libgcc's unwinder: in stacks of all kinds, compiled in several ways, and in real programs.
. "$(dirname "$0")/../tap.sh"
needs g++ python3 perl
# For the headers that a build has, all of src: symbols.c is its only companion, and the gate to the kernel.
gcc -std=gnu11 -D_GNU_SOURCE -O2 -fPIC -shared -I"$top/include" "$top/tests/see/unwinds.c" "$top/src/unwind.c" "$top/src/symbols.c" "$top/src/kernel.c" -o unwinds.so -lgcc_s ||
  { echo 'Bail out! no fixture'; exit 1; }
cat >work.py <<'EOT'
import json, re, threading
def work(n): return json.dumps(sorted([{"a": i, "b": str(i)} for i in range(n)], key=lambda each: re.sub("[13]", "x", each["b"])))
threads = [threading.Thread(target=work, args=(3000,)) for _ in range(3)]
[each.start() for each in threads]
[each.join() for each in threads]
print(len(work(3000)))
EOT

# agree WHAT LEAST CMD...: of at least so many stacks all are the same.
agree() {
  what=$1 least=$2
  shift 2
  rm -f seen
  UNWINDS=$PWD/seen LD_PRELOAD=$PWD/unwinds.so "$@" >out 2>&1
  is "$what: all the same" "$(awk '/compared/ { sum += $1; other += $3 } END { print (sum >= least) ? "enough" : sum + 0, other + 0 }' least="$least" seen)" 'enough 0'
  grep -h "^[ol]" seen | head -n 4 | diag
}

for flags in -O0 -O2 '-O2 -fno-omit-frame-pointer' '-O3 -march=native' '-O2 -static-libgcc -no-pie' -Os; do
  g++ $flags -pthread "$top/tests/see/stacks.cc" -o stacks || { fail "$flags: compiles"; continue; }
  agree "stacks of all kinds, $flags" 500 ./stacks
  is 'it ran to its end' "$(tail -n 1 out)" done
done
can 'those of clang' command -v clang++ && clang++ -O2 -pthread "$top/tests/see/stacks.cc" -o stacks && agree 'those of clang' 500 ./stacks
# Its modules are opened: images that are known without the loader's locks since 2.35 only.
can 'through what was opened' glibc_from 2.35 && agree python3 30 "$python" work.py
agree perl 100 perl -e 'my %h; $h{$_} = [1 .. 5] for 1 .. 20000; my @s = sort { $a <=> $b } keys %h; print scalar(@s), "\n"'
can node command -v node && agree node 300 node -e 'const a = []; for (let i = 0; i < 30000; i++) a.push(String(i).repeat(5)); console.log(a.sort().length, JSON.stringify(a).length, require("zlib").gzipSync(a.join("")).length)'
can sqlite3 command -v sqlite3 && agree sqlite3 50 sqlite3 :memory: 'create table t(a,b); with recursive c(x) as (select 1 union all select x+1 from c where x<20000) insert into t select x, hex(x) from c; create index i on t(b); select count(*) from t'
finish
