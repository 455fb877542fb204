#!/bin/sh
# SPDX-License-Identifier: MIT
# record.sh [-o FILE] [--] CMD [ARG...]   runs CMD and writes down what it and its children ask of malloc, a trace for each program.
#     -o FILE     name of the traces; %p is the process's number (default osmem-%p.trace). Without %p only the first process
#                 is recorded, and FILE is replaced.
#
# The recorder goes before whatever LD_PRELOAD names already: LD_PRELOAD=$PWD/libosmem.so record.sh CMD records on osmem.
# Afterwards lists the traces, that with the most calls last. Then (installed: osmem replay):
#     build/record/replay TRACE                           the same calls, on the malloc of that process
#     build/record/replay --stats TRACE                   sizes and lifetimes
#     scripts/bench.py --set traces --trace TRACE         the allocators compared on it
# The exit status is that of CMD (127: no such command, 126: it cannot be run, 125: record.sh itself failed). ^C ends CMD, SIGTERM
# is handed to it; the list comes all the same. Traces hold sizes and order, neither contents nor addresses.
set -u
. "$(dirname -- "$(readlink -f -- "$0")")/common.sh"

name=osmem-%p.trace
case ${1-} in
  -h | --help) usage ;;
  -o) [ -n "${2-}" ] || refuse '-o wants the name of the traces'; name=$2; shift 2 ;;
esac
case ${1-} in
  --) shift ;;
  -*) refuse "$1: no option of mine; --help says which there are" ;;
esac
[ $# -gt 0 ] || refuse 'which command? record.sh [-o FILE] CMD [ARG...]; --help says more'

# Absolute: what a child with another working directory records belongs there, too.
case $name in /*) ;; *) name=$PWD/$name ;; esac
folder=${name%/*} file=${name##*/}
[ -n "$file" ] && ! [ -d "$name" ] || refuse "$name: a folder; -o wants the name of the traces"
probe=$(mktemp "$folder/.osmem-XXXXXX" 2>/dev/null) && rm -f -- "$probe" || refuse "$folder: no folder that you may write to"
find_program "$1"
case $1 in *=*) refuse "$1: env would take that for a variable; try sh -c" ;; esac
env --default-signal=INT true 2>/dev/null || refuse 'wants an env that knows --default-signal (coreutils 8.31)'
tools=${script%/*} # where it is installed; in the tree they are built
if ! [ -f "$tools/librecord.so" ]; then
  tools=$top/build/record
  make -s -C "$top" record >&2 || refuse 'the recorder cannot be built'
fi
recorder=$(preloadable "$tools/librecord.so") || exit

# The names that the pattern stands for: those with a number in the place of %p, and what exec adds.
case $file in
  *%p*) traces() { ls "$folder/${file%%\%p*}"[0-9]*"${file#*%p}"* 2>/dev/null; } ;;
  *) traces() { ls "$name" 2>/dev/null; }
     rm -f -- "$name" ;;
esac

# In the background, where a signal reaches this shell at once; with its standard input, and ended by ^C like any other. A signal ends the wait, not the
# command: it is waited for again. (127: it had ended, and that was its status.)
old=$(traces)
command=
trap 'caught=1' INT QUIT
trap 'caught=1; kill -s TERM ${command:+"$command"} 2>/dev/null' TERM
trap 'caught=1; kill -s HUP ${command:+"$command"} 2>/dev/null' HUP
if [ -e /dev/fd/0 ]; then exec 9<&0; else exec 9</dev/null; fi
env --default-signal=INT,QUIT OSMEM_RECORD="$name" LD_PRELOAD="$recorder${LD_PRELOAD:+:$LD_PRELOAD}" "$@" <&9 9<&- &
command=$!
status=127
while :; do
  caught=
  wait "$command" 2>/dev/null # the shell's own word about how it ended
  now=$?
  [ $now = 127 ] && [ $status != 127 ] || status=$now
  [ -n "$caught" ] || break
done
trap - TERM HUP

new=$(traces | while read -r trace; do
  case "
$old
" in *"
$trace
"*) continue ;; esac
  calls=$("$tools/replay" --stats "$trace" 2>/dev/null | sed -n 's/^ops //p')
  echo "${calls:-0} ${trace#"$PWD/"}: $(sed -n 's/^program //p;3q' "$trace"), ${calls:-no} calls"
done | sort -n | cut -d ' ' -f 2-)
if [ -n "$new" ]; then
  echo "$new" >&2
else
  echo "$self: nothing was recorded: is $1 static, setuid, or with a malloc of its own?" >&2
fi
case ${program##*/} in
  python*) [ "${PYTHONMALLOC-}" = malloc ] || echo "$self: python keeps small objects to itself: with PYTHONMALLOC=malloc they are recorded, too" >&2 ;;
esac
exit $status
