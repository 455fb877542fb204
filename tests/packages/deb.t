#!/bin/sh
# SPDX-License-Identifier: MIT
# make deb: what the packages hold, what lintian says, and that it works from a root into which they were only unpacked. tests/packages/root.t installs them.
. "$(dirname "$0")/../tap.sh"
needs dpkg-buildpackage dh dh_python3

ok 'make deb' make -s -C "$top" deb
version=$(make -s -C "$top" version)
kind=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
debs=$(ls "$top"/build/deb/*.deb | grep -v dbgsym)
is 'its packages' "$(for deb in $debs; do dpkg-deb -f "$deb" Package Version; done | tr '\n' ' ')" \
  "$(for name in libosmem-dev libosmem0 osmem-tools; do printf 'Package: %s Version: %s-1 ' $name "$version"; done)"
mkdir control
for deb in $debs; do dpkg-deb -x "$deb" root && dpkg-deb -e "$deb" "control/$(dpkg-deb -f "$deb" Package)"; done

# A script would be one more thing to go wrong: ldconfig is dpkg's own trigger.
is 'no script runs, but for the byte code of the tools and a word when the library goes' "$(cd control && ls -d ./*/*inst ./*/*rm | tr '\n' ' ')" './libosmem0/prerm ./osmem-tools/postinst ./osmem-tools/prerm '
is 'dpkg runs ldconfig' "$(grep -v '^#' control/libosmem0/triggers)" 'activate-noawait ldconfig'
is 'the soname leads to the version' "$(readlink "root/usr/lib/$kind/libosmem.so.0")" "libosmem.so.$version"
is "each installed file is in a package" "$(cd "$top/build/deb/osmem-$version/debian/tmp" && find . ! -type d ! -path './usr/share/doc/*' | sed 's/\.[1-9]$/&.gz/' | while read -r file; do [ -e "$tmp/root/$file" ] || [ -L "$tmp/root/$file" ] || echo "$file"; done)" ''
like 'nothing of the dev package is wanted to run' "$(sed -n 's/^Depends: //p' control/libosmem0/control)" '^libc6 \(>= [0-9.]+\)$'

export LD_LIBRARY_PATH="$tmp/root/usr/lib/$kind"
same 'a bare soname is found by ld.so' 'git --version; perl -e "print qq(perl\n)"' libosmem.so.0
like 'and is ours' "$(LD_PRELOAD=libosmem.so.0 cat /proc/self/maps)" "$tmp/root/usr/lib/$kind/libosmem.so.$version"
unset LD_LIBRARY_PATH
like 'the tools find their library' "$(OSMEM_LIB= root/usr/bin/osmem run cat /proc/self/maps)" "$tmp/root/usr/lib/$kind/libosmem.so.$version"
like 'and the recorder' "$(root/usr/bin/osmem record -o t.trace perl -e 1 2>&1)" '^t.trace: .*perl, [1-9]'
if can 'man, on osmem' command -v man; then
  for page in 1 3 7; do same "man $page osmem, on osmem" "MANPATH=$tmp/root/usr/share/man man -P cat $page osmem | grep -i osmem"; done
fi

# The one warning is Debian's own rule for what goes into its archive the first time.
if can 'lintian' command -v lintian; then
  is 'lintian has nothing to say' "$(lintian --allow-root --suppress-tags initial-upload-closes-no-bugs "$top"/build/deb/*.changes 2>&1 | grep -v 'running with root privileges')" ''
fi
finish
