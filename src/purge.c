/* SPDX-License-Identifier: MIT */
/* See purge.h.
 *
 * What is dirty beyond its share goes back in runs of 64 KiB and more, while the budget pays for it (budget.h), and not before nobody wanted it for an age: the least
 * that was dirty in all that time. The free that makes it too much only says that it is due; later frees of any kind, the clock in hand, come back to it (due.h),
 * since no free may ever reach the arena again. (At once, as it was: faults of real programs 1.16 of glibc's, of python's json 4.9, and a program whose bursts
 * came again put it all on hold: after bursts of 600 MB 434 were left 5 s later, now 10.) But where very much is dirty, and no mistake is remembered, it goes at once.
 * Where the budget is hardly used, shorter runs go after them, in each age: of the free memory of a cache that drifts nearly all lies in runs of 8 to 64 KiB. (Ten days of one, a second each on a clock as much
 * faster: resident 1.73 times what is live, now 1.49; in the troughs of a load that is five times as high at noon 2.30, now 1.90; connections with buffers 1.99, now 1.86.)
 *
 * How far a round has come stands in the arena (`sweep...`); bin_remove() moves it on when the block that it stands at leaves its bin. How far a
 * run was swept stands in the run (`clean_part`), and what coalesces with it leaves that known. (When each visit began at a run's end anew, of
 * blocks freed in order 63 % of the pages advised had been advised, and paid for, before: 235 of 502 MB stayed.) Where else in a run its clean bytes
 * are nobody knows, only that there are so many at least. One with no more than a portion of dirt is discarded at once: pages that are not there
 * cost nothing (1.7 us for a MB of them).
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

static void next_block(struct arena *arena) { arena->sweep = arena->sweep->next; }

static size_t block_whole_bytes(const struct block *block) {
  return whole_page_bytes((uintptr_t)block, (uintptr_t)block + block_bytes(block));
}

/* Of its whole pages. */
static size_t block_dirty_bytes(const struct block *block) { return block_whole_bytes(block) - block_clean_bytes(block); }

/* The next run, after some looks; NULL: not yet, or the round is over. */
static struct block *next_run(struct arena *arena, uint32_t looks) {
  for (size_t last = bin_of(arena->sweep_min); looks > 0; looks--) {
    while (!arena->sweep && arena->sweep_bin > last) arena->sweep = arena->bins[--arena->sweep_bin];
    if (!arena->sweep) {
      end(arena);
      return NULL;
    }
    if (block_dirty_bytes(arena->sweep) >= arena->sweep_min) return arena->sweep;
    next_block(arena);
  }
  return NULL;
}

struct stretch {
  uintptr_t from, to;
};

static struct stretch whole_pages(const struct block *block) {
  return (struct stretch){whole_pages_from((uintptr_t)block), round_down((uintptr_t)block + block_bytes(block), page_bytes)};
}

/* What is known to be clean, where it lies; at first nothing, at the end. */
static struct stretch clean_stretch(const struct block *block, struct stretch whole) {
  clean_part clean = block_clean(block);
  size_t bytes = clean_stretch_bytes(clean);
  uintptr_t from = bytes ? whole.from + clean_bytes_between(clean_unit(whole.from), clean_from(clean)) : whole.to;
  return (struct stretch){from, from + bytes};
}

/* What of a run goes next: a portion beside what is clean, on the side where more is left; if it has no more dirt than that, all that is on either. */
static struct stretch next_portion(const struct block *block) {
  struct stretch whole = whole_pages(block), clean = clean_stretch(block, whole);
  size_t above = whole.to - clean.to, below = clean.from - whole.from;
  if (block_dirty_bytes(block) <= PORTION + RUN_MIN) return (struct stretch){below ? whole.from : clean.to, above ? whole.to : clean.from};
  if (above > below) return (struct stretch){clean.to, clean.to + min_size(above, PORTION)};
  return (struct stretch){clean.from - min_size(below, PORTION), clean.from};
}

static size_t portion_bytes(const struct block *block) {
  struct stretch portion = next_portion(block);
  return min_size(portion.to - portion.from, block_dirty_bytes(block));
}

static void set_clean(struct arena *arena, struct block *block, struct stretch clean) {
  size_t before = block_clean_bytes(block), bytes = max_size(before, clean.to - clean.from);
  arena->clean_bytes += bytes - before;
  *block_clean_word(block) = clean_part_of(bytes, clean_unit(clean.from), clean_unit(clean.to));
  set_flags(block, BLOCK_PURGED, 0);
}

/* Bytes released. */
static size_t sweep_portion(struct arena *arena) {
  struct block *block = arena->sweep;
  struct stretch whole = whole_pages(block), clean = clean_stretch(block, whole), portion = next_portion(block);
  size_t bytes = portion_bytes(block), released = discard_pages(portion.from, portion.to, arena->sweep_trims);
  clean = (struct stretch){min_size(clean.from, portion.from), max_size(clean.to, portion.to)};
  if (released) set_clean(arena, block, clean);
  if (!released || (clean.from == whole.from && clean.to == whole.to)) next_block(arena);
  return min_size(released, bytes);
}

/* Long runs first; then short ones, too, of which there may be very many that are clean. */
static void begin_long(struct arena *arena) {
  begin(arena, RUN_MIN);
  arena->long_are_gone = false;
}

/* False: nothing follows, in this age. */
static bool next_round(struct arena *arena) {
  arena->long_are_gone = !arena->long_are_gone && budget_is_rich();
  if (arena->long_are_gone)
    begin(arena, RUN_LEAST);
  else
    arena->idle_bytes = 0;
  return arena->long_are_gone;
}

/* ---- after a free --------------------------------------------------------------------------------------------------- */

enum { TOP_SHARE = 4 }; /* of what may be dirty, the top keeps */

static size_t dirty_limit(const struct arena *arena) {
  size_t in_use = arena->older_bytes + (arena->top - (uintptr_t)arena->chunks) - arena->free_bytes;
  return max_size(in_use / DIRTY_SHARE, DIRTY_MIN);
}

bool is_too_dirty(const struct arena *arena) { return dirty_bytes(arena) > dirty_limit(arena); }

/* The top keeps `pad`. Its address space stays: a break that goes up and down costs more calls. False: it has no more than that. */
static bool purge_top(struct arena *arena, size_t pad) {
  uintptr_t keep = round_up(arena->top + HEADER_BYTES + pad, page_bytes);
  if (arena->resident < keep + RUN_MIN) return false;
  size_t bytes = min_size(arena->resident - keep, PORTION);
  if (!budget_spend(bytes / page_bytes)) return false;
  discard_top(arena, keep, PORTION, false);
  return true;
}

/* A portion of the next run. False: the budget is used up. */
static bool purge_run(struct arena *arena, uint32_t looks) {
  if (!next_run(arena, looks)) return true;
  if (!budget_spend(portion_bytes(arena->sweep) / page_bytes)) return false;
  sweep_portion(arena);
  return true;
}

/* What may be freed until dirt can be more than its share again. */
static size_t patience_of(const struct arena *arena, size_t limit) {
  size_t dirty = dirty_bytes(arena);
  return dirty > limit ? PATIENCE : (limit - dirty) / (DIRTY_SHARE + 1) * DIRTY_SHARE;
}

/* A portion; the round is over when there is no more. False: the budget is used up. */
static bool give_portion(struct arena *arena, size_t limit, uint32_t looks) {
  if (!arena->sweep_min) begin(arena, RUN_MIN);
  return purge_top(arena, limit / TOP_SHARE) || purge_run(arena, looks);
}

/* What is dirty beyond its share goes at once near the soft limit; and where it is very much, until no more is. */
static bool goes_at_once(struct arena *arena, size_t dirty, size_t limit) {
  bool much = dirty > limit && (arena->flooded || dirty > limit + FLOOD);
  arena->flooded = much && !budget_waits();
  return arena->flooded || (dirty > limit && sys_near_soft_limit(0));
}

COLD void give_back(struct arena *arena) {
  size_t limit = dirty_limit(arena), dirty = dirty_bytes(arena), released = 0;
  if (dirty > limit) budget_note_due(DUE_BLOCKS, true);
  if (giving == HAS_GIVEN) return;
  arena->patience = patience_of(arena, limit);
  if (!goes_at_once(arena, dirty, limit) && !arena->sweep_trims) return;
  if (giving == GIVES_ONCE) giving = HAS_GIVEN;
  if (arena->long_are_gone && !arena->sweep_trims) begin_long(arena);
  if (arena->sweep_trims)
    purge_on(arena, &released); /* one is under way: it is helped */
  else if (give_portion(arena, limit, LOOKS))
    released = dirty - dirty_bytes(arena);
  else
    arena->flooded = false;
  if (arena->sweep_min) arena->patience = released / PORTION_SHARE; /* the round goes on */
}

/* ---- by age --------------------------------------------------------------------------------------------------------- */

/* What was dirty all the time is idle: as much as the least that was. Which of it, nobody knows, nor matters. */
static void grow_old(struct arena *arena, uint64_t now) {
  enum { LATE_NS = 1000 * 1000 * 1000 };
  int64_t since = (int64_t)(now - arena->looked_at); /* a little less than nothing, where another thread came in between; much less, where the clock went back */
  if (since < (int64_t)budget_age() && since > -LATE_NS) return;
  bool more = arena->least_dirty > arena->idle_before + PATIENCE; /* it may be in long runs, and does not wait */
  if (more && arena->long_are_gone && !arena->sweep_trims) begin_long(arena);
  arena->idle_bytes = arena->idle_before = arena->least_dirty;
  arena->least_dirty = dirty_bytes(arena);
  arena->looked_at = now;
}

COLD bool give_idle(struct arena *arena, uint64_t now) {
  size_t limit = dirty_limit(arena), dirty = dirty_bytes(arena);
  grow_old(arena, now);
  arena->idle_bytes = min_size(arena->idle_bytes, arena->least_dirty); /* some was wanted meanwhile */
  if (arena->sweep_trims || arena->idle_bytes <= limit) return false;
  if (!give_portion(arena, limit, LOOKS_FOR_IDLE)) return false;
  arena->idle_bytes -= min_size(arena->idle_bytes, dirty - dirty_bytes(arena));
  return arena->sweep_min || next_round(arena);
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
