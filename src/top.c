/* SPDX-License-Identifier: MIT */
/* See top.h.
 *
 * Preallocation: the top grows in steps (region.c) and is used last. What an arena's end leaves behind when a new chunk starts is a free
 * block like any other; a chunk whose successor went back to the kernel becomes the newest again. */
#include "top.h"

#include "budget.h"
#include "region.h"
#include "report.h"

/* ---- upwards -------------------------------------------------------------------------------------------------------- */

/* The chunk's end has moved: by our growth, or because a stranger moved the break down into the top. Then what is gone is not touched again
 * and can be had as if it had never been. (Where there is no room for a header behind the top any more, the heap must grow before
 * anything else is done there.) */
static void follow_limit(struct arena *arena) {
  arena->limit = arena->chunks->info.limit;
  arena->fresh = min_size(arena->fresh, arena->limit);
  arena->resident = min_size(arena->resident, arena->limit);
}

static void follow_break(struct arena *arena) {
  bool moved = arena->limit != __atomic_load_n(&arena->chunks->info.limit, __ATOMIC_RELAXED);
  if (LIKELY(!moved && !region_is_cut())) return;
  region_look_at_break();
  follow_limit(arena);
}

/* A chunk's memory but for what its sentinel leaves. */
static size_t retired_bytes(const struct chunk *chunk) { return chunk->info.end_bytes + HEADER_BYTES; }

/* End a chunk for good: what is left of the top becomes a free block, and a sentinel that counts as used stands at the end. (Where that is,
 * a stranger may have decided who lowered the break.) */
static void retire_top(struct arena *arena) {
  struct chunk *chunk = arena->chunks;
  uintptr_t sentinel = round_down(arena->limit, ALIGNMENT) - HEADER_BYTES, rest = sentinel - arena->top;
  if (rest < BLOCK_MIN) sentinel = arena->top;
  uintptr_t start = arena->top;
  arena->top = 0;
  set_header((struct block *)sentinel, 0, BLOCK_USED | BLOCK_PREV_USED);
  chunk->info.end_bytes = (uint32_t)(sentinel - (uintptr_t)chunk);
  arena->older_bytes += retired_bytes(chunk);
  uintptr_t absent = round_up(max_size(arena->resident, whole_pages_from(start)), page_bytes), last = round_down(sentinel, page_bytes);
  if (rest >= BLOCK_MIN) make_free(arena, start, rest, last > absent ? last - absent : 0);
}

static bool start_chunk(struct arena *arena, size_t bytes) {
  if (arena->chunks && arena->top + HEADER_BYTES > arena->limit) return false; /* see follow_limit() */
  struct chunk *chunk = region_new_chunk(arena, bytes);
  if (!chunk) return false;
  if (arena->chunks) {
    follow_limit(arena);
    retire_top(arena);
  }
  chunk->info.next = arena->chunks;
  arena->chunks = chunk;
  arena->top = (uintptr_t)chunk + sizeof *chunk - HEADER_BYTES;
  arena->fresh = arena->resident = arena->top;
  arena->limit = chunk->info.limit;
  return true;
}

/* The top moves into pages that were never touched. When it is slabs and small blocks that move it, their users will fill the next pages
 * too: have the kernel bring in the next 128th of the arena at once, at 960 ns a page instead of 1470. Not below
 * 8 MiB of it: what is never used of it would show. And not among larger blocks, which may never be filled (z3: RSS 1.02 -> 1.06), nor for a thread's first
 * slab of a class, of which it may want one object (1000 threads, each with one object of each size by turns: 987 MB, now 139; glibc 42). */
static void populate_ahead(struct arena *arena, uintptr_t end) {
  size_t used = arena->older_bytes + (arena->top - (uintptr_t)arena->chunks);
  size_t ahead = min_size(used / POPULATE_SHARE, POPULATE_MAX);
  if (ahead < POPULATE_MIN || arena->dense_bytes < ahead) return;
  uintptr_t first = round_up(arena->resident, page_bytes), last = min_size(round_up(end + ahead, page_bytes), arena->limit);
  if (first < last && sys_populate((void *)first, last - first)) arena->resident = last;
}

void touch_top(struct arena *arena, uintptr_t end, size_t bytes, bool dense) {
  uintptr_t touched = end + HEADER_BYTES; /* a payload reaches 8 bytes past its block */
  arena->fresh = max_size(arena->fresh, touched);
  arena->dense_bytes = dense ? arena->dense_bytes + bytes : 0;
  if (touched <= arena->resident) return;
  budget_regret((touched - arena->resident + page_bytes - 1) / page_bytes);
  populate_ahead(arena, touched);
  arena->resident = max_size(arena->resident, min_size(round_up(touched, page_bytes), arena->limit));
}

bool reach(struct arena *arena, uintptr_t end, enum arena_growth growth) {
  follow_break(arena);
  if (end + HEADER_BYTES <= arena->limit) return true;
  if (growth == ARENA_AS_IS) return false;
  bool reached = region_extend(arena->chunks, end + HEADER_BYTES);
  follow_limit(arena);
  return reached;
}

uintptr_t reserve_top(struct arena *arena, size_t bytes, size_t alignment, enum arena_growth growth) {
  uintptr_t at = arena->chunks ? place_in(arena->top, SIZE_MAX / 2, bytes, alignment) : 0;
  if (at && reach(arena, at + bytes, growth)) return at;
  if (growth == ARENA_AS_IS || !start_chunk(arena, bytes + alignment + 2 * BLOCK_MIN)) return 0;
  at = place_in(arena->top, SIZE_MAX / 2, bytes, alignment);
  return reach(arena, at + bytes, growth) ? at : 0;
}

bool top_is_warm(const struct arena *arena, size_t bytes, size_t alignment) {
  return arena->chunks && place_in(arena->top, SIZE_MAX / 2, bytes, alignment) + bytes + HEADER_BYTES <= arena->resident;
}

/* ---- downwards ------------------------------------------------------------------------------------------------------ */

size_t discard_pages(uintptr_t start, uintptr_t end, bool trims) {
  uintptr_t first = round_up(start, page_bytes), last = round_down(end, page_bytes);
  bool (*discard)(void *, size_t) = trims ? sys_discard_locked : sys_discard;
  return first < last && discard((void *)first, last - first) ? last - first : 0;
}

/* (A stranger who lowered the break into the top may have come back above it.) */
size_t discard_top(struct arena *arena, uintptr_t keep, size_t most, bool trims) {
  follow_break(arena);
  uintptr_t resident = arena->resident;
  if (resident <= keep) return 0;
  uintptr_t from = resident - keep > most ? round_up(resident - most, page_bytes) : keep;
  arena->resident = from; /* refused or not: it will not be asked for again */
  return discard_pages(from, resident, trims);
}

/* What lies above `keep` at the top goes back: by the break, so that it reads as zero when it comes again, else by madvise
 * (after which emulators differ). */
static size_t lower_top(struct arena *arena, uintptr_t keep) {
  size_t resident = arena->resident;
  if (!region_shrink(arena->chunks, keep)) return discard_top(arena, keep, SIZE_MAX, true);
  follow_limit(arena);
  return resident > keep ? resident - keep : 0;
}

/* A chunk becomes the newest again, its last free block the top. */
COLD static void reopen_chunk(struct arena *arena, struct chunk *chunk) {
  struct block *sentinel = (struct block *)((uintptr_t)chunk + chunk->info.end_bytes);
  if (!block_is_tagged(sentinel)) report_misuse("free", MISUSE_CORRUPTED, block_payload(sentinel));
  arena->chunks = chunk;
  arena->older_bytes -= retired_bytes(chunk);
  chunk->info.end_bytes = 0;
  arena->top = (uintptr_t)sentinel;
  if (!(block_header(sentinel) & BLOCK_PREV_USED)) {
    arena->top -= sentinel->prev_bytes;
    bin_remove(arena, (struct block *)arena->top);
  }
  arena->limit = arena->fresh = arena->resident = chunk->info.limit;
}

/* Nothing is left in the newest chunk, and it is not the only one. */
static bool newest_is_empty(const struct arena *arena) {
  return arena->top == (uintptr_t)arena->chunks + sizeof(struct chunk) - HEADER_BYTES && arena->chunks->info.next;
}

/* Give it back whole, if it is the end of the brk heap. */
COLD static size_t drop_chunk(struct arena *arena) {
  struct chunk *chunk = arena->chunks, *before = chunk->info.next;
  size_t released = arena->resident - (uintptr_t)chunk;
  if (!region_shrink(chunk, (uintptr_t)chunk)) return 0;
  reopen_chunk(arena, before);
  return released;
}

bool trim_top(struct arena *arena, size_t pad, size_t *released) {
  if (!arena->chunks) return false;
  follow_break(arena);
  bool drop = pad < CHUNK_BYTES && newest_is_empty(arena);
  uintptr_t keep = round_up(arena->top + HEADER_BYTES + (drop ? 0 : min_size(pad, BLOCK_MAX)), page_bytes);
  if (arena->resident > keep + PORTION) {
    *released += discard_top(arena, keep, PORTION, true);
    return true;
  }
  size_t dropped = drop ? drop_chunk(arena) : 0;
  *released += dropped;
  if (dropped == 0 && keep < arena->limit) *released += lower_top(arena, keep);
  return dropped > 0;
}
