/* See large.h.
 *
 * The registry is an open-addressing hash table keyed by the mapping's address: any pointer is recognised with certainty, a power
 * of two wastes no page. A freed entry stays as a tombstone (bytes == 0) that remembers its address, so
 * that a double free can be named; insertion reuses it.
 *
 *   live + tombstones <= 3/4 capacity
 *
 * The cache: freed mappings, linked through their own first bytes, newest first, at most max(1 MiB, an eighth of the
 * live large bytes) in sum. Without one a program that churns buffers of 5 to 25 MB runs 3.5 times slower; with 64 MiB of it python's RSS
 * is 1.08 of glibc's instead of 0.92. The nearest mapping is made to fit: unmap the tail, or mremap to grow, so
 * that only the difference is faulted in.
 *
 * Locking: one lock, dropped around the calls that map fresh memory or unmap. */
#include "large.h"

#include <string.h>

#include "block_meta.h"

struct mapping {
  uintptr_t base; /* 0: never used */
  size_t bytes;   /* 0: tombstone */
};

struct spare {
  struct spare *next;
  size_t bytes;
};

enum { FIRST_CAPACITY = 128, SPARE_FLOOR = 1024 * 1024, SPARE_SHARE = 8, FIT_SLACK_SHARE = 8 };

static struct lock large_lock;
static struct mapping first_table[FIRST_CAPACITY];
static struct mapping *table = first_table;
static size_t capacity = FIRST_CAPACITY; /* a power of two */
static size_t filled;                    /* live + tombstones */
static struct spare *cache;
static struct large_stats counters;

/* ---- registry ------------------------------------------------------------------------------------------------------- */

static size_t slot_of(uintptr_t base) { return (base / page_bytes) * 0x9e3779b97f4a7c15u >> 20 & (capacity - 1); }

/* The entry of `base`, or the empty one that ends its chain. */
static struct mapping *find(uintptr_t base) {
  size_t slot = slot_of(base);
  while (table[slot].base && table[slot].base != base) slot = (slot + 1) & (capacity - 1);
  return &table[slot];
}

/* Where `base` may be recorded: its own old tombstone, any on the way, or the end of the chain. */
static struct mapping *vacancy(uintptr_t base) {
  struct mapping *own = find(base);
  if (own->base) return own;
  size_t slot = slot_of(base);
  while (table[slot].bytes) slot = (slot + 1) & (capacity - 1);
  return &table[slot];
}

static void insert(uintptr_t base, size_t bytes) {
  struct mapping *entry = vacancy(base);
  if (entry->base == 0) filled++;
  *entry = (struct mapping){base, bytes};
  counters.live_count++;
  counters.live_bytes += bytes;
}

static void bury(struct mapping *entry) {
  counters.live_count--;
  counters.live_bytes -= entry->bytes;
  entry->bytes = 0;
}

/* Room for one more entry: a larger table when live ones crowd it, the same size without tombstones otherwise. */
static bool make_room(void) {
  if (filled < capacity / 4 * 3) return true;
  size_t new_capacity = counters.live_count >= capacity / 2 ? capacity * 2 : capacity;
  struct mapping *new_table = sys_map(round_up(new_capacity * sizeof *table, page_bytes));
  if (!new_table) return filled < capacity - 1;
  struct mapping *old_table = table;
  size_t old_capacity = capacity;
  table = new_table;
  capacity = new_capacity;
  filled = 0;
  for (size_t i = 0; i < old_capacity; i++) {
    if (old_table[i].bytes == 0) continue;
    *find(old_table[i].base) = old_table[i];
    filled++;
  }
  if (old_table != first_table) sys_unmap(old_table, round_up(old_capacity * sizeof *table, page_bytes));
  return true;
}

/* ---- cache ---------------------------------------------------------------------------------------------------------- */

static size_t cache_limit(void) { return max_size(SPARE_FLOOR, counters.live_bytes / SPARE_SHARE); }

static struct spare *unlink_spare(struct spare **link) {
  struct spare *spare = *link;
  *link = spare->next;
  counters.cached_bytes -= spare->bytes;
  return spare;
}

/* Keep a mapping. The page that holds its link is resident: its last user wrote there, or the kernel would not take it back. */
static void keep(void *base, size_t bytes) {
  struct spare *spare = base;
  *spare = (struct spare){cache, bytes};
  cache = spare;
  counters.cached_bytes += bytes;
}

static bool unmap_or_keep(void *base, size_t bytes) {
  if (sys_unmap(base, bytes)) return true;
  sys_discard(base, bytes);
  keep(base, bytes);
  return false;
}

/* Unmap the oldest until the limit holds. */
static void shrink_cache(size_t limit) {
  while (cache && counters.cached_bytes > limit) {
    struct spare **oldest = &cache;
    while ((*oldest)->next) oldest = &(*oldest)->next;
    struct spare *spare = unlink_spare(oldest);
    if (!unmap_or_keep(spare, spare->bytes)) return;
  }
}

/* The link to the cached mapping nearest to `bytes`: the smallest that is large enough, else the largest that makes up at least half. */
static struct spare **nearest(size_t bytes) {
  struct spare **above = NULL, **below = NULL;
  for (struct spare **link = &cache; *link; link = &(*link)->next) {
    size_t have = (*link)->bytes;
    if (have >= bytes && (!above || have < (*above)->bytes)) above = link;
    if (have < bytes && have >= bytes / 2 && (!below || have > (*below)->bytes)) below = link;
  }
  return above ? above : below;
}

/* Make a mapping that left the cache fit; a little too much is left as it is: a system call less. Its new place and size. */
static void *fit(struct spare *spare, size_t *bytes) {
  size_t have = spare->bytes;
  if (have < *bytes) {
    void *grown = sys_remap(spare, have, *bytes);
    if (!grown) keep(spare, have);
    return grown;
  }
  if (have - *bytes <= *bytes / FIT_SLACK_SHARE || !sys_unmap((char *)spare + *bytes, have - *bytes)) *bytes = have;
  return spare;
}

static void *take_cached(size_t *bytes) {
  struct spare **link = nearest(*bytes);
  return link ? fit(unlink_spare(link), bytes) : NULL;
}

/* ---- interface ------------------------------------------------------------------------------------------------------ */

/* Fresh memory; what alignment asked for too much is unmapped again at both ends (if the kernel refuses, it stays, untouched). */
static void *map_aligned(size_t bytes, size_t alignment) {
  if (alignment <= page_bytes) return sys_map(bytes);
  char *base = sys_map(bytes + alignment - page_bytes);
  if (!base) return NULL;
  char *payload = (char *)round_up((uintptr_t)base, alignment);
  size_t head = (size_t)(payload - base), tail = alignment - page_bytes - head;
  if (head) sys_unmap(base, head);
  if (tail) sys_unmap(payload + bytes, tail);
  return payload;
}

void *large_take(size_t size, size_t alignment, bool *zeroed) {
  size_t bytes = round_up(max_size(size, 1), page_bytes);
  if (bytes > PTRDIFF_MAX - alignment) return NULL;
  if (!lock_enter(&large_lock)) return NULL;
  void *base = make_room() && alignment <= page_bytes ? take_cached(&bytes) : NULL;
  *zeroed = !base;
  if (!base) {
    lock_leave(&large_lock);
    base = map_aligned(bytes, alignment);
    if (!base || !lock_enter(&large_lock)) return NULL;
  }
  if (!make_room()) {
    unmap_or_keep(base, bytes);
    base = NULL;
  } else {
    insert((uintptr_t)base, bytes);
    counters.allocations++;
  }
  lock_leave(&large_lock);
  return base;
}

static enum large_state state_of(const struct mapping *entry) {
  return entry->bytes ? LARGE_LIVE : entry->base ? LARGE_FREED : LARGE_UNKNOWN;
}

enum large_state large_find(const void *payload, size_t *bytes) {
  if ((uintptr_t)payload % page_bytes != 0 || !lock_enter(&large_lock)) return LARGE_UNKNOWN;
  const struct mapping *entry = find((uintptr_t)payload);
  *bytes = entry->bytes;
  enum large_state state = state_of(entry);
  lock_leave(&large_lock);
  return state;
}

enum large_state large_give(void *payload) {
  if ((uintptr_t)payload % page_bytes != 0) return LARGE_UNKNOWN;
  if (!lock_enter(&large_lock)) return LARGE_LIVE; /* in a signal handler that interrupted us: lost, not harmed */
  struct mapping *entry = find((uintptr_t)payload);
  enum large_state state = state_of(entry);
  size_t bytes = entry->bytes;
  bool unmap = false;
  if (state == LARGE_LIVE) {
    bury(entry);
    unmap = bytes > cache_limit();
    if (!unmap) keep(payload, bytes);
    shrink_cache(cache_limit());
  }
  lock_leave(&large_lock);
  if (unmap && !sys_unmap(payload, bytes) && lock_enter(&large_lock)) {
    sys_discard(payload, bytes);
    keep(payload, bytes);
    lock_leave(&large_lock);
  }
  return state;
}

void *large_resize(void *payload, size_t size) {
  if (size > PTRDIFF_MAX || !lock_enter(&large_lock)) return NULL;
  struct mapping *entry = find((uintptr_t)payload);
  size_t old_bytes = entry->bytes, bytes = round_up(size, page_bytes);
  void *base = payload;
  if (bytes > old_bytes) {
    /* An eighth to spare is address space, not memory, and spares the next few calls. */
    size_t ahead = round_up(bytes + bytes / 8, page_bytes);
    base = make_room() ? sys_remap(payload, old_bytes, ahead) : NULL;
    if (base) bytes = ahead;
    else base = make_room() ? sys_remap(payload, old_bytes, bytes) : NULL;
  } else if (bytes < old_bytes && !sys_unmap((char *)payload + bytes, old_bytes - bytes)) {
    bytes = old_bytes;
  }
  if (base && bytes != old_bytes) {
    bury(find((uintptr_t)payload));
    insert((uintptr_t)base, bytes);
  }
  lock_leave(&large_lock);
  return base;
}

size_t large_trim(void) {
  if (!lock_enter(&large_lock)) return 0;
  size_t before = counters.cached_bytes;
  shrink_cache(0);
  size_t released = before - counters.cached_bytes;
  lock_leave(&large_lock);
  return released;
}

const char *large_check(void) {
  if (!lock_enter(&large_lock)) return "re-entered";
  size_t seen = 0, bytes = 0, cached = 0;
  const char *fault = NULL;
  for (size_t i = 0; i < capacity; i++) {
    seen += table[i].base != 0;
    bytes += table[i].bytes;
    if (table[i].base && find(table[i].base) != &table[i]) fault = "a mapping cannot be found in its chain";
  }
  for (const struct spare *spare = cache; spare; spare = spare->next) cached += spare->bytes;
  if (seen != filled || bytes != counters.live_bytes || cached != counters.cached_bytes) fault = "the counters of mappings are off";
  lock_leave(&large_lock);
  return fault;
}

void large_get_stats(struct large_stats *out) {
  *out = (struct large_stats){0};
  if (!lock_enter(&large_lock)) return;
  *out = counters;
  lock_leave(&large_lock);
}

static bool large_entered;

void large_before_fork(void) { large_entered = lock_enter(&large_lock); }

void large_after_fork(bool child) { lock_leave_after_fork(&large_lock, large_entered, child); }
