#!/bin/sh
# SPDX-License-Identifier: MIT
# The same sources make the same files, to the byte, in whatever folder, under whatever umask and in whatever order the folder lists them.
. "$(dirname "$0")/../tap.sh"

# build FOLDER: the libraries and the recorder.
build() {
  mkdir -p "$1"
  tar -C "$top" -c --exclude=__pycache__ Makefile include src scripts tests | tar -C "$1" -x
  nice make -s -C "$1" all record >ok.out 2>&1
}
build one
(umask 077 && build another/folder/of/a/longer/name)
for file in libosmem.so libosmem.a libosmem-textbook.so build/record/librecord.so build/record/replay; do
  ok "$file, built in two folders" cmp one/$file another/folder/of/a/longer/name/$file
done
# With its debug information: without that it would say nothing of paths.
like 'which have debug information' "$(readelf -S one/libosmem.so)" '\.debug_info'
finish
