/* SPDX-License-Identifier: MIT */
/* THE FILE. The fast paths of malloc and free, and who serves what:
 *
 *   by size      <= 1 KiB            slab object (slab.c); the first few of a class are blocks
 *                <  MMAP_THRESHOLD   block of the brk heap (arena.c), through the thread's cache
 *                >= MMAP_THRESHOLD   mapping (large.c); a block, too, when there are mappings enough
 *   by address   in regions[0]       slab or block, by the granule's record
 *                else                fallback region, mapping, or a stranger's (foreign.c)
 *
 * Reading order: heap_malloc, heap_free, then downwards. The fast paths take no lock, make no call, and know only regions[0]. All
 * misuse is caught at one gate, find_live(): what passes it may be trusted.
 *
 * errno is set here and nowhere below. */
#include "heap.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "arena.h"
#include "cache.h"
#include "due.h"
#include "foreign.h"
#include "guard.h"
#include "large.h"
#include "purge.h"
#include "region.h"
#include "report.h"
#include "samples.h"
#include "slab.h"
#include "thread.h"

/* The slow exits; not static, since inline functions that other files see call them. */
void *malloc_slow(size_t bytes);
void free_slow(void *payload, struct slab *slab); /* in regions[0]; not an object of the caller's */
void free_judged(void *payload);                  /* anything, through the gate */

/* ---- fast paths ----------------------------------------------------------------------------------------------------- */

static inline void object_push(struct slab *slab, struct object *object) {
  object_link(slab, object);
  slab->countdown--;
  __atomic_signal_fence(__ATOMIC_ACQ_REL); /* one instruction, and another to look: else gcc makes five of them */
  if (UNLIKELY(slab->countdown <= 0)) slab_wake(slab);
}

inline void *heap_malloc(size_t bytes) {
  if (LIKELY(bytes <= SMALL_MAX)) {
    void *object = object_pop(self->direct[size_step(bytes)]);
    if (LIKELY(object != NULL)) return object;
  }
  return malloc_slow(bytes);
}

inline void heap_free(void *payload) {
  uintptr_t address = (uintptr_t)payload, base = brk_base();
  if (LIKELY(address - base < brk_bytes())) {
    struct slab *slab = slab_at(base, address);
    struct object *object = payload;
    /* A block or a stranger's slab fails the first test. */
    if (LIKELY(slab_owner(slab) == self && own_slab_has_object(slab, address) && !object_is_free(slab, object))) {
      object_push(slab, object);
      return;
    }
    free_slow(payload, slab);
    return;
  }
  free_judged(payload);
}

/* ---- the gate ------------------------------------------------------------------------------------------------------- */

enum kind { OBJECT, BLOCK, MAPPING, GUARDED, STRANGER };

struct found {
  enum kind kind;
  size_t usable;     /* bytes; not known of a stranger */
  struct slab *slab; /* of an object */
  bool sampled;      /* a block that is on record */
};

static struct found find_object(struct slab *slab, void *payload, const char *call) {
  if (!slab_has_object(slab, (uintptr_t)payload))
    report_misuse(call, (uintptr_t)payload % ALIGNMENT ? MISUSE_MISALIGNED : MISUSE_INVALID, payload);
  if (slab_has_purged(slab, payload) || object_is_free(slab, payload)) report_misuse(call, MISUSE_DOUBLE_FREE, payload);
  return (struct found){OBJECT, slab_object_bytes(slab), slab, false};
}

/* What was asked for is all that its program may use of it, in words. */
static COLD struct found find_sample(const void *payload) {
  struct sample sample;
  return (struct found){BLOCK, samples_find(payload, &sample) ? usable_of_asked(sample.asked) : block_usable(block_of(payload)), NULL, true};
}

static struct found find_block(void *payload, const char *call) {
  const struct block *block = block_of(payload);
  if ((uintptr_t)payload % ALIGNMENT) report_misuse(call, MISUSE_MISALIGNED, payload);
  if (!block_is_tagged(block)) report_misuse(call, MISUSE_INVALID, payload);
  if (!(block_header(block) & BLOCK_USED) || block_is_sealed(block)) report_misuse(call, MISUSE_DOUBLE_FREE, payload);
  if (UNLIKELY(block_header(block) & BLOCK_SAMPLED)) return find_sample(payload);
  return (struct found){BLOCK, block_usable(block), NULL, false};
}

static struct found find_outside(void *payload, const char *call) {
  if (guard_has((uintptr_t)payload)) return (struct found){GUARDED, guard_usable(payload, call), NULL, false};
  struct found found = {MAPPING, 0, NULL, false};
  enum large_state state = large_find(payload, &found.usable);
  if (state == LARGE_FREED && !foreign_has_memory()) report_misuse(call, MISUSE_DOUBLE_FREE, payload); /* else glibc's may be there now */
  if (state == LARGE_FREED || state == LARGE_UNKNOWN) found.kind = STRANGER;
  return found; /* LARGE_BUSY: some mapping, 0 bytes of it known */
}

/* What a pointer that must be live is. Ends the process if it is ours and not live. */
static struct found find_live(void *payload, const char *call) {
  if (UNLIKELY(left_alone != NULL)) return (struct found){STRANGER, 0, NULL, false};
  uintptr_t address = (uintptr_t)payload;
  const struct region *region = region_of(address);
  if (!region) return find_outside(payload, call);
  if (!region_owns(region, address)) return (struct found){STRANGER, 0, NULL, false};
  if (address - (uintptr_t)chunk_at(region->base, address) < sizeof(struct chunk)) report_misuse(call, MISUSE_INVALID, payload);
  struct slab *slab = slab_at(region->base, address);
  return slab_owner(slab) ? find_object(slab, payload, call) : find_block(payload, call);
}

/* ---- free ----------------------------------------------------------------------------------------------------------- */

/* A block that says so is on record, at any moment, also in the child of a fork that another thread comes by. */
static COLD void mark_as_sample(struct block *block, bool is_one) {
  struct arena *arena = arena_of(block);
  if (!arena_enter_this(arena)) return;
  set_header(block, block_bytes(block) | (is_one ? BLOCK_SAMPLED : 0), (unsigned)(block_header(block) & BLOCK_FLAGS));
  arena_leave(arena);
}

/* (Where the arena is not to be had it keeps its mark, and its record until the next that is there.) */
static COLD void take_off_record(void *payload) {
  mark_as_sample(block_of(payload), false);
  if (!(block_header(block_of(payload)) & BLOCK_SAMPLED)) samples_forget(payload);
}

static COLD void free_sample(void *payload) {
  take_off_record(payload);
  block_release(block_of(payload)); /* which makes its header anew */
}

static void free_block(void *payload) {
  struct block *block = block_of(payload);
  size_t bytes = block_bytes(block);
  if (cache_accepts(bytes) && theap_is_born(self))
    cache_put(self, block, bytes);
  else
    block_release(block);
}

static void free_found(struct found found, void *payload, const char *call) {
  switch (found.kind) {
    case OBJECT:
      if (slab_owner(found.slab) == self)
        object_push(found.slab, payload);
      else
        slab_free_remote(found.slab, payload);
      break;
    case BLOCK:
      found.sampled ? free_sample(payload) : free_block(payload);
      break;
    case MAPPING:
      if (samples_exist()) samples_forget(payload);
      if (large_give(payload) == LARGE_FREED) report_misuse(call, MISUSE_DOUBLE_FREE, payload);
      break;
    case GUARDED:
      samples_forget(payload);
      guard_give(payload, call);
      break;
    case STRANGER: foreign_free(payload, call); break;
  }
}

/* Is there a record for the granule of an address in regions[0]? Not in the records themselves, nor in a foreign sbrk()'s memory. */
static inline bool has_record(uintptr_t address) {
  return address - (uintptr_t)chunk_at(brk_base(), address) >= sizeof(struct chunk) && region_owns(&regions[0], address);
}

/* The fast path of what the caller does not own: an object of another thread's slab, */
static inline bool free_to_owner(struct slab *slab, void *payload) {
  struct object *object = payload;
  if (!has_record((uintptr_t)payload)) return false;
  if (!foreign_slab_has_object(slab, (uintptr_t)payload) || object_is_free(slab, object)) return false;
  slab_free_remote(slab, object);
  return true;
}

/* and a block, which goes into the caller's cache. One whose header has its tag and says that it is in use, and which does not say that it
 * waits in a cache, is live; everything else is for the gate to judge. */
static inline bool free_to_cache(void *payload) {
  struct block *block = block_of(payload);
  uint64_t header = block_header(block);
  size_t bytes = header & (BLOCK_BYTES_MASK | BLOCK_SAMPLED); /* of a sample: more than the cache accepts */
  bool live = header_is_tagged(block, header) && (header & BLOCK_USED) && !block_is_sealed(block);
  if (!live || !cache_accepts(bytes) || !theap_is_born(self)) return false;
  cache_put(self, block, bytes);
  return true;
}

/* What is due goes back last, when nothing has to be remembered over the call: first, that cost six instructions. */
__attribute__((noinline)) void free_slow(void *payload, struct slab *slab) {
  struct theap *owner = slab_owner(slab);
  bool freed = owner ? owner != self && free_to_owner(slab, payload) : free_to_cache(payload);
  if (UNLIKELY(!freed)) {
    free_judged(payload);
    return;
  }
  due_give();
}

__attribute__((noinline)) void free_judged(void *payload) {
  if (payload) free_found(find_live(payload, "free"), payload, "free");
  due_give();
}

/* ---- allocation by tier --------------------------------------------------------------------------------------------- */

static void clear_until(void *payload, size_t bytes, uintptr_t zero_from) {
  uintptr_t end = min_size((uintptr_t)payload + bytes, zero_from);
  if (end > (uintptr_t)payload) memset(payload, 0, end - (uintptr_t)payload);
}

/* What a request is, for the slow paths. Passed by address: copied as a value, its words are written one by one and read back in
 * pairs, a store forwarding stall that cost a third of all time with medium blocks. */
struct request {
  size_t bytes, alignment;
  bool zero;
};

/* What take_block() needs, and says. */
struct block_wish {
  struct theap *heap;
  size_t bytes, alignment;
  uintptr_t zero_from; /* see arena_take_locked() */
};

static void *take_block(struct arena *arena, void *what, enum arena_growth growth) {
  struct block_wish *wish = what;
  struct block *block = arena_take_locked(arena, wish->bytes, wish->alignment, growth, &wish->zero_from);
  if (arena == wish->heap->arena) /* of another's it has no share */
    cache_set_limit(wish->heap, arena->live_bytes, arena_threads(arena));
  return block;
}

static void *allocate_block(struct theap *heap, const struct request *request, enum arena_growth growth) {
  struct block_wish wish = {heap, block_bytes_for(request->bytes), request->alignment, UINTPTR_MAX};
  struct block *block = arena_serve(heap, take_block, &wish, growth);
  if (!block) return NULL;
  void *payload = block_payload(block);
  if (request->zero) clear_until(payload, request->bytes, wish.zero_from);
  return payload;
}

/* Blocks for the first objects of a class, packed side by side, until it has earned a slab. Only where 16 is alignment enough. */
static void *allocate_for_new_class(struct theap *heap, size_t size_class, const struct request *request, enum arena_growth growth) {
  if (request->alignment > ALIGNMENT || heap->blocks_given[size_class] >= BLOCKS_BEFORE_SLAB) return NULL;
  void *payload = allocate_block(heap, request, growth);
  if (payload) heap->blocks_given[size_class]++;
  return payload;
}

/* While the thread samples, or if others have stopped and it does not know. */
static COLD void *pop_current(struct theap *heap, size_t size_class, const struct request *request) {
  samples_settle(heap);
  void *object = object_pop(slab_current(heap, size_class));
  return object && request->zero ? memset(object, 0, request->bytes) : object;
}

static void *allocate_small(struct theap *heap, const struct request *request, enum arena_growth growth) {
  size_t size_class = class_of_step(size_step(request->bytes));
  void *object = UNLIKELY(heap->sampler != NULL) ? pop_current(heap, size_class, request) : NULL;
  if (object) return object;
  void *payload = allocate_for_new_class(heap, size_class, request, growth);
  if (payload) return payload;
  payload = slab_refill(heap, size_class, growth);
  if (payload && request->zero) memset(payload, 0, request->bytes);
  return payload;
}

/* Atomic. A trim that did not help: when that was, and for how long afterwards none is tried again, fifty times as long as it took. (Not until when: in the child of
 * a fork into another time namespace the clock may be far behind.) */
struct pause {
  uint64_t at_ns, for_ns;
};

static bool is_in_pause(const struct pause *pause, uint64_t now) {
  return now - __atomic_load_n(&pause->at_ns, __ATOMIC_RELAXED) < __atomic_load_n(&pause->for_ns, __ATOMIC_RELAXED); /* centuries, where the clock went back */
}

/* (No more than a second counts: who is stopped meanwhile, or waits for swapping, is not to go without for hours.) */
static void pause_after_trim(struct pause *pause, uint64_t began) {
  enum { TIMES = 50, LEAST_NS = 1000 * 1000, MOST_NS = 1000 * 1000 * 1000 };
  uint64_t now = sys_coarse_time(), took = min_size(max_size(now - began, LEAST_NS), MOST_NS);
  __atomic_store_n(&pause->at_ns, now, __ATOMIC_RELAXED);
  __atomic_store_n(&pause->for_ns, TIMES * took, __ATOMIC_RELAXED);
}

static size_t lowered_to(size_t *least, size_t bytes) {
  size_t before = __atomic_load_n(least, __ATOMIC_RELAXED);
  if (bytes < before) __atomic_store_n(least, bytes, __ATOMIC_RELAXED);
  return min_size(bytes, before);
}

static size_t held_now(void) { return __atomic_load_n(&sys_counters.bytes_held, __ATOMIC_RELAXED); }

/* Fresh memory is about to be asked for. Near the soft limit what is kept of mappings goes, once for every 64th of it that came since, or since less was held; where by as much more than after
 * the last look at the whole heap is held then, what another finds. One that found little has a pause after it, in which only an eighth more than it left is looked at. (The step doubled, up to a
 * quarter, where little came back. But mappings that came and went counted as what came back: of 500 buffers over 250 MB of small objects 24 waited for a look, up to 374 ms each.) */
static COLD void relieve_slow(void) {
  static size_t trimmed_at, least_held, looked_at; /* atomic: after the last trim of mappings, and the last look, or less since; and after the look */
  static struct pause after_vain;
  enum { STEP_SHARE = 64, PAUSE_SHARE = 8 };
  size_t held = held_now(), all = max_size(sys_limits.soft, held), step = all / STEP_SHARE + 1, least = lowered_to(&least_held, held);
  if (thread_locks || held < lowered_to(&trimmed_at, held) + step) return; /* not out of a handler, with the library half way through something */
  large_trim();
  __atomic_store_n(&trimmed_at, held = held_now(), __ATOMIC_RELAXED);
  uint64_t began = sys_coarse_time();
  size_t most = is_in_pause(&after_vain, began) ? __atomic_load_n(&looked_at, __ATOMIC_RELAXED) + all / PAUSE_SHARE : least + step;
  if (held < most || !__atomic_compare_exchange_n(&least_held, &least, held, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return; /* of those who come at once, one */
  size_t released = heap_trim(0);
  __atomic_store_n(&looked_at, lowered_to(&least_held, held_now()), __ATOMIC_RELAXED);
  if (released < step) pause_after_trim(&after_vain, began);
}

static inline void relieve(size_t bytes) {
  if (UNLIKELY(sys_near_soft_limit(bytes))) relieve_slow();
}

static void *allocate_mapping(const struct request *request, enum large_growth growth) {
  bool zeroed;
  relieve(request->bytes);
  void *payload = large_take(request->bytes, request->alignment, growth, &zeroed);
  if (payload && request->zero && !zeroed) large_clear(payload, request->bytes);
  return payload;
}

/* Could a block serve, whatever the tier by its size: does any chunk hold it, and no chunk only it? */
static bool fits_chunk(const struct request *request) {
  return request->bytes <= BLOCK_MAX / 2 && request->alignment <= CHUNK_BYTES / 2 &&
         block_bytes_for(request->bytes) + request->alignment + 2 * BLOCK_MIN <= BLOCK_MAX;
}

static void *allocate_anywhere(struct theap *heap, const struct request *request) {
  void *payload = NULL;
  if (fits_chunk(request))
    for (size_t i = 0; i < arena_count() && !payload; i++) {
      arena_join(heap, arena_at(i));
      payload = allocate_block(heap, request, ARENA_MAY_GROW);
    }
  return payload ? payload : allocate_mapping(request, LARGE_ALWAYS);
}

static struct pause vain;

/* What the program holds, as far as can be told at once: slabs as if they were full, without what waits in the caller's cache. */
struct usage {
  size_t bytes, slab_bytes;
  size_t most; /* it cannot have been more since a trim was in vain; no less than it was then */
};

static struct usage usage_now(const struct theap *heap) {
  struct large_stats large;
  large_get_stats(&large);
  struct usage usage = {large.live_bytes - heap->cached_bytes, 0, large.most_live_bytes};
  for (size_t i = 0; i < arena_count(); i++) {
    const struct arena *arena = arena_at(i);
    usage.bytes += arena_used_bytes(arena);
    usage.slab_bytes += __atomic_load_n(&arena->slabs, __ATOMIC_RELAXED) * GRANULE_BYTES;
    usage.most += __atomic_load_n(&arena->most_used, __ATOMIC_RELAXED);
  }
  return usage;
}

/* Asked by trying, and that takes room from under other threads for a moment. So what was refused just now is not tried again: a thread that asked for too much
 * in a loop, under ulimit -v, had others' small mmaps refused, one in five. */
static bool may_be_mapped(size_t bytes, uint64_t now) {
  enum { STANDS_NS = 50 * 1000 * 1000 };
  static uint64_t refused_at_ns; /* atomic: written last and read first, so that no lesser size of long ago counts as refused just now */
  static size_t refused_bytes = SIZE_MAX; /* atomic */
  bool just_now = now - __atomic_load_n(&refused_at_ns, __ATOMIC_ACQUIRE) < STANDS_NS;
  if (just_now && bytes >= __atomic_load_n(&refused_bytes, __ATOMIC_RELAXED)) return false;
  if (!large_refuses_size(bytes)) return true;
  __atomic_store_n(&refused_bytes, bytes, __ATOMIC_RELAXED);
  __atomic_store_n(&refused_at_ns, now, __ATOMIC_RELEASE);
  return false;
}

/* As much as is asked for, or a good part of all that is held. What others freed of this thread's and of ended ones' is in the mail until somebody reads it. (Highest since, not what was in use
 * then: where holes had been filled again and other memory was freed, 400 MB were refused for 0.7 s. Not a sum of all that was freed: a program that churns would trim for every refusal.) */
static bool was_freed_since_vain(struct theap *heap, size_t bytes) {
  enum { SHARE = 16, ROUNDS = 64 };
  size_t much = max_size(min_size(bytes, held_now() / SHARE), MMAP_THRESHOLD);
  bool found = true, freed = false;
  for (int round = 0; round < ROUNDS && found && !freed; round++) {
    found = theap_reclaim();
    found |= slab_collect(heap);
    struct usage usage = usage_now(heap);
    freed = usage.bytes + much <= usage.most;
  }
  return freed;
}

/* Can it be that a request which was refused is served once all is given up that is merely kept? No, if it would still be refused with all
 * that does not serve the program out of the way; and not soon after a trim that did not help, unless so much has been freed since. (A trim for every one: 72 ms
 * for each malloc(1 << 46) over a heap of 512 MB, now 15 us. The first alone: under ulimit -v 500 MB were refused for 8 s with nothing in use.) */
static bool giving_up_may_help(struct theap *heap, size_t bytes) {
  uint64_t now = sys_coarse_time();
  if (is_in_pause(&vain, now) && !was_freed_since_vain(heap, bytes)) return false;
  theap_reclaim();
  slab_collect(heap);
  struct usage usage = usage_now(heap);
  size_t held = held_now(), kept = held - min_size(held, usage.bytes - usage.slab_bytes);
  return bytes <= kept || may_be_mapped(bytes - kept, now);
}

/* The most that is in use is counted from now on. (Before the trim, since others free meanwhile: what they did then did not count, and was refused for seconds.) */
static void set_back_most(void) {
  large_set_back_most();
  for (size_t i = 0; i < arena_count(); i++) set_back_to(&arena_at(i)->most_used, arena_used_bytes(arena_at(i)));
}

/* Memory is short: everything that is merely kept goes back to the kernel, then any tier that can serves. */
static COLD void *allocate_when_short(struct theap *heap, const struct request *request) {
  size_t bytes = request->bytes + request->alignment;
  if (bytes > PTRDIFF_MAX) return NULL;
  /* Not out of a handler or a wrapped system call, with the library half way through something. */
  if (thread_locks || !giving_up_may_help(heap, bytes)) return allocate_anywhere(heap, request);
  uint64_t began = sys_coarse_time();
  set_back_most();
  heap_trim(0);
  void *payload = allocate_anywhere(heap, request);
  if (!payload) pause_after_trim(&vain, began);
  return payload;
}

/* Warm memory first, then what must be faulted in, then more from the kernel; before each step what is merely kept is given up. Near the soft limit all arenas
 * are asked before. (Of eight threads with an arena each another had freed 128 MB, and could have had it: one of its mallocs gave all of it back, 137 MB at once.) */
static void *allocate_on_heap(struct theap *heap, const struct request *request) {
  bool small = request->bytes <= SMALL_MAX && request->alignment <= SMALL_MAX;
  void *(*allocate)(struct theap *, const struct request *, enum arena_growth) = small ? allocate_small : allocate_block;
  theap_settle(heap);
  void *payload = allocate(heap, request, ARENA_WARM);
  if (payload || (cache_give_up(heap) && (payload = allocate(heap, request, ARENA_WARM)))) return payload;
  if (theap_inherit() && (payload = allocate(heap, request, ARENA_WARM))) return payload;
  if ((payload = allocate(heap, request, ARENA_AS_IS))) return payload;
  bool collected = slab_collect(heap);
  if ((theap_reclaim() || collected) && (payload = allocate(heap, request, ARENA_WARM))) return payload;
  if (arena_join_orphan(heap, request->bytes) && (payload = allocate(heap, request, ARENA_AS_IS))) return payload;
  large_make_way(region_growth_step());
  if (UNLIKELY(sys_near_soft_limit(region_growth_step())) && (payload = allocate(heap, request, ARENA_WARM_ANYWHERE))) return payload;
  relieve(region_growth_step());
  return allocate(heap, request, ARENA_MAY_GROW);
}

/* Everything but the fast path. Large requests come from the heap, too, when there are mappings enough; aligned ones that are not large always
 * do. */
static void *allocate_by_size(const struct request *request) {
  struct theap *heap = self;
  if (request->bytes > PTRDIFF_MAX || (!theap_is_born(heap) && !(heap = theap_birth()))) return NULL;
  bool large = request->bytes >= MMAP_THRESHOLD, fits = fits_chunk(request);
  void *payload = large || !fits ? allocate_mapping(request, fits ? LARGE_SHARED : LARGE_ALWAYS) : NULL;
  if (!payload && fits) payload = allocate_on_heap(heap, request);
  return payload ? payload : allocate_when_short(heap, request);
}

/* ---- samples -------------------------------------------------------------------------------------------------------- */

static COLD void put_on_record(struct theap *heap, void *payload, size_t asked, size_t chance_bytes) {
  bool is_one = samples_add(heap, payload, asked, chance_bytes);
  if (region_of((uintptr_t)payload)) mark_as_sample(block_of(payload), is_one);
}

/* Of a mapping all of its pages, since nobody is asked while it grows in them. */
static size_t bytes_to_choose(const struct request *request) {
  return request->bytes < MMAP_THRESHOLD ? request->bytes : round_up(request->bytes, page_bytes);
}

/* Never an object of a slab, but with as much room as that has, for which realloc may count on it. */
static COLD void *allocate_sample(struct theap *heap, const struct request *request) {
  bool small = request->bytes <= SMALL_MAX && request->alignment <= SMALL_MAX;
  const struct request as_object = {class_bytes_for(request->bytes), request->alignment, request->zero};
  void *payload = guard_take(heap, request->bytes, request->alignment);
  if (!payload) payload = small ? allocate_block(heap, &as_object, ARENA_MAY_GROW) : allocate_by_size(request);
  if (payload) put_on_record(heap, payload, request->bytes, bytes_to_choose(request));
  return payload;
}

/* If a byte of it is chosen. */
static COLD void *allocate_if_chosen(const struct request *request) {
  struct theap *heap = self;
  if (request->bytes > PTRDIFF_MAX || (!theap_is_born(heap) && !(heap = theap_birth())) || !samples_choose(heap, bytes_to_choose(request))) return NULL;
  bool begun = giving_begin();
  void *payload = allocate_sample(heap, request);
  giving_end(begun);
  return payload;
}

/* What the fast path would have found. */
static inline void *object_while_sampling(struct sampler *sampler, size_t bytes) {
  if (!sampler || bytes > SMALL_MAX || sampler->left <= bytes) return NULL;
  void *object = object_pop(sampler->direct[size_step(bytes)]);
  if (object) sampler->left -= bytes + 1;
  return object;
}

/* NULL: samples are off; or none is taken, and it is no object that was at hand. */
static inline void *allocate_while_sampling(size_t bytes, size_t alignment, bool zero) {
  if (LIKELY(!samples_are_on())) return NULL;
  const struct request request = {bytes, alignment, zero};
  void *object = alignment <= SMALL_MAX ? object_while_sampling(self->sampler, bytes) : NULL;
  if (object) return zero ? memset(object, 0, bytes) : object;
  return samples_pass(self, bytes_to_choose(&request)) ? NULL : allocate_if_chosen(&request);
}

/* ---- and what all come to ------------------------------------------------------------------------------------------- */

static __attribute__((noinline)) void *allocate_slow(size_t bytes, size_t alignment, bool zero) {
  bool begun = giving_begin();
  void *payload = allocate_by_size(&(struct request){bytes, alignment, zero});
  giving_end(begun);
  if (payload) return payload;
  if (left_alone) return foreign_allocate(bytes, alignment, zero);
  errno = ENOMEM;
  return NULL;
}

__attribute__((noinline)) void *malloc_slow(size_t bytes) {
  void *sampled = allocate_while_sampling(bytes, ALIGNMENT, false);
  if (sampled) return sampled;
  if (bytes > SMALL_MAX && bytes < CACHE_BLOCK_MAX) {
    size_t need = block_bytes_for(bytes), rounded = cache_rounded(self, need);
    struct block *block = cache_take(self, need, rounded, ALIGNMENT);
    if (block) return block_payload(block);
    bytes += rounded - need;
  }
  return allocate_slow(bytes, ALIGNMENT, false);
}

void *heap_calloc(size_t count, size_t bytes) {
  size_t sum;
  if (__builtin_mul_overflow(count, bytes, &sum)) sum = SIZE_MAX;
  if (LIKELY(sum <= SMALL_MAX)) {
    void *object = object_pop(self->direct[size_step(sum)]);
    if (LIKELY(object != NULL)) return memset(object, 0, sum);
  }
  void *sampled = allocate_while_sampling(sum, ALIGNMENT, true);
  if (sampled) return sampled;
  if (sum > SMALL_MAX && sum < CACHE_BLOCK_MAX) {
    size_t need = block_bytes_for(sum), rounded = cache_rounded(self, need);
    struct block *block = cache_take(self, need, rounded, ALIGNMENT);
    if (block) return memset(block_payload(block), 0, sum);
    sum += rounded - need;
  }
  return allocate_slow(sum, ALIGNMENT, true);
}

/* A medium block. Where that costs little the block is as long as a multiple of the alignment, so that blocks side by side are all aligned, and a freed
 * one serves the next such request out of the cache. (In place of gaps between them, which cost as much.) */
static __attribute__((noinline)) void *allocate_aligned_block(size_t alignment, size_t bytes) {
  enum { ROUND_SHARE = 16 };
  void *sampled = allocate_while_sampling(bytes, alignment, false);
  if (sampled) return sampled;
  if (bytes > SMALL_MAX && bytes < CACHE_BLOCK_MAX - CACHE_BLOCK_MAX / ROUND_SHARE) {
    size_t need = block_bytes_for(bytes), longer = alignment <= bytes / ROUND_SHARE ? round_up(need, alignment) : need;
    size_t rounded = cache_rounded(self, longer);
    struct block *block = cache_take(self, longer, rounded, alignment);
    if (block) return block_payload(block);
    bytes += rounded - need;
  }
  return allocate_slow(bytes, alignment, false);
}

/* A small request rounded up to its alignment has a class whose objects are all so aligned: see size_class.h. */
void *heap_aligned(size_t alignment, size_t bytes) {
  if (alignment <= ALIGNMENT) return heap_malloc(bytes);
  if (bytes > PTRDIFF_MAX || alignment > PTRDIFF_MAX) return allocate_slow(SIZE_MAX, ALIGNMENT, false);
  size_t rounded = round_up(bytes ? bytes : 1, alignment);
  if (rounded > SMALL_MAX) return allocate_aligned_block(alignment, bytes);
  void *object = object_pop(self->direct[size_step(rounded)]);
  if (LIKELY(object != NULL)) return object;
  void *sampled = allocate_while_sampling(rounded, alignment, false);
  return sampled ? sampled : allocate_slow(rounded, alignment, false);
}

/* ---- realloc -------------------------------------------------------------------------------------------------------- */

/* A large block that has to move may have to again with the next few bytes, and there is no mremap for it: an eighth more, as mappings
 * have it. */
static size_t room_to_grow(struct found found, size_t bytes) {
  bool large_block = found.kind == BLOCK && found.usable >= MMAP_THRESHOLD;
  return large_block && bytes > found.usable && large_is_crowded() ? bytes / 8 : 0;
}

static void *move(struct found found, void *payload, size_t bytes, const char *call) {
  size_t ahead = room_to_grow(found, bytes);
  int saved = errno;
  void *moved = heap_malloc(bytes + ahead);
  if (!moved && ahead && (moved = heap_malloc(bytes))) errno = saved;
  if (!moved) return NULL;
  size_t kept = min_size(found.usable, bytes);
  if (found.kind == MAPPING && kept > COPY_MAX)
    large_copy(moved, payload, kept);
  else
    memcpy(moved, payload, kept);
  free_found(found, payload, call);
  return moved;
}

/* Grow into the free neighbour or the top, shrink by splitting. */
static bool resize_block(void *payload, size_t bytes) {
  struct block *block = block_of(payload);
  size_t need = block_bytes_for(bytes), have = block_bytes(block);
  if (need <= have && have - need < BLOCK_MIN) return true;
  struct arena *arena = arena_of(block);
  if (!arena_enter_this(arena)) return false;
  bool done = arena_resize_locked(arena, block, need);
  arena_leave(arena);
  return done;
}

/* A block that becomes large is better a mapping, if there can be one. */
static bool block_may_stay(struct found found, size_t bytes) {
  return bytes < MMAP_THRESHOLD || bytes <= found.usable || large_is_crowded();
}

/* The same block, resized where it is (a mapping may move as a whole), or NULL. */
static void *resize(struct found found, void *payload, size_t bytes) {
  switch (found.kind) {
    case OBJECT: return bytes <= found.usable && max_size(bytes, ALIGNMENT) >= found.usable / 2 ? payload : NULL;
    case BLOCK: return block_may_stay(found, bytes) && resize_block(payload, bytes) ? payload : NULL;
    case MAPPING:
      if (bytes <= found.usable && bytes >= found.usable / 4 * 3) return payload;
      return bytes >= MMAP_THRESHOLD / 2 ? large_resize(payload, bytes) : NULL;
    case GUARDED: /* it moves */
    case STRANGER: break;
  }
  return NULL;
}

/* ---- realloc while there are samples --------------------------------------------------------------------------------
 *
 * Whatever is resized is a sample afterwards with the probability that its new size has, by whichever way it came there; else the estimate is wrong. What moves is freed, and asked for
 * anew. What stays is a sample if it was one, in as much room as it had at the choice; and what it grows by is a chance more. */

/* (One that is aligned to more than objects are does not.) */
static bool stands_for_object(const struct sample *sample, const void *payload) {
  return sample->chance_bytes <= SMALL_MAX && block_usable(block_of(payload)) >= class_bytes_for(sample->chance_bytes);
}

/* It stays where the object would. */
static COLD void *resize_stand_in(const struct sample *sample, void *payload, size_t bytes) {
  struct found object = {OBJECT, class_bytes_for(sample->chance_bytes), NULL, true};
  if (!resize(object, payload, bytes)) return NULL;
  samples_update(payload, bytes, sample->chance_bytes);
  return payload;
}

static COLD void *resize_sampled_block(struct found found, void *payload, size_t bytes) {
  struct sample sample;
  bool on_record = found.sampled && samples_find(payload, &sample);
  if (on_record && stands_for_object(&sample, payload)) return resize_stand_in(&sample, payload, bytes);
  found.usable = block_usable(block_of(payload));
  if (!resize(found, payload, bytes)) return NULL;
  size_t usable = block_usable(block_of(payload)), grown = usable > found.usable ? usable - found.usable : 0;
  bool anew = usable < found.usable && samples_are_on(), chosen = usable != found.usable && samples_choose(self, anew ? bytes : grown);
  if (on_record && (anew || chosen))
    take_off_record(payload);
  else if (on_record) {
    samples_update(payload, bytes, sample.chance_bytes + grown);
    mark_as_sample(block_of(payload), true);
  }
  if (chosen) put_on_record(self, payload, bytes, bytes);
  return payload;
}

/* Its pages are asked for anew if there are more or less of them. */
static COLD void *resize_sampled_mapping(struct found found, void *payload, size_t bytes) {
  uint32_t sample = samples_lift(payload);
  void *resized = resize(found, payload, bytes);
  size_t usable = found.usable;
  if (resized) large_find(resized, &usable);
  bool anew = usable != found.usable && samples_are_on();
  if (sample && anew)
    samples_drop(sample);
  else if (sample)
    samples_lower(sample, resized ? resized : payload, resized ? bytes : 0);
  if (anew && samples_choose(self, usable)) put_on_record(self, resized, bytes, usable);
  return resized;
}

static void *resize_in_place(struct found found, void *payload, size_t bytes) {
  bool samples_matter = UNLIKELY(samples_are_on()) || samples_exist();
  if (samples_matter && found.kind == BLOCK) return resize_sampled_block(found, payload, bytes);
  if (samples_matter && found.kind == MAPPING) return resize_sampled_mapping(found, payload, bytes);
  return resize(found, payload, bytes);
}

void *heap_realloc(void *payload, size_t bytes, const char *call) {
  if (!payload) return heap_malloc(bytes);
  struct found found = find_live(payload, call);
  if (found.kind == STRANGER) return foreign_realloc(payload, bytes, call);
  if (bytes == 0) {
    free_found(found, payload, call);
    return NULL;
  }
  if (bytes > PTRDIFF_MAX || found.usable == 0) {
    errno = ENOMEM;
    return NULL;
  }
  void *resized = resize_in_place(found, payload, bytes);
  if (resized) return resized;
  int saved = errno;
  resized = move(found, payload, bytes, call);
  if (resized || bytes > found.usable) return resized;
  errno = saved; /* no memory to move to, but it fits where it is */
  return payload;
}

/* ---- the rest ------------------------------------------------------------------------------------------------------- */

size_t heap_usable(void *payload, const char *call) {
  if (!payload) return 0;
  struct found found = find_live(payload, call);
  return found.kind == STRANGER ? foreign_usable(payload, call) : found.usable;
}

size_t heap_trim(size_t pad) {
  size_t released = theap_trim_others(); /* first: some of it may become the caller's */
  if (theap_is_born(self)) released += theap_trim(self);
  released += large_trim();
  bool dropped;
  do {
    dropped = false;
    for (size_t i = 0; i < arena_count(); i++) dropped |= arena_trim_top(arena_at(i), pad, &released);
  } while (dropped);
  for (size_t i = 0; i < arena_count(); i++) released += arena_trim_bins(arena_at(i));
  return released;
}
