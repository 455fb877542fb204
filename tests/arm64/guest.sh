#!/bin/sh
# SPDX-License-Identifier: MIT
# In the emulated machine, in place of init: the tests that `filters` names. The last line but one is that of tests/run.sh.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb OSMEM_PATIENCE=1800
ulimit -c 0
busybox dmesg -n 1
mkdir -p /dev/pts /dev/shm
for each in 'tmpfs /tmp' 'tmpfs /run' 'tmpfs /dev/shm' 'devpts /dev/pts' 'cgroup2 /sys/fs/cgroup'; do
  busybox mount -t ${each% *} none ${each#* }
done
ln -s /proc/self/fd /dev/fd
busybox ip link set lo up
# As on the machines that the tests' bounds for resident memory were made on.
echo madvise >/sys/kernel/mm/transparent_hugepage/enabled
uname -a
echo "pages of $(getconf PAGESIZE) bytes, $(nproc) processors: $(sed -n 's/^Features.*: //p' /proc/cpuinfo | head -n 1)"
cd /osmem && tests/run.sh $(cat filters)
busybox sync
busybox poweroff -f
