/* SPDX-License-Identifier: MIT */
/* See large.h; registry.h has the records.
 *
 * The kernel allows a process so many areas of memory (vm.max_map_count, 65,530), and we share them with the program: at the limit its mmap,
 * pthread_create and sbrk fail. What is mapped side by side is one area, so we never have more areas than mappings:
 *   - with MAPPINGS_SHARE of them, what fits a chunk comes from the block heap (heap.c), and what does not from what is kept, if it can;
 *   - with three times as many live ones nothing is unmapped, which might cut an area in two: pages are dropped, address space is kept.
 * (Spares do not count: there are few, or all that are more go. When they did, and nothing was unmapped from twice as many on, they piled up beyond what is looked
 * through. With 36,000 live buffers of 34 to 68 MB, of which others were taken and given for ever, areas grew from 27,681 to 36,593 in three rounds, that took 0.8 s, 3.3, 7.1. Now
 * 0.4 s each, and 35,900 areas at most.)
 *
 * Freed mappings are kept as spares, so that a program that churns large buffers does not fault every page anew (5 to 25 MB
 * buffers: 1.56 s without, 0.3 s with). Two rules keep that from costing memory:
 *   - spares never raise the process's peak: whoever needs fresh address space (here or the block heap) first unmaps as much of them as
 *     would lift the total above the highest it has been;
 *   - beyond max(SPARE_FLOOR, an eighth of the live large bytes) those are released that nobody wanted for an age, while the budget pays for
 *     it (budget.c); at once, where they are LARGE_FLOOD too much.
 * The nearest spare is made to fit: split, or grown with mremap so that only the difference is faulted in. What the kernel will not
 * take back stays a spare, the youngest: it may be used again, and is offered to the kernel again when its turn comes.
 *
 * Locking: one lock, dropped around the call that maps fresh memory, and while pages are dropped that take long. */
#include "large.h"

#include <string.h>

#include "block_meta.h"
#include "budget.h"
#include "registry.h"

enum {
  SPARE_SHARE = 8,
  SLACK_SHARE = 8,
  RECORDS_MAX = 3,                /* that one call may add: a mapping, what is before and behind it */
  REFUSALS_MAX = 2,               /* then the kernel is asked no more, in one call */
  PORTION_MIN = 8 * 1024 * 1024,  /* of spares that are due one call releases as much as it freed, but no less than this: half a millisecond */
  HOLD_BYTES = 32 * 1024 * 1024,  /* so much may be unmapped before the lock is left: 1 to 3 ms */
  UNMAP_COST_BYTES = 64 * 1024    /* the call itself */
};

static struct lock large_lock = {.rank = LOCK_LARGE};
static size_t hold_bytes; /* unmapped since the lock was taken */
static uint32_t clock_ms;      /* ms, when something was freed last; read before the lock was taken, and so for nobody who waits */
static size_t allocations;

/* ---- the lock ------------------------------------------------------------------------------------------------------- */

static bool enter(void) {
  if (!lock_enter(&large_lock)) return false;
  hold_bytes = 0;
  return true;
}

static uint32_t now_ms(void) { return (uint32_t)(sys_coarse_time() / 1000000); }

static bool enter_to_free(void) {
  uint32_t time = now_ms();
  if (!enter()) return false;
  clock_ms = time;
  return true;
}

static void leave(void) { lock_leave(&large_lock); }

/* May the lock be dropped for a while? Not in a signal handler that interrupted the library, and may find it taken then. */
static bool may_drop_lock(void) { return lock_is_only(&large_lock); }

static void enter_again(void) {
  if (!enter()) DIE("a lock that was dropped cannot be taken again");
}

/* ---- what we have --------------------------------------------------------------------------------------------------- */

static size_t load(const size_t *counter) { return __atomic_load_n(counter, __ATOMIC_RELAXED); }

static size_t cached_bytes(void) { return load(&mappings[MAPPING_SPARE].bytes) + load(&mappings[MAPPING_EMPTYING].bytes); }

static size_t mapping_count(void) {
  return load(&mappings[MAPPING_LIVE].count) + load(&mappings[MAPPING_SPARE].count) + load(&mappings[MAPPING_EMPTYING].count);
}

bool large_is_crowded(void) { return mapping_count() >= MAPPINGS_SHARE; }

static bool may_unmap(void) { return load(&mappings[MAPPING_LIVE].count) <= 3 * (size_t)MAPPINGS_SHARE; }

/* ---- spares --------------------------------------------------------------------------------------------------------- */

static struct mapping *oldest_spare(void) { return mappings[MAPPING_SPARE].oldest; }

/* What begins where `low` ends becomes a part of it. */
static void melt(struct mapping *low, struct mapping *high) {
  size_t bytes = low->bytes + high->bytes;
  registry_resize(high, 0);
  registry_resize(low, bytes);
}

/* As old as what has most pages in it: else one of 500 MB, of which a little is wanted again and again, would be young for ever. */
static void join(struct mapping *low, struct mapping *high) {
  uint32_t since = low->dirty_bytes >= high->dirty_bytes ? low->since : high->since;
  size_t dirty_bytes = low->dirty_bytes + high->dirty_bytes;
  melt(low, high);
  low->since = since;
  low->dirty_bytes = dirty_bytes;
}

/* A mapping becomes a spare, joined with its neighbours, the youngest of the list. */
static struct mapping *keep_since(struct mapping *mapping, size_t dirty_bytes, uint32_t since) {
  struct mapping *behind = NULL, *before = NULL;
  if (oldest_spare()) { /* none is common: one buffer again and again */
    behind = registry_find(mapping->base + mapping->bytes);
    before = registry_find_end(mapping->base);
  }
  mapping->dirty_bytes = min_size(dirty_bytes, mapping->bytes);
  mapping->since = since;
  if (behind && behind->state == MAPPING_SPARE) join(mapping, behind);
  if (before) {
    join(before, mapping);
    mapping = before;
  }
  registry_become(mapping, MAPPING_SPARE);
  return mapping;
}

static struct mapping *keep(struct mapping *mapping, size_t dirty_bytes) { return keep_since(mapping, dirty_bytes, clock_ms); }

/* Cut a mapping down to `bytes`; the rest is a spare. */
static void cut_off(struct mapping *mapping, size_t bytes, size_t dirty_bytes, uint32_t since) {
  size_t rest = mapping->bytes - bytes;
  registry_resize(mapping, bytes);
  keep_since(registry_add(mapping->base + bytes, rest), dirty_bytes, since);
}

/* Drop the pages of a spare's last `cut` bytes without the lock. It is on record meanwhile, and nobody's, and stays as long as it is. In pieces: the kernel has a lock, too.
 * False: the kernel refused. */
static bool drop_pages(struct mapping *spare, size_t cut) {
  bool done = true;
  spare->emptier = thread_number;
  registry_become(spare, MAPPING_EMPTYING);
  size_t kept = spare->bytes - cut, left = spare->dirty_bytes ? cut : 0;
  leave();
  while (done && left > 0) {
    size_t piece = min_size(left, HOLD_BYTES);
    left -= piece;
    done = sys_discard_locked((void *)(spare->base + kept + left), piece);
  }
  enter_again();
  if (done) spare->dirty_bytes = min_size(spare->dirty_bytes, kept);
  return done;
}

/* Unmap the last `most` bytes of a spare, or all of it: how many. 0: the kernel refused, or shall not be asked. The pages at least are given
 * back, and it is the last to be offered again. May drop the lock. (What became free beside it meanwhile is joined with the rest: it was joined first, and the
 * neighbour, full of pages, was unmapped under the lock in place of what had been emptied. 300 ms.) Where pages cannot be dropped they go with the mapping, a
 * part of it a call: 2 GB at once, under a filter that refuses madvise, had another thread's malloc wait 270 ms. */
static size_t release(struct mapping *spare, size_t most) {
  size_t cut = min_size(most, spare->bytes);
  uint32_t since = spare->since;
  bool long_hold = hold_bytes + min_size(spare->dirty_bytes, cut) > HOLD_BYTES;
  if (long_hold && !libc_single_threaded() && may_drop_lock() && !drop_pages(spare, cut)) cut = min_size(cut, HOLD_BYTES);
  size_t rest = spare->bytes - cut;
  void *from = (void *)(spare->base + rest);
  hold_bytes += UNMAP_COST_BYTES + min_size(spare->dirty_bytes, cut);
  bool gone = may_unmap() && sys_unmap(from, cut);
  if (!gone && spare->dirty_bytes && sys_discard_locked(from, cut)) spare->dirty_bytes -= min_size(spare->dirty_bytes, cut);
  if (gone) registry_resize(spare, rest);
  bool stays = !gone || (rest > 0 && spare->state == MAPPING_EMPTYING);
  if (stays) keep_since(spare, spare->dirty_bytes, gone ? since : clock_ms);
  return gone ? cut : 0;
}

/* Memory that was never handed out. What the kernel will not take back is a spare. */
static void unmap_or_keep(uintptr_t base, size_t bytes) {
  if (bytes > 0 && !(may_unmap() && sys_unmap((void *)base, bytes))) keep(registry_add(base, bytes), 0);
}

/* What the kernel would not take back. */
static void keep_unclaimed(void *base, size_t bytes) {
  if (!registry_claim(1)) return;
  keep(registry_add((uintptr_t)base, bytes), 0);
  registry_unclaim(1);
}

/* Way would be made for a request that the kernel refuses for its size, also with all that is kept out of the way. (malloc(1 << 46) took 0.8 s beside 2 GB of spares, and left none. Only
 * of what is absurd this is asked: near a limit the spares are what is in the way, and with mlockall() the trial would fault all of it in.) */
static bool is_way_in_vain(size_t bytes) {
  const size_t absurd = (size_t)1 << 40;
  void *stays = NULL;
  if (bytes < absurd || cached_bytes() < PORTION_MIN) return false;
  bool refused = sys_refuses_size(bytes - cached_bytes(), &stays);
  if (stays) keep_unclaimed(stays, refused ? page_bytes : bytes - cached_bytes());
  return refused;
}

/* Fresh address space of `bytes` is about to be asked for: unmap as much as would raise the peak. May drop the lock. (Tried and dropped: nothing that was wanted in the last 50 ms.
 * Faults of real programs 1.027 -> 0.986 of glibc's, python's json 1.74 -> 0.98, but RSS 1.004 -> 1.011.) */
static void make_way(size_t bytes) {
  budget_regret(bytes / page_bytes);
  size_t over = round_up(sys_bytes_over_peak(bytes), page_bytes), cached;
  if (over > 0 && is_way_in_vain(bytes)) return;
  while (over > 0 && (cached = cached_bytes()) > SPARE_FLOOR && oldest_spare()) {
    size_t released = release(oldest_spare(), min_size(over, cached - SPARE_FLOOR));
    if (!released) return;
    over -= min_size(over, released);
  }
}

static size_t share(void) { return max_size(SPARE_FLOOR, mappings[MAPPING_LIVE].bytes / SPARE_SHARE); }

static bool too_much_is_kept(void) { return oldest_spare() && cached_bytes() > share(); }

/* Very much, which goes at once until no more is kept than its share. */
static bool is_flooded(void) {
  static bool flooded;
  bool much = too_much_is_kept() && (flooded || cached_bytes() > share() + LARGE_FLOOD);
  return flooded = much && !budget_waits();
}

/* The kernel forks no process with an area that is longer than all memory, touched or not. */
static bool far_too_much_is_kept(void) { return too_much_is_kept() && cached_bytes() > SPARES_BYTES_MAX; }

/* The one that has not been wanted for longest, if that is an age. */
static struct mapping *idle_spare(void) {
  int32_t most = sys_near_soft_limit(0) ? 0 : (int32_t)(budget_age() / 1000000);
  struct mapping *idle = NULL;
  size_t looks = SPARES_MAX;
  for (struct mapping *spare = oldest_spare(); spare && looks > 0; spare = spare->younger, looks--) {
    int32_t age = (int32_t)(clock_ms - spare->since); /* below 0: freed by who came in after us, and had read the clock before */
    if (age >= most) idle = spare, most = age;
  }
  return idle;
}

/* No more than a few spares are kept, and of what is idle no more bytes than the budget has us keep: a portion of what is too much goes, for `freed` bytes. (All of it
 * at once, when the budget allowed it at last: 171 ms for a free of 200 kB.) May drop the lock. */
static void release_spares(size_t freed) {
  const struct mapping_list *spares = &mappings[MAPPING_SPARE];
  size_t left = max_size(freed, PORTION_MIN);
  for (int calls = 0, refusals = 0; spares->oldest && left > 0 && calls < SPARES_MAX && refusals < REFUSALS_MAX; calls++) {
    bool at_any_cost = spares->count > SPARES_MAX || far_too_much_is_kept();
    struct mapping *spare = at_any_cost || is_flooded() ? oldest_spare() : too_much_is_kept() ? idle_spare() : NULL;
    if (!spare || !(at_any_cost || budget_spend(min_size(spare->dirty_bytes, left) / page_bytes))) break;
    size_t released = release(spare, left);
    refusals += released == 0;
    left -= min_size(left, released);
  }
  budget_note_due(DUE_MAPPINGS, too_much_is_kept());
}

/* Of the youngest `looks` spares the nearest to `bytes`: the smallest that is large enough, else the largest that makes up at least
 * half; or NULL. */
static struct mapping *nearest(size_t bytes, size_t looks) {
  struct mapping *above = NULL, *below = NULL;
  for (struct mapping *spare = mappings[MAPPING_SPARE].youngest; spare && looks > 0; spare = spare->older, looks--) {
    if (spare->bytes == bytes) return spare;
    if (spare->bytes >= bytes && (!above || spare->bytes <= above->bytes)) above = spare;
    if (spare->bytes < bytes && spare->bytes >= bytes / 2 && (!below || spare->bytes >= below->bytes)) below = spare;
  }
  return above ? above : below;
}

/* Hand out a spare's beginning. A little too much is left in it. */
static struct mapping *take_front(struct mapping *spare, size_t bytes) {
  size_t dirty_bytes = spare->dirty_bytes;
  uint32_t since = spare->since;
  registry_become(spare, MAPPING_LIVE);
  if (spare->bytes - bytes > bytes / SLACK_SHARE) cut_off(spare, bytes, dirty_bytes, since);
  return spare;
}

/* A live mapping with its pages elsewhere, and of another size; NULL: the kernel refused. */
static struct mapping *remapped(struct mapping *mapping, size_t bytes) {
  uintptr_t base = (uintptr_t)sys_remap((void *)mapping->base, mapping->bytes, bytes);
  if (!base) return NULL;
  if (base == mapping->base) {
    registry_resize(mapping, bytes);
    return mapping;
  }
  registry_resize(mapping, 0);
  return registry_add(base, bytes);
}

/* A spare that is too small, grown. (No spare any more while way is made: else it might be what goes, and more would be missing.) */
static struct mapping *take_grown(struct mapping *spare, size_t bytes) {
  size_t dirty_bytes = spare->dirty_bytes;
  uint32_t since = spare->since;
  registry_become(spare, MAPPING_LIVE);
  make_way(bytes - spare->bytes);
  struct mapping *grown = remapped(spare, bytes);
  if (!grown) keep_since(spare, dirty_bytes, since);
  return grown;
}

/* A spare made to fit, or NULL. */
static struct mapping *take_spare(size_t bytes, size_t looks) {
  struct mapping *spare = nearest(bytes, looks);
  if (!spare) return NULL;
  return spare->bytes < bytes ? take_grown(spare, bytes) : take_front(spare, bytes);
}

static bool holds_aligned(const struct mapping *spare, size_t bytes, size_t alignment) {
  uintptr_t base = round_up(spare->base, alignment);
  return base + bytes <= spare->base + spare->bytes;
}

static struct mapping *nearest_aligned(size_t bytes, size_t alignment, size_t looks) {
  struct mapping *best = NULL;
  for (struct mapping *spare = mappings[MAPPING_SPARE].youngest; spare && looks > 0; spare = spare->older, looks--)
    if (holds_aligned(spare, bytes, alignment) && (!best || spare->bytes <= best->bytes)) best = spare;
  return best;
}

/* A piece of the smallest spare with room at a multiple of `alignment`; what is before and behind stays a spare. NULL: there is none. */
static struct mapping *take_aligned_spare(size_t bytes, size_t alignment, size_t looks) {
  struct mapping *spare = nearest_aligned(bytes, alignment, looks);
  if (!spare) return NULL;
  size_t head = round_up(spare->base, alignment) - spare->base, tail = spare->bytes - head, dirty_bytes = spare->dirty_bytes;
  uint32_t since = spare->since;
  registry_become(spare, MAPPING_LIVE);
  if (head > 0) {
    registry_resize(spare, head);
    struct mapping *taken = registry_add(spare->base + head, tail);
    keep_since(spare, dirty_bytes, since);
    spare = taken;
  }
  if (tail > bytes) cut_off(spare, bytes, dirty_bytes, since);
  return spare;
}

/* ---- clearing ------------------------------------------------------------------------------------------------------- */

enum {
  CLEAR_WINDOW = SIZED(2 * 1024, 16) * KIB, /* at least */
  CLEAR_WINDOWS = 64,                       /* at most, in a block */
  CLEAR_LOOKS = 8                           /* at pages of a window */
};

static bool is_blank(const uint64_t *page) {
  size_t step = page_bytes / sizeof *page / 4;
  return !(page[0] | page[step] | page[2 * step] | page[3 * step]);
}

/* Was a good part of it written to, as far as a few words tell? That decides how it becomes zero, not whether. (Each look is a ninth of a step further behind its step than
 * the one before: what has a page written at every so many MB looked dense, and 500 MB of it were filled.) */
static bool looks_dense(uintptr_t at, size_t bytes) {
  size_t step = round_down(bytes / CLEAR_LOOKS, page_bytes), blank = 0;
  for (size_t i = 0; i < CLEAR_LOOKS && blank <= CLEAR_LOOKS / 2; i++)
    blank += is_blank((const uint64_t *)(at + i * step + round_down((i + 1) * step / (CLEAR_LOOKS + 1), page_bytes)));
  return blank <= CLEAR_LOOKS / 2;
}

/* Have the kernel give zero pages instead. An emulator may keep what was there: a mark tells. */
static bool drop(uintptr_t at, size_t bytes) {
  volatile uint64_t *mark = (volatile uint64_t *)at;
  *mark = 1;
  return sys_discard((void *)at, bytes) && *mark == 0;
}

/* A block that was hardly used is not filled: of calloc(256 MB) in a loop that writes a page of it, 258 MB were resident. One that was is: that
 * takes a tenth of faulting it in. (mincore() would say which pages are there, but not which are swapped out, and filters of system
 * calls that allow what malloc needs do not know it.) */
void large_clear(void *payload, size_t bytes) {
  size_t window = round_up(max_size(CLEAR_WINDOW, bytes / CLEAR_WINDOWS), page_bytes), length;
  for (uintptr_t at = (uintptr_t)payload, end = at + bytes; at < end; at += length) {
    length = min_size(window, end - at);
    size_t whole = round_down(length, page_bytes);
    if (length < CLEAR_WINDOW || looks_dense(at, whole) || !drop(at, whole)) whole = 0;
    memset((void *)(at + whole), 0, length - whole);
  }
}

/* ---- copying -------------------------------------------------------------------------------------------------------- */

static bool is_zero(const uint64_t *page) { return !page[0] && memcmp(page, page + 1, page_bytes - sizeof *page) == 0; }

/* Two spares that were joined are still two areas to the kernel, and mremap moves no two. So what is huge may have to be copied, and nobody knows whether it was
 * ever touched: 2 GB that were not took 2 GB of memory. */
void large_copy(void *to, const void *from, size_t bytes) {
  size_t at = 0;
  for (; bytes - at >= page_bytes; at += page_bytes)
    if (!is_zero((const uint64_t *)((uintptr_t)from + at)) || !is_zero((const uint64_t *)((uintptr_t)to + at)))
      memcpy((char *)to + at, (const char *)from + at, page_bytes);
  memcpy((char *)to + at, (const char *)from + at, bytes - at);
}

/* ---- interface ------------------------------------------------------------------------------------------------------ */

/* What alignment asked for too much goes back at both ends. */
static struct mapping *take_fresh(size_t bytes, size_t alignment) {
  size_t slack = max_size(alignment, page_bytes) - page_bytes;
  make_way(bytes);
  bool dropped = may_drop_lock();
  if (dropped) leave();
  uintptr_t fresh = (uintptr_t)sys_map(bytes + slack);
  if (dropped) enter_again();
  if (!fresh) return NULL;
  uintptr_t base = round_up(fresh, alignment);
  unmap_or_keep(fresh, base - fresh);
  unmap_or_keep(base + bytes, fresh + slack - base);
  return registry_add(base, bytes);
}

static struct mapping *take_kept(size_t bytes, size_t alignment, size_t looks) {
  return alignment <= page_bytes ? take_spare(bytes, looks) : take_aligned_spare(bytes, alignment, looks);
}

/* (Where the kernel gives nothing, all that it would not take back is looked at, too.) */
static struct mapping *take_mapping(size_t bytes, size_t alignment, enum large_growth growth, bool *zeroed) {
  struct mapping *taken = take_kept(bytes, alignment, SPARES_MAX);
  if (taken || (growth == LARGE_SHARED && large_is_crowded())) return taken;
  taken = take_fresh(bytes, alignment);
  *zeroed = taken;
  return taken || mappings[MAPPING_SPARE].count <= SPARES_MAX ? taken : take_kept(bytes, alignment, SIZE_MAX);
}

void *large_take(size_t size, size_t alignment, enum large_growth growth, bool *zeroed) {
  size_t bytes = round_up(max_size(size, 1), page_bytes);
  *zeroed = false;
  if (bytes > PTRDIFF_MAX - alignment || !enter()) return NULL;
  struct mapping *taken = NULL;
  if (registry_claim(RECORDS_MAX)) {
    taken = take_mapping(bytes, alignment, growth, zeroed);
    registry_unclaim(RECORDS_MAX);
  }
  allocations += taken != NULL;
  void *payload = taken ? (void *)taken->base : NULL;
  if (mappings[MAPPING_SPARE].count > SPARES_MAX) release_spares(bytes);
  leave();
  return payload;
}

static enum large_state state_of(const struct mapping *mapping) {
  return !mapping ? LARGE_UNKNOWN : mapping->state == MAPPING_LIVE ? LARGE_LIVE : LARGE_FREED;
}

enum large_state large_find(const void *payload, size_t *bytes) {
  *bytes = 0;
  if ((uintptr_t)payload % page_bytes != 0) return LARGE_UNKNOWN;
  if (!enter()) return LARGE_BUSY;
  const struct mapping *mapping = registry_find((uintptr_t)payload);
  enum large_state state = state_of(mapping);
  if (state == LARGE_LIVE) *bytes = mapping->bytes;
  leave();
  return state;
}

enum large_state large_give(void *payload) {
  if ((uintptr_t)payload % page_bytes != 0) return LARGE_UNKNOWN;
  if (!enter_to_free()) return LARGE_BUSY; /* lost, not harmed */
  struct mapping *mapping = registry_find((uintptr_t)payload);
  enum large_state state = state_of(mapping);
  if (state == LARGE_LIVE) {
    size_t freed = mapping->bytes;
    keep(mapping, freed);
    release_spares(freed);
  }
  leave();
  return state;
}

/* Grow a mapping into the spare behind it, with no system call. */
static bool expand_into_spare(struct mapping *mapping, size_t bytes) {
  struct mapping *behind = registry_find(mapping->base + mapping->bytes);
  if (!behind || behind->state != MAPPING_SPARE || mapping->bytes + behind->bytes < bytes) return false;
  size_t dirty_bytes = behind->dirty_bytes;
  uint32_t since = behind->since;
  melt(mapping, behind);
  if (mapping->bytes - bytes > bytes / SLACK_SHARE) cut_off(mapping, bytes, dirty_bytes, since);
  return true;
}

/* Is copying to a spare cheaper than mremap? Copying a page takes a third of faulting one in, if there is one: of what is large nobody knows whether
 * it was ever touched, and 5 GB that were not took 5 GB of memory. */
static bool better_copied(size_t old_bytes, size_t bytes) {
  if (old_bytes > COPY_MAX) return false;
  const struct mapping *spare = nearest(bytes, SPARES_MAX);
  return spare && spare->bytes >= bytes && old_bytes <= 3 * (bytes - old_bytes);
}

/* Grow by mremap, an eighth further than asked if there is the address space: that is no memory, and spares the next few
 * calls. NULL: refused, or better copied. */
static struct mapping *grown(struct mapping *mapping, size_t bytes) {
  if (expand_into_spare(mapping, bytes)) return mapping;
  if (better_copied(mapping->bytes, bytes)) return NULL;
  size_t ahead = round_up(bytes + bytes / 8, page_bytes);
  make_way(ahead - mapping->bytes);
  struct mapping *moved = remapped(mapping, ahead);
  return moved ? moved : remapped(mapping, bytes);
}

static struct mapping *resized(struct mapping *mapping, size_t bytes) {
  if (bytes > mapping->bytes) return grown(mapping, bytes);
  if (bytes < mapping->bytes) cut_off(mapping, bytes, SIZE_MAX, clock_ms);
  return mapping;
}

void *large_resize(void *payload, size_t size) {
  if (size > PTRDIFF_MAX || !enter_to_free()) return NULL;
  struct mapping *mapping = registry_find((uintptr_t)payload);
  uintptr_t base = 0;
  if (state_of(mapping) == LARGE_LIVE && registry_claim(RECORDS_MAX)) {
    size_t old_bytes = mapping->bytes;
    mapping = resized(mapping, round_up(size, page_bytes));
    base = mapping ? mapping->base : 0;
    registry_unclaim(RECORDS_MAX);
    release_spares(old_bytes);
  }
  leave();
  return (void *)base;
}

COLD void large_give_due(void) {
  uint32_t time = now_ms();
  if (!lock_try(&large_lock)) return;
  hold_bytes = 0;
  clock_ms = time;
  release_spares(0);
  leave();
}

void large_make_way(size_t bytes) {
  if (!enter()) return;
  make_way(bytes);
  leave();
}

COLD bool large_refuses_size(size_t bytes) {
  void *stays;
  size_t asked = round_up(bytes, page_bytes);
  bool refused = sys_refuses_size(asked, &stays);
  if (stays && enter()) {
    keep_unclaimed(stays, refused ? page_bytes : asked);
    leave();
  }
  return refused;
}

/* What is refused comes to the end of the list. No more than there was at first: others go on meanwhile. */
size_t large_trim(void) {
  if (!enter()) return 0;
  const struct mapping_list *spares = &mappings[MAPPING_SPARE];
  size_t released = 0, most = spares->bytes, refusals = 0;
  while (released < most && refusals < spares->count) {
    size_t gone = release(oldest_spare(), SIZE_MAX);
    released += gone;
    refusals += gone == 0;
  }
  leave();
  return released;
}

COLD const char *large_check(void) {
  if (lock_is_abandoned(&large_lock)) return NULL;
  if (!enter()) return "re-entered";
  const char *fault = registry_check();
  leave();
  return fault;
}

void large_get_stats(struct large_stats *out) {
  *out = (struct large_stats){0};
  if (!enter()) return;
  const struct mapping_list *live = &mappings[MAPPING_LIVE];
  *out = (struct large_stats){live->count, live->bytes, cached_bytes(), allocations, load(&live->most_bytes)};
  leave();
}

void large_set_back_most(void) { set_back_to(&mappings[MAPPING_LIVE].most_bytes, load(&mappings[MAPPING_LIVE].bytes)); }

bool large_is_held_by_me(void) { return lock_held_by_me(&large_lock); }

void large_before_fork(uint32_t *patience) { lock_enter_for_fork(&large_lock, patience); }

/* In the child nobody goes on emptying what other threads were at. */
static void keep_what_was_emptied(void) {
  struct mapping *next = mappings[MAPPING_EMPTYING].oldest;
  while (next) {
    struct mapping *mapping = next;
    next = mapping->younger;
    if (mapping->emptier != thread_number) keep(mapping, mapping->dirty_bytes);
  }
}

void large_after_fork(bool child) {
  if (child && lock_is_held_for_fork(&large_lock)) {
    keep_what_was_emptied();
    registry_forget_other_threads();
  }
  lock_leave_after_fork(&large_lock, child);
  if (child) lock_abandon_orphan(&large_lock);
}
