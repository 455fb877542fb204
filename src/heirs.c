/* SPDX-License-Identifier: MIT */
/* See heirs.h.
 *
 * The threads that a fork leaves behind may have been caught at any instruction. What the lock of an arena guards is whole, since
 * fork holds that. A slab is its owner's, who takes no lock: its lists and counts may be half changed. But each object says for itself whether it is
 * free (object_is_free), and a thread's stores up to some one are there in the child, and none beyond. So a slab is
 * taken over without a look at any list: what says that it is free makes the new list, the rest is in use (slab_adopt_locked). An object that a thread
 * was just handing out, or just taking back, is lost with that thread, as its other memory is.
 *
 * It is done when it is wanted, so that a child which runs another program pays nothing: by who frees an object of such a slab, and
 * in portions, arena by arena, before fresh memory is touched; a trim does all. Under the arena's lock, which makes sure that a slab has one heir: who
 * frees into it waits for that or finds the heir.
 *
 * Slabs of the thread that forked are whole, but what others freed into them may be listed and not posted (slab.c): the same walk posts it.
 *
 * Of an arena that was caught half way itself (fork.c) nothing is taken over. */
#include "heirs.h"

#include "arena.h"
#include "slab.h"

uint32_t fork_generation;
bool heirs_wanted; /* atomic */

void heirs_begin(void) {
  fork_generation++;
  __atomic_store_n(&heirs_wanted, true, __ATOMIC_RELAXED);
}

struct portion {
  size_t looks, adoptions; /* left */
};

static void look_at(struct theap *heir, struct slab *slab, struct portion *portion) {
  portion->looks--;
  if (slab_is_orphan(slab)) {
    slab_adopt_locked(heir, slab);
    portion->adoptions--;
  } else if (slab_owner(slab)) {
    slab_post_again(slab);
  }
}

/* Where the walk stands. Chunks come and go at the list's head only: one that is there no more had nothing before it. */
static struct chunk *walked_to(struct arena *arena) {
  struct chunk *chunk = arena->chunks;
  while (chunk && chunk != arena->walk_chunk) chunk = chunk->info.next;
  if (!chunk) arena->walk_granule = 1;
  return chunk ? chunk : arena->chunks;
}

static bool walk_chunk(struct theap *heir, struct arena *arena, struct chunk *chunk, struct portion *portion) {
  for (size_t granule = arena->walk_granule; granule < CHUNK_GRANULES; granule++) {
    if ((uintptr_t)chunk + granule * GRANULE_BYTES >= chunk->info.limit) break;
    arena->walk_granule = (uint32_t)granule;
    if (!portion->looks || !portion->adoptions) return false;
    look_at(heir, slab_of_granule(chunk, granule), portion);
  }
  arena->walk_granule = 1;
  return true;
}

static bool walk_arena(struct theap *heir, struct arena *arena, struct portion *portion) {
  if (arena->walk_generation != fork_generation) {
    arena->walk_generation = fork_generation;
    arena->walk_chunk = NULL;
  }
  for (struct chunk *chunk = walked_to(arena); chunk; chunk = chunk->info.next) {
    arena->walk_chunk = chunk;
    if (!walk_chunk(heir, arena, chunk, portion)) return false;
  }
  __atomic_store_n(&arena->walked_generation, fork_generation, __ATOMIC_RELEASE); /* after the owners of its slabs */
  return true;
}

static bool is_walked(const struct arena *arena) {
  return __atomic_load_n(&arena->walked_generation, __ATOMIC_ACQUIRE) == fork_generation;
}

/* The lock is left between portions. */
size_t heirs_adopt(struct theap *heir, size_t most) {
  size_t adopted = 0;
  for (size_t i = 0; i < arena_count(); i++)
    while (!is_walked(arena_at(i)) && arena_enter_this(arena_at(i))) {
      struct portion portion = {SLABS_LOOKED_AT, ADOPTIONS};
      bool done = walk_arena(heir, arena_at(i), &portion);
      arena_leave(arena_at(i));
      adopted += ADOPTIONS - portion.adoptions;
      if (adopted >= most || (!done && most == HEIRS_A_PORTION)) return adopted;
    }
  return adopted;
}

bool heirs_are_done(void) {
  for (size_t i = 0; i < arena_count(); i++)
    if (!is_walked(arena_at(i))) return false;
  return true;
}
