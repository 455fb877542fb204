#!/bin/sh
# SPDX-License-Identifier: MIT
# strace-compare.sh [-v | --tsv] CMD [ARG...]
#
# Runs CMD twice under strace, once with glibc's malloc and once with osmem
# preloaded, children included, and sets the memory system calls side by side:
# brk, mmap, munmap, mprotect, madvise, mremap and their total. Outside the total
# stand, in a column, what ld.so does to map the library and, in a row, the mmaps
# of both runs with which ld.so gets memory for its own lists: any preloaded library
# makes these longer, and now and then by a page.
#
# CMD should be deterministic and repeatable; a pipeline goes in `sh -c '...'`. Its
# standard input is empty and its output is dropped; -v sends both streams to stderr
# and lists every other system call too. --tsv prints, for programs, every call
# as KIND, CALL, GLIBC, OSMEM with KIND one of memory, total, loader, library, other.
#
# Exit status: 0 osmem needs at most as many calls in total, 1 it needs more,
# 2 no answer: usage, no strace, the library was not mapped, or the two runs
# ended with different exit statuses. OSMEM_LIB names another library.
set -u
. "$(dirname -- "$(readlink -f -- "$0")")/common.sh"

refusal=2
view=table
case ${1-} in
  -h | --help) usage ;;
  -v) view=verbose; shift ;;
  --tsv) view=tsv; shift ;;
esac
case ${1-} in
  --) shift ;;
  -*) refuse "$1: no option of mine; --help says which there are" ;;
esac
[ $# -gt 0 ] || refuse 'which command? strace-compare.sh [-v | --tsv] CMD [ARG...]; --help says more'
command -v strace >/dev/null || refuse 'strace is not installed'
command -v python3 >/dev/null || refuse 'python3 is not installed'
lib=$(library) || exit
find_program "$1"

traces=$(mktemp -d) || exit 2
trap 'rm -rf "$traces"' EXIT
tracing=
trap 'kill ${tracing:+"$tracing"} 2>/dev/null; exit 2' HUP INT TERM # strace ends the command with itself

# One file per process (-ff), so that no call is cut in two by another process;
# the address of the calling instruction (-i) tells ld.so's mmaps from malloc's.
# The environment of strace itself is never the preloaded one.
traced() { # NAME PRELOAD-SETTING CMD...
  into=$traces/$1 setting=$2
  shift 2
  mkdir "$into"
  if [ "$view" = verbose ]; then exec 3>&2 4>&2; else exec 3>/dev/null 4>"$traces/stderr"; fi
  # In the background, where a signal reaches this shell at once; -I 2: and strace.
  env -u LD_PRELOAD strace -I 2 -ff -qq -i -o "$into/pid" -E "$setting" "$@" </dev/null >&3 2>&4 3>&- 4>&- &
  tracing=$!
  wait "$tracing"
}

# What the library needs beside libc (before glibc 2.34 libpthread and libdl) has to be mapped in both.
beside=$(ldd "$lib" | awk '$2 == "=>" && $1 !~ /^libc[.]/ { printf "%s%s", sep, $3; sep = ":" }')
traced glibc "LD_PRELOAD${beside:+=$beside}" "$@"
glibc_status=$?
[ -n "$(ls "$traces/glibc")" ] || {
  [ "$view" = verbose ] || cat "$traces/stderr" >&2
  refuse "strace cannot trace $1"
}
traced osmem "LD_PRELOAD=$lib" "$@"
osmem_status=$?
[ $glibc_status = $osmem_status ] ||
  refuse "$1 ends with status $glibc_status under glibc and $osmem_status under osmem"

python3 "$top/scripts/strace_count.py" "$view" "$lib" "$traces/glibc" "$traces/osmem"
