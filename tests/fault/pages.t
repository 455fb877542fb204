#!/bin/sh
# SPDX-License-Identifier: MIT
# Giving back on a kernel whose pages have 16 KiB: fewer of them come free, in runs and of slabs, and the same must hold of those that do.
OSMEM_TEST_PAGE=16384 exec tests/run-one.sh tests/fault/giving.c
