#!/bin/sh
# SPDX-License-Identifier: MIT
# What programs were built with stays: the exported names and the types of osmem.h, compared with the dump that `make abi` last made, and with Debian's list.
# tests/programs/names.t says which names these may be.
. "$(dirname "$0")/../tap.sh"
lib=$top/libosmem.so # the release; other builds have no promise to keep
machine=$(uname -m)

symbols=$top/scripts/packages/debian/libosmem0.symbols
case $machine in x86_64) debian=amd64 ;; aarch64) debian=arm64 ;; *) debian=$machine ;; esac
is "Debian's list of symbols has each name that is exported" \
  "$(sed -n "/@[A-Z]*_[0-9.]*/{/cfree/!d}; s/^ (arch=$debian)/ /; s/^ \([A-Za-z_0-9]*@[^ ]*\) .*/\1/p" "$symbols" | sed 's/@Base//' | LC_ALL=C sort)" \
  "$(nm -D --defined-only "$lib" | awk '$2 != "A" { print $3 }' | LC_ALL=C sort)"

dump=$top/scripts/packages/abi/$(basename "$(sed -n 's/^soname := //p' "$top/Makefile")")-$machine.abi
needs abidiff "$dump"
differs() { abidiff --exported-interfaces-only "$@" 2>&1; }
is 'no name and no type is another' "$(differs "$dump" "$lib")" ''
sed "s/\(name='os_stats' size-in-bits='\)[0-9]*/\18/" "$dump" >other.abi
like 'a structure of another size would be seen' "$(differs other.abi "$lib")" 'type size changed'
grep -v "elf-symbol name='os_trim'" "$dump" >other.abi
like 'and a name that comes' "$(differs other.abi "$lib")" '1 Added function'
sed "s/elf-symbol name='os_trim'\(.*\)/&\n&/; s/elf-symbol name='os_trim'/elf-symbol name='os_gone'/" "$dump" >other.abi
like 'and one that goes' "$(differs other.abi "$lib")" '1 Removed function symbol'
finish
