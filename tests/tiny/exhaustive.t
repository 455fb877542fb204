#!/bin/sh
# SPDX-License-Identifier: MIT
# All sequences of operations up to a length, from several starting states: see exhaustive.c.
. "$(dirname "$0")/../tap.sh"
needs "$top/build/tiny/exhaustive"
exec "$top/build/tiny/exhaustive" ${OSMEM_SOAK:+--steps "$OSMEM_SOAK"}
