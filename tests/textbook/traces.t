#!/bin/sh
# SPDX-License-Identifier: MIT
# The traced snippets of the textbook core: library calls and memory system calls, line by line.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/traces.sh"
traces textbook
finish
