#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh [FILTER...]   every test (whose path contains a FILTER) through prove(1); the last line is "N passed, N failed[, N skipped]".
#
# A test is a program that speaks TAP: a shell script tests/*/*.t, or what c.mk makes of a C source; run-one.sh runs either.
# OSMEM_LIB=PATH tests another build of the library, by its absolute path.
set -u
. "$(dirname -- "$(readlink -f -- "$0")")/../scripts/common.sh"
refusal=2
case ${1-} in
  -h | --help) usage ;;
  -*) refuse "$1: no option of mine; --help says more" ;;
esac
cd "$top" || exit
mkdir -p build && report=$(mktemp build/tap.XXXXXX) || exit
trap 'rm -f "$report" "$report".*' EXIT

all=$(ls tests/*/*.t tests/unit/*.c tests/fault/*.c tests/preload/*.c tests/preload/*.cc tests/memory/*.c tests/textbook/unit.c)
# The planted bugs take minutes, and say nothing of the library that the others do not; the pages want a browser, one file another machine, the packages a root, musl's tests
# programs built for it. Named, they run.
[ $# -gt 0 ] || all=$(echo "$all" | grep -v -e '^tests/plants/' -e '^tests/report/' -e '^tests/arm64/machine' -e '^tests/packages/root' -e '^tests/musl/')
tests=
for filter in "${@:-.}"; do
  found=$(echo "$all" | grep -- "$filter") || refuse "no test's path contains $filter"
  tests="$tests $found"
done
tests=$(printf '%s\n' $tests | awk '!seen[$0]++')
files=$(printf '%s\n' $tests | wc -l)
[ $# -gt 0 ] || echo "$files files of tests, two at a time: some fifteen minutes on two cores."
# In a session of their own, which ends with us: who ends only this script, or make, would have the tests go on.
session='setsid; open F, ">", shift; print F $$; close F; $SIG{INT} = $SIG{QUIT} = "DEFAULT"; exec @ARGV'
signal() { # timeout(1) has a group of its own, which pkill finds
  pkill "-$1" -s "$(cat "$report.session")" 2>/dev/null || kill "-$1" -- "-$(cat "$report.session")" 2>/dev/null
}
caught=
trap 'caught=1; signal TERM' HUP INT TERM
# A line for each file when it is done, and whatever says what failed, or why something is skipped.
{
  perl -MPOSIX -e "$session" "$report.session" prove --jobs 2 --timer --verbose --merge --exec tests/run-one.sh $tests 2>&1
  echo $? >"$report.status"
} | tee "$report" | files=$files perl -ne '
  BEGIN { $| = 1 }
  s|^\[|++$done . "/$ENV{files} ["|e if /^\[[\d:]+\] tests/;
  next if /^ok/ && !/# SKIP/ or /^# (ok|\d+ \.\.)/;
  print if /^ok|^not ok|^#|\.\. |Failed|Dubious|Result|Bail|No plan|exited/ && $shown++ < 400' &
wait $!
if [ -n "$caught" ]; then
  for again in $(seq 100); do signal 0 && sleep 0.3 || break; done # they clean up
  signal KILL
  exit 130
fi

awk -v status="$(cat "$report.status")" '
  /^ok [0-9]+ - .*# SKIP/ { skipped++; next }
  /^ok [0-9]+ - / { passed++ } # and not the line of a file, "ok  123 ms"
  /^not ok / { failed++ }
  /Dubious|Bail out|No plan found|Parse errors|Non-zero/ { broken++ }
  END {
    if (status && !failed) failed = broken ? broken : 1
    printf "%d passed, %d failed", passed, failed
    if (skipped) printf ", %d skipped", skipped
    print ""
    exit failed > 0
  }' "$report"
