#!/bin/sh
# SPDX-License-Identifier: MIT
# The C tests of tests/preload on musl: threads and forks.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/musl/musl.sh"

on_musl preload/threads.c
on_musl preload/fork.c
finish
