/* See block.h; block_meta.h has the pictures.
 *
 * Strategies, by the name under which courses teach them:
 *   best fit       bins by size, exact below 1 KiB, sixteen per doubling above; a few blocks of the request's own bin are
 *                  looked at, then the smallest of the first few in the next bin (that is what makes it best fit in practice)
 *   splitting      what a block has too much becomes a free block of its own
 *   coalescing     at once, on free, with both neighbours, in O(1) by the boundary tags
 *   preallocation  the top of the heap grows in steps (region.c) and is used last
 *
 * Locking: an arena's lock, held by the caller of all ..._locked verbs and statics. Freeing never waits: when the
 * lock is taken the block goes on the arena's deferred stack, and the next holder empties that.
 *
 * Not done here: no caching (thread.c), no reaction to want of memory (osmem.c), no errno. */
#include "block.h"

#include <sched.h>

#include "budget.h"
#include "region.h"
#include "report.h"

enum {
  EXACT_BINS = 64,   /* units of 16 bytes below this have a bin each */
  EXACT_BINS_LOG = 6,
  BINS_PER_DOUBLING_LOG = 4,
  LOOK_AT = 4        /* blocks of one bin: 1, 2, 4 and 8 differ by no more than noise in time and RSS (node 1.07 with 8, once) */
};

enum { POPULATE_SHARE = 128, POPULATE_MIN = 64 * 1024, POPULATE_MAX = 4 * 1024 * 1024, DENSE_BLOCK_MAX = 4096 };

/* So much free memory in another arena is worth a look there. */
enum { WORTH_A_LOOK = 64 * 1024 };

static struct arena first_arena;
static struct arena *arenas[ARENAS_MAX] = {&first_arena};
static size_t arenas_made = 1; /* atomic */
static struct lock making_lock = {.rank = LOCK_MAKING}; /* guards adding one */

/* ---- bins ----------------------------------------------------------------------------------------------------------- */

static unsigned log2_of(size_t n) { return 63 - (unsigned)__builtin_clzl(n); }

static size_t bin_of(size_t bytes) {
  size_t units = bytes / ALIGNMENT;
  if (units < EXACT_BINS) return units;
  unsigned log = log2_of(units);
  size_t step = (units >> (log - BINS_PER_DOUBLING_LOG)) & ((1 << BINS_PER_DOUBLING_LOG) - 1);
  return EXACT_BINS + ((log - EXACT_BINS_LOG) << BINS_PER_DOUBLING_LOG) + step;
}

static void count_free(struct arena *arena, size_t bytes, size_t clean_bytes) {
  __atomic_store_n(&arena->free_bytes, arena->free_bytes + bytes, __ATOMIC_RELAXED);
  arena->clean_bytes += clean_bytes;
}

static void bin_insert(struct arena *arena, struct block *block, size_t bytes, size_t clean_bytes) {
  size_t bin = bin_of(bytes);
  struct block *first = arena->bins[bin];
  block->next = first;
  block->prev = NULL;
  if (first) first->prev = block;
  arena->bins[bin] = block;
  count_free(arena, bytes, clean_bytes);
  arena->bin_map[bin / 64] |= (uint64_t)1 << bin % 64;
}

/* Returns how much of the block is not in memory. */
static size_t bin_remove(struct arena *arena, struct block *block) {
  size_t bytes = block_bytes(block), bin = bin_of(bytes), clean_bytes = block_clean_bytes(block);
  struct block *next = block->next, *prev = block->prev;
  bool linked = block_is_tagged(block) && (prev ? prev->next : arena->bins[bin]) == block && (!next || next->prev == block);
  if (UNLIKELY(!linked)) report_misuse("free", MISUSE_CORRUPTED, block_payload(block));
  count_free(arena, -bytes, -clean_bytes);
  if (next) next->prev = prev;
  if (prev)
    prev->next = next;
  else if (!(arena->bins[bin] = next))
    arena->bin_map[bin / 64] &= ~((uint64_t)1 << bin % 64);
  return clean_bytes;
}

/* The first non-empty bin from `bin` on, or BINS. */
static size_t next_bin(const struct arena *arena, size_t bin) {
  size_t word = bin / 64;
  if (word >= BIN_WORDS) return BINS;
  uint64_t bits = arena->bin_map[word] & ~(uint64_t)0 << bin % 64;
  while (!bits)
    if (++word == BIN_WORDS) return BINS;
    else bits = arena->bin_map[word];
  return word * 64 + (size_t)__builtin_ctzl(bits);
}

/* Where in [start, start + have) a block of `bytes` with aligned payload may begin: what stays before and behind it is nothing or
 * a block; for slabs exactly so, since nothing of a granule can be lent to a rest of 16 bytes. 0: it does not fit. */
static uintptr_t place_in(uintptr_t start, size_t have, size_t bytes, size_t alignment) {
  if (LIKELY(alignment <= ALIGNMENT)) return bytes <= have ? start : 0;
  uintptr_t at = round_up(start + HEADER_BYTES, alignment) - HEADER_BYTES;
  if (at != start && at - start < BLOCK_MIN) at += round_up(BLOCK_MIN, alignment);
  if (at + bytes > start + have) return 0;
  bool rest_too_small = start + have - at - bytes == ALIGNMENT;
  return rest_too_small ? 0 : at;
}

/* The smallest of the first few of a bin that fits. */
static struct block *best_of_bin(const struct arena *arena, size_t bin, size_t bytes, size_t alignment) {
  struct block *best = NULL;
  size_t best_bytes = SIZE_MAX;
  int looks = LOOK_AT;
  for (struct block *block = arena->bins[bin]; block && looks > 0; block = block->next, looks--) {
    size_t have = block_bytes(block);
    if (have >= best_bytes || !place_in((uintptr_t)block, have, bytes, alignment)) continue;
    best = block;
    best_bytes = have;
    if (have == bytes) break;
  }
  return best;
}

static struct block *best_fit(const struct arena *arena, size_t bytes, size_t alignment) {
  for (size_t bin = next_bin(arena, bin_of(bytes)); bin < BINS; bin = next_bin(arena, bin + 1)) {
    struct block *best = best_of_bin(arena, bin, bytes, alignment);
    if (best) return best;
  }
  return NULL;
}

/* ---- boundary tags -------------------------------------------------------------------------------------------------- */

static uintptr_t region_base(uintptr_t address) {
  if (LIKELY(address - brk_base() < brk_bytes())) return brk_base();
  const struct region *region = region_of(address);
  if (!region) DIE("a block outside of all regions");
  return region->base;
}

uintptr_t slab_start(const struct slab *slab) {
  uintptr_t base = region_base((uintptr_t)slab);
  struct chunk *chunk = chunk_at(base, (uintptr_t)slab);
  return (uintptr_t)chunk + granule_of_slab(chunk, slab) * GRANULE_BYTES;
}

struct arena *arena_of(const void *memory) {
  return chunk_at(region_base((uintptr_t)memory), (uintptr_t)memory)->info.arena;
}

/* The slab whose block starts at `start`, or NULL. The sentinel at a chunk's end is none, though it starts 16 bytes
 * before a granule too: that of the next chunk's metadata. */
static struct slab *slab_starting(uintptr_t start) {
  uintptr_t payload = start + HEADER_BYTES;
  if (LIKELY(payload % GRANULE_BYTES != 0)) return NULL;
  uintptr_t base = region_base(start);
  if ((payload - base) % CHUNK_BYTES == 0) return NULL;
  struct slab *slab = slab_at(base, payload);
  return slab->owner ? slab : NULL;
}

static void set_header(struct block *block, size_t bytes, unsigned flags) {
  __atomic_store_n(&block->header, block_tag(block) | bytes | flags, __ATOMIC_RELAXED);
}

/* Tell what starts at `start` that the block before it is free and has `bytes`, or is in use (0). */
static void set_prev_free(struct arena *arena, uintptr_t start, size_t bytes) {
  if (start == arena->top) return;
  struct slab *slab = slab_starting(start);
  if (slab) {
    slab->prev_free_bytes = (uint32_t)bytes;
    return;
  }
  struct block *block = (struct block *)start;
  uint64_t header = block_header(block);
  if (bytes) block->prev_bytes = bytes;
  __atomic_store_n(&block->header, bytes ? header & ~(uint64_t)BLOCK_PREV_USED : header | BLOCK_PREV_USED, __ATOMIC_RELAXED);
}

/* Free space that has no free neighbour becomes a block in a bin. Up to `clean_bytes` of it are not in memory. */
static void make_free(struct arena *arena, uintptr_t start, size_t bytes, size_t clean_bytes) {
  struct block *block = (struct block *)start;
  bool purged = clean_bytes && bytes >= page_bytes;
  set_header(block, bytes, BLOCK_PREV_USED | (purged ? BLOCK_PURGED : 0));
  clean_bytes = purged ? min_size(clean_bytes, bytes) : 0;
  if (UNLIKELY(purged)) *block_clean_word(block) = clean_bytes;
  set_prev_free(arena, start + bytes, bytes);
  bin_insert(arena, block, bytes, clean_bytes);
}

/* Space in use becomes free and coalesces with what is free around it. */
static void coalesce(struct arena *arena, uintptr_t start, size_t bytes, size_t prev_free_bytes) {
  uintptr_t end = start + bytes;
  size_t clean_bytes = 0;
  if (prev_free_bytes) {
    start -= prev_free_bytes;
    struct block *prev = (struct block *)start;
    if (UNLIKELY(block_bytes(prev) != prev_free_bytes)) report_misuse("free", MISUSE_CORRUPTED, block_payload(prev));
    clean_bytes += bin_remove(arena, prev);
  }
  if (end == arena->top) {
    arena->top = start;
    return;
  }
  if (!slab_starting(end)) {
    struct block *next = (struct block *)end;
    if (UNLIKELY(!block_is_tagged(next))) report_misuse("free", MISUSE_CORRUPTED, block_payload(next));
    if (!(block_header(next) & BLOCK_USED)) {
      end += block_bytes(next);
      clean_bytes += bin_remove(arena, next);
    }
  }
  make_free(arena, start, end - start, clean_bytes);
}

/* ---- the top -------------------------------------------------------------------------------------------------------- */

/* End a chunk for good: what is left of the top becomes a free block, and a sentinel that counts as used stands at the end. */
static void retire_top(struct arena *arena) {
  uintptr_t sentinel = arena->limit - HEADER_BYTES, rest = sentinel - arena->top;
  if (rest < BLOCK_MIN) sentinel = arena->top;
  uintptr_t start = arena->top;
  arena->top = 0;
  set_header((struct block *)sentinel, 0, BLOCK_USED | BLOCK_PREV_USED);
  size_t absent = sentinel > arena->resident ? sentinel - max_size(arena->resident, start) : 0;
  if (rest >= BLOCK_MIN) make_free(arena, start, rest, absent);
}

static bool start_chunk(struct arena *arena, size_t bytes) {
  struct chunk *chunk = region_new_chunk(arena, bytes);
  if (!chunk) return false;
  if (arena->chunks) {
    retire_top(arena);
    arena->older_bytes += arena->chunks->info.limit - (uintptr_t)arena->chunks;
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
 * 8 MiB of it: what is never used of it would show. And not among larger blocks, which may never be filled (z3: RSS 1.02 -> 1.06). */
static void populate_ahead(struct arena *arena, uintptr_t end) {
  size_t used = arena->older_bytes + (arena->top - (uintptr_t)arena->chunks);
  size_t ahead = min_size(used / POPULATE_SHARE, POPULATE_MAX);
  if (ahead < POPULATE_MIN || arena->dense_bytes < ahead) return;
  uintptr_t first = round_up(arena->resident, page_bytes), last = min_size(round_up(end + ahead, page_bytes), arena->limit);
  if (first < last && sys_populate((void *)first, last - first)) arena->resident = last;
}

/* The top moves up by `bytes` to `end`. */
static void touch_top(struct arena *arena, uintptr_t end, size_t bytes, bool dense) {
  uintptr_t touched = end + HEADER_BYTES; /* a payload reaches 8 bytes past its block */
  arena->fresh = max_size(arena->fresh, touched);
  arena->dense_bytes = dense ? arena->dense_bytes + bytes : 0;
  if (touched <= arena->resident) return;
  budget_regret_on_heap((touched - arena->resident + page_bytes - 1) / page_bytes);
  populate_ahead(arena, touched);
  arena->resident = max_size(arena->resident, min_size(round_up(touched, page_bytes), arena->limit));
}

/* Make the newest chunk's memory reach `end` and a header behind it. */
static bool reach(struct arena *arena, uintptr_t end, enum arena_growth growth) {
  if (end + HEADER_BYTES <= arena->limit) return true;
  if (growth == ARENA_AS_IS || !arena->chunks || !region_extend(arena->chunks, end + HEADER_BYTES)) return false;
  arena->limit = arena->chunks->info.limit;
  return true;
}

/* Where a block would start at the top, once the top reaches far enough; 0: it cannot. */
static uintptr_t reserve_top(struct arena *arena, size_t bytes, size_t alignment, enum arena_growth growth) {
  uintptr_t at = arena->chunks ? place_in(arena->top, SIZE_MAX / 2, bytes, alignment) : 0;
  if (at && reach(arena, at + bytes, growth)) return at;
  if (growth == ARENA_AS_IS || !start_chunk(arena, bytes + alignment + 2 * BLOCK_MIN)) return 0;
  at = place_in(arena->top, SIZE_MAX / 2, bytes, alignment);
  return reach(arena, at + bytes, growth) ? at : 0;
}

/* ---- giving back ---------------------------------------------------------------------------------------------------- */

/* What is free and in memory ("dirty") is kept for reuse up to a share of what is in use, and beyond that goes back to the kernel in runs of
 * 64 KiB and more, while the budget pays for it (budget.h). Short runs only where dirt abounds: cc1plus would make 99 calls more. */
enum { DIRTY_MIN = 4 * 1024 * 1024, DIRTY_SHARE = 8, FLOOD = 4, RUN_MIN = 64 * 1024, PATIENCE = 256 };

/* Drop the whole pages of [start, end). */
static size_t discard_pages(uintptr_t start, uintptr_t end) {
  uintptr_t first = round_up(start, page_bytes), last = round_down(end, page_bytes);
  return first < last && sys_discard((void *)first, last - first) ? last - first : 0;
}

/* The whole pages of a free block. */
static size_t purge(struct arena *arena, struct block *block) {
  size_t bytes = block_bytes(block), dirty = bytes - block_clean_bytes(block);
  size_t released = discard_pages((uintptr_t)(block_clean_word(block) + 1), (uintptr_t)block + bytes);
  if (released == 0) return 0;
  arena->clean_bytes += dirty;
  *block_clean_word(block) = bytes;
  __atomic_store_n(&block->header, block_header(block) | BLOCK_PURGED, __ATOMIC_RELAXED);
  return min_size(released, dirty);
}

static size_t top_dirty_bytes(const struct arena *arena) {
  return arena->resident > arena->top ? arena->resident - arena->top : 0;
}

static size_t dirty_bytes(const struct arena *arena) { return arena->free_bytes - arena->clean_bytes + top_dirty_bytes(arena); }

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

static COLD void give_back(struct arena *arena) {
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

/* After each free. */
static inline void settle_dirt(struct arena *arena) {
  if (LIKELY(dirty_bytes(arena) <= DIRTY_MIN)) return;
  if (arena->patience > 0)
    arena->patience--;
  else
    give_back(arena);
}

/* ---- take and give -------------------------------------------------------------------------------------------------- */

/* Would a block at the top touch no page that is not in memory? */
static bool top_is_warm(const struct arena *arena, size_t bytes, size_t alignment) {
  return arena->chunks && place_in(arena->top, SIZE_MAX / 2, bytes, alignment) + bytes + HEADER_BYTES <= arena->resident;
}

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

/* Take space out of the best fitting free block, or of the top; what is before and behind is split off. Its start, or 0. */
static uintptr_t take(struct arena *arena, size_t bytes, size_t alignment, struct theap *owner, enum arena_growth growth,
                      uintptr_t *zero_from) {
  struct block *block = best_fit(arena, bytes, alignment);
  uintptr_t start, end, at;
  size_t clean_bytes = 0;
  if (block) {
    start = (uintptr_t)block;
    end = start + block_bytes(block);
    at = place_in(start, end - start, bytes, alignment);
    clean_bytes = bin_remove(arena, block);
    if (end - at - bytes < BLOCK_MIN) bytes = end - at;
    if (clean_bytes) budget_regret_on_heap(min_size(bytes, clean_bytes) / page_bytes);
    *zero_from = UINTPTR_MAX; /* nothing is known */
  } else {
    if (growth == ARENA_WARM && !top_is_warm(arena, bytes, alignment)) return 0;
    at = reserve_top(arena, bytes, alignment, growth);
    if (!at) return 0;
    start = arena->top;
    arena->top = end = at + bytes;
    *zero_from = max_size(arena->fresh, at + HEADER_BYTES);
    touch_top(arena, end, bytes, owner || bytes <= DENSE_BLOCK_MAX);
  }
  claim(at, bytes, owner);
  if (at + bytes < end)
    make_free(arena, at + bytes, end - at - bytes, clean_bytes);
  else
    set_prev_free(arena, end, 0);
  if (at != start) make_free(arena, start, at - start, 0);
  return at;
}

static void count_live(struct arena *arena, size_t blocks, size_t bytes) {
  arena->live_count += blocks;
  arena->live_bytes += bytes;
}

struct block *arena_take_locked(struct arena *arena, size_t bytes, size_t alignment, enum arena_growth growth,
                                uintptr_t *zero_from) {
  struct block *block = (struct block *)take(arena, bytes, alignment, NULL, growth, zero_from);
  if (!block) return NULL;
  count_live(arena, 1, block_bytes(block));
  arena->allocations++;
  return block;
}

void arena_give_locked(struct arena *arena, struct block *block) {
  uint64_t header = block_header(block);
  size_t bytes = header & BLOCK_BYTES_MASK;
  count_live(arena, (size_t)-1, -bytes);
  /* The header stays in memory after coalescing and says "free": a later double free reads it. */
  __atomic_store_n(&block->header, header & ~(uint64_t)BLOCK_USED, __ATOMIC_RELAXED);
  coalesce(arena, (uintptr_t)block, bytes, header & BLOCK_PREV_USED ? 0 : block->prev_bytes);
  settle_dirt(arena);
}

/* Take the free neighbour behind [start, end), or as much of the top as is missing to `want_end`: the new end, or 0. */
static uintptr_t expand(struct arena *arena, uintptr_t end, uintptr_t want_end) {
  if (end == arena->top) {
    if (!reach(arena, want_end, ARENA_MAY_GROW)) return 0;
    touch_top(arena, want_end, 0, false);
    return arena->top = want_end;
  }
  struct block *next = (struct block *)end;
  if (slab_starting(end) || (block_header(next) & BLOCK_USED) || end + block_bytes(next) < want_end) return 0;
  bin_remove(arena, next);
  end += block_bytes(next);
  set_prev_free(arena, end, 0);
  return end;
}

bool arena_resize_locked(struct arena *arena, struct block *block, size_t bytes) {
  uintptr_t start = (uintptr_t)block;
  size_t old_bytes = block_bytes(block);
  uintptr_t end = start + old_bytes;
  if (bytes > old_bytes && !(end = expand(arena, end, start + bytes))) return false;
  size_t rest = end - start - bytes;
  if (rest < BLOCK_MIN) rest = 0;
  size_t now = end - start - rest;
  set_header(block, now, (unsigned)(block_header(block) & BLOCK_FLAGS));
  if (rest) coalesce(arena, end - rest, rest, 0);
  count_live(arena, 0, now - old_bytes);
  return true;
}

struct slab *arena_take_slab_locked(struct arena *arena, struct theap *owner, enum arena_growth growth) {
  uintptr_t zero_from;
  uintptr_t at = take(arena, GRANULE_BYTES, GRANULE_BYTES, owner, growth, &zero_from);
  if (!at) return NULL;
  arena->slabs++;
  return slab_at(region_base(at + HEADER_BYTES), at + HEADER_BYTES);
}

void arena_give_slab_locked(struct arena *arena, struct slab *slab) {
  uintptr_t start = slab_start(slab) - HEADER_BYTES;
  __atomic_store_n(&slab->owner, NULL, __ATOMIC_RELAXED);
  arena->slabs--;
  coalesce(arena, start, GRANULE_BYTES, slab->prev_free_bytes);
  settle_dirt(arena);
}

/* ---- locking -------------------------------------------------------------------------------------------------------- */

size_t arena_count(void) { return __atomic_load_n(&arenas_made, __ATOMIC_ACQUIRE); }

struct arena *arena_at(size_t index) { return arenas[index]; }

static void defer(struct arena *arena, struct block *block) {
  block->prev = block_key(block);
  block->next = __atomic_load_n(&arena->deferred, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(&arena->deferred, &block->next, block, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
  }
}

static void give_deferred(struct arena *arena) {
  if (LIKELY(!__atomic_load_n(&arena->deferred, __ATOMIC_RELAXED))) return;
  struct block *block = __atomic_exchange_n(&arena->deferred, NULL, __ATOMIC_ACQUIRE);
  while (block) {
    struct block *next = block->next;
    block->prev = NULL; /* no longer the key: the next owner of this memory must not look freed */
    arena_give_locked(arena, block);
    block = next;
  }
}

static bool try_arena(struct arena *arena) {
  if (!lock_try(&arena->lock)) return false;
  give_deferred(arena);
  return true;
}

bool arena_enter_this(struct arena *arena) {
  if (!lock_enter(&arena->lock)) return false;
  give_deferred(arena);
  return true;
}

void arena_leave(struct arena *arena) { lock_leave(&arena->lock); }

/* Arenas may number twice the processors seen at contention (a preempted holder blocks one without using a processor).
 * sched_getcpu() is no system call. */
static bool arena_may_be_added(void) {
  static size_t processors; /* atomic, racy maximum */
  int cpu = sched_getcpu();
  size_t seen = max_size(__atomic_load_n(&processors, __ATOMIC_RELAXED), cpu < 0 ? 1 : (size_t)cpu + 1);
  __atomic_store_n(&processors, seen, __ATOMIC_RELAXED);
  return arena_count() < min_size(2 * max_size(seen, 2), ARENAS_MAX);
}

COLD static struct arena *make_arena(void) {
  if (!lock_enter(&making_lock)) return NULL;
  struct arena *arena = arena_may_be_added() ? sys_map(round_up(sizeof *arena, page_bytes)) : NULL;
  size_t index = arena_count();
  if (arena) {
    arenas[index] = arena;
    __atomic_store_n(&arenas_made, index + 1, __ATOMIC_RELEASE);
  }
  lock_leave(&making_lock);
  return arena;
}

size_t arena_threads(const struct arena *arena) { return __atomic_load_n(&arena->threads, __ATOMIC_RELAXED); }

bool arena_is_shared(const struct arena *arena) { return arena_threads(arena) > 1; }

/* One store changes a living thread's arena: a signal handler must always find one. */
static void set_own_arena(struct theap *heap, struct arena *arena) {
  struct arena *before = heap->arena;
  if (arena) __atomic_fetch_add(&arena->threads, 1, __ATOMIC_RELAXED);
  heap->arena = arena;
  if (before) __atomic_fetch_sub(&before->threads, 1, __ATOMIC_RELAXED);
}

void arena_join(struct theap *heap, struct arena *arena) { set_own_arena(heap, arena); }

void arena_quit(struct theap *heap) { set_own_arena(heap, NULL); }

struct arena *arena_least_crowded(void) {
  struct arena *best = arenas[0];
  for (size_t i = 1; i < arena_count(); i++)
    if (arena_threads(arenas[i]) < arena_threads(best)) best = arenas[i];
  return best;
}

COLD void arena_move_out(struct theap *heap) {
  struct arena *best = arena_least_crowded();
  if (arena_threads(best) + 1 >= arena_threads(heap->arena)) best = make_arena();
  if (best) arena_join(heap, best);
}

COLD bool arena_join_orphan(struct theap *heap, size_t bytes) {
  for (size_t i = 0; i < arena_count(); i++) {
    size_t free_bytes = __atomic_load_n(&arenas[i]->free_bytes, __ATOMIC_RELAXED);
    if (arena_threads(arenas[i]) > 0 || free_bytes < max_size(2 * bytes, WORTH_A_LOOK)) continue;
    arena_join(heap, arenas[i]);
    return true;
  }
  return false;
}

static COLD struct arena *enter_contended(struct arena *own) {
  if (arena_enter_this(own)) return own;
  /* A signal handler that interrupted us in there: any other arena will do. */
  for (size_t i = 0; i < arena_count(); i++)
    if (try_arena(arenas[i])) return arenas[i];
  struct arena *added = make_arena();
  return added && try_arena(added) ? added : NULL;
}

static struct arena *enter_own(const struct theap *heap) {
  struct arena *own = heap->arena; /* a handler that comes meanwhile may give the thread another */
  return LIKELY(try_arena(own)) ? own : enter_contended(own);
}

static void *take_from_others(const struct theap *heap, arena_taker *taker, void *what) {
  for (size_t i = 0; i < arena_count(); i++) {
    struct arena *arena = arenas[i];
    bool worth = arena != heap->arena && __atomic_load_n(&arena->free_bytes, __ATOMIC_RELAXED) >= WORTH_A_LOOK;
    if (!worth || !try_arena(arena)) continue;
    void *taken = taker(arena, what, ARENA_WARM);
    arena_leave(arena);
    if (taken) return taken;
  }
  return NULL;
}

static void *take_from_own(const struct theap *heap, arena_taker *taker, void *what, enum arena_growth growth) {
  struct arena *arena = enter_own(heap);
  if (!arena) return NULL;
  void *taken = taker(arena, what, growth);
  arena_leave(arena);
  return taken;
}

void *arena_serve(const struct theap *heap, arena_taker *taker, void *what, enum arena_growth growth) {
  void *taken = take_from_own(heap, taker, what, growth);
  return taken || growth != ARENA_WARM ? taken : take_from_others(heap, taker, what);
}

void block_release(struct block *block) {
  struct arena *arena = arena_of(block);
  if (!try_arena(arena)) {
    defer(arena, block);
    return;
  }
  arena_give_locked(arena, block);
  arena_leave(arena);
}

void slab_release(struct slab *slab) {
  struct arena *arena = arena_of(slab);
  if (!arena_enter_this(arena)) return; /* in a signal handler that interrupted us: the granule is lost, the heap is not */
  arena_give_slab_locked(arena, slab);
  arena_leave(arena);
}

static uint64_t arenas_entered; /* bit i: by arenas_before_fork() */
static bool making_entered;
_Static_assert(ARENAS_MAX <= 64, "a bit each");

void arenas_before_fork(void) {
  uint64_t entered = 0;
  making_entered = lock_enter_for_fork(&making_lock); /* no arena is added while we take them all */
  for (size_t i = 0; i < arena_count(); i++) entered |= (uint64_t)lock_enter_for_fork(&arenas[i]->lock) << i;
  arenas_entered = entered;
}

COLD void arenas_forget_threads(void) {
  for (size_t i = 0; i < arena_count(); i++) __atomic_store_n(&arenas[i]->threads, 0, __ATOMIC_RELAXED);
}

void arenas_after_fork(bool child) {
  uint64_t entered = arenas_entered; /* the next fork may write it once the first arena is left */
  bool making = making_entered;
  for (size_t i = 0; i < ARENAS_MAX; i++)
    if (arenas[i]) lock_leave_after_fork(&arenas[i]->lock, entered >> i & 1, child);
  lock_leave_after_fork(&making_lock, making, child);
}

/* ---- trim ----------------------------------------------------------------------------------------------------------- */

/* What lies above `keep` at the top goes back: by the break, so that it reads as zero when it comes again, else by madvise
 * (after which emulators differ). */
static size_t lower_top(struct arena *arena, uintptr_t keep) {
  uintptr_t resident = arena->resident;
  if (region_shrink(arena->chunks, keep)) {
    arena->limit = keep;
    arena->fresh = min_size(arena->fresh, keep);
    arena->resident = min_size(resident, keep);
    return resident > keep ? resident - keep : 0;
  }
  if (resident <= keep) return 0;
  arena->resident = keep;
  return discard_pages(keep, min_size(resident, arena->limit));
}

/* A chunk becomes the newest again, its last free block the top. */
COLD static void reopen_chunk(struct arena *arena, struct chunk *chunk) {
  arena->chunks = chunk;
  arena->older_bytes -= chunk->info.limit - (uintptr_t)chunk;
  /* retire_top() left its sentinel at the end, or 16 bytes before it. */
  struct block *sentinel = (struct block *)(chunk->info.limit - HEADER_BYTES);
  if (!block_is_tagged(sentinel) || block_bytes(sentinel) != 0) sentinel = (struct block *)((uintptr_t)sentinel - ALIGNMENT);
  arena->top = (uintptr_t)sentinel;
  if (!(block_header(sentinel) & BLOCK_PREV_USED)) {
    arena->top -= sentinel->prev_bytes;
    bin_remove(arena, (struct block *)arena->top);
  }
  arena->limit = arena->fresh = arena->resident = chunk->info.limit;
}

/* Give the newest chunk back whole, if nothing is left in it and it is the end of the brk heap. */
COLD static size_t drop_chunk(struct arena *arena) {
  struct chunk *chunk = arena->chunks, *before = chunk->info.next;
  size_t released = arena->resident - (uintptr_t)chunk;
  if (arena->top != (uintptr_t)chunk + sizeof *chunk - HEADER_BYTES || !before) return 0;
  if (!region_shrink(chunk, (uintptr_t)chunk)) return 0;
  reopen_chunk(arena, before);
  return released;
}

static size_t trim_top(struct arena *arena, size_t pad) {
  size_t released = 0, dropped;
  while (arena->chunks && pad < CHUNK_BYTES && (dropped = drop_chunk(arena)) > 0) released += dropped;
  if (!arena->chunks) return released;
  uintptr_t keep = round_up(arena->top + HEADER_BYTES + min_size(pad, BLOCK_MAX), page_bytes);
  return keep < arena->limit ? released + lower_top(arena, keep) : released;
}

COLD size_t arena_trim(struct arena *arena, size_t pad) {
  if (!arena_enter_this(arena)) return 0;
  size_t released = trim_top(arena, pad);
  for (size_t bin = bin_of(page_bytes); bin < BINS; bin++)
    for (struct block *block = arena->bins[bin]; block; block = block->next)
      if (block_clean_bytes(block) < block_bytes(block)) released += purge(arena, block);
  arena_leave(arena);
  return released;
}

/* ---- check ---------------------------------------------------------------------------------------------------------- */

/* The walk so far: what the next thing must find to its left, and the sums. */
struct walk {
  size_t prev_free_bytes;
  size_t live_bytes, live_count, slabs, free_blocks, free_bytes, clean_bytes;
};

static const char *check_slab_start(struct walk *walk, const struct slab *slab) {
  if (slab->prev_free_bytes != walk->prev_free_bytes) return "a slab and the block before it disagree";
  walk->prev_free_bytes = 0;
  walk->slabs++;
  return NULL;
}

static const char *check_block(struct walk *walk, const struct block *block) {
  uint64_t header = block_header(block);
  bool used = header & BLOCK_USED;
  size_t bytes = header & BLOCK_BYTES_MASK;
  if (!block_is_tagged(block)) return "a header was overwritten";
  if ((header & BLOCK_PREV_USED) ? walk->prev_free_bytes != 0 : walk->prev_free_bytes != block->prev_bytes)
    return "a block and the one before it disagree";
  if (!used && walk->prev_free_bytes) return "two free neighbours were not coalesced";
  walk->prev_free_bytes = used ? 0 : bytes;
  walk->free_blocks += !used;
  walk->free_bytes += used ? 0 : bytes;
  walk->clean_bytes += used ? 0 : block_clean_bytes(block);
  walk->live_count += used && bytes;
  walk->live_bytes += used ? bytes : 0;
  return NULL;
}

COLD static const char *check_chunk(const struct arena *arena, const struct chunk *chunk, struct walk *walk, const void **where) {
  uintptr_t at = (uintptr_t)chunk + sizeof *chunk - HEADER_BYTES;
  walk->prev_free_bytes = 0;
  for (;;) {
    *where = (const void *)(at + HEADER_BYTES);
    if (at == arena->top) return walk->prev_free_bytes ? "a free block next to the top" : NULL;
    if (at + HEADER_BYTES > chunk->info.limit) return "blocks run over the chunk's end";
    const struct slab *slab = slab_starting(at);
    const struct block *block = (const struct block *)at;
    const char *fault = slab ? check_slab_start(walk, slab) : check_block(walk, block);
    if (fault) return fault;
    size_t bytes = slab ? GRANULE_BYTES : block_bytes(block);
    if (bytes == 0) return NULL;
    at += bytes;
  }
}

static const char *check_bins(const struct arena *arena, struct walk *walk, const void **where) {
  for (size_t bin = 0; bin < BINS; bin++) {
    bool mapped = arena->bin_map[bin / 64] >> bin % 64 & 1;
    if (mapped != (arena->bins[bin] != NULL)) return "the bin map and a bin disagree";
    for (const struct block *block = arena->bins[bin]; block; block = block->next) {
      *where = block_payload(block);
      const struct region *region = region_of((uintptr_t)block);
      if (!region || !region_owns(region, (uintptr_t)block) || (uintptr_t)block % ALIGNMENT) return "a bin leads astray";
      if (!block_is_tagged(block) || (block_header(block) & BLOCK_USED) || bin_of(block_bytes(block)) != bin)
        return "a bin holds a block that does not belong there";
      walk->free_blocks--;
    }
  }
  return walk->free_blocks ? "a free block is in no bin" : NULL;
}

COLD const char *arena_check(struct arena *arena, const void **where) {
  if (!arena_enter_this(arena)) return "re-entered";
  struct walk walk = {0};
  const char *fault = NULL;
  for (const struct chunk *chunk = arena->chunks; chunk && !fault; chunk = chunk->info.next)
    fault = check_chunk(arena, chunk, &walk, where);
  if (!fault) fault = check_bins(arena, &walk, where);
  if (!fault && (walk.live_bytes != arena->live_bytes || walk.live_count != arena->live_count || walk.slabs != arena->slabs ||
                 walk.free_bytes != arena->free_bytes || walk.clean_bytes != arena->clean_bytes))
    fault = "the counters of an arena are off";
  arena_leave(arena);
  return fault;
}
