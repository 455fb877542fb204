#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/model/model.t on musl.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/musl/musl.sh"
export OSMEM_QUICK=1 # one seed of each
in_tree model/model.t
