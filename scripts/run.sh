#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh [--] CMD [ARG...]  runs CMD with osmem preloaded, by absolute path: LD_PRELOAD=./libosmem.so would be looked for in the
#                           current directory of every process, and where it is missing ld.so only prints an error and runs glibc.
#                           The status is CMD's; 127: no such command, 126: it cannot be run, 125: run.sh itself failed.
# run.sh --verify PID       says whether malloc is osmem's in a process, and whose else. Status 0: yes, 1: no, 2: no answer.
#
# ld.so ignores the preload in setuid and setgid programs, and statically linked ones have no ld.so: they run without osmem.
# OSMEM_LIB names another library than the tree's.
set -u
. "$(dirname -- "$(readlink -f -- "$0")")/common.sh"

verify() {
  refusal=2
  [ $# = 1 ] || refuse '--verify wants the number of one process'
  command -v python3 >/dev/null || refuse 'python3 is not installed, which finds out whose malloc it is'
  exec "$top/scripts/osmem" verify "$1"
}

case ${1-} in
  -h | --help) usage ;;
  --verify) shift; verify "$@" ;;
  --) shift ;;
  -*) refuse "$1: no option of mine; --help says which there are" ;;
esac
[ $# -gt 0 ] || refuse 'which command? run.sh CMD [ARG...]; --help says more'

lib=$(library) || exit
find_program "$1"
if [ -u "$program" ] || [ -g "$program" ]; then echo "run.sh: $1 is setuid or setgid: ld.so ignores the preload for other users" >&2; fi
export LD_PRELOAD="$lib${LD_PRELOAD:+:$LD_PRELOAD}"
exec "$@"
