# SPDX-License-Identifier: MIT
# Sourced by every shell test: TAP for prove(1), the library under test, a
# folder to work in, and the comparison "with the library" against "without".
#
# A test file runs cases and ends with `finish`; without it there is no plan and
# prove reports the file as failed. Whatever a case needs and the machine lacks
# is a visible skip (`can`), never a silent pass.
set -u
# OSMEM_TREE: what was built elsewhere, for another libc, from these very files, to which it has a link.
top=${OSMEM_TREE:-$(readlink -f -- "$(dirname -- "$0")/../..")}
lib=${OSMEM_LIB:-$top/libosmem.so}
[ -f "$lib" ] || { echo "Bail out! no library at $lib: run make"; exit 1; }
# /proc/self/maps and strace show the file itself, not the links to it.
lib=$(readlink -f "$lib")
export OSMEM_LIB="$lib"

# Both runs of a comparison see the same small world.
unset LD_PRELOAD OSMEM_OPTIONS PYTHONUNBUFFERED

# Programs are built and run there, and preloaded by names in which ld.so knows no space and no colon. Where the usual
# place is not made for that (TMPDIR may be noexec, full or not there at all), one below build is.
usable() {
  case $tmp in '' | *[!A-Za-z0-9/._-]*) return 1 ;; esac
  { printf '#!/bin/sh\n' >"$tmp/runs" && chmod +x "$tmp/runs" && "$tmp/runs" && rm "$tmp/runs"; } 2>/dev/null
}
tmp=$(mktemp -d 2>/dev/null)
if ! usable; then
  rm -rf ${tmp:+"$tmp"}
  export TMPDIR="$top/build/tmp"
  mkdir -p "$TMPDIR" && tmp=$(mktemp -d) && usable || { echo "Bail out! no program can be run below $TMPDIR"; exit 1; }
fi
cd "$tmp" || exit 1
export HOME="$tmp" LC_ALL=C TZ=UTC PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 PERL_HASH_SEED=0
export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
# The first python3 in PATH may be a version manager's script: no program to preload into.
python=$(PATH=/usr/bin:$PATH command -v python3)
# Seconds, only against hanging for ever; no result depends on how long a case takes. (Emulated machines are given more.)
patience=${OSMEM_PATIENCE:-120}

started=
cleanup() {
  # Again until it is gone: a signal between the shell's fork and exec is lost.
  for pid in $started; do while kill "$pid" 2>/dev/null; do sleep 0.05; done; done
  cd / && rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

# start CMD...: a background process that ends with the test at the latest; its id is in $!.
start() {
  timeout -k 5 "$patience" "$@" &
  started="$started $!"
}

# ended PID: waits for a started process to end by itself, with its status. Afterwards
# the number may belong to somebody else, so cleanup must not know it any more.
ended() {
  wait "$1"
  status=$?
  started=$(echo "$started " | sed "s/ $1 / /")
  return $status
}

preloaded() { env LD_PRELOAD="$lib" "$@"; }

cases=0 failures=0
diag() { sed 's/^/# /' >&2; }
pass() { cases=$((cases + 1)); echo "ok $cases - $1"; }
fail() { cases=$((cases + 1)) failures=$((failures + 1)); echo "not ok $cases - $1"; }
skip() { pass "$1 # SKIP $2"; }
finish() { echo "1..$cases"; [ "$failures" = 0 ]; exit; }

# ok WHAT CMD...: CMD succeeds. Its output is shown only when it does not.
ok() {
  what=$1
  shift
  if "$@" >ok.out 2>&1; then pass "$what"; else fail "$what"; tail -n 20 ok.out | diag; fi
}

# is WHAT GOT WANTED
is() {
  if [ "$2" = "$3" ]; then pass "$1"; else fail "$1"; printf 'got    %s\nwanted %s\n' "$2" "$3" | diag; fi
}

# like WHAT GOT ERE
like() {
  if printf '%s\n' "$2" | grep -Eq "$3"; then pass "$1"; else fail "$1"; printf 'got    %s\nwanted %s\n' "$2" "$3" | diag; fi
}

# can WHAT CMD...: may this machine run the case? If CMD fails, WHAT is a skip.
can() {
  what=$1
  shift
  "$@" >/dev/null 2>&1 && return
  skip "$what" "not possible here: $*"
  return 1
}

# glibc_from VERSION: is the C library glibc, that or a later one?
glibc_from() {
  [ "$(printf '%s\n' "$(getconf GNU_LIBC_VERSION)" "glibc $1" | sort -V | head -n 1)" = "glibc $1" ]
}

# needs PROGRAM|/FILE...: without one of these nothing in this test file can run, which is one skip.
needs() {
  for need; do
    case $need in
      /*) can "all of $0" test -e "$need" || finish ;;
      *) can "all of $0" command -v "$need" || finish ;;
    esac
  done
}

# run PREFIX PRELOAD SCRIPT: SCRIPT in a shell of its own; PREFIX.out, .err and .status keep the end of it.
shell='sh'
run() {
  timeout -k 5 "$patience" env ${2:+"LD_PRELOAD=$2"} $shell -c "$3" </dev/null >"$1.out" 2>"$1.err"
  echo $? >"$1.status"
}

# same WHAT SCRIPT [PRELOAD]: SCRIPT prints the same and ends with status 0 with and without the library. An
# empty output would compare nothing; ld.so that cannot preload runs glibc and only says so on stderr.
same() {
  run plain '' "$2"
  run with "${3:-$lib}" "$2"
  if [ "$(cat plain.status)" = 0 ] && [ -s plain.out ] && [ "$(cat with.status)" = 0 ] &&
    cmp -s plain.out with.out && ! grep -q 'cannot be preloaded' with.err; then
    pass "$1"
    return
  fi
  fail "$1"
  {
    echo "status without $(cat plain.status), with the library $(cat with.status)"
    diff plain.out with.out | head -n 10
    tail -n 10 plain.err with.err
  } | diag
}

# active WHAT CMD...: the library is mapped in CMD, which prints its own /proc/self/maps.
active() {
  what=$1
  shift
  like "the library is active in $what" "$(preloaded "$@" 2>&1)" "$lib"
}
