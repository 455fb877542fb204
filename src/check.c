/* SPDX-License-Identifier: MIT */
/* See check.h. Beside the heap: may read everything, nothing needs it. */
#include "check.h"

#include <unistd.h>

#include "arena.h"
#include "cache.h"
#include "heirs.h"
#include "large.h"
#include "printf.h"
#include "samples.h"
#include "slab.h"
#include "thread.h"

/* ---- blocks --------------------------------------------------------------------------------------------------------- */

/* The walk so far: what the next thing must find to its left, and the sums. */
struct walk {
  size_t prev_free_bytes;
  size_t live_bytes, live_count, slabs, free_blocks, blocks_in_bins, free_bytes, clean_bytes;
  bool sweep_found;
};

static const char *check_slab_start(struct walk *walk, const struct slab *slab) {
  if (slab->prev_free_bytes != walk->prev_free_bytes) return "a slab and the block before it disagree";
  walk->prev_free_bytes = 0;
  walk->slabs++;
  return NULL;
}

/* What is said of a free block's pages can be so. */
static bool clean_is_inside(const struct block *block) {
  clean_part clean = block_clean(block);
  uintptr_t first = whole_pages_from((uintptr_t)block);
  size_t whole = whole_page_bytes((uintptr_t)block, (uintptr_t)block + block_bytes(block));
  size_t bytes = clean_bytes_of(clean), stretch = clean_stretch_bytes(clean);
  size_t before = stretch ? clean_bytes_between(clean_unit(first), clean_from(clean)) : 0;
  return bytes <= whole && stretch <= bytes && before + stretch <= whole;
}

static const char *check_block(struct walk *walk, const struct block *block) {
  uint64_t header = block_header(block);
  bool used = header & BLOCK_USED;
  size_t bytes = header & BLOCK_BYTES_MASK;
  if (!block_is_tagged(block)) return "a header was overwritten";
  if ((header & BLOCK_PREV_USED) ? walk->prev_free_bytes != 0 : walk->prev_free_bytes != block->prev_bytes)
    return "a block and the one before it disagree";
  if (!used && walk->prev_free_bytes) return "two free neighbours were not coalesced";
  if (header & BLOCK_SAMPLED && (!used || samples_lack(block_payload((struct block *)block)))) return "a block that is no sample says that it is one";
  if (!used && !clean_is_inside(block)) return "more of a free block is given back than it has";
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
    if (bytes == 0) return at - (uintptr_t)chunk == chunk->info.end_bytes ? NULL : "a chunk ends elsewhere than is recorded";
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
      if (block == arena->sweep && bin == arena->sweep_bin) walk->sweep_found = true;
      walk->blocks_in_bins++;
    }
  }
  if (arena->sweep && !walk->sweep_found) return "giving back has lost its place";
  return walk->free_blocks != walk->blocks_in_bins ? "a free block is in no bin" : NULL;
}

COLD static const char *arena_check(struct arena *arena, const void **where) {
  if (!arena_enter_settled(arena)) return "re-entered";
  struct walk walk = {0};
  const char *fault = NULL;
  for (const struct chunk *chunk = arena->chunks; chunk && !fault; chunk = chunk->info.next)
    fault = check_chunk(arena, chunk, &walk, where);
  if (!fault) fault = check_bins(arena, &walk, where);
  if (!fault && (walk.live_bytes != arena->live_bytes || walk.live_count != arena->live_count || walk.slabs != arena->slabs ||
                 walk.free_blocks != arena->free_blocks || walk.free_bytes != arena->free_bytes || walk.clean_bytes != arena->clean_bytes))
    fault = "the counters of an arena are off";
  arena_leave(arena);
  return fault;
}

/* ---- slabs ---------------------------------------------------------------------------------------------------------- */

static const char *check_list(const struct slab *slab, const struct object *list, size_t *count) {
  uintptr_t granule = slab_start(slab);
  for (const struct object *object = list; object != LIST_END; object = object->next) {
    bool ours = (uintptr_t)object - granule < GRANULE_BYTES && slab_has_object(slab, (uintptr_t)object);
    if (!ours || slab_has_purged(slab, object) || !object_is_free(slab, object)) return "a slab's free list leads astray";
    if (++*count > slab_capacity(slab)) return "a slab's free list is a ring";
  }
  return NULL;
}

static size_t count_purged(const struct slab *slab) {
  size_t count = 0, size = slab_object_bytes(slab);
  uintptr_t granule = slab_start(slab);
  for (size_t offset = 0; offset < slab->carved; offset += size)
    count += slab_has_purged(slab, (const struct object *)(granule + offset));
  return count;
}

/* What other threads freed and the owner has not fetched: it counts as used, and as many as the head says. */
static const char *check_remote(const struct slab *slab) {
  uint64_t head = __atomic_load_n(&slab_remote((struct slab *)slab)->head, __ATOMIC_ACQUIRE);
  size_t count = 0;
  const char *fault = head ? check_list(slab, remote_list(head), &count) : NULL;
  if (fault) return fault;
  return count == remote_count(head) ? NULL : "a list of remote frees has another length than it says";
}

/* free + purged + used == carved, in objects; every free object is one of the slab's and says it is free. */
COLD static const char *check_slab(const struct slab *slab) {
  size_t free = 0;
  const char *fault = check_list(slab, slab->free, &free);
  if (!fault) fault = check_list(slab, slab->later, &free);
  if (!fault) fault = check_remote(slab);
  if (fault) return fault;
  if (free + count_purged(slab) + slab_used(slab) != slab->carved / slab_object_bytes(slab)) return "a slab's objects do not add up";
  return NULL;
}

/* *waiting: slabs that their owners must know, being current or queued. */
static const char *check_slabs(const struct arena *arena, size_t *waiting, const void **where) {
  for (struct chunk *chunk = arena->chunks; chunk; chunk = chunk->info.next)
    for (size_t i = 1; i < CHUNK_GRANULES && (uintptr_t)chunk + i * GRANULE_BYTES < chunk->info.limit; i++) {
      const struct slab *slab = slab_of_granule(chunk, i);
      *where = slab;
      if (!slab_owner(slab) || slab_is_orphan(slab)) continue;
      const char *fault = check_slab(slab);
      if (fault) return fault;
      *waiting += !slab_is_full(slab);
    }
  return NULL;
}

/* ---- thread heaps --------------------------------------------------------------------------------------------------- */

static const char *check_class(const struct theap *heap, size_t size_class, size_t *known, size_t *sparse, const void **where) {
  const struct slab *current = slab_current(heap, size_class);
  *where = current;
  for (size_t step = class_first_step(size_class); step <= class_steps(size_class); step++)
    if (heap->direct[step] != (heap->sampler ? NO_SLAB : current)) return "a class has two current slabs";
  if (current != NO_SLAB && (slab_owner(current) != heap || current->size_class != size_class || !slab_is_current(current)))
    return "a current slab is not that";
  *known += current != NO_SLAB;
  for (enum queue which = QUEUE_DENSE; which < QUEUES; which++) {
    struct slab *const *link = theap_queue(heap, which, size_class);
    for (const struct slab *slab = *link; slab; link = &slab->next, slab = *link, ++*known) {
      *where = slab;
      bool fits = slab_owner(slab) == heap && slab->size_class == size_class && slab->link == link;
      if (!fits || slab_is_full(slab) || slab_is_current(slab)) return "a queue holds a slab that does not belong there";
      *sparse += slab->wake == WAKE_EMPTY;
    }
  }
  return NULL;
}

static const char *check_cache(const struct theap *heap, const void **where) {
  size_t bytes = 0;
  for (size_t bin = 0; bin < CACHE_BINS; bin++)
    for (cached_block word = heap->cache[bin]; word; word = (cached_block)block_of_cached(word)->next) {
      const struct block *block = block_of_cached(word);
      *where = block_payload(block);
      if (!block_is_tagged(block) || !(block_header(block) & BLOCK_USED) || !block_is_sealed(block)) return "a cached block was overwritten";
      if (block_bytes(block) != bytes_of_cached(word) || cache_bin(block_bytes(block)) != bin) return "a cached block is in the wrong bin";
      bytes += block_bytes(block);
    }
  return bytes == heap->cached_bytes ? NULL : "a thread's cache does not add up";
}

static const char *check_queues(const struct theap *heap, size_t *known, const void **where) {
  size_t sparse = 0;
  for (size_t size_class = 0; size_class < SIZE_CLASSES; size_class++) {
    const char *fault = check_class(heap, size_class, known, &sparse, where);
    if (fault) return fault;
  }
  *where = heap;
  return sparse == heap->sparse ? NULL : "a heap's sparse slabs do not add up";
}

/* Each slab that has room is known to its heap, and nothing else is. */
COLD static const char *check_heaps(size_t waiting, const void **where) {
  size_t known = 0;
  const char *fault = NULL;
  for (const struct theap *heap = theap_list(); heap && !fault; heap = heap->next) {
    if (theap_is_gone(heap) || heap->unused) continue;
    fault = check_queues(heap, &known, where);
    if (!fault) fault = check_cache(heap, where);
  }
  if (!fault && known != waiting) fault = "a slab with room is in no heap";
  return fault;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------ */

COLD bool heap_check(void) {
  const void *where = NULL;
  const char *fault = NULL;
  size_t waiting = 0;
  for (size_t i = 0; i < arena_count() && !fault; i++) {
    if (arena_is_abandoned(arena_at(i))) continue;
    fault = arena_check(arena_at(i), &where);
    if (!fault) fault = check_slabs(arena_at(i), &waiting, &where);
  }
  if (!fault) fault = check_heaps(waiting, &where);
  if (!fault) fault = large_check();
  if (fault) print(STDERR_FILENO, "osmem: check: %s at %p\n", fault, where);
  return !fault;
}
