/* See region.h.
 *
 * The brk heap is regions[0]. It grows in steps of 128 KiB to 4 MiB, four times what there is, one system call each, and only
 * while the break is where we left it. When somebody else moved it, the chunk at the old end is capped there for good and the next
 * chunk starts on the first chunk edge behind the stranger: simple, and rare enough that
 * the address space lost does not matter. When brk is refused, chunks come from mapped regions.
 *
 * Locking: growth_lock guards everything here; readers of regions[] need no lock, since base is published before bytes and
 * neither moves afterwards (but for os_trim, which leaves no live memory behind the end). */
#include "region.h"

enum {
  GROWTH_MIN = 128 * 1024, /* the first step, for blocks, */
  SLABS_AHEAD = 12,        /* and room for as many slabs, of which a command touches a page each: commands that make do with one brk
                              under glibc do so here (with 8, sed does not) */
  GROWTH_FACTOR = 4,       /* after that: address space, not memory, so the system call is what counts */
  GROWTH_MAX = 4 * 1024 * 1024,
  REGION_MIN = 256 * 1024 /* smallest fallback: metadata and a few slabs */
};

struct region regions[REGIONS_MAX];
struct lock growth_lock = {.rank = LOCK_GROWTH};

static size_t region_count = 1; /* atomic; [0] is always there, if only as zero bytes */
static uintptr_t next_chunk;    /* in the newest fallback region: not handed out from here on */

static uintptr_t region_end(const struct region *region) { return region->base + region->bytes; }

static uintptr_t chunk_end(const struct chunk *chunk) { return (uintptr_t)chunk + CHUNK_BYTES; }

static void publish_bytes(struct region *region, size_t bytes) { __atomic_store_n(&region->bytes, bytes, __ATOMIC_RELEASE); }

static size_t published_bytes(const struct region *region) { return __atomic_load_n(&region->bytes, __ATOMIC_ACQUIRE); }

const struct region *region_of(uintptr_t address) {
  size_t count = __atomic_load_n(&region_count, __ATOMIC_ACQUIRE);
  for (size_t i = 0; i < count; i++)
    if (address - __atomic_load_n(&regions[i].base, __ATOMIC_RELAXED) < published_bytes(&regions[i])) return &regions[i];
  return NULL;
}

bool region_owns(const struct region *region, uintptr_t address) {
  const struct chunk *chunk = chunk_at(region->base, address);
  return chunk->info.magic == chunk_magic(chunk) && address < __atomic_load_n(&chunk->info.limit, __ATOMIC_RELAXED);
}

size_t region_bytes(void) {
  size_t sum = 0;
  for (size_t i = 0; i < __atomic_load_n(&region_count, __ATOMIC_ACQUIRE); i++) sum += published_bytes(&regions[i]);
  return sum;
}

static void set_limit(struct chunk *chunk, uintptr_t limit) {
  __atomic_store_n(&chunk->info.limit, limit, __ATOMIC_RELAXED);
}

/* The brk heap ends at `end` from now on: `end`, or the lesser one if the kernel refuses. A stranger's call between our look at the break
 * and this one cannot be seen: brk is absolute, and libc's own sbrk() loses that race too. */
static bool move_break(uintptr_t now, uintptr_t end, uintptr_t lesser_end) {
  if (!sys_move_break(now, end)) {
    end = lesser_end;
    if (!sys_move_break(now, end)) return false;
  }
  publish_bytes(&regions[0], end - regions[0].base);
  return true;
}

size_t region_growth_step(void) {
  return round_up(min_size(max_size(brk_bytes() * GROWTH_FACTOR, GROWTH_MIN), GROWTH_MAX), page_bytes);
}

/* The chunk that the heap's old end lies in can never continue. */
static void cap_last_chunk(void) {
  uintptr_t end = region_end(&regions[0]);
  struct chunk *last = chunk_at(regions[0].base, end - 1);
  if (last->info.magic == chunk_magic(last)) last->info.cap = min_size(last->info.cap, end);
}

/* Room on the brk heap for a chunk of `bytes` so far. */
static struct chunk *brk_chunk(size_t bytes) {
  uintptr_t now = sys_break();
  if (now == 0) return NULL;
  struct region *heap = &regions[0];
  if (heap->bytes == 0) __atomic_store_n(&heap->base, round_up(now, GRANULE_BYTES), __ATOMIC_RELAXED);
  else if (now != region_end(heap)) cap_last_chunk();
  uintptr_t start = heap->base + round_up(max_size(now, region_end(heap)) - heap->base, CHUNK_BYTES);
  if (heap->bytes == 0) start = heap->base;
  size_t step = max_size(round_up(bytes, page_bytes), SLABS_AHEAD * GRANULE_BYTES + region_growth_step());
  if (!move_break(now, start + step, start + round_up(bytes, page_bytes))) return NULL;
  struct chunk *chunk = (struct chunk *)start;
  chunk->info.cap = chunk_end(chunk);
  set_limit(chunk, min_size(region_end(heap), chunk_end(chunk)));
  return chunk;
}

/* A fallback region: a quarter of what there is, less when that is refused. */
static bool map_region(size_t bytes) {
  if (region_count == REGIONS_MAX) return false;
  size_t want = max_size(round_up(region_bytes() / 4, CHUNK_BYTES), CHUNK_BYTES);
  size_t least = max_size(round_up(bytes, GRANULE_BYTES), REGION_MIN);
  for (; want >= least; want /= 2) {
    void *memory = sys_map(want + GRANULE_BYTES);
    if (!memory) continue;
    struct region *region = &regions[region_count];
    region->base = round_up((uintptr_t)memory, GRANULE_BYTES);
    publish_bytes(region, want);
    __atomic_store_n(&region_count, region_count + 1, __ATOMIC_RELEASE);
    next_chunk = region->base;
    return true;
  }
  return false;
}

static struct chunk *mapped_chunk(size_t bytes) {
  const struct region *newest = &regions[region_count - 1];
  bool room = region_count > 1 && region_end(newest) - next_chunk >= bytes;
  if (!room) {
    if (!map_region(bytes)) return NULL;
    newest = &regions[region_count - 1];
  }
  struct chunk *chunk = (struct chunk *)next_chunk;
  next_chunk = min_size(chunk_end(chunk), region_end(newest));
  chunk->info.cap = next_chunk;
  set_limit(chunk, next_chunk);
  return chunk;
}

COLD struct chunk *region_new_chunk(struct arena *arena, size_t bytes) {
  size_t need = GRANULE_BYTES + bytes;
  if (need > CHUNK_BYTES || !lock_enter(&growth_lock)) return NULL;
  struct chunk *chunk = brk_chunk(need);
  if (!chunk) chunk = mapped_chunk(need);
  if (chunk) {
    chunk->info.arena = arena;
    chunk->info.magic = chunk_magic(chunk);
  }
  lock_leave(&growth_lock);
  return chunk;
}

static bool extend_locked(struct chunk *chunk, uintptr_t end) {
  struct region *heap = &regions[0];
  bool last = chunk->info.limit == region_end(heap);
  if (last) {
    uintptr_t step = min_size(chunk->info.limit + region_growth_step(), chunk->info.cap);
    uintptr_t now = region_end(heap);
    if (sys_break() != now || !move_break(now, max_size(step, end), round_up(end, page_bytes))) return false;
  }
  /* Another arena's chunk may have moved the break past us: then our memory is there already. */
  set_limit(chunk, min_size(region_end(heap), chunk->info.cap));
  return chunk->info.limit >= end;
}

COLD bool region_extend(struct chunk *chunk, uintptr_t end) {
  bool on_brk = (uintptr_t)chunk - brk_base() < brk_bytes();
  if (!on_brk || !lock_enter(&growth_lock)) return false;
  bool done = end <= chunk->info.cap && extend_locked(chunk, end);
  lock_leave(&growth_lock);
  return done;
}

COLD bool region_shrink(struct chunk *chunk, uintptr_t end) {
  if (!lock_enter(&growth_lock)) return false;
  struct region *heap = &regions[0];
  uintptr_t old = region_end(heap);
  bool done = chunk->info.limit == old && end < old && sys_break() == old && sys_move_break(old, end);
  if (done) {
    publish_bytes(heap, end - heap->base);
    if (end > (uintptr_t)chunk) set_limit(chunk, end); /* else the chunk itself is gone */
  }
  lock_leave(&growth_lock);
  return done;
}
