#!/bin/sh
# SPDX-License-Identifier: MIT
# make demo, as somebody new runs it: to its end, also where TMPDIR leads nowhere.
. "$(dirname "$0")/../tap.sh"
(cd "$top" && TMPDIR=$tmp/none scripts/demo.sh) >shown 2>&1
shown=$(tr '\n' ' ' <shown)
like 'the demo ends with how to go on' "$shown" 'Any other command: scripts/run.sh CMD'
if can 'a look inside' command -v python3; then
  like 'it looks into a process' "$shown" 'in use by the program .* = can be in memory .* build/demo/map.html: [0-9,]+ granules'
  like 'and finds what a program loses' "$shown" ' bytes in [1-9][0-9]* blocks definitely lost'
fi
finish
