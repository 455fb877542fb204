#!/bin/sh
# SPDX-License-Identifier: MIT
# The C tests of tests/unit on musl.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/musl/musl.sh"

on_musl unit/contract.c
on_musl unit/stats.c
on_musl unit/strategy.c
on_musl unit/waves.c
finish
