#!/bin/sh
# SPDX-License-Identifier: MIT
# The same calls to glibc and to the library: the corpus that a fuzzer left and random inputs show no difference but those that the
# manual names; and the test itself sees differences.
. "$(dirname "$0")/../tap.sh"
needs /usr/include/cmocka.h

differ=$top/build/tests/differ/differ
corpus=$top/tests/differ/corpus

ok "the corpus" "$differ" --corpus "$corpus"
for seed in 1 "${OSMEM_SEED:-$(date +%s)}"; do
  ok "1000 random inputs, seed $seed" "$differ" --seed "$seed" --inputs 1000
done

# A soft limit of 0 refuses every brk: both heaps are in mappings.
without_brk() (
  ulimit -S -d 0
  "$differ" "$@"
)
ok "without brk: the corpus" without_brk --corpus "$corpus"

"$differ" --wanted >wanted
while read -r name; do
  ok "wanted and in osmem(7): $name" grep -qxF ".It $name" "$top/scripts/man/osmem.7"
done <wanted

# spoiled FAULT ERE: with that fault in the library the test says so.
spoiled() {
  "$differ" --seed 1 --inputs 50 --spoil "$1" >said 2>&1
  is "$1: found" $? 1
  like "$1: by its name" "$(cat said)" "^# ($2)"
}
spoiled refuses_a_megabyte 'malloc: NULL or not, '
spoiled forgets_errno 'malloc: errno, '
spoiled gives_the_last_again 'ended by Aborted|free: contents, '
spoiled wraps_round 'calloc: NULL or not, '
spoiled leaves_a_byte 'calloc: zeroed, '
spoiled loses_the_last_byte 'realloc: contents, '
spoiled spoils_what_it_refuses 'realloc: contents, '
spoiled ignores_alignment 'memalign: alignment, '
spoiled clears_the_pointer 'posix_memalign: returned, '
spoiled confuses_errors 'posix_memalign: returned, '
spoiled sets_errno 'free: errno, '
spoiled knows_the_half 'malloc: usable size, '
spoiled promises_more 'ended by |free: contents, '
finish
