#!/bin/sh
# For prove --exec: scripts run by themselves, unit tests are linked with the library, the others get it preloaded.
export CMOCKA_MESSAGE_OUTPUT=TAP
case $1 in
  *.t) exec sh "$@" ;;
  */preload/* | */memory/*) LD_PRELOAD="$PWD/libosmem.so" exec "$@" ;;
  *) exec "$@" ;;
esac
