#!/bin/sh
# SPDX-License-Identifier: MIT
# `osmem map` and `osmem watch`, as far as no browser is wanted: the text, how they end, and what cannot be. tests/report looks at the pages.
. "$(dirname "$0")/../tap.sh"
needs python3
. "$top/tests/see/holds.sh"
fixture holds
fixture sparse

said() { tr '\n' ' ' <"$1"; }
rows_of() { grep -Ec '^ +[0-9,.]+( +[0-9,]+){5}$' "$1"; }
# A shell has what it starts in the background ignore SIGINT.
interruptible='import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execvp(sys.argv[1], sys.argv[1:])'

# ---- the map ----

for program in holds sparse; do
  hold ./$program
  "$osmem" map "$pid" >map
  ok "the map of $program adds up" python3 "$top/tests/see/adds_up.py" map "$pid"
  let_go
done

hold ./sparse
lone=$(python3 -c 'import json; print(hex(json.load(open("counted"))["lone"]))')
COLUMNS=60 "$osmem" map "$pid" >map
is 'each kind is there' "$(sed '/^  sign/,$d' map | grep -o '[MF_c#]' | sort -u | tr -d '\n')" '#FM_c'
is 'lines of a narrow terminal' "$(grep -c '^ *0x[0-9a-f]*  [^ ]\{33,\}$' map)" 0
like 'what pins it: by size' "$(said map)" 'free memory in slabs.*  64 +20 +19 '
like 'what pins it: the object itself' "$(said map)" "granules that few pin.* slab of 64 +1 +[0-9,]+  0x"
is 'what pins it: one that the program names itself' "$(grep -c "  $lone$" map)" 1
like 'mappings' "$(said map)" ' mappings: 1 in use, 3,1[0-9,]+ bytes; 1 kept, 1,0[0-9,]+ bytes '
is 'into a pipe that ends' "$("$osmem" map "$pid" 2>&1 | sed -n 1p | cut -d, -f1 | cut -d: -f1)" "osmem in process $pid"
if can 'the map of a core' command -v gcore; then
  gcore -o core "$pid" >/dev/null 2>&1
  "$osmem" map "core.$pid" >of_core
  ok 'the map of a core adds up' python3 "$top/tests/see/adds_up.py" of_core "core.$pid"
  COLUMNS=60 "$osmem" map "core.$pid" >of_core
  is 'and is that of the process' "$(sed 1d of_core)" "$(sed 1d map)"
fi
like 'a page' "$(answer "$osmem" map --html map.html "$pid")" '^0 map.html: [0-9,]+ granules of process '
is 'which names no other place' "$(grep -c 'http[s]*://\|src=' map.html)" 0
is 'nothing is changed by it' "$(sed -n 's/^TracerPid:\t//p' "/proc/$pid/status")" 0

# ---- watch ----

"$osmem" watch --every 0.01 --for 0.5 "$pid" >watched
like 'watch: a table' "$(said watched)" "^osmem in process $pid: [0-9]+ samples in [0-9.]+ s; the time is over +seconds +resident .* 0[.]0 +[1-9]"
ok 'a long one is thinned out' test "$(rows_of watched)" -le 20 -a "$(rows_of watched)" -ge 2
"$osmem" watch --every 60 --for 0.01 --json one.json "$pid" >watched
is 'one that ends before the next look' "$(rows_of watched) $(python3 -c 'import json; print(len(json.load(open("one.json"))["samples"]))')" '1 1'
"$osmem" stats --json "$pid" >look
is 'watch sees what stats sees' "$(python3 -c 'import json
watched, look = json.load(open("one.json"))["samples"][-1], json.load(open("look"))
print(watched["bytes"] == look["bytes"], watched["active"] == look["active"], watched["counters"] == look["counters"])')" 'True True True'

"$osmem" watch --every 0.05 --json ended.json "$pid" >watched 2>&1 9>&- &
watcher=$!
until [ -e ended.json ]; do sleep 0.05; done
let_go
wait $watcher
like 'watch ends with the process' "$? $(said watched)" "^0 osmem in process $pid: [0-9]+ samples in .* process $pid has ended "

hold ./holds on
for signal in INT TERM; do
  python3 -c "$interruptible" "$osmem" watch --every 0.05 --json $signal.json --html $signal.html "$pid" >watched 2>&1 9>&- &
  watcher=$!
  until [ -e $signal.json ]; do sleep 0.05; done
  kill -s $signal $watcher
  wait $watcher
  like "watch and SIG$signal: the report is written" "$? $(said watched) $(grep -c 'id="samples"' $signal.html)" "^0 $signal.html: [0-9]+ samples .*; interrupted .* 1$"
  like 'and the samples' "$(cat $signal.json)" '"ended": "interrupted", "samples": \[\{"seconds": 0'
done
is 'the process goes on' "$(sed -n 's/^TracerPid:\t//p' "/proc/$pid/status")" 0
"$osmem" map "$pid" >map
like 'a map while threads allocate' "$(said map)" 'osmem in process .* = all chunks'
is 'watch into a pipe that ends' "$("$osmem" watch --for 0.05 "$pid" 2>&1 | sed -n 1p | cut -d: -f1)" "osmem in process $pid"

# Where nobody has fetched uPlot.
mkdir bare && cp -r "$osmem" "$top"/scripts/osmem_*.py "$top/scripts/report" bare/
like 'no uPlot: it says what to do' "$(answer bare/osmem watch --for 0.05 --html bare.html "$pid")" '^0 bare.html: .* osmem: it has tables and no curves: run make report'
like 'and the page says so, and has the tables' "$(said bare.html)" 'No curves: .*make report.*id="samples"'
like 'no uPlot: a map wants none' "$(answer bare/osmem map --html bare.html "$pid")" '^0 bare.html: [0-9,]+ granules of process [0-9]+, for any browser $'
rm -r bare/report
like 'no page at all' "$(answer bare/osmem map --html bare.html "$pid")" '^2 osmem: [a-z.]+ is not there: .*make report'

# ---- what cannot be ----

for verb in map watch; do
  like "--help of $verb" "$(answer "$osmem" $verb --help)" "^0 usage: osmem $verb .*--html"
  like "$verb what?" "$(answer "$osmem" $verb)" '^2 .*PID'
  like "$verb of a process that is not there" "$(answer "$osmem" $verb 999999999)" '^2 osmem: no process 999999999 $'
  like "$verb of a process that is not on osmem" "$(answer "$osmem" $verb $$)" "^2 osmem: process $$ is not on osmem"
  like "$verb into a folder that is not there" "$(answer "$osmem" $verb --html none/page.html "$pid")" '^2 osmem: none/page.html: No such file or directory $'
  like "$verb into a folder" "$(answer "$osmem" $verb --html . "$pid")" '^2 osmem: [.]: Is a directory $'
done
like 'map onto a full disk' "$(answer "$osmem" map --html /dev/full "$pid")" '^2 osmem: /dev/full: No space left on device $'
like 'watch onto a full disk' "$(answer "$osmem" watch --for 0.05 --json /dev/full "$pid")" '^2 osmem: /dev/full: No space left on device $'
like 'map of a core that is none' "$(answer "$osmem" map "$osmem")" '^2 osmem: .*: not a core file'
like 'watch of a core' "$(answer "$osmem" watch "$osmem")" '^2 osmem: .*: not the number of a process; .*osmem map'
for every in 0 -1 nan inf x; do like "watch --every $every" "$(answer "$osmem" watch --every=$every "$pid")" '^2 usage: .*--every: '; done
let_go
finish
