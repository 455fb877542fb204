/* SPDX-License-Identifier: MIT */
/* What is to be known to read this heap from outside: from another process, or from a core. scripts/osmem does.
 *
 * The library holds a constant that says where its roots lie and at which offset each field stands, and an ELF note, which every process has mapped
 * with the library's first page, says where that constant is. So the reader needs no file, no symbols and no section headers: it finds the way in a stripped
 * library, in one that was upgraded on disk since, in a container, in a static program and in a core. Nothing here is ever executed.
 *
 * The layout is an interface: who changes what stands in LAYOUT_FIELDS counts LAYOUT_VERSION up, and teaches the reader (scripts/osmem_heap.py) the new order.
 * tests/see compares the constant with the debug information, and its fingerprint with the one that the version had. */
#ifndef OSMEM_LAYOUT_H
#define OSMEM_LAYOUT_H

#include <stdint.h>

enum { LAYOUT_VERSION = 4 };

/* In this order, as struct name, field. */
#define LAYOUT_FIELDS(FIELD) \
  FIELD(region, base) FIELD(region, bytes) \
  FIELD(chunk, slabs) FIELD(chunk, info) \
  FIELD(chunk_info, magic) FIELD(chunk_info, arena) FIELD(chunk_info, next) FIELD(chunk_info, limit) FIELD(chunk_info, end_bytes) \
  FIELD(slab, owner) FIELD(slab, free) FIELD(slab, salt) FIELD(slab, carved) FIELD(slab, countdown) FIELD(slab, wake) FIELD(slab, purged) FIELD(slab, size_class) FIELD(slab, later) \
  FIELD(remote, head) \
  FIELD(block, prev_bytes) FIELD(block, header) FIELD(block, next) FIELD(block, seal) \
  FIELD(arena, threads) FIELD(arena, deferred) FIELD(arena, waiting) FIELD(arena, chunks) FIELD(arena, older_bytes) FIELD(arena, top) FIELD(arena, limit) FIELD(arena, fresh) FIELD(arena, resident) \
  FIELD(arena, live_bytes) FIELD(arena, live_count) FIELD(arena, free_bytes) FIELD(arena, free_blocks) FIELD(arena, clean_bytes) FIELD(arena, slabs) \
  FIELD(theap, arena) FIELD(theap, cached_bytes) FIELD(theap, cache_limit) FIELD(theap, cache) FIELD(theap, next) FIELD(theap, known_dead) FIELD(theap, unused) FIELD(theap, alive) \
  FIELD(mapping, base) FIELD(mapping, bytes) FIELD(mapping, dirty_bytes) FIELD(mapping, older) FIELD(mapping, state) \
  FIELD(mapping_list, oldest) FIELD(mapping_list, youngest) FIELD(mapping_list, count) FIELD(mapping_list, bytes) \
  FIELD(sys_counters, calls) FIELD(sys_counters, bytes_in) FIELD(sys_counters, bytes_out) FIELD(sys_counters, bytes_held) FIELD(sys_counters, bytes_peak) FIELD(sys_counters, bytes_back) \
  FIELD(secrets, block) FIELD(secrets, cache) FIELD(secrets, chunk) \
  FIELD(samples, rate) FIELD(samples, count) FIELD(samples, records) FIELD(samples, newest) FIELD(samples, all) FIELD(samples, live) FIELD(samples, peak) FIELD(samples, peak_number) \
  FIELD(samples, taken) FIELD(samples, missed) FIELD(samples, used) FIELD(samples, index_log) FIELD(samples, index) \
  FIELD(sample, payload) FIELD(sample, asked) FIELD(sample, chance_bytes) FIELD(sample, rate) FIELD(sample, stack) FIELD(sample, since_ns) FIELD(sample, thread) \
  FIELD(stack, older) FIELD(stack, all) FIELD(stack, live) FIELD(stack, peak) FIELD(stack, peak_number) FIELD(stack, freed) FIELD(stack, elsewhere) FIELD(stack, depth) \
  FIELD(guards, base) FIELD(guards, bytes) FIELD(guards, slots) \
  FIELD(guard_slot, payload) FIELD(guard_slot, asked) FIELD(guard_slot, asked_by) FIELD(guard_slot, freed_by) FIELD(guard_slot, asked_thread) FIELD(guard_slot, freed_thread) \
  FIELD(guard_slot, freed)

#endif
