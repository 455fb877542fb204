/* See large.h.
 *
 * The registry is an open-addressing hash table keyed by the mapping's address: any pointer is recognised with certainty, a power
 * of two wastes no page. A freed entry stays as a tombstone (bytes == 0) that remembers its address, so
 * that a double free can be named; insertion reuses it.
 *
 *   live + tombstones <= 3/4 capacity
 *
 * Freed mappings are kept as spares, so that a program that churns large buffers does not fault every page anew (5 to 25 MB
 * buffers: 1.56 s without, 0.3 s with). Two rules keep that from costing memory:
 *   - spares never raise the process's peak: whoever needs fresh address space (here or the block heap) first unmaps as much of them as
 *     would lift the total above the highest it has been;
 *   - beyond max(SPARE_FLOOR, an eighth of the live large bytes) they are released while the budget pays for it (budget.c): a burst
 *     that is over at once, a tight loop's buffers no more than once.
 * The nearest spare is made to fit: split, or grown with mremap so that only the difference is faulted in.
 *
 * Locking: one lock, dropped around the call that maps fresh memory. */
#include "large.h"

#include <string.h>

#include "block_meta.h"
#include "budget.h"

struct mapping {
  uintptr_t base; /* 0: never used */
  size_t bytes;   /* 0: tombstone */
};

struct spare {
  uintptr_t base;
  size_t bytes;
};

enum { SPARE_SHARE = 8, SLACK_SHARE = 8 };

static struct lock large_lock = {.rank = LOCK_LARGE};
static struct mapping first_table[FIRST_CAPACITY];
static struct mapping *table = first_table;
static size_t capacity = FIRST_CAPACITY; /* a power of two */
static size_t filled;                    /* live + tombstones */
static struct spare spares[SPARES_MAX];  /* oldest first; no two are neighbours in memory */
static size_t spare_count;
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

/* ---- spares --------------------------------------------------------------------------------------------------------- */

static struct spare remove_spare(size_t index) {
  struct spare spare = spares[index];
  spare_count--;
  memmove(&spares[index], &spares[index + 1], (spare_count - index) * sizeof *spares);
  counters.cached_bytes -= spare.bytes;
  return spare;
}

/* Unmap the last `bytes` of the oldest spare, or all of it. False: the kernel refused; the pages at least are given back. */
static bool unmap_oldest(size_t bytes) {
  struct spare *oldest = &spares[0];
  size_t cut = min_size(oldest->bytes, bytes);
  uintptr_t from = oldest->base + oldest->bytes - cut;
  if (!sys_unmap((void *)from, cut)) {
    sys_discard((void *)from, cut);
    return false;
  }
  oldest->bytes -= cut;
  counters.cached_bytes -= cut;
  if (oldest->bytes == 0) remove_spare(0);
  return true;
}

/* The spare that ends or begins where [base, base + bytes) begins or ends, or spare_count. */
static size_t neighbour_of(uintptr_t base, size_t bytes) {
  size_t i = 0;
  while (i < spare_count && spares[i].base + spares[i].bytes != base && base + bytes != spares[i].base) i++;
  return i;
}

/* Keep a mapping, joined with its neighbours, as the youngest. When there are too many (and the kernel will not unmap one) the oldest
 * is forgotten: discarded memory, address space lost. */
static void keep(uintptr_t base, size_t bytes) {
  size_t near;
  while ((near = neighbour_of(base, bytes)) < spare_count) {
    struct spare joined = remove_spare(near);
    base = min_size(base, joined.base);
    bytes += joined.bytes;
  }
  if (spare_count == SPARES_MAX && !unmap_oldest(SIZE_MAX)) remove_spare(0);
  spares[spare_count++] = (struct spare){base, bytes};
  counters.cached_bytes += bytes;
}

/* Memory that was never handed out, or is a table no more. What the kernel will not take back is a spare. */
static void unmap_or_keep(uintptr_t base, size_t bytes) {
  if (bytes > 0 && !sys_unmap((void *)base, bytes)) keep(base, bytes);
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
  if (old_table != first_table) unmap_or_keep((uintptr_t)old_table, round_up(old_capacity * sizeof *table, page_bytes));
  return true;
}

/* Fresh address space of `bytes` is about to be asked for: unmap as much as would raise the peak. */
static void make_way(size_t bytes) {
  budget_regret(bytes / page_bytes);
  size_t over = round_up(sys_bytes_over_peak(bytes), page_bytes);
  while (over > 0 && counters.cached_bytes > SPARE_FLOOR) {
    size_t before = counters.cached_bytes;
    if (!unmap_oldest(min_size(over, before - SPARE_FLOOR))) return;
    over -= min_size(over, before - counters.cached_bytes);
  }
}

/* Release what the budget pays for. */
static void release_spares(void) {
  size_t limit = max_size(SPARE_FLOOR, counters.live_bytes / SPARE_SHARE);
  while (counters.cached_bytes > limit && budget_spend(spares[0].bytes / page_bytes))
    if (!unmap_oldest(SIZE_MAX)) return;
}

/* The spare nearest to `bytes`: the smallest that is large enough, else the largest that makes up at least half; or spare_count. */
static size_t nearest(size_t bytes) {
  size_t above = spare_count, below = spare_count;
  for (size_t i = 0; i < spare_count; i++) {
    size_t have = spares[i].bytes;
    if (have >= bytes && (above == spare_count || have < spares[above].bytes)) above = i;
    if (have < bytes && have >= bytes / 2 && (below == spare_count || have > spares[below].bytes)) below = i;
  }
  return above != spare_count ? above : below;
}

/* A spare made to fit: 0 if there is none. A little too much is left in it. */
static uintptr_t take_spare(size_t *bytes) {
  size_t index = nearest(*bytes);
  if (index == spare_count) return 0;
  struct spare spare = remove_spare(index);
  if (spare.bytes < *bytes) {
    make_way(*bytes - spare.bytes);
    uintptr_t grown = (uintptr_t)sys_remap((void *)spare.base, spare.bytes, *bytes);
    if (!grown) keep(spare.base, spare.bytes);
    return grown;
  }
  size_t excess = spare.bytes - *bytes;
  if (excess > *bytes / SLACK_SHARE)
    keep(spare.base + *bytes, excess);
  else
    *bytes = spare.bytes;
  return spare.base;
}

static bool holds_aligned(const struct spare *spare, size_t bytes, size_t alignment) {
  uintptr_t base = round_up(spare->base, alignment);
  return base + bytes <= spare->base + spare->bytes;
}

/* A piece of the smallest spare with room at a multiple of `alignment`; what is before and behind stays a spare. 0: there is none. */
static uintptr_t take_aligned_spare(size_t bytes, size_t alignment) {
  size_t best = spare_count;
  for (size_t i = 0; i < spare_count; i++)
    if (holds_aligned(&spares[i], bytes, alignment) && (best == spare_count || spares[i].bytes < spares[best].bytes)) best = i;
  if (best == spare_count) return 0;
  struct spare spare = remove_spare(best);
  uintptr_t base = round_up(spare.base, alignment), end = spare.base + spare.bytes;
  if (base > spare.base) keep(spare.base, base - spare.base);
  if (base + bytes < end) keep(base + bytes, end - base - bytes);
  return base;
}

/* ---- interface ------------------------------------------------------------------------------------------------------ */

/* What alignment asked for too much goes back at both ends of a fresh mapping. */
static uintptr_t cut(uintptr_t fresh, size_t bytes, size_t slack, size_t alignment) {
  uintptr_t base = round_up(fresh, alignment);
  size_t head = base - fresh;
  unmap_or_keep(fresh, head);
  unmap_or_keep(base + bytes, slack - head);
  return base;
}

void *large_take(size_t size, size_t alignment, bool *zeroed) {
  size_t bytes = round_up(max_size(size, 1), page_bytes);
  if (bytes > PTRDIFF_MAX - alignment) return NULL;
  if (!lock_enter(&large_lock)) return NULL;
  uintptr_t base = !make_room() ? 0 : alignment <= page_bytes ? take_spare(&bytes) : take_aligned_spare(bytes, alignment);
  *zeroed = !base;
  if (!base) {
    make_way(bytes);
    lock_leave(&large_lock);
    size_t slack = max_size(alignment, page_bytes) - page_bytes;
    uintptr_t fresh = (uintptr_t)sys_map(bytes + slack);
    if (!fresh) return NULL;
    if (!lock_enter(&large_lock)) { /* in a signal handler that may not wait: it has got the lock before by chance */
      sys_unmap((void *)fresh, bytes + slack);
      return NULL;
    }
    base = cut(fresh, bytes, slack, alignment);
  }
  if (make_room()) {
    insert(base, bytes);
    counters.allocations++;
  } else {
    keep(base, bytes);
    base = 0;
  }
  lock_leave(&large_lock);
  return (void *)base;
}

static enum large_state state_of(const struct mapping *entry) {
  return entry->bytes ? LARGE_LIVE : entry->base ? LARGE_FREED : LARGE_UNKNOWN;
}

enum large_state large_find(const void *payload, size_t *bytes) {
  *bytes = 0;
  if ((uintptr_t)payload % page_bytes != 0) return LARGE_UNKNOWN;
  if (!lock_enter(&large_lock)) return LARGE_BUSY;
  const struct mapping *entry = find((uintptr_t)payload);
  *bytes = entry->bytes;
  enum large_state state = state_of(entry);
  lock_leave(&large_lock);
  return state;
}

enum large_state large_give(void *payload) {
  if ((uintptr_t)payload % page_bytes != 0) return LARGE_UNKNOWN;
  if (!lock_enter(&large_lock)) return LARGE_BUSY; /* lost, not harmed */
  struct mapping *entry = find((uintptr_t)payload);
  enum large_state state = state_of(entry);
  if (state == LARGE_LIVE) {
    size_t bytes = entry->bytes;
    bury(entry);
    keep((uintptr_t)payload, bytes);
    release_spares();
  }
  lock_leave(&large_lock);
  return state;
}

/* Grow a mapping into the spare behind it, with no system call: the new size, or 0. */
static size_t expand_into_spare(uintptr_t base, size_t old_bytes, size_t bytes) {
  size_t near = 0;
  while (near < spare_count && spares[near].base != base + old_bytes) near++;
  if (near == spare_count || old_bytes + spares[near].bytes < bytes) return 0;
  struct spare spare = remove_spare(near);
  size_t excess = old_bytes + spare.bytes - bytes;
  if (excess > bytes / SLACK_SHARE) {
    keep(base + bytes, excess);
    return bytes;
  }
  return bytes + excess;
}

/* Is copying to a spare cheaper than mremap? Copying a page takes a third of faulting one in. */
static bool better_copied(size_t old_bytes, size_t bytes) {
  size_t index = nearest(bytes);
  return index < spare_count && spares[index].bytes >= bytes && old_bytes <= 3 * (bytes - old_bytes);
}

/* Grow by mremap, an eighth further than asked if there is the address space: that is no memory, and spares the next few
 * calls. The new place, or 0. */
static uintptr_t remap(uintptr_t base, size_t old_bytes, size_t *bytes) {
  if (!make_room()) return 0;
  size_t ahead = round_up(*bytes + *bytes / 8, page_bytes);
  make_way(ahead - old_bytes);
  uintptr_t moved = (uintptr_t)sys_remap((void *)base, old_bytes, ahead);
  if (!moved) return (uintptr_t)sys_remap((void *)base, old_bytes, *bytes);
  *bytes = ahead;
  return moved;
}

/* *bytes in, the size to reach; out, what it became. */
static uintptr_t grow(uintptr_t base, size_t old_bytes, size_t *bytes) {
  size_t expanded = expand_into_spare(base, old_bytes, *bytes);
  if (expanded) {
    *bytes = expanded;
    return base;
  }
  return better_copied(old_bytes, *bytes) ? 0 : remap(base, old_bytes, bytes);
}

void *large_resize(void *payload, size_t size) {
  if (size > PTRDIFF_MAX || !lock_enter(&large_lock)) return NULL;
  uintptr_t old = (uintptr_t)payload, base = old;
  size_t old_bytes = find(old)->bytes, bytes = round_up(size, page_bytes);
  if (bytes > old_bytes) base = grow(old, old_bytes, &bytes);
  if (base && bytes != old_bytes) {
    bury(find(old));
    insert(base, bytes);
    if (bytes < old_bytes) keep(old + bytes, old_bytes - bytes);
    release_spares();
  }
  lock_leave(&large_lock);
  return (void *)base;
}

void large_make_way(size_t bytes) {
  if (!lock_enter(&large_lock)) return;
  make_way(bytes);
  lock_leave(&large_lock);
}

COLD bool large_refuses_size(size_t bytes) {
  void *stays;
  size_t asked = round_up(bytes, page_bytes);
  bool refused = sys_refuses_size(asked, &stays);
  if (stays && lock_enter(&large_lock)) {
    keep((uintptr_t)stays, refused ? page_bytes : asked);
    lock_leave(&large_lock);
  }
  return refused;
}

size_t large_trim(void) {
  if (!lock_enter(&large_lock)) return 0;
  size_t before = counters.cached_bytes;
  while (spare_count && unmap_oldest(SIZE_MAX)) {
  }
  size_t released = before - counters.cached_bytes;
  lock_leave(&large_lock);
  return released;
}

COLD const char *large_check(void) {
  if (lock_is_abandoned(&large_lock)) return NULL;
  if (!lock_enter(&large_lock)) return "re-entered";
  size_t seen = 0, bytes = 0, cached = 0;
  const char *fault = NULL;
  for (size_t i = 0; i < capacity; i++) {
    seen += table[i].base != 0;
    bytes += table[i].bytes;
    if (table[i].base && find(table[i].base) != &table[i]) fault = "a mapping cannot be found in its chain";
  }
  for (size_t i = 0; i < spare_count; i++) {
    cached += spares[i].bytes;
    if (neighbour_of(spares[i].base, spares[i].bytes) < spare_count) fault = "two spare mappings were not joined";
  }
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

void large_before_fork(uint32_t *patience) { lock_enter_for_fork(&large_lock, patience); }

void large_after_fork(bool child) {
  lock_leave_after_fork(&large_lock, child);
  if (child) lock_abandon_orphan(&large_lock);
}
