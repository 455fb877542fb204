#!/bin/sh
# SPDX-License-Identifier: MIT
# What only a machine with arm64 processors says (run.sh emulates one): what threads agree on at full speed, tags in pointers and in memory, signed return addresses.
. "$(dirname "$0")/../tap.sh"
if ! can 'arm64' test "$(uname -m)" = aarch64; then finish; fi
export CMOCKA_MESSAGE_OUTPUT=TAP

# all_of WHAT CMD...: the cases of a C test.
all_of() {
  what=$1
  shift
  "$@" >all.out 2>all.err
  grep -v '^# ok' all.err | diag
  is "$what: as many cases as it has" "$(grep -c -e '^ok' -e '^not ok' all.out)" "$(sed -n 's/^1\.\.//p' all.out)"
  while read -r line; do
    case $line in
      ok*) pass "$what: ${line#ok * - }" ;;
      'not ok'*) fail "$what: ${line#not ok * - }" ;;
    esac
  done <all.out
}

for round in 1 2 3 4 5 6 7 8; do all_of "threads, round $round" "$top/build/tests/arm64/stress"; done
all_of 'tags' preloaded "$top/build/tests/arm64/tags"
# (glibc's own malloc crashes so, in qemu 7.2, in every program: the measure is one without tags.)
work="seq 100000 | awk '{ print \$1 * 7919 % 100003, \$1 }' | sort -n | cksum"
is 'programs whose libc would tag its memory' "$(GLIBC_TUNABLES=glibc.mem.tagging=3 LD_PRELOAD=$lib sh -c "$work" 2>&1)" "$(sh -c "$work")"

# Each return address signed, each function begun with a landing pad: so some distributions build everything.
signed=$top/build/signed/libosmem.so
for test in contract strategy; do all_of "signed, $test" env LD_LIBRARY_PATH="$(dirname "$signed")" "$top/build/tests/unit/$test"; done
same 'python3 on the signed library: threads' "$python -c '
import threading
lists = []
threads = [threading.Thread(target=lambda: lists.append([str(i) for i in range(20000)])) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(lists))'" "$signed"
finish
