#!/bin/sh
# SPDX-License-Identifier: MIT
# asked.sh LIBRARY: what newer kernels have, and of it what LIBRARY asks for when a program wants it: MADV_POPULATE_WRITE (Linux 5.14),
# MADV_DONTNEED_LOCKED (5.18), MADV_GUARD_INSTALL (6.13).
set -u
calls=$(mktemp) && trap 'rm -f "$calls"' EXIT
strace -f -qq -X raw -e trace=madvise -o "$calls" -E LD_PRELOAD="$1" -E OSMEM_OPTIONS=guard=1,profile_rate=1K python3 -c '
import ctypes
libc = ctypes.CDLL(None)
held = [bytes(900) for _ in range(40000)]
if libc.mlockall(1) != 0: raise SystemExit("mlockall")
del held
libc.malloc_trim(0)' || exit
for feature in 0x17=populate 0x18=locked 0x66=guard; do
  grep -q ", ${feature%=*})" "$calls" && echo "${feature#*=}"
done | paste -sd ' '
