/* See purge.h.
 *
 * What is dirty beyond its share goes back in runs of 64 KiB and more, while the budget pays for it (budget.h). Short runs only where dirt
 * abounds: cc1plus would make 99 calls more. */
#include "purge.h"

#include "budget.h"
#include "top.h"

enum { DIRTY_SHARE = 8, FLOOD = 4, RUN_MIN = 64 * 1024, PATIENCE = 256 };

/* The whole pages of a free block. */
static size_t purge(struct arena *arena, struct block *block) {
  size_t bytes = block_bytes(block), dirty = bytes - block_clean_bytes(block);
  size_t released = discard_pages((uintptr_t)(block_clean_word(block) + 1), (uintptr_t)block + bytes);
  if (released == 0) return 0;
  arena->clean_bytes += dirty;
  *block_clean_word(block) = bytes;
  set_flags(block, BLOCK_PURGED, 0);
  return min_size(released, dirty);
}

static size_t dirty_limit(const struct arena *arena) {
  size_t in_use = arena->older_bytes + (arena->top - (uintptr_t)arena->chunks) - arena->free_bytes;
  return max_size(in_use / DIRTY_SHARE, DIRTY_MIN);
}

/* The top keeps `pad`. Its address space stays: a break that goes up and down costs more calls. */
static void purge_top(struct arena *arena, size_t pad) {
  uintptr_t keep = round_up(arena->top + HEADER_BYTES + pad, page_bytes);
  if (arena->resident < keep + RUN_MIN || !budget_spend_on_heap((arena->resident - keep) / page_bytes)) return;
  discard_pages(keep, arena->resident);
  arena->resident = keep;
}

/* The largest runs first, until no more than `keep` is dirty or the budget is used up. Returns how many were looked at. */
static uint32_t purge_runs(struct arena *arena, size_t keep, size_t run_min) {
  uint32_t looks = 0;
  for (size_t bin = BINS - 1, last = bin_of(run_min); bin >= last; bin--)
    for (struct block *block = arena->bins[bin]; block; block = block->next, looks++) {
      if (dirty_bytes(arena) <= keep) return looks;
      size_t dirty = block_bytes(block) - block_clean_bytes(block);
      if (dirty < run_min) continue;
      if (!budget_spend_on_heap(dirty / page_bytes)) return looks;
      purge(arena, block);
    }
  return looks;
}

COLD void give_back(struct arena *arena) {
  size_t limit = dirty_limit(arena);
  if (dirty_bytes(arena) <= limit) {
    arena->patience = PATIENCE;
    return;
  }
  purge_top(arena, limit / 4);
  bool flood = dirty_bytes(arena) > FLOOD * limit;
  /* A free for each look, so that many runs which are clean already cost each free no more than few do. */
  arena->patience = purge_runs(arena, limit / 2, flood ? RUN_MIN : max_size(RUN_MIN, limit / 16));
  if (dirty_bytes(arena) > limit) arena->patience += PATIENCE; /* no budget, or no runs */
}

COLD size_t purge_bins(struct arena *arena) {
  size_t released = 0;
  for (size_t bin = bin_of(page_bytes); bin < BINS; bin++)
    for (struct block *block = arena->bins[bin]; block; block = block->next)
      if (block_clean_bytes(block) < block_bytes(block)) released += purge(arena, block);
  return released;
}
