#!/bin/sh
# SPDX-License-Identifier: MIT
# The command `osmem` as its users meet it, and that what it sees from outside is what the program counts itself.
. "$(dirname "$0")/../tap.sh"
needs python3
. "$top/tests/see/holds.sh"
agrees=$top/tests/see/agrees.py
sees() { "$osmem" stats --json "$1" >look && python3 "$agrees" counted look ${2-}; }
fixture holds

hold ./holds
ok 'a program, object by object, block by block' sees "$pid"
like 'stats: a table' "$("$osmem" stats "$pid" | tr '\n' ' ')" 'bytes +[0-9,]+  in use by the program .* of which the kernel counts as resident .* 1024 .* mappings: [0-9]+ in use'
like 'stats --prometheus' "$("$osmem" stats --prometheus "$pid" | grep -v '^#' | tr '\n' ' ')" \
  '^osmem_allocated_bytes[{]of="process [0-9]+"[}] [1-9][0-9]* osmem_active_bytes.* osmem_resident_bytes.* osmem_mapped_bytes.* osmem_metadata_bytes.* osmem_retained_bytes.* [0-9]+ $'
like 'top' "$("$osmem" top --rounds 1 "$pid" | tr '\n' ' ')" "COMMAND +$pid +[0-9,]+ .* holds "
like 'verify' "$(answer "$osmem" verify "$pid")" "^0 process $pid: osmem is active"
is 'no room for the answer' "$("$osmem" stats "$pid" 2>&1 >/dev/full)" 'osmem: output: No space left on device'
is 'into a pipe that ends' "$("$osmem" stats "$pid" 2>&1 | sed -n 1p)" "osmem in process $pid: bytes"
is 'nothing is changed by a look' "$(grep -c "$tmp/holds" "/proc/$pid/maps") $(sed -n 's/^TracerPid:\t//p' "/proc/$pid/status")" \
  "$(grep -c "$tmp/holds" "/proc/$pid/maps") 0"

cp look before.json
sed 's/"in_use": [0-9]*/"in_use": 1/' look >after.json
like 'diff' "$("$osmem" diff before.json after.json | tr '\n' ' ')" "^from process $pid to process $pid: bytes .* 1 +-[0-9,]+  in use by the program  *objects in use of a size, the largest change first $"
like 'diff of what is no snapshot' "$(answer "$osmem" diff before.json counted)" '^2 osmem: counted: not what'

if can 'a core' command -v gcore; then
  gcore -o core "$pid" >/dev/null 2>&1
  ok 'a core' sees "core.$pid"
  dd if="core.$pid" of=short bs=4096 count=300 2>/dev/null
  like 'a core that ends too early' "$(answer "$osmem" stats short)" '^2 osmem: short: [0-9,]+ bytes are missing at its end'
  like 'a core by its name' "$("$osmem" stats "core.$pid" | sed -n 1p)" "^osmem in core.$pid: bytes"
fi
let_go

# By symbols, sections or files nothing is found: there are none any more when it is looked at.
cp "$lib" libosmem.so.0
strip --strip-all libosmem.so.0
printf '\0\0\0\0\0\0\0\0' | dd of=libosmem.so.0 bs=1 seek=40 conv=notrunc 2>/dev/null # where the section headers are
${CC:-cc} -O1 -I"$top/include" -pthread "$top/tests/see/holds.c" -o stripped "$lib" -Wl,-rpath,"$tmp"
hold ./stripped
rm libosmem.so.0
ok 'a stripped library, which is not there any more' sees "$pid"
let_go

if [ -f "$top/libosmem.a" ] && can 'a static program' ${CC:-cc} -static -O1 -I"$top/include" -pthread "$top/tests/see/holds.c" "$top/libosmem.a" -o static; then
  hold ./static
  ok 'a static program' sees "$pid"
  let_go
fi

# In five looks at threads that go on, all adds up.
hold ./holds on
sleep 0.5 # until they hold what they will
for number in 1 2 3 4 5; do ok "while threads allocate, look $number" sees "$pid" --sums; done
let_go

# ---- run, and what cannot be ----

is 'run' "$(answer "$osmem" run -- sh -c 'exit 7')" '7 '
like 'run: it is under it' "$(answer "$osmem" run cat /proc/self/maps)" '^0 .*libosmem'
like 'run: no such command' "$(answer "$osmem" run no-such-command)" '^127 osmem: no-such-command: no such command'
like 'run: what is no program' "$(answer "$osmem" run /etc/passwd)" '^126 osmem: /etc/passwd: '
like 'which version' "$(answer "$osmem" --version)" "^0 osmem $("$python" -c 'import ctypes, sys; v = ctypes.CDLL(sys.argv[1]).os_version; v.restype = ctypes.c_char_p; print(v().decode())' "$lib") $"
like 'run: a library that is not ours' "$(OSMEM_LIB=$(readlink -f "$python") answer "$osmem" run true)" "^125 osmem: .*: not osmem's library"
like 'run: no library' "$(OSMEM_LIB=$tmp/none.so answer "$osmem" run true)" "^125 osmem: no library at $tmp/none.so"
like 'run what?' "$(answer "$osmem" run)" '^125 .*which command'
like 'no verb' "$(answer "$osmem")" '^2 .*VERB'
like 'an unknown verb' "$(answer "$osmem" nonsense 1)" '^2 .*nonsense'
for verb in '' run verify stats diff top leaks explain; do like "--help of ${verb:-all}" "$(answer "$osmem" $verb --help)" '^0 usage: osmem'; done
like 'a process that is not there' "$(answer "$osmem" stats 999999999)" '^2 osmem: no process 999999999 $'
sleep 60 &
like 'a process that is not on osmem' "$(answer "$osmem" stats $!)" "^2 osmem: process $! is not on osmem"
like 'verify: no' "$(answer "$osmem" verify $!)" "^1 process $!: osmem is not active"
like 'top of less than no rounds' "$(answer "$osmem" top --rounds -1)" '^2 .*--rounds: .-1. is not a number from 0 on'
like 'top of what is no process' "$(answer "$osmem" top --rounds 1 zzz)" '^2 osmem: zzz: not the number of a process'
like 'top of nothing' "$(answer "$osmem" top --rounds 1 $!)" '^2 osmem: none of them is on osmem'
kill $!
like 'a core that is none' "$(answer "$osmem" stats "$osmem")" '^2 osmem: .*: not a core file'
like 'a core that is not there' "$(answer "$osmem" stats none.core)" '^2 osmem: none.core: No such file'
if can "another user's process" setpriv --reuid 65534 --clear-groups true; then
  sleep 60 &
  chmod 755 "$tmp"
  cp "$osmem" "$top"/scripts/osmem_*.py . # the tree may lie where others may not look
  like "another user's process" "$(answer setpriv --reuid 65534 --clear-groups "$tmp/osmem" stats $!)" "^2 osmem: process $! may not be looked into: be its user"
  kill $!
fi
finish
