#!/bin/sh
# SPDX-License-Identifier: MIT
# The C tests of tests/memory on musl.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/musl/musl.sh"

on_musl memory/churn.c
on_musl memory/days.c
on_musl memory/threads.c
finish
