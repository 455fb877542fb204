#!/bin/sh
# SPDX-License-Identifier: MIT
# C++ operators replaced by the program, each alone and in sets, in the executable, in a library, in a plugin; with osmem preloaded,
# linked and linked statically; with another malloc before it. Which operators are reached, what they return and throw must be what it is
# without us: then all that are not replaced are libstdc++'s.
. "$(dirname "$0")/../tap.sh"
needs g++
here=$top/tests/operators archive=$(dirname "$lib")/libosmem.a
[ -f "$archive" ] || archive=$top/libosmem.a

compile() { g++ -std=c++17 -O0 -fPIC -c "$@" || { echo 'Bail out! no C++ compiler'; exit 1; }; }
compile "$here/calls.cc" -o calls.o
compile "$here/calls.cc" -DSTATIC -o calls-static.o
compile "$here/calls.cc" -DCALLS=library_calls -o library.o
for n in $(seq 0 19); do compile -DOPERATOR=$n "$here/replaces.cc" -o "replaces-$n.o"; done

# new and delete; and sized; and of arrays; aligned; those that others lead to; all.
pairs='none 0,8 0,8,10 1,9 0,1,8,9 4,14 2,12 0,1,4,5,8,9,14,15'
all=$(seq -s, 0 19)
each="$pairs $(seq 0 19) $all"
few="$pairs 2 $all"

objects() { [ "$1" = none ] || (IFS=, && printf 'replaces-%s.o ' $1); }

# try SET WANTED CMD...: CMD prints what is in the file WANTED, the whole of it.
try() {
  set=$1 wanted=$2
  shift 2
  tries=$((tries + 1))
  env "$@" >got 2>&1
  grep -q 'done$' got && cmp -s "$wanted" got && return
  wrong="$wrong $set"
  { echo "$what, replaced: $set"; diff "$wanted" got | head -n 6; } | diag
}

# trying WHAT, then tries, then their verdict.
trying() { what=$1 wrong= tries=0; }
verdict() { is "$what: $tries sets of operators are reached as without" "$wrong" ''; }

with_ours="$lib -Wl,-rpath,$(dirname "$lib")"
for set in $each; do
  g++ calls.o $(objects "$set") -o "executable-$set" -ldl
  "./executable-$set" >"executable-$set.wanted"
  mkdir "in-$set"
  g++ -shared library.o $(objects "$set") -o "in-$set/libreplaces.so"
done

trying 'replaced in the executable, preloaded'
for set in $each; do try "$set" "executable-$set.wanted" LD_PRELOAD="$lib" "./executable-$set"; done
verdict
trying 'replaced in the executable, linked'
for set in $few; do
  g++ calls.o $(objects "$set") -o "linked-$set" $with_ours -ldl
  try "$set" "executable-$set.wanted" "./linked-$set"
done
verdict

for how in '' -static -static-pie; do
  trying "replaced in the executable, linked with libosmem.a $how"
  for set in $([ "$how" = -static ] && echo "$each" || echo "$few"); do
    rm -f static
    g++ $how calls-static.o $(objects "$set") "$archive" -o static -pthread
    try "$set" "executable-$set.wanted" ./static
  done
  verdict
done

# The library after ours, and before; bound to itself, and not.
g++ calls.o -o after -Lin-none -Wl,--no-as-needed -lreplaces -ldl
g++ calls.o -o linked-before $with_ours -Lin-none -Wl,--no-as-needed -lreplaces -ldl
g++ calls.o -o linked-behind -Lin-none -Wl,--no-as-needed -lreplaces $with_ours -ldl
for set in $few; do
  mkdir "bound-$set"
  g++ -shared -Wl,-Bsymbolic library.o $(objects "$set") -o "bound-$set/libreplaces.so"
done
in_library() { # HOW PREFIX SETS PROGRAM [PRELOAD]
  trying "replaced in a library $1"
  for set in $3; do
    LD_LIBRARY_PATH=$2-$set ./after >wanted
    try "$set" wanted LD_LIBRARY_PATH="$2-$set" ${5:+"LD_PRELOAD=$5"} "./$4"
  done
  verdict
}
in_library 'preloaded' in "$each" after "$lib"
in_library 'linked before it' in "$few" linked-before
in_library 'linked behind it' in "$few" linked-behind
in_library 'that is bound to itself, preloaded' bound "$few" after "$lib"
in_library 'that is bound to itself, linked before it' bound "$few" linked-before

in_plugin() { # HOW PREFIX PROGRAM [PRELOAD]
  trying "replaced in a plugin $1"
  for set in $few; do
    ./executable-none "$tmp/$2-$set/libreplaces.so" >wanted
    try "$set" wanted ${4:+"LD_PRELOAD=$4"} "./$3" "$tmp/$2-$set/libreplaces.so"
  done
  verdict
}
in_plugin 'preloaded' in executable-none "$lib"
in_plugin 'linked' in linked-none
in_plugin 'that is bound to itself, preloaded' bound executable-none "$lib"
in_plugin 'that is bound to itself, linked' bound linked-none

# The C++ library in the program instead of beside it: linked with ours it has no operators of its own, not even the one that catches.
g++ -std=c++17 -static-libstdc++ -DUNCAUGHT "$here/calls.cc" -o within $with_ours -ldl
g++ -std=c++17 -DUNCAUGHT "$here/calls.cc" -o without -ldl
is 'linked with -static-libstdc++' "$(./within 2>&1)" "$(./without)"
cat >error.cc <<'C'
#include <dlfcn.h>
#include <cstdio>
#include <string>
int main()
{
  const char *said = dlerror();
  std::puts(said ? said : std::string("nothing").c_str());
}
C
g++ -static-libstdc++ -rdynamic error.cc -o error -ldl
is 'what was looked for in vain is no error of the program' "$(preloaded ./error)" nothing

# Another malloc before ours, which the operators must then go by: preloaded, the program's own, libosmem.a in the program.
cc -fno-builtin -fPIC -shared "$here/mallocs.c" -o mallocs.so
cc -fno-builtin -c "$here/mallocs.c" -o mallocs.o
trying 'replaced in the executable, another malloc preloaded before'
for set in $each; do try "$set" "executable-$set.wanted" LD_PRELOAD="$tmp/mallocs.so:$lib" "./executable-$set"; done
verdict
trying 'replaced in the executable, linked, another malloc preloaded'
for set in $few; do try "$set" "executable-$set.wanted" LD_PRELOAD="$tmp/mallocs.so" "./linked-$set"; done
verdict
in_library 'preloaded, another malloc before' in "$few" after "$tmp/mallocs.so:$lib"
trying 'replaced in a program with a malloc of its own, preloaded'
for set in $few; do
  g++ calls.o $(objects "$set") mallocs.o -o own -ldl
  try "$set" "executable-$set.wanted" LD_PRELOAD="$lib" ./own
done
verdict
trying 'replaced in a program at a fixed address that has the address of malloc, another malloc preloaded before'
echo 'void *(*volatile where)(unsigned long) = malloc; void (*volatile whereto)(void *) = free;' >fixed.inc
for set in $few; do
  g++ -std=c++17 -no-pie -fno-pic -include cstdlib -include "$tmp/fixed.inc" "$here/calls.cc" $(objects "$set") -o fixed -ldl
  try "$set" "executable-$set.wanted" LD_PRELOAD="$tmp/mallocs.so:$lib" ./fixed
done
verdict
trying 'replaced in a program linked with libosmem.a, preloaded'
for set in $few; do
  g++ calls.o $(objects "$set") "$archive" -o own -pthread -ldl
  try "$set" "executable-$set.wanted" LD_PRELOAD="$lib" ./own
done
verdict
is 'linked with -static-libstdc++, another malloc preloaded' "$(LD_PRELOAD="$tmp/mallocs.so" ./within 2>&1)" "$(./without)"

# A program that is linked with another allocator, whose operators are not what it would reach: we stand before the whole of it.
if can 'a program linked to libjemalloc' g++ calls.o -Wl,--no-as-needed -l:libjemalloc.so.2 -o other-none; then
  trying 'replaced in a program that is linked to libjemalloc, preloaded'
  for set in $few; do
    g++ calls.o $(objects "$set") -Wl,--no-as-needed -l:libjemalloc.so.2 -o "other-$set"
    try "$set" "executable-$set.wanted" LD_PRELOAD="$lib" "./other-$set"
  done
  verdict
fi

# A C program, and a plugin that brings C++ in itself.
cat >host.c <<'C'
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv)
{
  void *plugin = dlopen(argv[argc - 1], RTLD_NOW | RTLD_LOCAL);
  const char *(*complaint)(void) = plugin ? (const char *(*)(void))dlsym(plugin, "complaint") : 0;
  const char *said = complaint ? complaint() : dlerror();
  puts(said ? said : "none");
}
C
cc host.c -o host -ldl
g++ -std=c++17 -fPIC -shared -static-libstdc++ "$top/tests/plugin/throws.cc" -o throws.so
is 'a C program, and a plugin with -static-libstdc++' "$(preloaded ./host ./throws.so 2>&1)" none
is 'the same, another malloc preloaded before' "$(LD_PRELOAD="$tmp/mallocs.so:$lib" ./host ./throws.so 2>&1)" none
finish
