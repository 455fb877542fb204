# SPDX-License-Identifier: MIT
# Sourced after tap.sh by tests that run other tests again, on another heap or libc: $heap names that, below $where they were built.

# relay FILE [TITLE]: what a test said there are cases of this one.
relay() {
  while read -r line; do
    case $line in
      ok*) pass "${2-}${line#ok * - }" ;;
      'not ok'*) fail "${2-}${line#not ok * - }" ;;
    esac
  done <"$1"
}

# all_of TEST [EXCEPT...]: every case of a C test but those EXCEPTed; they must be there.
all_of() {
  test=$1
  shift
  for name; do
    grep -qE "\<(${name}|${name%_after_*})\)" "$top/tests/$test" || fail "$test has a case $name that can be left out"
  done
  (cd "$where" && OSMEM_TEST_EXCEPT="$*" tests/run-one.sh "tests/$test") >all.out 2>&1
  grep -v -e '^ok' -e '^# ok' -e '^1\.\.' all.out | diag
  grep -c -e '^ok' -e '^not ok' all.out >count
  is "$heap: $test: as many cases as it has" "$(cat count)" "$(sed -n 's/^1\.\.//p' all.out)"
  relay all.out "$heap: $test: "
}
