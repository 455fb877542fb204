#!/bin/sh
# SPDX-License-Identifier: MIT
# Random operations on the tiny heap, with a kernel that refuses, strangers that move the break, and limits (weather.c): see ../model/model.t.
. "$(dirname "$0")/../tap.sh"
needs "$top/build/tiny/model"

model=$top/build/tiny/model heap='tiny: '
. "$top/tests/model/runs.sh"

if [ -n "${OSMEM_SOAK-}" ]; then
  runs "one thread, $((OSMEM_SOAK / 5)) steps, each validated" --ops $((OSMEM_SOAK / 5)) --validate 1 --places 64
  runs "one thread, $OSMEM_SOAK steps" --ops "$OSMEM_SOAK" --validate 100
  runs "four threads by turns, $((OSMEM_SOAK / 20)) steps, each validated" --ops $((OSMEM_SOAK / 20)) --threads 4 --turns --validate 1 --places 64
  runs "four threads, $OSMEM_SOAK steps" --ops "$OSMEM_SOAK" --threads 4
  finish
fi

# What a fuzzer found to reach every edge that it could (tiny.mk: make fuzz-tiny, fuzz-corpus).
runs 'the kept corpus, every step validated' --corpus "$top/tests/tiny/corpus.hex" --threads 2 --turns --places 32 --validate 1

seeds='1 2 3'
[ -z "${OSMEM_QUICK-}" ] || seeds=1
for seed in $seeds; do
  runs "one thread, every step validated, seed $seed" --seed $seed --ops 100000 --validate 1 --places 64
  runs "four threads by turns, every step validated, seed $seed" --seed $seed --ops 15000 --validate 1 --places 32 --threads 4 --turns
  runs "one thread, a larger heap, seed $seed" --seed $seed --ops 100000 --validate 50
  runs "four threads, seed $seed" --seed $seed --ops 250000 --threads 4
done
all_sampled 50000 100000
finish
