#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/crimes/crimes.t on musl.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/musl/musl.sh"
in_tree crimes/crimes.t
