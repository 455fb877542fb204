/* See purge.h.
 *
 * What is dirty beyond its share goes back in runs of 64 KiB and more, while the budget pays for it (budget.h). Short runs only where dirt
 * abounds: cc1plus would make 99 calls more.
 *
 * How far a round has come stands in the arena (`sweep...`); bin_remove() moves it on when the block that it stands at leaves its bin. Where
 * in a run its clean bytes are nobody knows, only that there are so many at least. A run with no more than a portion of dirt is discarded
 * whole: pages that are not there cost nothing (1.7 us for a MB of them). Others are swept from the end down, and then so many bytes are
 * clean at least as lie behind `swept`.
 *
 * (All at once, under the lock: when 4 GB of blocks were freed one of the frees took 775 ms, and another thread's malloc 424.) */
#include "purge.h"

#include "budget.h"
#include "top.h"

__thread enum giving giving;

/* ---- a round -------------------------------------------------------------------------------------------------------- */

static void begin(struct arena *arena, size_t run_min) {
  arena->sweep_min = run_min;
  arena->sweep_trims = false;
  arena->sweep_bin = BINS;
  arena->sweep = NULL;
}

static void end(struct arena *arena) { begin(arena, 0); }

static void next_block(struct arena *arena) {
  arena->sweep = arena->sweep->next;
  arena->swept = 0;
}

static size_t block_whole_bytes(const struct block *block) {
  return whole_page_bytes((uintptr_t)block, (uintptr_t)block + block_bytes(block));
}

/* Of its whole pages. */
static size_t block_dirty_bytes(const struct block *block) { return block_whole_bytes(block) - block_clean_bytes(block); }

/* The next run, after some looks; NULL: not yet, or the round is over. */
static struct block *next_run(struct arena *arena, uint32_t looks) {
  for (size_t last = bin_of(arena->sweep_min); looks > 0; looks--) {
    while (!arena->sweep && arena->sweep_bin > last) {
      arena->sweep = arena->bins[--arena->sweep_bin];
      arena->swept = 0;
    }
    if (!arena->sweep) {
      end(arena);
      return NULL;
    }
    if (block_dirty_bytes(arena->sweep) >= arena->sweep_min) return arena->sweep;
    next_block(arena);
  }
  return NULL;
}

static void set_clean(struct arena *arena, struct block *block, size_t clean_bytes) {
  arena->clean_bytes += clean_bytes - block_clean_bytes(block);
  *block_clean_word(block) = clean_bytes;
  set_flags(block, BLOCK_PURGED, 0);
}

/* How much of the run that the round stands at goes next. */
static size_t portion_bytes(const struct arena *arena) {
  size_t dirty = block_dirty_bytes(arena->sweep);
  return dirty > PORTION + RUN_MIN ? PORTION : dirty;
}

/* Bytes released. */
static size_t sweep_portion(struct arena *arena) {
  struct block *block = arena->sweep;
  size_t dirty = block_dirty_bytes(block);
  uintptr_t first = whole_pages_from((uintptr_t)block), last = round_down((uintptr_t)block + block_bytes(block), page_bytes);
  uintptr_t to = arena->swept ? arena->swept : last, from = first;
  if (portion_bytes(arena) < dirty && to - first > PORTION) from = to - PORTION;
  size_t released = discard_pages(from, to);
  if (released) set_clean(arena, block, max_size(block_clean_bytes(block), last - from));
  arena->swept = from;
  if (from == first || !released) next_block(arena);
  return min_size(released, dirty);
}

/* ---- after a free --------------------------------------------------------------------------------------------------- */

static size_t dirty_limit(const struct arena *arena) {
  size_t in_use = arena->older_bytes + (arena->top - (uintptr_t)arena->chunks) - arena->free_bytes;
  return max_size(in_use / DIRTY_SHARE, DIRTY_MIN);
}

/* The top keeps `pad`. Its address space stays: a break that goes up and down costs more calls. False: it has no more than that. */
static bool purge_top(struct arena *arena, size_t pad) {
  uintptr_t keep = round_up(arena->top + HEADER_BYTES + pad, page_bytes);
  if (arena->resident < keep + RUN_MIN) return false;
  size_t bytes = min_size(arena->resident - keep, PORTION);
  if (!budget_spend_on_heap(bytes / page_bytes)) return false;
  discard_top(arena, keep, PORTION);
  return true;
}

/* A portion of the next run. False: the budget is used up. */
static bool purge_run(struct arena *arena) {
  if (!next_run(arena, LOOKS)) return true;
  if (!budget_spend_on_heap(portion_bytes(arena) / page_bytes)) return false;
  sweep_portion(arena);
  return true;
}

/* What may be freed until dirt can be more than its share again. */
static size_t patience_of(const struct arena *arena, size_t limit) {
  size_t dirty = dirty_bytes(arena);
  return dirty > limit ? PATIENCE : (limit - dirty) / (DIRTY_SHARE + 1) * DIRTY_SHARE;
}

COLD void give_back(struct arena *arena) {
  if (giving == HAS_GIVEN) return;
  if (giving == GIVES_ONCE) giving = HAS_GIVEN;
  size_t limit = dirty_limit(arena), dirty = dirty_bytes(arena), released = 0;
  if (arena->sweep_trims) { /* one is under way: it is helped */
    purge_on(arena, &released);
    arena->patience = released / PORTION_SHARE;
    return;
  }
  if (dirty > limit && !arena->sweep_min) begin(arena, dirty > FLOOD * limit ? RUN_MIN : max_size(RUN_MIN, limit / 16));
  if (dirty <= limit / 2) end(arena);
  if (arena->sweep_min && !purge_top(arena, limit / 4) && !purge_run(arena)) end(arena);
  arena->patience = arena->sweep_min ? (dirty - dirty_bytes(arena)) / PORTION_SHARE : patience_of(arena, limit);
}

/* ---- for a trim ----------------------------------------------------------------------------------------------------- */

void purge_begin(struct arena *arena) {
  begin(arena, page_bytes);
  arena->sweep_trims = true;
}

COLD bool purge_on(struct arena *arena, size_t *released) {
  size_t portion = 0;
  for (int calls = 0; calls < CALLS_OF_TRIM && portion < PORTION; calls++) {
    if (!arena->sweep_min) return false;
    if (!next_run(arena, LOOKS_OF_TRIM / CALLS_OF_TRIM)) continue;
    portion += sweep_portion(arena);
  }
  *released += portion;
  return true;
}
