/* SPDX-License-Identifier: MIT */
/* The shared library as one translation unit: all of unity.c, which alone is libosmem.a, and what no static library should have: the C++
 * operators, since who replaces one of them must not find ours defined already; dlopen. */
#include "unity.c"

#include "cxx.c"
#include "dynamic.c"
