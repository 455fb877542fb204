#!/bin/sh
# SPDX-License-Identifier: MIT
# Every misuse of the heap ends in SIGABRT and one exact line on stderr; what only looks like misuse ends well, and so does what the
# release build cannot see: unseen.md, printed by `crimes table`, lists that.
. "$(dirname "$0")/../tap.sh"
needs /usr/include/cmocka.h

crimes=$top/build/tests/crimes/crimes
[ -x "$crimes" ] || { echo "Bail out! no $crimes: build the tests"; exit 1; }
aborted=134 # 128 + SIGABRT, as the shell says it

# deed NAME: how it ended and what it said. The shell that sees it die says "Aborted", to nobody.
deed() {
  { (exec env LD_PRELOAD="$lib" "$crimes" "$1" >confession 2>said) && echo "status 0" || echo "status $?"; } 2>/dev/null
  cat said
}

"$crimes" >list
while read -r name kind; do
  got=$(deed "$name")
  line=$(cat confession)
  case $kind in
    must-die) is "$name" "$got" "status $aborted
$line" ;;
    must-notice) like "$name" "$(echo "$got" | tr '\n' ' ')" "^status $aborted osmem: (free|realloc)\(\): (corrupted block|invalid pointer|double free of) ${line##* } \$" ;;
    innocent | unseen) is "$name" "$got" "status 0" ;;
    *) fail "$name is of no known kind" ;;
  esac
done <list
[ "$cases" -gt 100 ] || fail "the list of crimes is complete"
is 'the table of what cannot be seen' "$(cat "$top/tests/crimes/unseen.md")" "$("$crimes" table)"
finish
