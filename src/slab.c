/* SPDX-License-Identifier: MIT */
/* See slab.h; the states of a slab stand beside its struct in block_meta.h.
 *
 * Cross-thread free. Every slab has an atomic stack `remote.head`; a foreign thread pushes the object there, and the push that finds
 * it empty also pushes the slab on its owner's atomic stack `mail`. The owner takes the whole mail with one exchange and
 * each slab's list with another. Both stacks are only ever emptied whole, so there is no ABA; objects on a remote list
 * count as used, so a slab in the mail cannot retire; and remote lists are taken only by way of the mail, so a
 * slab is in the mail at most once. The list's length sits above its head (16 bits over a 48-bit
 * address), so that a list is taken over without being walked (50 -> 54 M frees a second in the prototype).
 *
 * A fork may come between a push and its post, by a thread that the child does not have. So the last bits of `head` are those of the
 * fork's number: a list from before the fork counts as empty for the question who posts. (They repeat after 16 forks, each the child of the last: a
 * list that nobody touched for so long waits for another.)
 *
 * An owner that sleeps does not read its mail. So whoever is about to grow the heap, or trims it, or frees while much waits there, looks through that of others, too: a slab
 * whose objects are all on its remote list, and which is full for its owner, who then knows of it by the mail alone, goes back to its arena. The
 * rest is posted again. (64 workers by turns, whose 10 MB another thread frees: 727 MB without, and no malloc_trim reached it.) As much of
 * a mail as one call does not read is set aside, in one step, as a bundle on a stack of bundles, and read next by anybody, who takes all bundles and
 * puts back all but one: they are few, about as many as read at once. (Posted one by one, where another had set something aside: 33 ms in one malloc, for
 * a thread that slept on 1 GB.)
 *
 * A handler may fork out of all this, too, and its child go on here, with slabs in hand that whoever walks the heap there posts again (heirs.c). So what
 * is on a stack bears the mark as well, and the mark under which a mail was taken goes with it: once that is old, the rest is left to the walk. (Else a slab was
 * in the mail twice: a circle, and malloc_trim never returned.)
 *
 * Nothing here locks but slab birth and retirement, in the arena, and taking over what a fork orphaned. */
#include "slab.h"

#include "budget.h"
#include "due.h"
#include "heirs.h"
#include "report.h"
#include "top.h"

const struct object list_end;
const struct slab no_slab = {.free = LIST_END};

/* ---- the three states ----------------------------------------------------------------------------------------------- */

static void set_wake(struct slab *slab, int32_t wake) {
  slab->countdown = (int16_t)(slab->countdown + slab->wake - wake);
  __atomic_store_n(&slab->wake, (int16_t)wake, __ATOMIC_RELEASE);
}

/* A current slab: to every free, or, where nothing is due, to none. */
static void listen(struct slab *slab) { set_wake(slab, due_is_some() && !due_is_busy() ? WAKE_ALWAYS : WAKE_NEVER); }

static struct slab **current_slabs(const struct theap *heap) {
  return UNLIKELY(heap->sampler != NULL) ? heap->sampler->direct : as_born(heap)->theap.direct;
}

struct slab *slab_current(const struct theap *heap, size_t size_class) { return current_slabs(heap)[class_steps(size_class)]; }

static void set_current(struct theap *heap, size_t size_class, struct slab *slab) {
  struct slab **current = current_slabs(heap);
  for (size_t step = class_first_step(size_class); step <= class_steps(size_class); step++) current[step] = slab;
  if (slab != NO_SLAB) listen(slab);
}

/* Current no longer, and deaf first: a handler's free in between is to change nothing. NO_SLAB: there was none. */
static struct slab *take_current(struct theap *heap, size_t size_class) {
  struct slab *slab = slab_current(heap, size_class);
  if (slab == NO_SLAB) return NO_SLAB;
  set_wake(slab, WAKE_NEVER);
  set_current(heap, size_class, NO_SLAB);
  return slab;
}

/* The owner's last look at it: from here on it may be gone, if others freed all of it (slab_release_mail). */
static void set_full(struct slab *slab) {
  size_t all = slab_capacity(slab), room = max_size(all / WAKE_SHARE, min_size(WAKE_OBJECTS, all / WAKE_SHARE_MAX));
  set_wake(slab, (int32_t)(all - room));
}

static void link_at(struct slab **link, struct slab *slab) {
  *link = slab;
  if (slab) slab->link = link;
}

/* (Not for the heap of another, which we look after while its thread is no more: who only frees has none of its own to look at.) */
static void count_sparse(struct theap *owner) {
  bool many = ++owner->sparse - owner->sparse_least >= SPARSE_ARE_MANY;
  if (UNLIKELY(many) && owner == self && !due_look.slabs_left) due_look.slabs_left = LOOKS_FOR_OLD;
}

static void uncount_sparse(struct theap *owner) {
  if (--owner->sparse < owner->sparse_least) owner->sparse_least = owner->sparse;
}

static void end_looks(struct theap *owner) {
  owner->sparse_least = owner->sparse;
  if (owner == self) due_look.slabs_left = 0;
}

/* To the front: its memory is the warmest. Its owner hears of it again when no more than `wake` are in use. */
static void enqueue_in(enum queue which, struct slab *slab, size_t wake) {
  struct slab **queue = theap_queue(slab->owner, which, slab->size_class);
  link_at(&slab->next, *queue);
  link_at(queue, slab);
  set_wake(slab, (int32_t)wake);
  if (UNLIKELY(wake == WAKE_EMPTY)) count_sparse(slab->owner);
}

static void enqueue(struct slab *slab) {
  size_t used = slab_used(slab);
  if (UNLIKELY(SPARSE_SHARE * used * slab_object_bytes(slab) <= SLAB_USABLE))
    enqueue_in(QUEUE_YOUNG, slab, WAKE_EMPTY);
  else
    enqueue_in(QUEUE_DENSE, slab, used / SPARSE_SHARE);
}

static void dequeue(struct slab *slab) {
  if (slab->wake == WAKE_EMPTY) uncount_sparse(slab->owner);
  link_at(slab->link, slab->next);
}

/* The first of the class, in the queues before `last` and in that; or NULL. */
static struct slab *first_queued(const struct theap *heap, size_t size_class, enum queue last) {
  struct slab *slab = NULL;
  for (enum queue which = QUEUE_DENSE; !slab && which <= last; which++) slab = *theap_queue(heap, which, size_class);
  return slab;
}

/* To one that is empty. */
static void move_queue(struct theap *heap, size_t size_class, enum queue from, enum queue to) {
  struct slab **queue = theap_queue(heap, from, size_class);
  link_at(theap_queue(heap, to, size_class), *queue);
  *queue = NULL;
}

/* An empty one; where it cannot go it waits in that queue, and serves again. (It was lost: a check of the heap said so, once frees read mail and more was released below handlers.) */
static void let_slab_go(struct slab *slab, enum queue otherwise) {
  if (!slab_release(slab)) enqueue_in(otherwise, slab, WAKE_EMPTY);
}

/* Objects were freed: settle the state. */
static void settle(struct slab *slab, size_t used) {
  if (slab_is_current(slab)) return;
  if (used > 0 && used > (size_t)slab->wake) return;
  if (!slab_is_full(slab)) dequeue(slab);
  if (used == 0)
    let_slab_go(slab, QUEUE_YOUNG);
  else
    enqueue(slab);
}

/* No longer current: the next malloc of the class comes by slab_refill(), which has it listen again or not. (Were it deaf at once, it would be for good, after a
 * burst of frees, while the light load that follows takes and frees one object.) Not if it is empty: a queued one would go, and a malloc below a handler may be about to
 * take from it. */
static void rest(struct slab *slab) {
  take_current(slab->owner, slab->size_class);
  enqueue(slab);
}

void slab_wake(struct slab *slab) {
  if (!slab_is_current(slab))
    settle(slab, slab_used(slab));
  else if (!due_is_some())
    set_wake(slab, WAKE_NEVER);
  else if (due_was_busy() && slab_used(slab) > 0)
    rest(slab);
  due_give();
}

void slab_listen(struct theap *heap) {
  for (size_t size_class = 0; size_class < SIZE_CLASSES; size_class++)
    if (slab_current(heap, size_class) != NO_SLAB) listen(slab_current(heap, size_class));
}

/* ---- purged pages --------------------------------------------------------------------------------------------------- */

static void set_purged(struct slab *slab, unsigned purged) {
  uint32_t size = (uint32_t)slab_object_bytes(slab);
  __atomic_store_n(&slab->purged, (uint8_t)purged, __ATOMIC_RELAXED);
  __atomic_store_n(&slab->reciprocal, purged ? 0 : (uint32_t)((((uint64_t)1 << 32) + size - 1) / size), __ATOMIC_RELAXED);
}

/* The objects of one purged page come back, but for those that reach into another. */
COLD static void restore_page(struct slab *slab) {
  budget_regret(1);
  unsigned page = slab->purged & -(unsigned)slab->purged, left = slab->purged & ~page;
  uintptr_t base = slab_start(slab);
  size_t size = slab_object_bytes(slab);
  for (size_t offset = 0; offset < slab->carved; offset += size) {
    unsigned pages = slab_pages_of(slab, offset);
    if ((pages & page) && !(pages & left)) object_link(slab, (struct object *)(base + offset));
  }
  set_purged(slab, left);
}

/* Of a slab that is about to serve: a pair of malloc and free takes 14 ns where some page is missing, else 7. */
static void restore_pages(struct slab *slab) {
  while (UNLIKELY(slab->purged)) restore_page(slab);
}

/* Bytes of a granule by object number. */
struct free_map {
  uint64_t words[GRANULE_BYTES / ALIGNMENT / 64];
};

/* The next of a list; nothing that was overwritten is followed. */
static struct object *next_of(const struct slab *slab, const struct object *object) {
  if (UNLIKELY(!object_is_free(slab, object))) report_misuse("malloc", MISUSE_DAMAGED, object);
  return object->next;
}

static void map_list(const struct slab *slab, const struct object *list, struct free_map *map) {
  for (; list != LIST_END; list = next_of(slab, list)) {
    size_t number = ((uintptr_t)list & (GRANULE_BYTES - 1)) / slab_object_bytes(slab);
    map->words[number / 64] |= (uint64_t)1 << number % 64;
  }
}

static bool map_has(const struct free_map *map, size_t number) { return map->words[number / 64] >> number % 64 & 1; }

/* Pages wholly below `carved` without an object in use, and not purged yet. */
static unsigned free_pages(const struct slab *slab, const struct free_map *map) {
  unsigned in_use = slab->purged, whole = (1u << slab->carved / page_bytes) - 1;
  size_t size = slab_object_bytes(slab);
  for (size_t number = 0, offset = 0; offset < slab->carved; number++, offset += size)
    if (!map_has(map, number) && !(slab_pages_of(slab, offset) & slab->purged)) in_use |= slab_pages_of(slab, offset);
  return whole & ~in_use;
}

/* Those that the kernel took, of a run of them at a time. */
static unsigned discard_pages_of(const struct slab *slab, unsigned pages, bool trims) {
  unsigned discarded = 0;
  uintptr_t base = slab_start(slab);
  for (unsigned left = pages; left;) {
    unsigned first = (unsigned)__builtin_ctz(left), count = (unsigned)__builtin_ctz(~(left >> first)), run = ((1u << count) - 1) << first;
    if (discard_pages(base + first * page_bytes, base + (first + count) * page_bytes, trims)) discarded |= run;
    left &= ~run;
  }
  return discarded;
}

/* A slab that is in no queue and nobody's current one, so that it changes its state for nobody meanwhile: a wrapped system call, or a
 * handler that comes in, finds it as if all this were in use, may free into it, and may not make it go. */
static size_t purge_slab(struct slab *slab, bool trims) {
  struct free_map map = {0};
  map_list(slab, slab->free, &map);
  map_list(slab, slab->later, &map);
  unsigned pages = free_pages(slab, &map);
  if (!pages || !(trims || budget_spend((size_t)__builtin_popcount(pages)))) return 0;
  uintptr_t base = slab_start(slab);
  size_t size = slab_object_bytes(slab);
  slab->free = slab->later = LIST_END;
  unsigned before = slab->purged;
  set_purged(slab, before | pages); /* first: the child of a fork that comes between must not look for seals there */
  unsigned discarded = discard_pages_of(slab, pages, trims), purged = before | discarded;
  for (size_t number = 0, offset = 0; offset < slab->carved; number++, offset += size)
    if (map_has(&map, number) && !(slab_pages_of(slab, offset) & purged)) object_link(slab, (struct object *)(base + offset));
  set_purged(slab, purged);
  if (!discarded) end_looks(slab->owner); /* the kernel does not take it: mlockall() */
  return (size_t)__builtin_popcount(discarded) * page_bytes;
}

/* It has a place again, unless all that was in use was freed meanwhile. */
static void queue_again(struct slab *slab, bool swept) {
  size_t used = slab_used(slab);
  if (used == 0)
    let_slab_go(slab, swept ? QUEUE_SWEPT : QUEUE_YOUNG);
  else if (swept)
    enqueue_in(QUEUE_SWEPT, slab, used / 2);
  else
    enqueue(slab);
}

/* What serves its class from now on. A handler that came during a system call may have given it another: that one waits in the queue. */
static inline void make_current(struct theap *heap, size_t size_class, struct slab *slab) {
  struct slab *other = slab_current(heap, size_class);
  set_current(heap, size_class, slab);
  if (UNLIKELY(other != NO_SLAB)) queue_again(other, false);
}

COLD void slab_begin_samples(struct theap *heap, struct sampler *sampler) {
  struct slab *current[SIZE_CLASSES];
  for (size_t size_class = 0; size_class < SIZE_CLASSES; size_class++) current[size_class] = take_current(heap, size_class);
  heap->sampler = sampler;
  for (size_t size_class = 0; size_class < SIZE_CLASSES; size_class++)
    if (current[size_class] != NO_SLAB) make_current(heap, size_class, current[size_class]);
}

static size_t purge_current(struct theap *heap, size_t size_class) {
  struct slab *slab = take_current(heap, size_class);
  if (slab == NO_SLAB) return 0;
  size_t released = purge_slab(slab, true);
  make_current(heap, size_class, slab);
  return released;
}

/* Out of its queue, and into another. */
static size_t sweep_slab(struct slab *slab, bool trims) {
  dequeue(slab);
  set_wake(slab, WAKE_NEVER);
  size_t released = purge_slab(slab, trims);
  queue_again(slab, true);
  return released;
}

/* What was swept before, too: more of it may be free since. */
static size_t purge_queues(struct theap *heap, size_t size_class) {
  size_t released = 0;
  struct slab *slab;
  bool interrupts = *theap_queue(heap, QUEUE_AGAIN, size_class); /* a trim that is under way, out of a handler */
  if (!interrupts) move_queue(heap, size_class, QUEUE_SWEPT, QUEUE_AGAIN);
  while ((slab = first_queued(heap, size_class, QUEUE_IDLE)) || (slab = *theap_queue(heap, QUEUE_AGAIN, size_class))) released += sweep_slab(slab, true);
  return released;
}

COLD size_t slab_purge(struct theap *heap) {
  size_t released = 0;
  for (size_t size_class = 0; size_class < SIZE_CLASSES && page_bytes < GRANULE_BYTES; size_class++) {
    released += purge_current(heap, size_class);
    released += purge_queues(heap, size_class);
  }
  return released;
}

/* ---- by age --------------------------------------------------------------------------------------------------------- */

static uint64_t forked_at; /* atomic: the last time that this process did, by sys_coarse_time(); 0: never */
static size_t inherited;   /* bytes, when it began as the child of one */

static size_t bytes_in_memory(void) {
  return __atomic_load_n(&sys_counters.bytes_held, __ATOMIC_RELAXED) - __atomic_load_n(&sys_counters.bytes_back, __ATOMIC_RELAXED);
}

void slab_note_fork(bool child) {
  __atomic_store_n(&forked_at, sys_coarse_time(), __ATOMIC_RELAXED);
  if (child) inherited = bytes_in_memory();
}

/* Sweeping writes to the pages that stay, which a parent or a child would have copied, and what goes is still theirs. (Redis, 300,000 keys of which one in 20 is left, saved
 * in a child: 125 MB copied, and 1 without.) So a parent waits, for as long as most children live, */
static bool has_forked_lately(uint64_t now) {
  uint64_t then = __atomic_load_n(&forked_at, __ATOMIC_RELAXED);
  return then && (int64_t)((now - then) / 1000000000) < SHARED_FOR_S; /* the clock may be of a machine that has just started */
}

/* and a child until most of its memory is its own. */
static bool is_mostly_inherited(void) { return bytes_in_memory() < INHERITED_SHARE * inherited; }

/* What nobody took from between two looks is idle after the second. True: some is. */
static bool class_grows_old(struct theap *heap, size_t size_class) {
  struct slab *const *idle = theap_queue(heap, QUEUE_IDLE, size_class);
  if (!*idle) {
    move_queue(heap, size_class, QUEUE_OLD, QUEUE_IDLE);
    move_queue(heap, size_class, QUEUE_YOUNG, QUEUE_OLD);
  }
  return *idle;
}

/* There are looks as long as they find something. */
static void slabs_grow_old(struct theap *heap, uint64_t now) {
  bool some_idle = false;
  if (now - heap->looked_at < budget_age()) return; /* a clock that went back is far ahead */
  heap->looked_at = now;
  for (size_t size_class = 0; size_class < SIZE_CLASSES; size_class++) some_idle |= class_grows_old(heap, size_class);
  if (!some_idle && --due_look.slabs_left == 0) end_looks(heap);
}

/* NULL: none of any class. */
static struct slab *next_idle(struct theap *heap) {
  for (size_t classes = 0; classes < SIZE_CLASSES; classes++) {
    struct slab *slab = *theap_queue(heap, QUEUE_IDLE, heap->sweep_class);
    if (slab) return slab;
    heap->sweep_class = (uint8_t)((heap->sweep_class + 1) % SIZE_CLASSES);
  }
  return NULL;
}

/* Of 512 MB in small objects of which each twentieth survives all pages stayed; after 10 s of a light load now 345 MB do, if they have 250 bytes, 203 with 1000, no more than after a
 * trim. (Tried: at once, when a slab was down to eight objects in use, four, two, one. Steady loads with survivors took 15 to 20 % more time.) Until the clock's next tick at most: one call
 * may have to wait, and so may the next. */
COLD void slab_give_idle(struct theap *heap, uint64_t now) {
  struct slab *slab;
  if (page_bytes >= GRANULE_BYTES || is_mostly_inherited()) end_looks(heap);
  if (!due_look.slabs_left || has_forked_lately(now)) return;
  slabs_grow_old(heap, now);
  for (size_t slabs = 0, objects = 0; due_look.slabs_left && slabs < SWEEP_SLABS && objects < SWEEP_OBJECTS && budget_is_rich() && (slab = next_idle(heap)); slabs++) {
    size_t capacity = slab_capacity(slab);
    objects += capacity;
    budget_pay_for_looks(capacity);
    sweep_slab(slab, false);
    if (sys_coarse_time() != now) break;
  }
}

/* ---- carving -------------------------------------------------------------------------------------------------------- */

/* String the next objects up to a page edge (one at least) into the free list. False: all are carved. */
static bool carve(struct slab *slab) {
  uint32_t size = (uint32_t)slab_object_bytes(slab), start = slab->carved;
  uint32_t usable = (uint32_t)slab_capacity(slab) * size;
  if (start >= usable) return false;
  uint32_t edge = (uint32_t)round_up(start + size, CARVE_PAGE);
  uint32_t end = edge < usable ? edge - (edge - start) % size : usable;
  uintptr_t base = slab_start(slab);
  for (uint32_t at = end; at > start;) {
    at -= size;
    object_link(slab, (struct object *)(base + at));
  }
  __atomic_store_n(&slab->carved, (uint16_t)end, __ATOMIC_RELAXED);
  return true;
}

static void format(struct slab *slab, size_t size_class) {
  slab->free = slab->later = LIST_END;
  slab->salt = secret_salt();
  slab->countdown = 0;
  slab->wake = 0;
  slab->size_class = (uint8_t)size_class;
  set_purged(slab, 0);
  __atomic_store_n(&slab->carved, 0, __ATOMIC_RELAXED);
}

struct slab_wish {
  struct theap *heap;
  size_t size_class;
};

/* Formatted under the lock: an heir must find a record that is true. */
static void *take_slab(struct arena *arena, void *what, enum arena_growth growth) {
  struct slab_wish *wish = what;
  bool fills = wish->heap->blocks_given[wish->size_class] == FILLS_SLABS;
  struct slab *slab = arena_take_slab_locked(arena, wish->heap, fills, growth);
  if (slab) format(slab, wish->size_class);
  return slab;
}

static struct slab *new_slab(struct theap *heap, size_t size_class, enum arena_growth growth) {
  return arena_serve(heap, take_slab, &(struct slab_wish){heap, size_class}, growth);
}

/* ---- refill --------------------------------------------------------------------------------------------------------- */

static bool has_objects(struct slab *slab) {
  if (slab->free == LIST_END) {
    slab->free = slab->later;
    slab->later = LIST_END;
  }
  if (slab->free == LIST_END && slab->purged) restore_page(slab);
  return slab->free != LIST_END || carve(slab);
}

/* The same as object_pop(), where there is an object. */
static void *object_take(struct slab *slab) {
  void *object = object_pop(slab);
  if (UNLIKELY(!object)) report_misuse("malloc", MISUSE_DAMAGED, slab->free);
  return object;
}

void *slab_refill(struct theap *heap, size_t size_class, enum arena_growth growth) {
  struct slab *slab = slab_current(heap, size_class);
  if (slab != NO_SLAB) {
    if (has_objects(slab)) return object_take(slab);
    take_current(heap, size_class);
    heap->blocks_given[size_class] = FILLS_SLABS;
    set_full(slab);
  }
  /* The mail only when it is needed: what waits there grows meanwhile, and one exchange fetches more. Its memory is warmer than that of slabs that were swept. */
  if (!first_queued(heap, size_class, QUEUE_IDLE)) slab_collect(heap);
  slab = first_queued(heap, size_class, QUEUE_SWEPT);
  if (slab) {
    dequeue(slab);
    restore_pages(slab);
  } else if (!(slab = new_slab(heap, size_class, growth))) {
    return NULL;
  }
  make_current(heap, size_class, slab);
  return has_objects(slab) ? object_take(slab) : NULL;
}

/* ---- other threads -------------------------------------------------------------------------------------------------- */

static struct object *last_of(const struct slab *slab, struct object *list) {
  for (struct object *next; (next = next_of(slab, list)) != LIST_END;) list = next;
  return list;
}

static uint64_t mark_now(void) { return fork_generation & REMOTE_MARK_MASK; }

static bool is_listed(uint64_t head, uint64_t mark) { return remote_list(head) != LIST_END && (head & REMOTE_MARK_MASK) == mark; }

/* What was put on a stack since that fork. */
static struct slab *top_of(const struct marked *stack, uint64_t mark) {
  uint64_t word = (uintptr_t)stack;
  return (word & REMOTE_MARK_MASK) == mark ? (struct slab *)(word & ~REMOTE_MARK_MASK) : NULL;
}

/* Nothing, once the mark is old. */
static void push(struct marked **stack, struct slab *slab, struct slab **link, uint64_t mark) {
  struct marked *top = __atomic_load_n(stack, __ATOMIC_RELAXED), *marked = (struct marked *)((uintptr_t)slab | mark);
  do {
    if (UNLIKELY(mark != mark_now())) return;
    *link = top_of(top, mark);
  } while (!__atomic_compare_exchange_n(stack, &top, marked, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

/* All of it, with its mark. */
static struct slab *take_all(struct marked **stack, uint64_t *mark) {
  struct marked *top = __atomic_load_n(stack, __ATOMIC_RELAXED);
  struct slab *slab;
  do {
    *mark = mark_now();
    slab = top_of(top, *mark);
  } while (slab && !__atomic_compare_exchange_n(stack, &top, NULL, true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
  return slab;
}

static void post(struct theap *owner, struct slab *slab, uint64_t mark) { push(&owner->mail, slab, &slab_remote(slab)->mail_next, mark); }

/* Where much waits, its thread may have ended, or sleep: somebody is to look. (Else that waits until the heap grows: of 1 GB that another thread freed all was there after 6 s
 * of a light load, now 40 MB.) */
static void count_mail(struct theap *owner) {
  if (__atomic_add_fetch(&owner->posts, 1, __ATOMIC_RELAXED) % MAIL_IS_MUCH == 0) budget_note_due(DUE_MAIL, true);
}

/* Into a slab that has no owner yet: it is enough that the object says so, and whoever is there to be the heir becomes it. False: it has
 * an owner by now. Where the arena cannot be had (it is abandoned, or a frame further up is in there) the object waits. */
COLD static bool free_orphaned(struct slab *slab, struct object *object) {
  struct arena *arena = arena_of(slab);
  bool entered = arena_enter_this(arena), orphan = slab_is_orphan(slab);
  if (orphan) object_seal(slab, object, LIST_END);
  if (orphan && entered && theap_is_born(self)) slab_adopt_locked(self, slab);
  if (entered) arena_leave(arena);
  return orphan;
}

void slab_free_remote(struct slab *slab, struct object *object) {
  if (UNLIKELY(__atomic_load_n(&heirs_wanted, __ATOMIC_ACQUIRE)) && slab_is_orphan(slab) && free_orphaned(slab, object)) return;
  struct theap *owner = slab_owner(slab); /* once the object is free an heir may give the slab back */
  size_t object_bytes = slab_object_bytes(slab);
  struct remote *remote = slab_remote(slab);
  uint64_t old = __atomic_load_n(&remote->head, __ATOMIC_RELAXED), new, mark;
  do {
    mark = mark_now();
    object_seal(slab, object, remote_list(old));
    new = (uint64_t)(remote_count(old) + 1) << REMOTE_COUNT_SHIFT | (uintptr_t)object | mark;
    /* Release: the object's link. Acquire: who finds the list empty writes mail_next, after the owner, who emptied it, has read that. */
  } while (!__atomic_compare_exchange_n(&remote->head, &old, new, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
  bool listed = is_listed(old, mark);
  if (UNLIKELY(!listed || (remote_count(new) + 1) * object_bytes > SLAB_USABLE)) count_mail(owner); /* the first, or all that there can be */
  if (listed) return;
  remote->last = remote_list(old) == LIST_END ? object : last_of(slab, object);
  post(owner, slab, mark);
}

void slab_post_again(struct slab *slab) {
  struct remote *remote = slab_remote(slab);
  uint64_t old = __atomic_load_n(&remote->head, __ATOMIC_RELAXED), mark = mark_now();
  do {
    if (remote_list(old) == LIST_END || is_listed(old, mark)) return;
  } while (!__atomic_compare_exchange_n(&remote->head, &old, (old & ~REMOTE_MARK_MASK) | mark, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
  remote->last = last_of(slab, remote_list(old));
  post(slab_owner(slab), slab, mark);
}

/* A list joins the one that waits, in one step: to look for its end took 50 ms for each 512 MB that others had freed. */
static void collect_slab(struct slab *slab, uint64_t head, struct object *last) {
  struct object *list = remote_list(head);
  if (UNLIKELY(list == LIST_END)) return; /* see take_list() */
  struct object **waiting = slab->free != LIST_END ? &slab->later : &slab->free;
  if (next_of(slab, last) != *waiting) object_seal(slab, last, *waiting);
  *waiting = list;
  slab->countdown = (int16_t)(slab->countdown - (int32_t)remote_count(head));
  settle(slab, slab_used(slab));
}

/* What was not read. */
static void set_aside(struct theap *heap, struct slab *bundle, uint64_t mark) {
  if (bundle) push(&heap->unread, bundle, &slab_remote(bundle)->next_bundle, mark);
}

/* A bundle that was set aside, or else all that came since: the caller's alone from now on. */
static struct slab *take_mail(struct theap *heap, uint64_t *mark) {
  struct slab *bundle = take_all(&heap->unread, mark), *next;
  if (!bundle) return take_all(&heap->mail, mark);
  for (struct slab *other = slab_remote(bundle)->next_bundle; other; other = next) {
    next = slab_remote(other)->next_bundle;
    set_aside(heap, other, *mark);
  }
  return bundle;
}

/* None, where the slab was posted again in the child of a fork out of a handler that interrupted us: it has another mark. */
static uint64_t take_list(struct remote *remote, uint64_t mark) {
  uint64_t head = __atomic_load_n(&remote->head, __ATOMIC_RELAXED);
  do {
    if (UNLIKELY(!is_listed(head, mark))) return 0;
  } while (!__atomic_compare_exchange_n(&remote->head, &head, 0, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
  return head;
}

bool slab_collect(struct theap *heap) {
  uint64_t mark;
  struct slab *slab = take_mail(heap, &mark);
  if (LIKELY(!slab)) return false;
  __atomic_store_n(&heap->posts, 0, __ATOMIC_RELAXED);
  for (size_t read = 0; slab && read < MAIL_READ && mark == mark_now(); read++) {
    struct remote *remote = slab_remote(slab);
    struct slab *next = remote->mail_next; /* before the list is empty: from then on the slab may be posted again */
    struct object *last = remote->last;
    collect_slab(slab, take_list(remote, mark), last);
    slab = next;
  }
  set_aside(heap, slab, mark);
  return true;
}

/* Nobody has an object of it, and its owner would come upon it by its mail only. */
static bool is_anybodys(const struct slab *slab, const struct remote *remote) {
  bool all_free = remote_count(__atomic_load_n(&remote->head, __ATOMIC_ACQUIRE)) == slab_capacity(slab);
  return all_free && wake_is_of_full(__atomic_load_n(&slab->wake, __ATOMIC_ACQUIRE), slab_object_bytes(slab));
}

/* What is anybody's goes. Not in the child of a fork that came in between: there it is an heir's. */
static bool release_if_anybodys(struct slab *slab, struct remote *remote, uint64_t mark) {
  struct arena *arena = arena_of(slab);
  if (!is_anybodys(slab, remote) || !arena_enter_this(arena)) return false;
  bool still = mark == mark_now();
  if (still) {
    __atomic_store_n(&remote->head, 0, __ATOMIC_RELAXED);
    slab_release_locked(arena, slab);
  }
  arena_leave(arena);
  return still;
}

/* The rest, behind the next `most`. */
static struct slab *read_through(struct theap *owner, struct slab *slab, uint64_t mark, size_t most, size_t *released) {
  for (; slab && most > 0 && mark == mark_now(); most--) {
    struct remote *remote = slab_remote(slab);
    struct slab *next = remote->mail_next;
    if (release_if_anybodys(slab, remote, mark))
      ++*released;
    else
      post(owner, slab, mark);
    slab = next;
  }
  return slab;
}

size_t slab_release_mail(struct theap *owner) {
  uint64_t mark;
  size_t released = 0;
  struct slab *slab = take_mail(owner, &mark);
  set_aside(owner, read_through(owner, slab, mark, MAIL_READ, &released), mark);
  return released;
}

/* What is posted again meanwhile is not come upon again: it ends. */
size_t slab_release_all_mail(struct theap *owner) {
  uint64_t mark;
  size_t released = 0;
  for (struct slab *bundle = take_all(&owner->unread, &mark), *next; bundle; bundle = next) {
    next = slab_remote(bundle)->next_bundle;
    read_through(owner, bundle, mark, SIZE_MAX, &released);
  }
  struct slab *slab = take_all(&owner->mail, &mark);
  read_through(owner, slab, mark, SIZE_MAX, &released);
  return released;
}

/* ---- housekeeping --------------------------------------------------------------------------------------------------- */

void slab_begin_anew(struct theap *heap) {
  for (size_t size_class = 0; size_class < SIZE_CLASSES; size_class++) {
    bool has_slab = slab_current(heap, size_class) != NO_SLAB || first_queued(heap, size_class, QUEUE_SWEPT);
    uint8_t *given = &heap->blocks_given[size_class];
    *given = has_slab ? BLOCKS_BEFORE_SLAB : (uint8_t)(*given / 2);
  }
}

void slab_retire_empty(struct theap *heap) {
  for (size_t size_class = 0; size_class < SIZE_CLASSES; size_class++) {
    struct slab *slab = slab_current(heap, size_class);
    if (slab == NO_SLAB || slab_used(slab) != 0) continue;
    set_current(heap, size_class, NO_SLAB);
    let_slab_go(slab, QUEUE_YOUNG);
  }
}

/* Every object that says it is free, and is not on a purged page, makes the list; the number of those that are neither. */
static size_t list_free_objects(struct slab *slab) {
  size_t used = 0, size = slab_object_bytes(slab);
  slab->free = slab->later = LIST_END;
  for (size_t offset = slab->carved; offset > 0;) {
    offset -= size;
    struct object *object = (struct object *)(slab_start(slab) + offset);
    if (slab_has_purged(slab, object)) continue;
    if (object_is_free(slab, object))
      object_link(slab, object);
    else
      used++;
  }
  return used;
}

COLD void slab_adopt_locked(struct theap *heir, struct slab *slab) {
  size_t used = list_free_objects(slab);
  struct remote *remote = slab_remote(slab);
  if (__atomic_load_n(&remote->head, __ATOMIC_RELAXED)) __atomic_store_n(&remote->head, 0, __ATOMIC_RELAXED);
  if (used == 0) {
    arena_give_slab_locked(arena_of(slab), slab);
    return;
  }
  slab->wake = 0;
  slab->countdown = (int16_t)used;
  set_full(slab);
  __atomic_store_n(&slab->owner, heir, __ATOMIC_RELEASE);
  bool room_to_carve = slab->carved < slab_capacity(slab) * slab_object_bytes(slab);
  if (room_to_carve || used <= (size_t)slab->wake) enqueue(slab);
}
