#!/bin/sh
# Which names the libraries define for others: the public ones and no more. A program may have any other for itself.
. "$(dirname "$0")/../tap.sh"
needs nm
archive=$(dirname "$lib")/libosmem.a
family='aligned_alloc calloc free free_aligned_sized free_sized mallinfo mallinfo2 malloc malloc_info malloc_stats malloc_trim
  malloc_usable_size mallopt memalign posix_memalign pvalloc realloc reallocarray valloc'
functions=$(grep -o '\bos_[a-z_]*(' "$top/include/osmem.h" | tr -d '(' | sort -u)
forms='nwm nam nwmRKSt9nothrow_t namRKSt9nothrow_t nwmSt11align_val_t namSt11align_val_t nwmSt11align_val_tRKSt9nothrow_t
  namSt11align_val_tRKSt9nothrow_t dlPv daPv dlPvm daPvm dlPvRKSt9nothrow_t daPvRKSt9nothrow_t dlPvSt11align_val_t daPvSt11align_val_t
  dlPvmSt11align_val_t daPvmSt11align_val_t dlPvSt11align_val_tRKSt9nothrow_t daPvSt11align_val_tRKSt9nothrow_t'

names() { printf '%s\n' "$@" | LC_ALL=C sort | tr '\n' ' '; }
defined() { names $(nm "$@" | awk 'NF == 3 { print $3 }'); }

is 'the shared library defines malloc and its family, os_*, the C++ operators, dlopen, dlmopen and an old cfree' \
  "$(defined -D --defined-only "$lib" | tr ' ' '\n' | grep -v -e ^GLIBC_ -e ^OSMEM_ | tr '\n' ' ' | sed 's/@GLIBC_2[.0-9]* /@OLD /')" \
  "$(names $family $functions $(printf '_Z%s ' $forms) dlopen dlmopen cfree@OLD)"
[ -f "$archive" ] || { skip 'libosmem.a' 'no archive beside this build'; finish; }
is 'libosmem.a defines malloc and its family and os_*' "$(defined -g --defined-only "$archive")" "$(names $family $functions)"

# Whatever a file of ours calls its own, a program can call its own, too.
nm -g --defined-only "$top/build/unity.o" | awk 'NF == 3 { print $3 }' | sort -u >ours
defined -g --defined-only "$archive" | tr ' ' '\n' | sort -u >public
comm -23 ours public >private
{ sed 's/.*/int own_& __asm__("&");/' private; echo '#include <stdlib.h>'; echo 'int main(void) { free(malloc(10)); return 0; }'; } >own.c
like 'private names are many' "$(wc -l <private)" '^[1-9][0-9]'
for how in '' -static -static-pie; do
  ok "a program with functions of the same names links with libosmem.a $how" sh -c "cc $how -w own.c '$archive' -o own && ./own"
done
finish
