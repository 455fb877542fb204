#!/bin/sh
# SPDX-License-Identifier: MIT
# The C tests of tests/preload on musl.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/musl/musl.sh"

on_musl preload/align.c
on_musl preload/contents.c
on_musl preload/meaning.c
on_musl preload/signals.c
on_musl preload/start.c
on_musl preload/dl.c
on_musl preload/limits.c
finish
