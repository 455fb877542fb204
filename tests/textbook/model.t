#!/bin/sh
# SPDX-License-Identifier: MIT
# The same random operations on the textbook core and on the real one: contents, zeroing, NULLs, return rules.
. "$(dirname "$0")/../tap.sh"

model=$top/build/tests/textbook/model
for seed in 1 2; do
  ok "both cores agree, seed $seed" "$model" "$top/libosmem-textbook.so" "$lib" 1000000 "$seed"
done
finish
