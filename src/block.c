/* SPDX-License-Identifier: MIT */
/* See block.h; block_meta.h has the pictures.
 *
 * Splitting: what a block has too much becomes a free block of its own. Freed, it coalesces at once (bins.c). Space comes from the best
 * fitting free block, else from the top (top.c).
 *
 * Not done here: no caching (cache.c), no locking (arena.c), no reaction to want of memory (heap.c), no errno. */
#include "block.h"

#include "budget.h"
#include "region.h"

/* Mark space as in use: as a slab of `owner`, or (NULL) as a block. */
static void claim(uintptr_t at, size_t bytes, struct theap *owner) {
  if (!owner) {
    set_header((struct block *)at, bytes, BLOCK_USED | BLOCK_PREV_USED);
    return;
  }
  uintptr_t granule = at + HEADER_BYTES;
  struct slab *slab = slab_at(region_base(granule), granule);
  slab->prev_free_bytes = 0;
  __atomic_store_n(&slab->owner, owner, __ATOMIC_RELAXED);
}

/* Where there is a limit, memory that was given back counts from before it is used again, so that threads cannot pass the limit together. */
static inline bool take_back(struct arena *arena, size_t bytes) {
  if (LIKELY(bytes == 0 || sys_limits.hard == 0)) return true;
  if (!sys_take_back(bytes)) return false;
  arena->told_bytes -= bytes;
  return true;
}

/* What of a free block is not in memory when it begins at `start` no more, but at `rest`. */
static clean_part clean_rest(clean_part clean, uintptr_t start, uintptr_t rest) {
  if (!clean) return 0;
  size_t gone = whole_pages_from(rest) - whole_pages_from(start), base = clean_unit(whole_pages_from(start));
  size_t from = max_size(clean_bytes_between(base, clean_from(clean)), gone), to = max_size(clean_bytes_between(base, clean_to(clean)), gone);
  size_t bytes = max_size(clean_bytes_of(clean) - min_size(clean_bytes_of(clean), gone), to - from);
  return clean_part_of(bytes, base + clean_unit(from), base + clean_unit(to));
}

/* Take space out of the best fitting free block, or of the top; what is before and behind is split off. Its start, or 0. */
static uintptr_t take(struct arena *arena, size_t bytes, size_t alignment, struct theap *owner, bool fills, enum arena_growth growth,
                      uintptr_t *zero_from) {
  struct block *block = best_fit(arena, bytes, alignment);
  if (block && !take_back(arena, min_size(bytes, block_clean_bytes(block)))) block = NULL;
  uintptr_t start, end, at;
  clean_part clean = 0, clean_before = 0;
  if (block) {
    start = (uintptr_t)block;
    end = start + block_bytes(block);
    at = place_in(start, end - start, bytes, alignment);
    clean = bin_remove(arena, block);
    if (end - at - bytes < BLOCK_MIN) bytes = end - at;
    if (clean) budget_regret(min_size(bytes, clean_bytes_of(clean)) / page_bytes);
    *zero_from = UINTPTR_MAX; /* nothing is known */
  } else {
    if (growth == ARENA_WARM && !top_is_warm(arena, bytes, alignment)) return 0;
    at = reserve_top(arena, bytes, alignment, growth);
    if (!at) return 0;
    start = arena->top;
    arena->top = end = at + bytes;
    *zero_from = max_size(arena->fresh, at + HEADER_BYTES);
    /* What a large alignment leaves out is no memory. (Not what a slab's does: taken later it would count as released and wanted again.) */
    if (at > max_size(start, arena->resident) + GRANULE_BYTES) clean_before = at - max_size(start, arena->resident);
    touch_top(arena, end, bytes, fills && (owner || end - start <= DENSE_BLOCK_MAX));
  }
  claim(at, bytes, owner);
  if (at + bytes < end)
    make_free(arena, at + bytes, end - at - bytes, clean_rest(clean, start, at + bytes));
  else
    set_prev_free(arena, end, 0);
  if (at != start) make_free(arena, start, at - start, clean_before);
  return at;
}

static void count_live(struct arena *arena, size_t blocks, size_t bytes) {
  arena->live_count += blocks;
  __atomic_store_n(&arena->live_bytes, arena->live_bytes + bytes, __ATOMIC_RELAXED);
  raise_to(&arena->most_used, arena_used_bytes(arena));
}

struct block *arena_take_locked(struct arena *arena, size_t bytes, size_t alignment, enum arena_growth growth,
                                uintptr_t *zero_from) {
  struct block *block = (struct block *)take(arena, bytes, alignment, NULL, true, growth, zero_from);
  if (!block) return NULL;
  count_live(arena, 1, block_bytes(block));
  arena->allocations++;
  return block;
}

void arena_give_locked(struct arena *arena, struct block *block) {
  /* The header stays in memory after coalescing and says "free": a later double free reads it. */
  set_flags(block, 0, BLOCK_USED);
  uint64_t header = block_header(block);
  size_t bytes = header & BLOCK_BYTES_MASK;
  count_live(arena, (size_t)-1, -bytes);
  coalesce(arena, (uintptr_t)block, bytes, header & BLOCK_PREV_USED ? 0 : block->prev_bytes);
}

/* Take the free neighbour behind `end`, or as much of the top as is missing to `want_end`: the new end, or 0. */
static uintptr_t expand(struct arena *arena, uintptr_t end, uintptr_t want_end, clean_part *clean) {
  if (end == arena->top) {
    if (!reach(arena, want_end, ARENA_MAY_GROW)) return 0;
    touch_top(arena, want_end, 0, false);
    return arena->top = want_end;
  }
  struct block *next = (struct block *)end;
  if (slab_starting(end) || (block_header(next) & BLOCK_USED) || end + block_bytes(next) < want_end) return 0;
  if (!take_back(arena, min_size(want_end - end, block_clean_bytes(next)))) return 0;
  *clean = bin_remove(arena, next);
  if (*clean) budget_regret(min_size(want_end - end, clean_bytes_of(*clean)) / page_bytes);
  *clean = clean_rest(*clean, end, want_end);
  end += block_bytes(next);
  set_prev_free(arena, end, 0);
  return end;
}

bool arena_resize_locked(struct arena *arena, struct block *block, size_t bytes) {
  uintptr_t start = (uintptr_t)block;
  clean_part clean = 0;
  size_t old_bytes = block_bytes(block);
  uintptr_t end = start + old_bytes;
  bool grows = bytes > old_bytes;
  if (grows && !(end = expand(arena, end, start + bytes, &clean))) return false;
  size_t rest = end - start - bytes;
  if (rest < BLOCK_MIN) rest = 0;
  size_t now = end - start - rest;
  set_header(block, now, (unsigned)(block_header(block) & BLOCK_FLAGS));
  if (rest && grows)
    make_free(arena, end - rest, rest, clean);
  else if (rest)
    coalesce(arena, end - rest, rest, 0);
  count_live(arena, 0, now - old_bytes);
  return true;
}

static void count_slabs(struct arena *arena, size_t slabs) {
  __atomic_store_n(&arena->slabs, arena->slabs + slabs, __ATOMIC_RELAXED);
  raise_to(&arena->most_used, arena_used_bytes(arena));
}

struct slab *arena_take_slab_locked(struct arena *arena, struct theap *owner, bool fills, enum arena_growth growth) {
  uintptr_t zero_from;
  uintptr_t at = take(arena, GRANULE_BYTES, GRANULE_BYTES, owner, fills, growth, &zero_from);
  if (!at) return NULL;
  count_slabs(arena, 1);
  return slab_at(region_base(at + HEADER_BYTES), at + HEADER_BYTES);
}

void arena_give_slab_locked(struct arena *arena, struct slab *slab) {
  uintptr_t start = slab_start(slab) - HEADER_BYTES;
  __atomic_store_n(&slab->owner, NULL, __ATOMIC_RELAXED);
  count_slabs(arena, (size_t)-1);
  coalesce(arena, start, GRANULE_BYTES, slab->prev_free_bytes);
}
