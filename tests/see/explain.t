#!/bin/sh
# SPDX-License-Identifier: MIT
# `osmem explain`, and gdb's commands on the same walker: what an address is.
. "$(dirname "$0")/../tap.sh"
needs python3
osmem=$top/scripts/osmem

${CC:-cc} -O0 -g "$top/tests/see/places.c" -o places 2>warnings || { echo 'Bail out! no fixture'; exit 1; }
mkfifo hold
LD_PRELOAD="$lib" ./places <hold >said &
pid=$!
exec 9>hold
until [ -s said ] && grep -q ready said; do sleep 0.05; done
at() { sed -n "s/^$1 //p" said; }
explained() { "$osmem" explain "$pid" "$(at "$1")" 2>&1 | tr '\n' ' '; }

like 'a small object' "$(explained small)" "^$(at small): in use, a small object at $(at small): its beginning; 48 bytes .* 6669667479.* fifty.* before it: object of 48 bytes .* behind it: object of 48 bytes at 0x[0-9a-f]+, in use"
like 'inside of it' "$(explained inside_small)" "^$(at inside_small): in use, a small object at $(at small): 10 bytes into it, 38 before its end"
like 'a block' "$(explained medium)" "^$(at medium): in use, a block at $(at medium): its beginning; 3,000 bytes"
like 'inside of it' "$(explained inside_medium)" "^$(at inside_medium): in use, a block at $(at medium): 100 bytes into it"
like 'a mapping' "$(explained mapping)" "^$(at mapping): in use, a mapping at 0x[0-9a-f]+: 4096 bytes into it"
like 'a freed object' "$(explained freed_small)" "^$(at freed_small): free, a small object"
like 'a cached block' "$(explained cached)" "^$(at cached): cached by a thread, a block"
like 'a freed mapping' "$(explained kept_mapping)" "^$(at kept_mapping): (free, a mapping|a mapping that was freed began here)"
like 'on the stack' "$(explained stack)" 'not the heap.s: \[stack\]'
like 'code' "$(explained code)" 'not the heap.s: places\+0x'
like 'nothing' "$(explained nowhere)" '^0x10: nothing is mapped here'
like 'a message' "$("$osmem" explain "$pid" "osmem: free(): double free of $(at small)" | head -n 1)" "^$(at small): in use"
like 'a message on stdin' "$(echo "free(): $(at small)," | "$osmem" explain "$pid" - | head -n 1)" "^$(at small): in use"
like 'what points to it' "$("$osmem" explain --pointers "$pid" "$(at medium)" | tr '\n' ' ')" ' 1 words point to it: +0x[0-9a-f]+: not the heap.s: places\+0x'
is 'no address' "$("$osmem" explain "$pid" nothing 2>&1; echo $?)" 'osmem: in what was given there is no address: 0x and hexadecimal digits
2'
is 'of a process, none given' "$("$osmem" explain "$pid" 2>&1; echo $?)" 'osmem: of a process that runs an address is to be given, or a text with some in it
2'

if can 'gdb' command -v gdb; then
  asked() { gdb -nx -batch -p "$pid" -ex "source $top/scripts/osmem-gdb.py" "$@" 2>&1 | tr '\n' ' '; }
  like 'gdb: osmem block' "$(asked -ex "osmem block $(at inside_small)")" "$(at inside_small): in use, a small object at $(at small)"
  like 'gdb: osmem block EXPRESSION' "$(asked -ex 'osmem block medium[1]')" "$(at medium): in use, a block"
  like 'gdb: osmem heap' "$(asked -ex 'osmem heap')" 'bytes +[0-9,]+  in use by the program'
  like 'gdb: osmem find' "$(asked -ex "osmem find medium[1]")" '1 words point to it'
  like 'gdb: of nothing' "$(gdb -nx -batch -ex "source $top/scripts/osmem-gdb.py" -ex 'osmem heap' 2>&1)" 'osmem: no process and no core'

  gdb -nx -batch -ex 'set confirm off' -ex "set environment LD_PRELOAD $lib" -ex run -ex 'generate-core-file dead' --args ./places twice >crash 2>&1
  second=$(sed -n 's/^osmem: free(): double free of //p' crash)
  like 'a core: by the message' "$(grep '^osmem:' crash | "$osmem" explain dead - | head -n 1)" "^$second: free, a small object"
  # (A register may still have one: glibc 2.31 leaves it there.)
  like 'a core of an abort has no address' "$("$osmem" explain dead)" "^(no address is known that the signal was at|in a register: $second: .*)\$"
  gdb -nx -batch -ex 'set confirm off' -ex "set environment LD_PRELOAD $lib" -ex run -ex 'generate-core-file wild' --args ./places wild >crash 2>&1
  like 'a core: where it ended' "$("$osmem" explain wild)" '^SIGSEGV at 0x10: nothing is mapped here'
  like 'gdb on a core' "$(gdb -nx -batch -ex "source $top/scripts/osmem-gdb.py" -ex "osmem block $second" ./places dead 2>&1 | tr '\n' ' ')" "$second: free, a small object"
fi
exec 9>&-
wait "$pid"

# A header that was overwritten: what runs over it is named.
rm said
LD_PRELOAD="$lib" ./places overflow <hold >said &
pid=$!
exec 9>hold
until [ -s said ] && grep -q ready said; do sleep 0.05; done
like 'an overwritten header' "$("$osmem" explain "$pid" "$(at medium)" | tr '\n' ' ')" "^$(at medium): a block at $(at medium) whose header does not carry its tag: it was overwritten.* 4242424242424242 .* before it: block of 3,000 bytes"
exec 9>&-
wait "$pid"
finish
