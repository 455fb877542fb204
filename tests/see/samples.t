#!/bin/sh
# SPDX-License-Identifier: MIT
# Samples: what they add up to is what is there, by whichever call it was asked for; the highest moment, lifetimes; and that nothing is lost or harmed by them.
. "$(dirname "$0")/../tap.sh"
needs python3 gdb ps
cc=${CC:-cc}
build() { $cc -O1 -g -pthread "$top/tests/see/$1.c" -o "$2" -lm -ldl "$3"; }
{ build sites sites -fno-optimize-sibling-calls && build sampled sampled -pie && build sampled fixed -no-pie; } || { echo 'Bail out! no fixture'; exit 1; }

# sampled PREFIX RATE CMD...
sampled() {
  options=profile=$1,profile_rate=$2
  shift 2
  preloaded env OSMEM_OPTIONS="$options" "$@"
}

# near WHAT FOUND WANTED SHARE: as numbers.
near() { like "$1" "$(awk -v a="$2" -v b="$3" -v share="$4" 'BEGIN { print (a >= b * (1 - share) && a <= b * (1 + share)) ? "near" : a " for " b }')" '^near$'; }

# ---- what they add up to -----------------------------------------------------------------

pairs=
for i in $(seq 16); do
  sampled s$i 4K ./sites 4096 >said$i
  mv s$i.*[0-9].heap profile$i
  pairs="$pairs said$i profile$i"
done
"$python" "$top/tests/see/unbiased.py" $pairs >verdicts
is 'all sites are there' "$(wc -l <verdicts | tr -d ' ')" 13
while read -r site verdict; do
  is "$site: bytes in use as they are" "$verdict" within
done <verdicts
like 'nothing was missed' "$(cat profile1)" '^# missed 0$'

# ---- the highest moment ------------------------------------------------------------------

# bytes FILE: in use. At a rate of 1000 bytes a block of 5000 or more is on record but for one in 150.
bytes() { sed -n '1s/^heap profile: [0-9]*: \([0-9]*\) .*/\1/p' "$1"; }
sampled p 1000 ./sampled rises_and_falls >/dev/null
near 'at the end' "$(bytes p.*[0-9].heap)" 5000000 0.01
near 'at the peak' "$(bytes p.*.peak.heap)" 40000000 0.02
is 'and its stacks add up to it' "$(sed -n 's/^[0-9]*: \([0-9]*\) \[.*0x.*/\1/p' p.*.peak.heap | awk '{ sum += $1 } END { print sum }')" "$(bytes p.*.peak.heap)"

# ---- lifetimes ---------------------------------------------------------------------------

# freed FILE: bytes of all stacks by lifetime, then those freed elsewhere.
freed() { awk '/^# freed [0-9]/ { for (i = 3; i <= 8; i++) sum[i] += $i; sum[9] += $10 } END { print sum[3], sum[4], sum[5], sum[6] + sum[7] + sum[8], sum[9] }' "$1"; }
for way in lives_short lives_long freed_elsewhere; do sampled $way 1000 ./sampled $way >/dev/null; done
set -- $(freed lives_short.*[0-9].heap)
near 'what lives short: mostly less than 10 ms' "$1" 20000000 0.3
is 'freed by who asked for it' "$5" 0
set -- $(freed lives_long.*[0-9].heap)
is 'of what lives long nothing is short' "$(($1 + $2 > 100000))" 0
near 'it is long' "$(($3 + $4))" 20000000 0.02
set -- $(freed freed_elsewhere.*[0-9].heap)
near 'freed by another thread' "$5" 20000000 0.02

# ---- processes ---------------------------------------------------------------------------

sampled f 1000 ./sampled forks >/dev/null
is 'each process that forked has a profile' "$(ls f.*[0-9].heap | wc -l | tr -d ' ')" 3
sums=$(for file in f.*[0-9].heap; do bytes "$file"; done | sort -n)
set -- $sums
near 'the first: 10 MB' "$1" 10000000 0.01
near 'its child: 15 MB' "$2" 15000000 0.01
near 'and the child of that' "$3" 15000000 0.01
: >enough
is 'threads that are interrupted all the time' "$(sampled i 1 ./sampled is_interrupted)" done
is 'the heap is whole at any time' "$(sampled i 1 ./sampled is_checked_meanwhile 2>&1)" done
is 'forks beside threads, of which each call is a sample' "$(sampled i 1 ./sampled forks_beside_threads)" done
is 'at another rate' "$(sampled i 1000 ./sampled is_interrupted)" done

# Where the environment lies differs with the kind of program.
for kind in sampled fixed; do is "its environment is what it was: $kind" "$(sampled e 1000 ./$kind tells_home)" "$(printf '%s\ndone' "$HOME")"; done

is 'a coroutine, behind whose first frame there is nothing' "$(sampled c 1 ./sampled a_coroutine)" done

# ---- files -------------------------------------------------------------------------------

sampled here/x 1000 ./sampled goes_elsewhere >said 2>&1
is 'a folder that is not there: one line at the start says so, and the program goes on' "$(cat said)" "$(printf 'osmem: profile: nothing can be written in %s/here (errno 2)\ndone' "$tmp")"
mkdir here
sampled here/x 1000 ./sampled goes_elsewhere >said 2>&1
is 'a relative name is meant from where the program began' "$(cat said; ls here | sed 's/[0-9][0-9]*/PID/')" "$(printf 'done\nx.PID.heap\nx.PID.peak.heap')"
(ulimit -f 1 && sampled small/x 1 ./sampled rises_and_falls) >said 2>&1
is 'beyond a limit of files: the program ends well' "$?, $(tail -n 1 said)" '0, done'
mkdir small
(ulimit -f 1 && sampled small/x 1 ./sampled rises_and_falls) >said 2>&1
is 'and where the file would be longer' "$?, $(cat said), $(cat small/x.*[0-9].heap | wc -c | tr -d ' ')" '0, done, 512'
cat >fifo.sh <<'EOT'
mkfifo "x.$$.heap" && OSMEM_OPTIONS=profile=x exec ./sampled goes_elsewhere
EOT
is 'a pipe in the place of the file, without a reader' "$(LD_PRELOAD="$lib" timeout 20 sh fifo.sh)" done
sampled killed 1000 ./sampled is_killed >said 2>&1
is 'who is killed has none' "$(ls killed.* 2>/dev/null)" ''
like 'a rate of 0 is the usual one' "$(sampled zero 0 ./sampled goes_elsewhere >said; cat zero.*[0-9].heap)" '^# rate 524288$'
is 'without a name there is nothing' "$(preloaded env OSMEM_OPTIONS=profile_rate=1000 ./sampled goes_elsewhere; ls | grep -c 'heap$')" "$(printf 'done\n%s' "$(ls | grep -c 'heap$')")"

# ---- of a running process ----------------------------------------------------------------

osmem=$top/scripts/osmem

# asking OPTIONS CMD...: a process on osmem that asks for memory until it is told; its id in $pid.
asking() {
  options=$1
  shift
  rm -f stop asking
  LD_PRELOAD="$lib" OSMEM_OPTIONS="$options" timeout -k 5 "$patience" "$@" asks_until_told >told.out 2>&1 &
  shell=$!
  until [ -e asking ]; do sleep 0.05; done
  pid=$(ps -o pid= --ppid $shell | tr -d ' ')
}
told() {
  : >stop
  wait $shell
}

asking stats=0 ./sampled
"$osmem" profile --seconds 1 --rate 1 "$pid" >seen 2>said
is 'switched on in a running process' "$(cat said)" "osmem: samples of process $pid for 1 s, or until ^C"
like 'who asked, by name' "$(sed -n '/function, by/,$p' seen | sed -n 2p)" '(asks_until_told|take)  sampled.c:'
like 'in use and in all' "$(cat seen)" '^ +[0-9,]+ bytes in [0-9,]+ blocks asked for in all in these 1 s$'
"$osmem" profile --all --seconds 0 "$pid" >later
asked_in() { sed -n 's/ blocks asked for in all.*//p' "$1"; }
is 'and off again: nothing is asked for later that is on record' "$(asked_in later)" "$(asked_in seen)"
"$osmem" profile --on --rate 1 "$pid"
sleep 0.3
"$osmem" profile --all "$pid" >first
sleep 0.3
"$osmem" profile --all "$pid" >second
is 'left on: more and more' "$("$python" - <<'EOT'
import re
print([int(re.search(r"([0-9,]+) bytes in [0-9,]+ blocks asked", open(name).read())[1].replace(",", "")) for name in ("first", "second")] ==
      sorted({int(re.search(r"([0-9,]+) bytes in [0-9,]+ blocks asked", open(name).read())[1].replace(",", "")) for name in ("first", "second")}))
EOT
)" True
like 'twice on: says so' "$("$osmem" profile --seconds 1 "$pid" 2>&1)" 'samples are on already, one for each 1 bytes'
"$osmem" profile --off "$pid"
"$osmem" profile --all --seconds 0 --folded folded --pprof pprof.gz --heap kept.heap "$pid" >/dev/null 2>said || diag <said
like 'kept, and shown again' "$("$osmem" profile --all kept.heap)" '(asks_until_told|take)  sampled.c:'
like 'its folded stacks' "$(cat folded)" 'main;asks_until_told(;take)? [0-9]+'
if can 'of a core, too' gcore -o core "$pid"; then like 'of a core, too' "$("$osmem" profile --all "core.$pid")" '(asks_until_told|take)  sampled.c:'; fi
told
is 'the process has not noticed' "$(cat told.out)" done

if can 'another mount namespace' unshare -m true; then
  mkdir inside
  rm -f stop asking
  unshare -m sh -c 'mount -t tmpfs none inside && cp "$0" inside/libosmem.so && cp sampled inside/only_there &&
    exec timeout -k 5 "$1" env LD_PRELOAD="$PWD/inside/libosmem.so" ./inside/only_there asks_until_told' "$lib" "$patience" >told.out 2>&1 &
  shell=$!
  until [ -e asking ]; do sleep 0.05; done
  pid=$(ps -o pid= --ppid $shell | tr -d ' ')
  like 'a process whose files are in another mount namespace' "$(ls inside; "$osmem" stats "$pid")" '^ +[0-9,]+  in use by the program$'
  like 'its functions have names' "$("$osmem" profile --seconds 1 --rate 1 "$pid" 2>&1)" '(asks_until_told|take)  sampled.c:'
  told
  is 'and it has not noticed' "$(cat told.out)" done
fi

rm -f forked stop asking
LD_PRELOAD="$lib" timeout -k 5 "$patience" ./sampled forks_when_told >told.out 2>&1 &
shell=$!
until [ -e asking ]; do sleep 0.05; done
pid=$(ps -o pid= --ppid $shell | tr -d ' ')
"$osmem" profile --on --rate 1 "$pid"
: >stop
until [ -e forked ]; do sleep 0.05; done
child=$(ps -o pid= --ppid "$pid" | tr -d ' ')
"$osmem" profile --all --seconds 0 "$child" >first
sleep 0.5
"$osmem" profile --all --seconds 0 "$child" >second
is 'a child that is forked meanwhile takes none' "$(asked_in second)" "$(asked_in first)"
rm -f stop
wait $shell
is 'and ends well' "$(cat told.out)" done

# Small and large ones of each thread, while samples are switched on and off all the time.
rm -f enough
LD_PRELOAD=$lib ./sampled is_interrupted >told.out &
pid=$! switches=0
while "$osmem" profile --on --rate 100 $pid && "$osmem" profile --off $pid; do
  switches=$((switches + 1))
  [ $switches -lt 3 ] || : >enough
done 2>/dev/null
: >enough
wait $pid
is 'switched on and off all the time' "$(cat told.out), $((switches > 0))" 'done, 1'

# ---- probes ------------------------------------------------------------------------------

is 'the probes that tracers find, and how many arguments they have' "$(readelf -n "$lib" | awk '/Provider: otel_memory/ { getline; name = $2 } /Arguments: 8@/ { print name, NF - 1 }' | sort)" \
  "$(printf 'alloc 3\nfree 1')"
if can 'bpftrace listens to them' bpftrace -e 'BEGIN { exit(); }'; then
  asking profile_rate=1 ./sampled
  timeout -s INT 20 bpftrace -p "$pid" "$top/scripts/osmem.bt" >traced 2>&1 &
  tracer=$!
  until grep -q 'Attaching' traced || ! kill -0 $tracer 2>/dev/null; do sleep 0.1; done
  sleep 1
  kill -INT $(ps -o pid= --ppid $tracer)
  wait $tracer
  told
  asked=$(sed -n 's/^]: \([0-9]*\)$/\1/p' traced | awk '{ sum += $1 } END { print sum + 0 }') freed=$(sed -n 's/^@freed: //p' traced)
  is 'bpftrace: whole blocks of 10,000 bytes are asked for, and freed' "$((asked > 0)) $((asked % 10000)) $((freed > 0)) $((freed % 10000))" '1 0 1 0'
fi
finish
