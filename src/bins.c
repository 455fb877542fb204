/* SPDX-License-Identifier: MIT */
/* See bins.h; block_meta.h has the pictures.
 *
 *   best fit     bins by size, exact below 1 KiB, sixteen per doubling above; a few blocks of the request's own bin are
 *                looked at, then the smallest of the first few in the next bin (that is what makes it best fit in practice)
 *   coalescing   at once, on free, with both neighbours, in O(1) by the boundary tags */
#include "bins.h"

#include "report.h"

enum { LOOK_AT = 4 /* blocks of one bin: 1, 2, 4 and 8 differ by no more than noise in time and RSS (node 1.07 with 8, once) */ };

/* ---- bins ----------------------------------------------------------------------------------------------------------- */

static void count_free(struct arena *arena, size_t blocks, size_t bytes, size_t clean_bytes) {
  __atomic_store_n(&arena->free_blocks, arena->free_blocks + blocks, __ATOMIC_RELAXED);
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
  count_free(arena, 1, bytes, clean_bytes);
  arena->bin_map[bin / 64] |= (uint64_t)1 << bin % 64;
}

clean_part bin_remove(struct arena *arena, struct block *block) {
  size_t bytes = block_bytes(block), bin = bin_of(bytes);
  clean_part clean = block_clean(block);
  struct block *next = block->next, *prev = block->prev;
  bool linked = block_is_tagged(block) && (prev ? prev->next : arena->bins[bin]) == block && (!next || next->prev == block);
  if (UNLIKELY(!linked)) report_misuse("free", MISUSE_CORRUPTED, block_payload(block));
  count_free(arena, (size_t)-1, -bytes, -clean_bytes_of(clean));
  if (UNLIKELY(arena->sweep == block)) arena->sweep = next;
  if (next) next->prev = prev;
  if (prev)
    prev->next = next;
  else if (!(arena->bins[bin] = next))
    arena->bin_map[bin / 64] &= ~((uint64_t)1 << bin % 64);
  return clean;
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

struct block *best_fit(const struct arena *arena, size_t bytes, size_t alignment) {
  for (size_t bin = next_bin(arena, bin_of(bytes)); bin < BINS; bin = next_bin(arena, bin + 1)) {
    struct block *best = best_of_bin(arena, bin, bytes, alignment);
    if (best) return best;
  }
  return NULL;
}

/* ---- boundary tags -------------------------------------------------------------------------------------------------- */

uintptr_t region_base(uintptr_t address) {
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

struct slab *slab_starting(uintptr_t start) {
  uintptr_t payload = start + HEADER_BYTES;
  if (LIKELY(payload % GRANULE_BYTES != 0)) return NULL;
  uintptr_t base = region_base(start);
  if ((payload - base) % CHUNK_BYTES == 0) return NULL;
  struct slab *slab = slab_at(base, payload);
  return slab->owner ? slab : NULL;
}

void check_header(const struct block *block, uint64_t header) {
  if (UNLIKELY(!header_is_tagged(block, header))) report_misuse("free", MISUSE_CORRUPTED, block_payload(block));
}

void set_prev_free(struct arena *arena, uintptr_t start, size_t bytes) {
  if (start == arena->top) return;
  struct slab *slab = slab_starting(start);
  if (slab) {
    slab->prev_free_bytes = (uint32_t)bytes;
    return;
  }
  struct block *block = (struct block *)start;
  if (bytes) block->prev_bytes = bytes;
  set_flags(block, bytes ? 0 : BLOCK_PREV_USED, bytes ? BLOCK_PREV_USED : 0);
}

/* Of two parts of a block; the longer stretch is remembered. */
static clean_part joined(clean_part a, clean_part b) {
  if (LIKELY(!a)) return b;
  clean_part longer = clean_stretch_bytes(a) < clean_stretch_bytes(b) ? b : a;
  return clean_part_of(clean_bytes_of(a) + clean_bytes_of(b), clean_from(longer), clean_to(longer));
}

void make_free(struct arena *arena, uintptr_t start, size_t bytes, clean_part clean) {
  struct block *block = (struct block *)start;
  size_t clean_bytes = clean_bytes_of(clean);
  if (UNLIKELY(clean_bytes)) clean_bytes = min_size(clean_bytes, whole_page_bytes(start, start + bytes));
  set_header(block, bytes, BLOCK_PREV_USED | (clean_bytes ? BLOCK_PURGED : 0));
  if (UNLIKELY(clean_bytes)) *block_clean_word(block) = clean - clean_bytes_of(clean) + clean_bytes;
  set_prev_free(arena, start + bytes, bytes);
  bin_insert(arena, block, bytes, clean_bytes);
}

void coalesce(struct arena *arena, uintptr_t start, size_t bytes, size_t prev_free_bytes) {
  uintptr_t end = start + bytes;
  clean_part clean = 0;
  if (prev_free_bytes) {
    start -= prev_free_bytes;
    struct block *prev = (struct block *)start;
    if (UNLIKELY(block_bytes(prev) != prev_free_bytes)) report_misuse("free", MISUSE_CORRUPTED, block_payload(prev));
    clean = bin_remove(arena, prev);
  }
  if (end == arena->top) {
    arena->top = start;
    return;
  }
  if (!slab_starting(end)) {
    struct block *next = (struct block *)end;
    check_header(next, block_header(next));
    if (!(block_header(next) & BLOCK_USED)) {
      end += block_bytes(next);
      clean = joined(clean, bin_remove(arena, next));
    }
  }
  make_free(arena, start, end - start, clean);
}
