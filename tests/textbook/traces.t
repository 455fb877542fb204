#!/bin/sh
# The traced snippets of the textbook core: library calls and memory system calls, line by line (tests/run-tests.py).
. "$(dirname "$0")/../tap.sh"

suite() { "$python" "$top/tests/run-tests.py" -d "$@"; }

# One case per snippet; what the suite says besides is shown.
report() {
  suite --tracer "$@" >suite.out 2>&1
  while read -r verdict what; do
    case $verdict in
      passed) pass "$1: $what" ;;
      failed) fail "$1: $what" ;;
    esac
  done <suite.out
  grep -v '^passed ' suite.out | diag
  is "$1: every snippet has a verdict" "$(grep -Ec '^(passed|failed) ' suite.out)" "$(ls "$top"/tests/snippets/*.c | wc -l)"
}

if command -v ltrace >/dev/null; then
  report ltrace -m
  command -v strace >/dev/null && ok "strace sees the same system calls" suite --tracer strace
elif command -v strace >/dev/null; then
  report strace
  skip "the library calls of the snippets" "no ltrace here, only strace"
else
  skip "the traced snippets" "neither ltrace nor strace here"
fi
finish
