#!/bin/sh
# SPDX-License-Identifier: MIT
# make apk: the APKBUILD, read as abuild reads it. Its functions are run here, on this libc; what abuild's own functions take for -static, -dev and -doc is taken
# by their rules.
. "$(dirname "$0")/../tap.sh"

ok 'make apk' make -s -C "$top" apk
version=$(make -s -C "$top" version)
if can 'shellcheck' command -v shellcheck; then
  is 'shellcheck finds no mistake' "$(shellcheck -s dash -e SC2034,SC2154 "$top/build/apk/APKBUILD")" '' # variables that abuild reads, and sets
fi

pkgdir=$tmp/osmem subpkgdir=$tmp/tools
. "$top/build/apk/APKBUILD"
is 'its version' "$pkgver" "$version"
is 'the sum of its source' "$(cd "$top/build/apk" && echo "$sha512sums" | sed '/^$/d' | sha512sum -c 2>&1)" "$source: OK"
tar -xf "$top/build/apk/$source" && cd "$pkgname-$pkgver" || finish
ok 'build' build
ok 'check' check
ok 'package' package
cd "$pkgdir" || finish
amove() { for path; do mkdir -p "$subpkgdir/${path%/*}" && mv "$path" "$subpkgdir/${path%/*}/"; done; }
ok 'tools' tools
rm -r usr/lib/*.a usr/include usr/lib/libosmem.so usr/lib/pkgconfig usr/lib/cmake usr/share/man usr/share/doc
is 'the library is what is left' "$(find usr ! -type d | sort)" "usr/lib/libosmem.so.0
usr/lib/libosmem.so.$version"
like 'the tools have the command' "$(ls "$subpkgdir/usr/bin" "$subpkgdir/usr/libexec")" osmem
finish
