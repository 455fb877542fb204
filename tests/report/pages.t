#!/bin/sh
# SPDX-License-Identifier: MIT
# The pages that scripts/osmem writes work in a browser: pages.js looks at them. Here they are made, of programs that hold still.
. "$(dirname "$0")/../tap.sh"
needs python3 node chromium "$top/build/npm-tests/node_modules/playwright-core"
. "$top/tests/see/holds.sh"
fixture sparse
fixture holds
mkdir pages

hold ./sparse
"$osmem" map --html pages/map.html "$pid" >/dev/null
"$osmem" stats --json "$pid" >pages/stats.json
python3 -c 'import json, sys
sys.path.insert(0, sys.argv[1] + "/scripts")
import osmem_heap
heap = osmem_heap.Heap(osmem_heap.open_memory(sys.argv[2]))
print(json.dumps(json.load(open("counted")) | {
    "order": [name for name, _ in osmem_heap.LINES if name], "chunk": next(heap.chunks(heap.arenas()[0]))[0]}))' "$top" "$pid" >pages/known.json
let_go

hold ./holds on
mkdir bare && cp -r "$osmem" "$top"/scripts/osmem_*.py "$top/scripts/report" bare/
bare/osmem watch --every 0.1 --for 0.5 --html pages/bare.html "$pid" >/dev/null 2>&1
if can 'curves' test -f "$top/build/report/uPlot.iife.min.js"; then
  "$osmem" watch --every 0.1 --for 3 --html pages/watch.html --json pages/watch.json "$pid" >/dev/null
fi
let_go

if can 'flame graphs' test -f "$top/build/report/speedscope.js"; then
  python3 -c 'import json, re, sys
sys.path.insert(0, sys.argv[1] + "/scripts")
import osmem_report
folded = open(sys.argv[1] + "/tests/report/folded.txt").read()
osmem_report.flame(folded, "made up </script>", "pages/flame.html")
frames = sorted({frame for line in folded.splitlines() for frame in line.rpartition(" ")[0].split(";")})
json.dump({"frames": frames, "file": "flame.html"}, open("pages/flame.json", "w"))' "$top" || fail 'a flame graph is written'
fi

NODE_PATH=$top/build/npm-tests/node_modules timeout -k 5 600 node "$top/tests/report/pages.js" pages "$top/build/report-shots" >looked 2>errors
while read -r result what; do
  case $result in
    ok) pass "$what" ;;
    no) fail "$what" ;;
  esac
done <looked
is 'all pages were looked at' "$(tail -n 1 looked)" end
[ ! -s errors ] || diag <errors
finish
