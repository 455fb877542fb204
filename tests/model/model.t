#!/bin/sh
# SPDX-License-Identifier: MIT
# Random operations on every entry point, judged by a shadow of the heap, in one thread and several; and that the model test
# itself finds faults, repeats them and makes them short.
. "$(dirname "$0")/../tap.sh"
needs /usr/include/cmocka.h

model=$top/build/tests/model/model
broken=$top/build/tests/model/broken.so
# The library under test, which need not be the one that the model was linked with.
LD_LIBRARY_PATH=$(dirname "$lib")
export LD_LIBRARY_PATH

heap=
. "$top/tests/model/runs.sh"

# What follows is on the heap of normal geometry that gives back whatever it can, at once.
turn_eager() {
  heap='eager: '
  LD_LIBRARY_PATH=$top/build/eager
}

if [ -n "${OSMEM_SOAK-}" ]; then
  runs "one thread, $OSMEM_SOAK steps" --ops "$OSMEM_SOAK" --validate 5000
  runs "four threads, $OSMEM_SOAK steps" --ops "$OSMEM_SOAK" --threads 4
  runs "four threads by turns, $((OSMEM_SOAK / 20)) steps, each validated" --ops $((OSMEM_SOAK / 20)) --threads 4 --turns --validate 1 --places 64
  turn_eager
  runs "one thread, $((OSMEM_SOAK / 5)) steps" --ops $((OSMEM_SOAK / 5)) --validate 5000
  runs "four threads, $((OSMEM_SOAK / 5)) steps" --ops $((OSMEM_SOAK / 5)) --threads 4
  finish
fi

seeds='1 2 3 4'
[ -z "${OSMEM_QUICK-}" ] || seeds=1
for seed in $seeds; do
  runs "one thread, every step validated, seed $seed" --seed $seed --ops 60000 --validate 1 --places 64
  runs "four threads by turns, every step validated, seed $seed" --seed $seed --ops 15000 --validate 1 --places 32 --threads 4 --turns
  runs "one thread, a large heap, seed $seed" --seed $seed --ops 250000
  runs "four threads by turns, seed $seed" --seed $seed --ops 80000 --threads 4 --turns
  runs "four threads, seed $seed" --seed $seed --ops 250000 --threads 4
done

all_sampled 60000 250000

# A soft limit of 0 refuses every brk: then the heap is in regions from mmap.
without_brk() (
  ulimit -S -d 0
  "$model" "$@"
)
ok "without brk: one thread, every step validated" without_brk --seed 5 --ops 30000 --validate 1 --places 64
ok "without brk: one thread, a large heap" without_brk --seed 6 --ops 150000
ok "without brk: four threads" without_brk --seed 7 --ops 150000 --threads 4

# spoiled FAULT ERE [OPTION...]: the model on a heap with a fault says so, needs few operations to show it again, and fails no
# more where the fault is gone.
spoiled() {
  fault=$1 message=$2
  shift 2
  LD_PRELOAD=$broken OSMEM_BROKEN=$fault "$model" --seed 1 --out ops --validate 1 --places 64 "$@" >said 2>&1
  is "$fault: found" $? 1
  like "$fault: by its name" "$(cat said)" "$message"
  LD_PRELOAD=$broken OSMEM_BROKEN=$fault "$model" --validate 1 --places 64 "$@" --replay ops >again 2>&1
  is "$fault: repeated from the file" $? 1
  like "$fault: few operations" "$(sed -n 's/^# minimised to //p' said)" '^[1-6] operations'
  runs "$fault: none without the fault" --validate 1 --places 64 "$@" --replay ops
}
spoiled zero 'not so: all_zero'
spoiled kept 'not so: contents_are_kept'
spoiled alignment 'not so: is_aligned'
spoiled leak 'not so: same\(live'
spoiled errno 'not so: errno == UNTOUCHED'
spoiled twice 'not so: apart|double free' --threads 3 --turns

turn_eager
for seed in $seeds; do
  runs "one thread, every step validated, seed $seed" --seed $seed --ops 30000 --validate 1 --places 64
  runs "one thread, a large heap, seed $seed" --seed $seed --ops 250000
  runs "four threads by turns, seed $seed" --seed $seed --ops 80000 --threads 4 --turns
  runs "four threads, seed $seed" --seed $seed --ops 250000 --threads 4
done
finish
