#!/bin/sh
# SPDX-License-Identifier: MIT
# The tiny heap on musl: all short sequences of operations, and the model.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/musl/musl.sh"
needs "$where/build/tiny/exhaustive" "$where/build/tiny/model"
ok 'musl: all short sequences of operations' "$where/build/tiny/exhaustive" --steps 50000
model="$where/build/tiny/model" heap='musl, tiny: '
. "$top/tests/model/runs.sh"
runs 'the kept corpus, every step validated' --corpus "$top/tests/tiny/corpus.hex" --threads 2 --turns --places 32 --validate 1
runs 'one thread, every step validated' --seed 1 --ops 100000 --validate 1 --places 64
runs 'four threads' --seed 1 --ops 250000 --threads 4
finish
