#!/bin/sh
# run.sh [--] CMD [ARG...]  runs CMD with osmem preloaded, by absolute path: LD_PRELOAD=./libosmem.so would be looked for in the
#                           current directory of every process, and where it is missing ld.so only prints an error and runs glibc.
#                           The status is CMD's; 127: no such command, 126: it cannot be run, 125: run.sh itself failed.
# run.sh --verify PID       says whether osmem is active in a process. Status 0: yes, 1: no, 2: no answer. (Without python3 nobody looks whether it is there and
#                           leaves the process alone.)
#
# ld.so ignores the preload in setuid and setgid programs, and statically linked ones have no ld.so: they run without osmem.
# OSMEM_LIB names another library than the tree's.
set -u
. "$(dirname -- "$(readlink -f -- "$0")")/common.sh"

verify() {
  refusal=2
  [ $# = 1 ] || refuse '--verify wants the number of one process'
  # A directory of /proc can go at any moment, a zombie's maps are empty, another user's are closed to us.
  maps=$(cat "/proc/$1/maps" 2>/dev/null) && [ -n "$maps" ] || refuse "process $1: none, or not to be looked into"
  command -v python3 >/dev/null && exec "$top/scripts/osmem" verify "$1"
  case $maps in
    */libosmem.so*) echo "process $1: osmem is active" ;;
    *) echo "process $1: osmem is not active"; exit 1 ;;
  esac
  exit 0
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
