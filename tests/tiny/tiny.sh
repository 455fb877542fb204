# Sourced after tap.sh by the tests of the tiny geometry (src/geometry.h): other tests, run again on that heap.
lib=$top/build/tiny/libosmem.so
needs /usr/include/cmocka.h "$lib"
export OSMEM_LIB="$lib"

# all_of TEST [EXCEPT...]: every case of a C test but those EXCEPTed, which are about sizes of the normal geometry; they must be there.
all_of() {
  test=$1
  shift
  for name; do
    grep -q "${name%%_after_page*})" "$top/tests/$test" || fail "$test has a case $name that can be left out"
  done
  (cd "$top" && OSMEM_TEST_EXCEPT="$*" tests/run-one.sh "tests/$test") >all.out 2>&1
  grep -v -e '^ok' -e '^# ok' -e '^1\.\.' all.out | diag
  grep -c -e '^ok' -e '^not ok' all.out >count
  is "tiny: $test: as many cases as it has" "$(cat count)" "$(sed -n 's/^1\.\.//p' all.out)"
  while read -r line; do
    case $line in
      ok*) pass "tiny: $test: ${line#ok * - }" ;;
      'not ok'*) fail "tiny: $test: ${line#not ok * - }" ;;
    esac
  done <all.out
}
