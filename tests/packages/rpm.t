#!/bin/sh
# SPDX-License-Identifier: MIT
# make rpm: what rpmlint says, which package has what, and that it works from a root into which it is unpacked.
. "$(dirname "$0")/../tap.sh"
needs rpmbuild rpm2cpio cpio

ok 'make rpm' make -s -C "$top" rpm
version=$(make -s -C "$top" version)
rpms=$(ls "$top"/build/rpm/RPMS/*/*.rpm)
libdir=$(rpm --eval '%{_libdir}')
is 'its packages' "$(rpm -qp --qf '%{name}-%{version} ' $rpms 2>/dev/null)" "osmem-$version osmem-devel-$version osmem-static-$version osmem-tools-$version "
is 'the library has no more than itself' "$(rpm -qlp "${rpms%%"
"*}" 2>/dev/null | grep -v -e /doc/ -e /licenses/ -e /.build-id)" "$libdir/libosmem.so.0
$libdir/libosmem.so.$version"
is 'which ldconfig hears of' "$(rpm -qp --scripts "${rpms%%"
"*}" 2>/dev/null | grep -c 'program: /sbin/ldconfig')" 2
if can 'rpmlint' command -v rpmlint; then
  is 'rpmlint finds no mistake' "$(rpmlint -c "$top/scripts/packages/rpm/rpmlint.toml" "$top/build/rpm/osmem.spec" $rpms 2>&1 | grep ': E: ')" ''
fi

mkdir root
for rpm in $rpms; do rpm2cpio "$rpm" | (cd root && cpio -idm --quiet); done
like 'the tools find their library' "$(OSMEM_LIB= root/usr/bin/osmem run cat /proc/self/maps)" "$tmp/root$libdir/libosmem.so.$version"
finish
