# SPDX-License-Identifier: MIT
# Sourced by tests of scripts/osmem after tap.sh: the command, and programs that hold still while it looks at them.
osmem=$top/scripts/osmem

# answer CMD...: its status, and all that it says, in one line.
answer() {
  "$@" >"$tmp/out" 2>&1 </dev/null
  echo "$? $(tr '\n' ' ' <"$tmp/out")"
}

# fixture NAME: tests/see/NAME.c, linked with the library, as ./NAME.
fixture() {
  ${CC:-cc} -O1 -I"$top/include" -pthread "$top/tests/see/$1.c" -o "$1" "$lib" -Wl,-rpath,"$(dirname "$lib")" || { echo 'Bail out! no fixture'; exit 1; }
}

# hold PROGRAM [ARG]: it runs, has said what it counts, and waits until descriptor 9 is closed; its number is in $pid.
mkfifo hold
hold() {
  rm -f counted # of the one before: it would be seen as this one's
  "$@" <hold >counted &
  pid=$!
  exec 9>hold
  until [ -s counted ]; do sleep 0.05; done
}
let_go() {
  exec 9>&-
  wait "$pid"
}
