#!/bin/sh
# make demo, as somebody new runs it: to its end.
. "$(dirname "$0")/../tap.sh"
like 'the demo ends with how to go on' "$(cd "$top" && scripts/demo.sh 2>&1)" 'Any other command: scripts/run.sh CMD'
finish
