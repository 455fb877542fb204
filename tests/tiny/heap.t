#!/bin/sh
# SPDX-License-Identifier: MIT
# The contract, faults and other kernels, on the tiny heap.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/tiny/tiny.sh"

all_of unit/contract.c trim_keeps_the_pad check_finds_damage
all_of unit/stats.c medium_blocks_are_counted a_cached_mapping_is_counted system_calls_are_counted one_arena_without_contention \
  mallinfo2_agrees mallinfo2_counts_free_blocks
all_of unit/waves.c
all_of fault/faults.c
all_of fault/kernels.c larger_pages_after_page_16_kb larger_pages_after_page_64_kb larger_pages_after_page_64_kb_halved \
  larger_pages_without_a_break_after_page_64_kb purged_memory_is_not_zero records_begin_empty_after_page_64_kb_halved \
  small_regions_leave_room_for_larger_ones
all_of fault/validator.c
finish
