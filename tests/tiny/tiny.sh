# SPDX-License-Identifier: MIT
# Sourced after tap.sh by the tests of the tiny geometry (src/geometry.h): other tests, run again on that heap. EXCEPTed is what is about sizes
# of the normal one.
lib=$top/build/tiny/libosmem.so
needs /usr/include/cmocka.h "$lib"
export OSMEM_LIB="$lib"
heap=tiny where=$top
. "$top/tests/others.sh"
