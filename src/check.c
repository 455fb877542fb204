/* See check.h. Beside the heap: may read everything, nothing needs it. */
#include "check.h"

#include <unistd.h>

#include "block.h"
#include "large.h"
#include "printf.h"
#include "slab.h"
#include "thread.h"

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
