#!/bin/sh
# For prove --exec: scripts run by themselves, of a C source the program that was built of it: unit tests are linked with the library,
# the others get it preloaded. Where cmocka is missing nothing was built of it: a skip.
export CMOCKA_MESSAGE_OUTPUT=TAP
program=build/${1%.*}
case $1 in
  *.t) exec sh "$@" ;;
esac
if [ ! -e "$program" ] && [ ! -e /usr/include/cmocka.h ]; then
  printf '1..1\nok 1 - all of %s # SKIP not built without /usr/include/cmocka.h\n' "$1"
  exit
fi
case $1 in
  */preload/* | */memory/*) LD_PRELOAD="$PWD/libosmem.so" exec "$program" ;;
  *) exec "$program" ;;
esac
