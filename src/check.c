/* See check.h. Beside the heap: may read everything, nothing needs it. */
#include "check.h"

#include <unistd.h>

#include "arena.h"
#include "large.h"
#include "printf.h"
#include "slab.h"
#include "thread.h"

/* ---- blocks --------------------------------------------------------------------------------------------------------- */

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

COLD static const char *arena_check(struct arena *arena, const void **where) {
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

/* ---- slabs ---------------------------------------------------------------------------------------------------------- */

static const char *check_list(const struct slab *slab, const struct object *list, size_t *count) {
  uintptr_t granule = slab_start(slab);
  for (const struct object *object = list; object; object = object->next) {
    bool ours = (uintptr_t)object - granule < GRANULE_BYTES && slab_has_object(slab, (uintptr_t)object);
    if (!ours || slab_has_purged(slab, object) || object->key != object_key(slab, object)) return "a slab's free list leads astray";
    if (++*count > slab->capacity) return "a slab's free list is a ring";
  }
  return NULL;
}

static size_t count_purged(const struct slab *slab) {
  size_t count = 0;
  uintptr_t granule = slab_start(slab);
  for (size_t offset = 0; offset < slab->carved; offset += slab->object_bytes)
    count += slab_has_purged(slab, (const struct object *)(granule + offset));
  return count;
}

/* free + purged + used == carved, in objects; every free object is one of the slab's and says it is free. */
COLD static const char *check_slab(const struct slab *slab) {
  size_t free = 0;
  const char *fault = check_list(slab, slab->free, &free);
  if (!fault) fault = check_list(slab, slab->later, &free);
  if (fault) return fault;
  if (free + count_purged(slab) + slab_used(slab) != slab->carved / slab->object_bytes) return "a slab's objects do not add up";
  return NULL;
}

static const char *check_slabs(const struct arena *arena, const void **where) {
  for (struct chunk *chunk = arena->chunks; chunk; chunk = chunk->info.next)
    for (size_t i = 1; i < CHUNK_GRANULES && (uintptr_t)chunk + i * GRANULE_BYTES < chunk->info.limit; i++) {
      const struct slab *slab = slab_of_granule(chunk, i);
      *where = slab;
      const char *fault = slab_owner(slab) ? check_slab(slab) : NULL;
      if (fault) return fault;
    }
  return NULL;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------ */

COLD bool heap_check(void) {
  const void *where = NULL;
  const char *fault = NULL;
  for (size_t i = 0; i < arena_count() && !fault; i++) {
    fault = arena_check(arena_at(i), &where);
    if (!fault) fault = check_slabs(arena_at(i), &where);
  }
  if (!fault) fault = large_check();
  if (fault) print(STDERR_FILENO, "osmem: check: %s at %p\n", fault, where);
  return !fault;
}
