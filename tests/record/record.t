#!/bin/sh
# SPDX-License-Identifier: MIT
# The recorder writes down every call of a program and disturbs nothing; the replayer reads that back, the damaged too.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/fixtures.sh"
needs /usr/include/cmocka.h python3 strace

recorder=$top/build/record/librecord.so replay=$top/build/record/replay # and a function, below
known=$top/build/tests/record/known operators=$top/build/tests/record/operators
for file in "$recorder" "$replay" "$known" "$operators"; do
  [ -x "$file" ] || { echo "Bail out! no $file: build the tests"; exit 1; }
done

# record FILE [BEHIND:]CMD...: CMD on glibc, or with the library BEHIND preloaded behind the recorder.
record() {
  trace=$1 behind=
  shift
  case $1 in *:) behind=:${1%:}; shift ;; esac
  timeout -k 5 "$patience" env OSMEM_RECORD="$trace" LD_PRELOAD="$recorder$behind" "$@"
}

# Nothing here takes long; a replay that waits for a thread that never comes should not wait long either.
replay() { timeout -k 5 20 "$replay" "$@"; }

# value NAME TEXT: the number behind NAME in `name value` lines.
value() { printf '%s\n' "$2" | sed -n "s/^$1 //p"; }
stats() { replay --stats "$1" 2>&1; }
count() { value "$2" "$(stats "$1")"; }
chunks() { echo $(($(wc -c <"$1") / 65536 - 1)); }

# ---- exact numbers, on both allocators ----

# exactly PROGRAM [NAME=COUNT...]: ops and peak as the program itself counted.
exactly() {
  program=$1
  shift
  for on in '' "$lib"; do
    rm -f trace
    { told=$(record trace ${on:+"$on:"} "$known" "$program"); } 2>/dev/null # the shell says "Killed"
    found=$(stats trace)
    is "$program${on:+, on osmem}: ops and peak" "$(value ops "$found") $(value peak_live_bytes "$found")" \
      "$(value ops "$told") $(value peak "$told")"
    for count in "$@"; do
      is "$program${on:+, on osmem}: $count" "$(value "${count%=*}" "$found")" "${count#*=}"
    done
  done
}
exactly single free=231 threads=1 live_bytes_at_end=0
exactly killed threads=1 malloc=200000
exactly leaves_at_once live_bytes_at_end=10
exactly closes_all malloc=200000 free=200000

for on in '' "$lib"; do
  rm -f trace
  told=$(record trace ${on:+"$on:"} "$known" threads)
  found=$(stats trace)
  is "threads${on:+, on osmem}: every malloc, and whose free it was" "$(value malloc "$found") $(value ended_by_another_thread "$found")" \
    '20000 20000'
  # What pthread_create takes comes on top.
  over=$(($(value peak_live_bytes "$found") - $(value peak "$told")))
  ok "threads${on:+, on osmem}: peak, $over over" test "$over" -ge 0 -a "$over" -lt 8192
done
mv trace ring
for on in '' "$lib"; do
  rm -f trace
  record trace ${on:+"$on:"} "$known" swaps >/dev/null
  is "addresses that wander between threads${on:+, on osmem}" "$(count trace malloc)" 200000
  # Of 3000 bytes each; what is left are pthread_create's.
  like 'and none is lost' "$(count trace live_bytes_at_end)" '^[0-2]?[0-9]{1,3}$'
done
mv trace wander
record many "$known" short_lives >/dev/null
is 'threads that end: every malloc' "$(count many malloc)" 2000
ok "threads that end leave their chunk to the next: $(chunks many) for 2000" test "$(chunks many)" -le 4

for on in '' "$lib"; do
  rm -f trace
  ok "operators new and delete${on:+, on osmem}" record trace ${on:+"$on:"} "$operators"
  is "operators new and delete${on:+, on osmem}: each an event" "$(count trace aligned) $(($(count trace malloc) >= 400)) $(($(count trace malloc) + 400 - $(count trace free)))" '400 1 1'
done
record handlers "$lib:" "$known" signals >/dev/null
is 'a signal handler that allocates' "$?" 0
like 'and the trace makes sense' "$(stats handlers)" '^ops [0-9]{6}'

# ---- another's count: libmemusage.so of glibc, behind the recorder in the same process ----

memusage=$(ls /usr/lib/*/libmemusage.so /usr/lib*/libmemusage.so 2>/dev/null | head -n 1)
agrees() {
  program=$1
  shift
  # mawk, once it has read a file, ends without memusage's table.
  env LD_PRELOAD="$memusage" "$@" >/dev/null 2>alone
  can "$program: a count by memusage" grep 'heap peak' alone || return
  rm -f trace
  record trace "$memusage:" "$@" >/dev/null 2>table
  theirs=$(sed 's/\x1b\[[0-9;]*m//g' table | awk '/heap peak/ { sub(/.*heap peak: /, ""); print "peak_live_bytes", $1 + 0 }
    $1 ~ /^(malloc|calloc|realloc|free)\|$/ { print substr($1, 1, length($1) - 1), $2 }' | sort)
  is "$program: as many calls of each kind and the same peak as memusage counts" \
    "$(stats trace | grep -E '^(malloc|calloc|realloc|free|peak_live_bytes) ' | sort)" "$theirs"
}
if can 'a count by memusage' test -e "$memusage"; then
  agrees perl perl -e 'my %h; push @{$h{$_ % 999}}, "x" x ($_ % 300) for 1 .. 20000; print scalar keys %h'
  export PYTHONMALLOC=malloc
  agrees python3 "$python" -c 'import json; print(len(json.dumps([str(i) for i in range(9000)])))'
  unset PYTHONMALLOC
  make_text text 5000
  agrees awk awk '{ n[$3] += $4; lines = lines $0 } END { for (k in n) print k, n[k]; print length(lines) }' text
fi

# ---- programs that know nothing of it ----

export OSMEM_RECORD="$tmp/%p.trace"
for behind in '' ":$lib"; do
  same "python3: threads, subprocesses${behind:+, on osmem}" "$python -c '
import subprocess, threading
done = []
threads = [threading.Thread(target=lambda n: done.append(len(str(list(range(n))))), args=(n,)) for n in range(2000, 2020)]
for each in threads: each.start()
for each in threads: each.join()
print(sorted(done), subprocess.run([\"echo\", \"child\"], capture_output=True))'" "$recorder$behind"
  same "perl: forks${behind:+, on osmem}" "perl -e 'for (1 .. 10) { my \$pid = fork; exit \$_ unless \$pid; waitpid \$pid, 0; print \$? >> 8 }'" \
    "$recorder$behind"
  same "a shell and its children${behind:+, on osmem}" 'for i in 1 2 3; do (echo $i; ls / | sort); done' "$recorder$behind"
done
is 'a signature in every trace, all of them make sense' \
  "$(for each in *.trace; do "$replay" --stats "$each" >/dev/null || echo "$each"; done 2>&1)" ''
unset OSMEM_RECORD

# ---- whose file it is ----

mkdir forks && record forks/%p "$known" forks >/dev/null
is 'forks: a trace each' "$(ls forks | wc -l)" 21
is 'forks: a child has its own objects, and what it inherited is unknown' \
  "$(for each in forks/*; do stats "$each" | sed -n 's/^free //p'; done | grep -cx 100)" 20
record one sh -c 'ls >/dev/null; (:); ls | cat >/dev/null'
is 'without %p the first process alone' "$(sed -n 's/^program .*\///p;3q' one | tr -d '\0'; ls one*)" "$(basename "$(readlink -f /bin/sh)")
one"
ok 'without %p nobody else writes into it' [ "$(count one ops)" -gt 20 ]
mkdir execs && record execs/%p sh -c 'exec env perl -e 1'
is 'exec keeps the number: .1, .2' "$(ls execs | sed 's/^[0-9]*//' | tr '\n' ' ')" ' .1 .2 '
is 'no place to write: a line, and the program runs' "$(record /nowhere/trace echo ran 2>&1)" 'librecord: /nowhere/trace: errno 2; no longer recording
ran'
is 'no name: only hands on' "$(env LD_PRELOAD="$recorder" echo ran 2>&1)" ran
limited=$(ulimit -f 1000; trap '' XFSZ; record full "$known" closes_all 2>&1)
like 'a full disk: a line, and the program runs' "$(echo "$limited" | tr '\n' ' ')" '^librecord: [^ ]*full: errno 27; no longer recording ops 400000'
like 'and there is a trace up to there' "$(stats full)" '^ops [0-9]+'

# ---- replay ----

numbers() { "$@" 2>&1 | grep -E '^(ops|peak_live_bytes) |^replay'; }
for trace in ring many wander handlers; do
  wanted=$(numbers stats "$trace")
  is "$trace: replayed with its threads" "$(numbers replay "$trace")" "$wanted"
  is "$trace: on osmem" "$(LD_PRELOAD=$lib numbers replay "$trace")" "$wanted"
  is "$trace: on osmem, in small steps" "$(LD_PRELOAD=$lib numbers replay --window 1 "$trace")" "$wanted"
  is "$trace: in one thread, twice, untouched" "$(LD_PRELOAD=$lib numbers replay --fold --rounds 2 --touch none "$trace")" "$wanted"
done
# The replay makes the calls that the trace has: a trace of the replay says so. What pthread_create takes comes on top.
record again "$replay" --fold ring >/dev/null
is 'a replay recorded makes the same calls' "$(stats again | grep -E '^(malloc|calloc|realloc|aligned|peak_live_bytes) ')" \
  "$(stats ring | grep -E '^(malloc|calloc|realloc|aligned|peak_live_bytes) ')"
record again2 "$replay" ring >/dev/null
like 'with threads, and frees in another what it should' "$(count again2 malloc) $(count again2 ended_by_another_thread)" '^20000 2000[0-9]$'

record again3 "$replay" wander >/dev/null
is 'threads that outrun each other wait for the birth of what they free' "$(count again3 malloc) $(($(count again3 free_null) > 100))" '200000 0'

# ---- traces made by hand, and damaged ones ----

# hand EVENTS: a trace of these bytes (for printf) behind "thread 1, number 0".
hand() {
  printf 'osmem trace 1\n' >hand
  truncate -s 65536 hand
  printf "\302\000$1" >>hand
  truncate -s 131072 hand
}
hand '\041\001\053\014\142\146'
is 'by hand: malloc 8, malloc 101, free both' "$(stats hand | grep -E '^(malloc|free|ops|peak_live_bytes|live_bytes_at_end) ' | tr '\n' ' ')" \
  'malloc 2 free 2 ops 4 peak_live_bytes 109 live_bytes_at_end 0 '
refused() {
  what=$1
  shift
  is "$what" "$(replay "$@" 2>&1 >/dev/null; echo "status $?")" "replay: ${wanted:-}
status 2"
}
hand '\041\001\142\144'
wanted='hand: damaged: event 2 names no live object' refused 'freed twice' hand
hand '\041\001\142\142'
wanted='hand: damaged: event 2 names no live object' refused 'a free freed' hand
hand '\041\001\150'
wanted='hand: damaged: event 1 names an object from before the trace' refused 'freed before it was born' hand
hand '\041\001\340'
wanted='hand: damaged: no event at byte 4 of chunk 1' refused 'no such kind' hand
hand '\041\377\377\377\377\377\377\177'
wanted='hand: damaged: no event at byte 2 of chunk 1' refused 'a size that nobody has' hand
hand '\041\001\302\000\041\001'
wanted='hand: damaged: two events have the number 0' refused 'one number for two' hand
hand ''
wanted='hand: an empty trace: nothing to perform' refused 'an empty trace' hand
: >empty
wanted='empty: not a trace, or of another version' refused 'an empty file' empty
wanted='/: Is a directory' refused 'a folder' /
wanted='none: No such file or directory' refused 'no file' none
{ printf 'osmem trace 2\n' && tail -c +15 ring; } >other
wanted='other: not a trace, or of another version' refused 'another version' other
is 'no argument: one line' "$("$replay" 2>&1; echo $?)" 'replay: it takes one trace; --help says more
2'
if can 'a trace that is packed' command -v xz; then
  xz -k ring
  is 'a trace that is packed' "$(numbers replay ring.xz)" "$(numbers replay ring)"
  head -c 100 ring.xz >half.xz
  like 'half of it: told behind what xz says' "$("$replay" half.xz 2>&1 | tail -n 1)" '^replay: half.xz: packed, and xz .* does not unpack it$'
fi

for bytes in 140000 140001 140002 140003 140004; do # in the midst of an event
  head -c $bytes ring >cut
  is "cut after $bytes bytes: replayed up to there" "$(numbers replay cut)" "$(numbers stats cut)"
  like 'which is less, and more than nothing' "$(($(count cut ops) * 1000 / $(count ring ops)))" '^[1-9][0-9]{0,2}$'
done
{ head -c 131072 ring && tail -c +196609 ring; } >without
like 'a chunk lost: frees of what it had are left out, with a word' "$(replay without 2>&1 | head -n 1)" \
  '^replay: without: cut short: [1-9][0-9]* events name objects that it does not have$'
dd if=/dev/urandom of=ring2 bs=1000 count=20 2>/dev/null
for at in 1 2 3 4 5 6 7 8; do
  cp ring noise
  dd if=ring2 of=noise bs=1000 seek=$((65 + at * 2)) skip=$at count=1 conv=notrunc 2>/dev/null
  replay noise >/dev/null 2>&1
  echo $?
done >statuses
is 'noise: refused or performed, never a crash' "$(grep -vx '[01]' statuses)" ''

# ---- the scripts ----

told=$("$top/scripts/record.sh" -o mine sh -c 'perl -e 1; exit 5' 2>&1; echo "status $?")
like 'record.sh: status and list' "$(echo "$told" | tr '\n' ' ')" '^mine: [^ ]*sh, [0-9]+ calls status 5 $'
"$top/scripts/record.sh" sh -c 'perl -e 1; exit 0' 2>list
like 'record.sh: a trace for each program' "$(sed 's/^osmem-[0-9]*.trace: //' list | tr '\n' ' ')" 'perl, [0-9]+ calls'
like 'bench.py: a trace is a workload' \
  "$("$top/scripts/bench.py" --set traces --trace ring --runs 1 --allocators glibc,"ours=$lib" 2>&1 | tr '\n' ' ')" \
  ' ring +0\.[0-9]+ +[0-9.]+ +[0-9.]+ .*geometric means'
like 'bench.py: what is held' "$("$top/scripts/bench.py" --set memory --only trivial --runs 1 --allocators glibc,"ours=$lib" 2>&1 | tr '\n' ' ')" \
  ' trivial process, dirty +[1-9][0-9]+ +[1-9][0-9]+ '
if can 'bench.py: what it costs to be looked at' sh -c 'command -v redis-server redis-benchmark'; then
  like 'bench.py: what it costs to be looked at' "$("$top/scripts/bench.py" --quick --set looks --only redis --runs 1 2>&1 | tr '\n' ' ')" \
    ' nobody +stats +profile +leaks redis, requests +[1-9][0-9.]+( +[0-9.]+){3} redis, cpu +[0-9.]+( +[0-9.]+){3} '
fi
ok 'make hasty' make -s -C "$top" hasty
like 'bench.py: ten days, to a library whose clock is a thousand times faster' \
  "$("$top/scripts/bench.py" --quick --set lives --only sessions --runs 1 --allocators glibc,"hasty=$top/build/hasty/libosmem.so" 2>&1 | tr '\n' ' ')" \
  ' sessions, over +[0-9]+\.[0-9]+ +[0-9]+\.[0-9]+ sessions, slope +-?[0-9.]+ +-?[0-9.]+ sessions, rest +[1-9][0-9]+ +[1-9][0-9]+ '
ok 'make timed' make -s -C "$top" timed
like 'bench.py: what giving back takes' \
  "$("$top/scripts/bench.py" --set patterns --only 'huge 1' --runs 1 --allocators glibc,"timed=$top/build/timed/libosmem.so" 2>&1 | tr '\n' ' ')" \
  'giving back % of cpu +timed huge 1 +([1-9]|0\.0*[1-9])'
finish
