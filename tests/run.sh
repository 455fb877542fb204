#!/bin/sh
# run.sh [FILTER]: every test (whose path contains FILTER) through prove(1); the last line is "N passed, N failed[, N skipped]".
# A test is a program that speaks TAP: a shell script tests/*/*.t, or what c.mk makes of a C source; run-one.sh runs either.
set -u
cd "$(dirname "$0")/.."
filter=${1:-}
report=$(mktemp) && trap 'rm -f "$report"' EXIT

tests=$(ls tests/*/*.t tests/unit/*.c tests/fault/*.c tests/preload/*.c tests/preload/*.cc tests/memory/*.c tests/textbook/unit.c |
  grep -- "$filter")
prove --jobs 2 --timer --verbose --merge --exec tests/run-one.sh $tests >"$report" 2>&1
status=$?
awk '/^ok/ { if (/# SKIP/) print; next }
  /^# (ok|[0-9]+ \.\.)/ { next }
  /^not ok|^#|\.\. |Failed|Dubious|Result|Bail|No plan|exited/' "$report" | head -n 400

awk -v status=$status '
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
