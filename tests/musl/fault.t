#!/bin/sh
# SPDX-License-Identifier: MIT
# The C tests of tests/fault on musl.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/musl/musl.sh"

on_musl fault/faults.c
on_musl fault/fork.c
on_musl fault/giving.c
on_musl fault/kernels.c
on_musl fault/mappings.c
on_musl fault/settings.c
on_musl fault/validator.c
finish
