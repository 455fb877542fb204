# SPDX-License-Identifier: MIT
# Sourced by the traces.t of both cores, after tap.sh: the traced snippets of one core, a case each (run-tests.py).

suite() { "$python" "$top/tests/run-tests.py" "$@"; }

snippets_of() { ls "$top"/tests/snippets/*.c "$top/tests/snippets/$1"/*.c | wc -l; }

# report CORE TRACER [OPTION]: what the suite says besides its verdicts is shown.
report() {
  core=$1 tracer=$2
  shift 2
  suite --core "$core" --tracer "$tracer" -d "$@" >suite.out 2>&1
  while read -r verdict what; do
    case $verdict in
      passed) pass "$core, $tracer: $what" ;;
      failed) fail "$core, $tracer: $what" ;;
    esac
  done <suite.out
  grep -v '^passed ' suite.out | diag
  is "$core, $tracer: every snippet has a verdict" "$(grep -Ec '^(passed|failed) ' suite.out)" "$(snippets_of "$core")"
}

can_trace() { command -v "$1" >/dev/null && "$1" -o /dev/null true >/dev/null 2>&1; }

# traces CORE: library calls and system calls under ltrace, and that strace sees the same; or what can be had of it.
traces() {
  can "$1: the traced snippets (their references are for pages of 4096)" test "$(getconf PAGESIZE)" = 4096 || return
  if can_trace ltrace; then
    report "$1" ltrace -m
    can "$1: strace sees the same system calls" can_trace strace &&
      ok "$1: strace sees the same system calls" suite --core "$1" --tracer strace -d
  elif can_trace strace; then
    report "$1" strace
    skip "$1: the library calls of the snippets" "ltrace does not work here, only strace"
  else
    skip "$1: the traced snippets" "neither ltrace nor strace works here"
  fi
}
