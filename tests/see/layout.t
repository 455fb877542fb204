#!/bin/sh
# SPDX-License-Identifier: MIT
# What the library tells readers outside about its layout (src/layout.h) is so, and changes together with its version.
. "$(dirname "$0")/../tap.sh"
needs python3 gdb
export PYTHONPATH="$top/scripts"

# What the library says, asked by a process that is on it.
preloaded "$python" -c '
import osmem_heap
heap = osmem_heap.Heap(osmem_heap.Process("self"))
for name in osmem_heap.FIELDS:
    print(name, *heap.field[name])' >told
version=$("$python" -c 'import osmem_heap; print(osmem_heap.VERSION)')

gdb -nx -batch -ex "source $top/tests/see/fields.py" "$lib" >debug 2>gdb.err
is 'each field is where the debug information has it' "$(cat told)" "$(cat debug)"
like 'all of them' "$(wc -l <told)" '^[1-9][0-9][0-9]$'

# layouts: a line for each version, with the sum of what it tells. Who changes the fields gives it another version, and a line there.
is 'the version is what it was' "$version $(sha256sum <told | cut -c1-16)" "$(grep "^$version " "$top/tests/see/layouts")"
is 'the library has the version of the tool' "$(sed -n 's/.*LAYOUT_VERSION = \([0-9]*\).*/\1/p' "$top/src/layout.h")" "$version"
finish
