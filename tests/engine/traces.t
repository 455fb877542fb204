#!/bin/sh
# SPDX-License-Identifier: MIT
# The traced snippets of the engine: library calls and memory system calls, line by line. They show each strategy of the heap
# by addresses: preallocation, split, coalescing, best fit, growth in place, caches, slabs, mappings.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/traces.sh"
traces engine
finish
