/* SPDX-License-Identifier: MIT */
/* See region.h.
 *
 * The brk heap is regions[0]. It grows in steps of 128 KiB to 4 MiB, four times what there is, one system call each, and only
 * while the break is where we left it. When somebody else moved it up, the chunk at the old end is capped there for good and the next
 * chunk starts on the first chunk edge behind the stranger: simple, and rare enough that
 * the address space lost does not matter. When somebody moved it down, what was free at the end is no longer ours; from there the heap
 * goes on (live memory that goes so is theirs who moved it). When brk is refused, chunks come from mapped regions.
 *
 * What the last page holds beyond the break stays there when the break goes down, and comes back when it goes up: it is cleared then.
 * So all that comes from here reads as zero, a chunk's records too, whoever had that memory before. (With pages of 4 KiB breaks are on a
 * page's edge, unless a stranger moved them.)
 *
 * Locking: growth_lock guards everything here; readers of regions[] need no lock, since base is published before bytes, and fewer bytes
 * before the memory goes (os_trim leaves no live memory behind the end). */
#include "region.h"

#include <string.h>

struct region regions[REGIONS_MAX];
struct lock growth_lock = {.rank = LOCK_GROWTH};

static size_t region_count = 1;  /* atomic; [0] is always there, if only as zero bytes */
static uintptr_t next_chunk;     /* in the newest fallback region: not handed out from here on */
static struct chunk *last_chunk; /* the one that reaches up to the end of the brk heap, or NULL */

static uintptr_t region_end(const struct region *region) { return region->base + region->bytes; }

static uintptr_t chunk_end(const struct chunk *chunk) { return (uintptr_t)chunk + CHUNK_BYTES; }

static void publish_bytes(struct region *region, size_t bytes) { __atomic_store_n(&region->bytes, bytes, __ATOMIC_RELEASE); }

static size_t published_bytes(const struct region *region) { return __atomic_load_n(&region->bytes, __ATOMIC_ACQUIRE); }

const struct region *region_of(uintptr_t address) {
  size_t count = __atomic_load_n(&region_count, __ATOMIC_ACQUIRE);
  for (size_t i = 0; i < count; i++) {
    size_t bytes = published_bytes(&regions[i]);
    if (address - __atomic_load_n(&regions[i].base, __ATOMIC_RELAXED) < bytes) return &regions[i];
  }
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

static void cap(struct chunk *chunk, uintptr_t end) {
  chunk->info.cap_bytes = (uint32_t)min_size(chunk->info.cap_bytes, end - (uintptr_t)chunk);
}

/* What a stranger did to the break, which is at `now`, is written down. */
static void note_break(uintptr_t now) {
  struct region *heap = &regions[0];
  uintptr_t end = region_end(heap);
  if (now == end || heap->bytes == 0) return;
  if (now > end) {
    if (last_chunk) cap(last_chunk, end);
    return;
  }
  publish_bytes(heap, now > heap->base ? now - heap->base : 0);
  bool whole = last_chunk && (uintptr_t)last_chunk + sizeof *last_chunk <= now; /* its records, at least */
  if (whole)
    set_limit(last_chunk, min_size(last_chunk->info.limit, now));
  else
    last_chunk = NULL;
}

static bool is_in_reach(uintptr_t end) { return end <= (uintptr_t)1 << ADDRESS_BITS; }

static bool try_break(uintptr_t now, uintptr_t end) { return is_in_reach(end) && sys_move_break(now, end); }

static void *map_in_reach(size_t bytes) {
  void *memory = sys_map(bytes);
  if (!memory || is_in_reach((uintptr_t)memory + bytes)) return memory;
  sys_unmap(memory, bytes);
  return NULL;
}

/* The brk heap ends at `end` from now on: `end`, or the lesser one if the kernel refuses. Strangers may have left something behind the
 * break in its page; that is cleared even where we begin further up, since it may become the memory of a chunk below. A stranger's
 * call between our look at the break and this one cannot be seen: brk is absolute, and libc's own sbrk() loses that race too. */
static bool move_break(uintptr_t now, uintptr_t end, uintptr_t lesser_end) {
  if (!try_break(now, end)) {
    end = lesser_end;
    if (!try_break(now, end)) return false;
  }
  uintptr_t edge = min_size(round_up(now, page_bytes), end);
  if (UNLIKELY(now < edge)) memset((void *)now, 0, edge - now);
  publish_bytes(&regions[0], end - regions[0].base);
  return true;
}

size_t region_growth_step(void) {
  return round_up(min_size(max_size(brk_bytes() * GROWTH_FACTOR, GROWTH_MIN), GROWTH_MAX), page_bytes);
}

/* Room on the brk heap for a chunk of `bytes` so far. */
static struct chunk *brk_chunk(size_t bytes) {
  uintptr_t now = sys_break();
  if (now == 0) return NULL;
  struct region *heap = &regions[0];
  note_break(now);
  if (heap->bytes == 0) __atomic_store_n(&heap->base, round_up(now, sys_huge_pages == SYS_HUGE_PLEASE ? HUGE_PAGE : GRANULE_BYTES), __ATOMIC_RELAXED);
  uintptr_t start = heap->base;
  if (heap->bytes > 0) start += round_up(max_size(now, region_end(heap)) - heap->base, CHUNK_BYTES);
  size_t step = max_size(round_up(bytes, page_bytes), SLABS_AHEAD * GRANULE_BYTES + region_growth_step());
  if (!move_break(now, sys_break_edge(start + step), start + round_up(bytes, page_bytes))) return NULL;
  struct chunk *chunk = (struct chunk *)start;
  chunk->info.below = last_chunk;
  last_chunk = chunk;
  chunk->info.cap_bytes = CHUNK_BYTES;
  set_limit(chunk, min_size(region_end(heap), chunk_end(chunk)));
  return chunk;
}

/* A fallback region: a quarter of what there is, less when that is refused. */
static bool map_region(size_t bytes) {
  if (region_count == REGIONS_MAX) return false;
  size_t all = region_bytes(), want = max_size(round_up(all / 4, CHUNK_BYTES), CHUNK_BYTES);
  size_t least = max_size(round_up(bytes, GRANULE_BYTES), REGION_MIN);
  if (region_count >= SMALL_REGIONS) least = max_size(least, all / REGION_SHARE);
  for (; want >= least; want /= 2) {
    void *memory = map_in_reach(want + GRANULE_BYTES);
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
  chunk->info.cap_bytes = (uint32_t)(next_chunk - (uintptr_t)chunk);
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
  uintptr_t most = (uintptr_t)chunk + chunk->info.cap_bytes;
  if (end > most) return false;
  if (chunk->info.limit == region_end(heap)) {
    uintptr_t now = sys_break(), step = min_size(sys_break_edge(now + region_growth_step()), most), lesser_end = round_up(end, page_bytes);
    if (now == 0) return false;
    note_break(now);
    if (now != region_end(heap) || !move_break(now, max_size(step, lesser_end), lesser_end)) return false;
  }
  /* Another arena's chunk may have moved the break past us: then our memory is there already. */
  set_limit(chunk, min_size(region_end(heap), most));
  return chunk->info.limit >= end;
}

COLD bool region_extend(struct chunk *chunk, uintptr_t end) {
  bool on_brk = (uintptr_t)chunk - brk_base() < brk_bytes();
  if (!on_brk || !lock_enter(&growth_lock)) return false;
  bool done = extend_locked(chunk, end);
  lock_leave(&growth_lock);
  return done;
}

COLD void region_look_at_break(void) {
  if (!lock_enter(&growth_lock)) return;
  uintptr_t now = sys_break();
  if (now) note_break(now);
  lock_leave(&growth_lock);
}

/* The brk heap ends at `end`, and with it the chunk, or before it: then the chunk is no chunk any more. Written down first, and undone
 * when the kernel refuses: nobody is led to what is gone. */
static bool shrink_locked(struct chunk *chunk, uintptr_t end) {
  struct region *heap = &regions[0];
  uintptr_t old = region_end(heap);
  bool whole = end == (uintptr_t)chunk;
  struct chunk *below = chunk->info.below;
  if (chunk->info.limit != old || end >= old || sys_break() != old) return false;
  if (whole)
    chunk->info.magic = 0;
  else
    set_limit(chunk, end);
  publish_bytes(heap, end - heap->base);
  if (sys_move_break(old, end)) {
    if (whole) last_chunk = below;
    return true;
  }
  publish_bytes(heap, old - heap->base);
  set_limit(chunk, old);
  chunk->info.magic = chunk_magic(chunk);
  return false;
}

COLD bool region_shrink(struct chunk *chunk, uintptr_t end) {
  if (!lock_enter(&growth_lock)) return false;
  bool done = shrink_locked(chunk, end);
  lock_leave(&growth_lock);
  return done;
}
