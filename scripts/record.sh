#!/bin/sh
# record.sh [-o FILE] CMD [ARG...]   runs CMD and writes down what it and its children ask of malloc, a trace for each program.
#     -o FILE     name of the traces; %p is the process's number (default osmem-%p.trace). Without %p only the first process
#                 is recorded, and FILE is replaced.
#
# The recorder goes before whatever LD_PRELOAD names already: LD_PRELOAD=$PWD/libosmem.so record.sh CMD records on osmem.
# Afterwards lists the traces, the largest last. Then:
#     build/record/replay TRACE                           the same calls, on the malloc of that process
#     build/record/replay --stats TRACE                   sizes and lifetimes
#     scripts/bench.py --set traces --trace TRACE         the allocators compared on it
# The exit status is that of CMD. Traces hold sizes and order, neither contents nor addresses.
set -u

usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; }
refuse() { echo "record.sh: $*" >&2; exit 2; }

name=osmem-%p.trace
case ${1-} in
  -h | --help) usage; exit 0 ;;
  -o) name=${2:?} && shift 2 ;;
esac
case ${1-} in '' | -*) usage >&2; exit 2 ;; esac

top=$(cd "$(dirname "$0")/.." && pwd)
recorder=$top/build/record/librecord.so
make -s -C "$top" record >&2 || refuse 'the recorder cannot be built'
case $recorder in *[:\ ]*) refuse "$recorder: ld.so takes a colon or a space in the path for the end of it" ;; esac
case $name in
  *%p*) ;;
  *) rm -f -- "$name" ;;
esac

# The names that the pattern stands for: those with a number in the place of %p, and what exec adds.
traces() { ls -rS "${name%%\%p*}"*"${name#*%p}"* 2>/dev/null; }
[ "$name" != "${name#*%p}" ] || traces() { ls "$name" 2>/dev/null; }

old=$(traces)
env OSMEM_RECORD="$name" LD_PRELOAD="$recorder${LD_PRELOAD:+:$LD_PRELOAD}" "$@"
status=$?
traces | while read -r trace; do
  case "
$old
" in *"
$trace
"*) continue ;; esac
  calls=$("$top/build/record/replay" --stats "$trace" 2>&1 | sed -n 's/^ops //p')
  echo "$trace: $(sed -n 's/^program //p;3q' "$trace"), ${calls:-no} calls" >&2
done
exit $status
