#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/model/model.t on musl.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/musl/musl.sh"
in_tree model/model.t
