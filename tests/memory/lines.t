#!/bin/sh
# SPDX-License-Identifier: MIT
# What would hold up a machine with many processors: cache lines that go from thread to thread, per thousand calls, counted (tests/bench/counts.c). Threads take turns,
# so a figure is the same in each run but for some per cent.
. "$(dirname "$0")/../tap.sh"

# at_most LINES LOAD THREADS
at_most() {
  lines=$(timeout "$patience" "$top/build/counts/counts" "$2" "$3" | sed -n 's/^lines //p')
  ok "$2, $3 threads: $1 lines at most" awk "BEGIN { exit !(${lines:-1e9} <= $1) }"
  echo "$lines lines" | diag
}

at_most 0 small 1
at_most 3 small 32       # 6.6 when each malloc that wanted fresh memory looked at all arenas
at_most 1100 medium 32   # 2300, likewise
at_most 3000 ring 16     # an object is read and linked by who frees it, and read by who gets it next
finish
