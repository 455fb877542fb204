#!/bin/sh
# SPDX-License-Identifier: MIT
# run-one.sh TEST [ARG...], for prove --exec: scripts run by themselves, of a C source the program that was built of it: unit tests are
# linked with the library, the others get it preloaded, some have it in them. Where cmocka is missing nothing was built of it: a skip.
# OSMEM_LIB names another build of the library; programs that have that in them lie beside it.
export CMOCKA_MESSAGE_OUTPUT=TAP
lib=${OSMEM_LIB:-$PWD/libosmem.so}
case $1 in
  *.t) exec sh "$@" ;;
esac
name=${1#tests/}
name=${name%.*}
shift
program=build/tests/$name
case $name in
  fault/* | textbook/*) [ -z "${OSMEM_LIB-}" ] || program=$(dirname "$lib")/$name ;;
esac
if [ ! -e "$program" ] && [ ! -e /usr/include/cmocka.h ]; then
  printf '1..1\nok 1 - all of %s # SKIP not built without /usr/include/cmocka.h\n' "$name"
  exit
fi
case $name in
  preload/* | memory/*) LD_PRELOAD="$lib" exec "$program" "$@" ;;
  unit/*) LD_LIBRARY_PATH="$(dirname "$lib")" exec "$program" "$@" ;;
  *) exec "$program" "$@" ;;
esac
