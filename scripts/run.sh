#!/bin/sh
# run.sh CMD [ARG...]      runs CMD with osmem preloaded, by absolute path: LD_PRELOAD=./libosmem.so would be looked for in the
#                          current directory of every process, and where it is missing ld.so only prints an error and runs glibc.
# run.sh --verify PID      says whether osmem is active in a process. Status 0: yes, 1: no, 2: no answer.
#
# ld.so ignores the preload in setuid and setgid programs, and statically linked ones have no ld.so: they run without osmem.
set -u

refuse() { echo "run.sh: $*" >&2; exit 2; }

case ${1-} in
  --verify)
    [ $# = 2 ] || refuse 'usage: run.sh --verify PID'
    # A directory of /proc can go at any moment, a zombie's maps are empty, another user's are closed to us.
    maps=$(cat "/proc/$2/maps" 2>/dev/null) && [ -n "$maps" ] || refuse "process $2: none, or not to be looked into"
    case $maps in
      */libosmem.so*) echo "process $2: osmem is active" ;;
      *) echo "process $2: osmem is not active"; exit 1 ;;
    esac
    exit 0 ;;
  '' | -*) refuse 'usage: run.sh CMD [ARG...], or run.sh --verify PID' ;;
esac

lib=$(cd "$(dirname "$0")/.." && pwd)/libosmem.so
[ -f "$lib" ] || refuse "$lib is not built: run make"
case $lib in *[:\ ]*) refuse "$lib: ld.so takes a colon or a space in the path for the end of it; make install to another place" ;; esac
program=$(command -v -- "$1") || refuse "$1: no such command"
if [ -u "$program" ] || [ -g "$program" ]; then echo "run.sh: $1 is setuid or setgid: ld.so ignores the preload for other users" >&2; fi
export LD_PRELOAD="$lib${LD_PRELOAD:+:$LD_PRELOAD}"
exec "$@"
