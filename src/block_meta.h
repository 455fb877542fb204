/* SPDX-License-Identifier: MIT */
/* THE MAP: pictures of the memory, every structure, the invariants as equations, and the gate from a pointer to its metadata.
 *
 *   region   one contiguous range of address space: the brk heap, or a fallback from mmap
 *
 *     base                base + 8 MiB            base + 16 MiB      base + bytes
 *     | chunk 0              | chunk 1               | chunk 2 ...       |
 *
 *   chunk    8 MiB = 256 granules of 32 KiB; the first granule is its metadata; belongs to one arena
 *
 *     | 256 remotes x 64 | 256 slabs x 64 | granule 1 | granule 2 | ... | granule 255 |sentinel
 *       both in reverse: granule 1's record is the last but one; the last is the chunk's own, and its
 *       last 16 bytes are the first block's header. So a small heap touches one page of all this.
 *
 *   granule  either a slab: objects of one class, no headers ...
 *
 *     | object | object | ... | object | not carved yet ...            | 16 bytes |
 *
 *            ... or a stretch of blocks, each with 16 bytes before its payload:
 *
 *     | prev_bytes | header | payload ........................ | prev_bytes | header | payload ...
 *                                     the word prev_bytes belongs to the payload before it while that one is in use,
 *                                     so a block costs 8 bytes: usable = bytes - 8
 *
 *   A slab is a block too, of exactly one granule that begins 16 bytes before a granule's edge, so slabs pack without a
 *   gap. Its header is never written: it would touch the last page of the granule before, which
 *   may be a slab that has not got that far. The slab record holds what the header would say.
 *
 *   The free space at an arena's end ("top") has no header either, for the same reason.
 *
 * Bytes and addresses: `bytes` of a block include its 16 bytes of prev_bytes + header; `uintptr_t` is an address. */
#ifndef OSMEM_BLOCK_META_H
#define OSMEM_BLOCK_META_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "geometry.h"
#include "lock.h"
#include "os.h"
#include "secret.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define COLD __attribute__((noinline, cold))

/* Addresses of objects and blocks have no more bits: above them, in one word, stands a number. Kernels give out higher ones to those who ask for
 * them, on processors with 52 or 57 (riscv64's before 6.6 to all): such memory is refused, see region.c. */
enum { ADDRESS_BITS = 48 };

/* ---- small: objects, slabs ------------------------------------------------------------------------------------------ */

/* A free object. Its seal is made of a number that only the process knows and only this life of the slab uses (`salt`), its address and its
 * link: an object is free if, and by all chances only if, its two words fit (object_is_free). malloc looks before it hands one out, so a
 * write after free or an overflow is found and an overwritten link never becomes an address; free looks for a double free. The seal
 * is wiped when the object is handed out, so no program ever reads one, whatever it copies out of memory that it did not write. */
struct object {
  struct object *next; /* list_end after the last */
  uint64_t seal;
};

/* Ends each list. Its words fit no salt, so one compare tells the fast path of malloc that a list is empty or damaged. */
extern const struct object list_end;
#define LIST_END ((struct object *)&list_end)

struct theap;

/* One per granule, the owner's side. Written only by the owner's thread (and by its arena's lock holder while the slab is
 * born or retired). Counting:
 *
 *   countdown == used - wake
 *   used      == objects handed out, those on the remote list included
 *   carved    == first byte of the granule that was never an object yet
 *             == (used + in `free` + in `later` + on purged pages) * object_bytes
 *
 * One compare with zero on free (no more than none are left) serves all states, because `wake` says when the owner wants to hear of it:
 *   current   wake == -1: never          (the slab that malloc takes from; it may be empty without notice)
 *             wake ==  all that a slab can have: at each free, since something waits to be given back (due.h)
 *   queued    wake ==  0, or up to a half of what was in use when it got there: when empty, or when so few are left (waits in one of its class's queues)
 *   full      wake ==  capacity - a few: when there is room worth coming back for (in no queue) */
struct slab {
  struct theap *owner; /* NULL: this granule holds blocks */
  struct object *free; /* LIFO */
  uint64_t salt;
  uint32_t reciprocal; /* ceil(2^32 / object bytes): offset * reciprocal wraps below it exactly for multiples */
  uint16_t carved;
  int16_t countdown;
  int16_t wake;        /* atomic: see slab_release_mail() */
  uint8_t purged;      /* bit i: page i was given back, and the objects on it, all free, are in no list; then reciprocal is 0 */
  uint8_t size_class;
  uint32_t prev_free_bytes; /* stands in for the header: size of the free block before this slab, 0: that one is in use */
  struct slab *next, **link; /* in a queue: the next, and what points here */
  struct object *later;     /* freed by others, and not yet joined to `free`: that would mean to walk a list */
} __attribute__((aligned(64)));

/* One per granule, the foreign side, 16 KiB before the owner's: a single-threaded program never touches these pages,
 * and foreign frees do not bounce the owner's line (46 -> 51 M frees a second in the prototype). */
struct remote {
  uint64_t head;          /* atomic: count << 48 | first object freed by another thread | mark of the fork, see slab.c */
  struct slab *mail_next; /* the owner's mail, while head is not empty */
  struct object *last;    /* on the list, while the slab is in the mail */
  struct slab *next_bundle; /* of what was set aside, while the slab is the first of one */
  char line[32];
};

/* ---- medium: blocks, chunks, arenas --------------------------------------------------------------------------------- */

struct block {
  size_t prev_bytes; /* valid while the previous block is free, else part of its payload */
  uint64_t header;   /* tag << 32 | bytes | flags; atomic: readers look at it without the arena's lock. The tag is made of the rest, too */
  /* payload; while the block is free or cached: */
  struct block *next;
  union {
    struct block *prev; /* in a bin */
    uint64_t seal;      /* in a cache or a deferred stack: block_seal() */
  };
};

/* What of a free block's whole pages was given back: so many bytes at least. Where they lie is known of one stretch, which a round of giving back (purge.c)
 * makes longer, so that nothing is advised twice: from unit to unit, each as many low bits of an address as fit in here. 0: nothing. (A struct of the three is taken
 * apart and put together again by gcc, on the way of every block into a bin and out of it.)
 *
 *   | to: 15 bits | from: 15 bits | bytes: 32 bits | */
typedef uint64_t clean_part;

enum { CLEAN_UNIT = 2 * KIB /* no page is smaller */, CLEAN_UNITS_MASK = (1 << 15) - 1, CLEAN_FROM_SHIFT = 32, CLEAN_TO_SHIFT = 47 };
_Static_assert(CHUNK_BYTES / CLEAN_UNIT < CLEAN_UNITS_MASK, "a block has fewer units than a stretch can tell apart");

static inline size_t clean_bytes_of(clean_part clean) { return (uint32_t)clean; }

static inline size_t clean_from(clean_part clean) { return clean >> CLEAN_FROM_SHIFT & CLEAN_UNITS_MASK; }

static inline size_t clean_to(clean_part clean) { return clean >> CLEAN_TO_SHIFT & CLEAN_UNITS_MASK; }

static inline size_t clean_unit(uintptr_t address) { return address / CLEAN_UNIT; }

static inline size_t clean_bytes_between(size_t from, size_t to) { return ((to - from) & CLEAN_UNITS_MASK) * CLEAN_UNIT; }

static inline size_t clean_stretch_bytes(clean_part clean) { return clean_bytes_between(clean_from(clean), clean_to(clean)); }

static inline clean_part clean_part_of(size_t bytes, size_t from, size_t to) {
  return bytes | (from & CLEAN_UNITS_MASK) << CLEAN_FROM_SHIFT | (to & CLEAN_UNITS_MASK) << CLEAN_TO_SHIFT;
}

enum {
  BLOCK_USED = 1,      /* handed out, or in a thread's cache, or deferred */
  BLOCK_PREV_USED = 2, /* the block before is not free: prev_bytes is not ours to read */
  BLOCK_PURGED = 4,    /* free, and some of its pages were given back: block_clean_bytes() says how many */
  BLOCK_FLAGS = 15
};

/* (No block is so long that it has BLOCK_SAMPLED among its bytes: who takes that for one of them, as free does on its way to the cache, has a block that no cache accepts. So a
 * sample costs those who are none no instruction.) */
#define BLOCK_BYTES_MASK ((uint64_t)0x07fffff0)
#define BLOCK_SAMPLED ((uint64_t)0x08000000) /* in use, and on record: samples.h */
#define BLOCK_VOUCHED (BLOCK_BYTES_MASK | BLOCK_SAMPLED | BLOCK_FLAGS)
enum { BLOCK_TAG_FROM = 28, BLOCK_TAG_SHIFT = 32 };

struct arena;

struct chunk_info {
  uint64_t magic;       /* chunk_magic(): memory of a foreign sbrk() does not have it */
  struct arena *arena;
  struct chunk *next;   /* of the same arena */
  struct chunk *below;  /* on the brk heap: the chunk that is the last one when this one goes back */
  uintptr_t limit;      /* our memory in this chunk ends here, so far */
  uint32_t cap_bytes;   /* and can never be more than this (a foreign sbrk() came in between, or the chunk's end) */
  uint32_t end_bytes;   /* so far in stands the sentinel; 0: in an arena's newest chunk there is none */
};

struct chunk {
  struct remote remotes[CHUNK_GRANULES];
  struct slab slabs[CHUNK_GRANULES - 1]; /* slab_of_granule() */
  struct chunk_info info;
} __attribute__((aligned(64)));

enum { BINS = 320, BIN_WORDS = BINS / 64 };

/* A block heap. Everything in it is guarded by `lock` but for `threads`, `free_bytes`, `free_blocks` and `deferred`.
 *
 *   free memory == blocks in bins (free_bytes) + [top, limit), of which clean_bytes and [resident, limit) are not in memory; no two free blocks are neighbours, none is next to top */
struct arena {
  struct lock lock;
  uint32_t threads;       /* atomic: heaps whose own arena this is; those of ended threads too, until they are found */
  struct block *deferred; /* atomic stack: blocks freed while the lock was taken; */
  struct block *waiting;  /* and those taken off it that are still to be given */
  struct chunk *chunks;   /* the newest, where top is, comes first; NULL: nothing allocated yet */
  size_t older_bytes;     /* of the other chunks */
  uintptr_t top;          /* where the next block or slab starts, 16 bytes before its payload */
  uintptr_t limit;        /* end of our memory in the newest chunk; top <= limit - HEADER_BYTES */
  uintptr_t fresh;        /* from here on never written: reads as zero */
  uintptr_t resident;     /* from here on not in memory: nothing to give back */
  size_t dense_bytes;     /* taken from the top since the last block that may stay half empty */
  size_t live_bytes;      /* blocks in use, slabs not counted; atomic, read by others */
  size_t live_count;
  size_t free_bytes;      /* in bins; atomic, read by others; */
  size_t free_blocks;     /* and so many they are, likewise */
  size_t clean_bytes;     /* of them: pages that were given back to the kernel, */
  size_t told_bytes;      /* and as many, at the last look, are this arena's part of sys_counters.bytes_back */
  size_t least_dirty;     /* of all that is free and in memory: the least there was since */
  uint64_t looked_at;     /* that time (sys_coarse_time(); purge.c); */
  size_t idle_bytes;      /* and then so much had not been wanted for an age, and was not given back yet */
  size_t idle_before;     /* likewise, at the time before that */
  size_t patience;        /* so many bytes are freed before pages are given back again */
  struct block *sweep;    /* the next free block that a round of giving back (purge.c) looks at; NULL: the first of the bin below */
  size_t sweep_bin;       /* the bin that it is in */
  size_t sweep_min;       /* shorter runs are left alone; 0: no round is under way */
  bool long_are_gone;     /* and short runs are looked at */
  bool flooded;           /* very much was dirty, and goes until no more is than its share */
  bool sweep_trims;       /* it is a trim's: whatever it costs, and however little is dirty */
  size_t allocations;
  size_t slabs;           /* atomic, likewise */
  size_t most_used;       /* atomic: arena_used_bytes() at its highest, since heap.c set it back */
  uint64_t bin_map[BIN_WORDS];
  struct block *bins[BINS];
  struct chunk *walk_chunk; /* where the search for orphaned slabs stands (heirs.c), since the fork */
  uint32_t walk_granule;    /* with that number, */
  uint32_t walk_generation;
  uint32_t walked_generation; /* atomic: and the last fork after which it came to an end */
};

/* ---- threads -------------------------------------------------------------------------------------------------------- */

/* A cached block and, above its address, its size in units of 16 bytes: so a bin's first block is judged without a look at it, which is
 * a cache miss. 0: none. */
typedef uint64_t cached_block;
enum { CACHED_UNITS_SHIFT = ADDRESS_BITS };

/* A slab's address, and in its last bits the mark of the fork since which that holds: slab.c. */
struct marked;

/* Slabs with free objects. Of those that are sparse, and from which nobody has taken for long, pages go back. Taken from in this order. (Young ones
 * first: perl's hashes took 6 % more time, and mixed sizes 5 % more memory. But bursts beside many slabs with a few holes took 9.5 ns an object, not 17.8; glibc 34.) */
enum queue {
  QUEUE_DENSE, /* more than a quarter in use */
  QUEUE_YOUNG,
  QUEUE_OLD,   /* not since the last look */
  QUEUE_IDLE,  /* nor since the one before */
  QUEUE_SWEPT, /* until half of what was in use then is left */
  QUEUE_AGAIN, /* during a trim */
  QUEUES
};

/* One per thread, found through one TLS pointer. Only its thread touches it, but for `mail`, `unread`, `posts` and `alive`. */
struct theap {
  struct slab *direct[SIZE_STEPS]; /* by size_step(); the class's current slab, or no_slab */
  uint8_t blocks_given[SIZE_CLASSES]; /* by its thread, up to BLOCKS_BEFORE_SLAB; FILLS_SLABS: it has filled a slab of the class */
  struct arena *arena;
  struct sampler *sampler; /* while it takes samples, else NULL: then `direct` has nothing, and the sampler's own has */
  uint32_t visits; /* to an arena that others have for their own, too: see theap_settle() */
  uint32_t looks_elsewhere; /* at arenas of others, for warm memory: the next look is at another one */
  struct marked *mail;   /* atomic stack of slabs whose remote list became non-empty, */
  struct marked *unread; /* atomic: and one of bundles, each what is left of a mail that was taken whole */
  uint32_t posts;        /* atomic: of slabs, and those of which all was freed, since the thread read its mail */
  uint32_t sparse;       /* slabs that wait in a queue until they are empty, or old; */
  uint32_t sparse_least; /* the least there were since there were looks at them (due.h); many more, and there are again */
  uint8_t sweep_class;   /* the next one whose idle slabs give back pages */
  uint64_t looked_at;    /* ns; at what became old */
  size_t cached_bytes, cache_limit;
  size_t cache_evicted; /* bytes, since the limit grew */
  uint32_t cache_evict; /* the bin that yields next when the cache is full */
  cached_block cache[CACHE_BINS + CACHE_BINS_TRIED]; /* freed blocks, LIFO; the last bins stay empty, cache_take() may look there */
  uint8_t cache_misses[CACHE_BINS + CACHE_BINS_TRIED]; /* requests whose bin had blocks, but none that fits: see cache_rounded() */
  struct theap *next;              /* all heaps ever made, newest first */
  pthread_mutex_t alive;           /* robust, held by the thread for life: the kernel marks it when the thread is gone */
  const void *home;                /* where its thread's `self` lies, while that may live: see thread.c */
  struct theap *link;              /* the next in its bucket of homes, or of those that are dead, or unused */
  struct theap *below;             /* while a thread looks after it: what that looked after before, and goes on with */
  bool known_dead, unused;
  uint32_t generation; /* of its thread: see heirs.h */
};

/* Of a thread that samples: samples.h. */
struct sampler {
  size_t left;      /* bytes until its next sample, */
  size_t next_rate; /* and the rate that this was drawn at */
  size_t rate;      /* that of the last one */
  uint64_t random;
  struct slab *direct[SIZE_STEPS];
};

/* That of a thread that has allocated; the heap that all others have in common (thread.c) has no slabs. (With the queues in it that one, which is written when the library is bound, reached into
 * another page: a fault more for each process.) */
struct born_theap {
  struct theap theap;
  struct slab *queue[QUEUES][SIZE_CLASSES];
  struct sampler *sampler_kept; /* from when it took samples last */
};

static inline struct born_theap *as_born(const struct theap *heap) { return (struct born_theap *)heap; }

static inline struct slab **theap_queue(const struct theap *heap, enum queue which, size_t size_class) {
  return &as_born(heap)->queue[which][size_class];
}

/* ---- regions -------------------------------------------------------------------------------------------------------- */

struct region {
  uintptr_t base; /* a multiple of GRANULE_BYTES */
  size_t bytes;   /* base + bytes == our end; only ever grows while chunks live there, but for os_trim */
};

/* [0] is the brk heap and the only one that the fast path knows. The rest is empty unless brk was refused. */
extern struct region regions[REGIONS_MAX];

static inline uintptr_t brk_base(void) { return __atomic_load_n(&regions[0].base, __ATOMIC_RELAXED); }

static inline size_t brk_bytes(void) { return __atomic_load_n(&regions[0].bytes, __ATOMIC_RELAXED); }

/* ---- the gate: pointer -> metadata ---------------------------------------------------------------------------------- */

static inline struct chunk *chunk_at(uintptr_t region_base, uintptr_t address) {
  return (struct chunk *)(address - ((address - region_base) & (CHUNK_BYTES - 1)));
}

/* The record of the granule that `address` lies in. Whether the granule is a slab: look at its owner. */
static inline struct slab *slab_at(uintptr_t region_base, uintptr_t address) {
  uintptr_t in_chunk = (address - region_base) & (CHUNK_BYTES - 1);
  return (struct slab *)(address - in_chunk + GRANULE_BYTES) - 1 - (in_chunk >> GRANULE_SHIFT);
}

static inline struct slab *slab_of_granule(struct chunk *chunk, size_t granule) {
  return (struct slab *)((uintptr_t)chunk + GRANULE_BYTES) - 1 - granule;
}

static inline size_t granule_of_slab(const struct chunk *chunk, const struct slab *slab) {
  return (size_t)((const struct slab *)((uintptr_t)chunk + GRANULE_BYTES) - 1 - slab);
}

static inline struct theap *slab_owner(const struct slab *slab) { return __atomic_load_n(&slab->owner, __ATOMIC_RELAXED); }

static inline size_t slab_object_bytes(const struct slab *slab) { return class_bytes(slab->size_class); }

static inline size_t slab_capacity(const struct slab *slab) { return SLAB_USABLE / slab_object_bytes(slab); }

/* Is `address` the start of an object that was carved? Granules are aligned, so the offset needs no base. */
static inline bool slab_has_object(const struct slab *slab, uintptr_t address) {
  uint32_t offset = address & (GRANULE_BYTES - 1);
  return offset % slab_object_bytes(slab) == 0 && offset < __atomic_load_n(&slab->carved, __ATOMIC_RELAXED);
}

/* The same without a division, for the fast paths; no, where pages were purged. Of an own slab, */
static inline bool own_slab_has_object(const struct slab *slab, uintptr_t address) {
  uint32_t offset = address & (GRANULE_BYTES - 1);
  return offset * slab->reciprocal < slab->reciprocal && (uint16_t)offset < slab->carved;
}

/* and of one that its owner may be changing (which costs an instruction more). */
static inline bool foreign_slab_has_object(const struct slab *slab, uintptr_t address) {
  uint32_t offset = address & (GRANULE_BYTES - 1), reciprocal = __atomic_load_n(&slab->reciprocal, __ATOMIC_RELAXED);
  return offset * reciprocal < reciprocal && offset < __atomic_load_n(&slab->carved, __ATOMIC_RELAXED);
}

/* What the two words of an object add up to while it is free. */
static inline uint64_t object_proof(const struct slab *slab, const struct object *object) { return slab->salt - (uintptr_t)object; }

/* (Two of the same meaning: this order is an instruction less where the proof is not wanted afterwards, as in malloc, */
static inline bool object_is_sealed(const struct slab *slab, const struct object *object) {
  return (uintptr_t)object->next + object->seal + (uintptr_t)object == slab->salt;
}

/* and this one where it is, as in free.) It holds from before an object is on any list until after it is on none. */
static inline bool object_is_free(const struct slab *slab, const struct object *object) {
  return (uintptr_t)object->next + object->seal == object_proof(slab, object);
}

enum { REMOTE_COUNT_SHIFT = ADDRESS_BITS };
#define REMOTE_MARK_MASK ((uint64_t)ALIGNMENT - 1)

static inline struct object *remote_list(uint64_t head) {
  uintptr_t first = head & (((uint64_t)1 << REMOTE_COUNT_SHIFT) - 1) & ~REMOTE_MARK_MASK;
  return first ? (struct object *)first : LIST_END;
}

static inline size_t remote_count(uint64_t head) { return head >> REMOTE_COUNT_SHIFT; }

static inline struct remote *slab_remote(struct slab *slab) {
  return (struct remote *)((char *)slab - offsetof(struct chunk, slabs));
}

/* A header of a block there: bytes and flags, and above them a tag that nothing else has. Address and secret make it unguessable; bytes and
 * flags stand so high in the product that any change of theirs alone changes the tag, so that an overflow of one byte is seen. */
static inline uint64_t block_header_of(const struct block *block, uint64_t bytes_and_flags) {
  uint64_t tag = ((uintptr_t)block ^ secrets.block ^ bytes_and_flags << (64 - BLOCK_TAG_FROM)) * 0x9e3779b97f4a7c15u;
  return tag >> BLOCK_TAG_SHIFT << BLOCK_TAG_SHIFT | bytes_and_flags;
}

static inline uint64_t block_header(const struct block *block) { return __atomic_load_n(&block->header, __ATOMIC_RELAXED); }

static inline size_t block_bytes(const struct block *block) { return block_header(block) & BLOCK_BYTES_MASK; }

static inline bool header_is_tagged(const struct block *block, uint64_t header) {
  return header == block_header_of(block, header & BLOCK_VOUCHED);
}

static inline bool block_is_tagged(const struct block *block) { return header_is_tagged(block, block_header(block)); }

static inline struct block *block_of(const void *payload) { return (struct block *)((uintptr_t)payload - HEADER_BYTES); }

static inline void *block_payload(const struct block *block) { return (char *)block + HEADER_BYTES; }

/* Of a free block with BLOCK_PURGED: a word behind the links. Such a block has a page at least. */
static inline clean_part *block_clean_word(const struct block *block) { return (clean_part *)(block + 1); }

/* The pages that a free block at `start` has for itself, behind its links and that word, begin here; */
static inline uintptr_t whole_pages_from(uintptr_t start) {
  return round_up(start + sizeof(struct block) + sizeof(clean_part), page_bytes);
}

/* and they are so many bytes. */
static inline size_t whole_page_bytes(uintptr_t start, uintptr_t end) {
  uintptr_t first = whole_pages_from(start), last = round_down(end, page_bytes);
  return last > first ? last - first : 0;
}

static inline clean_part block_clean(const struct block *block) {
  return UNLIKELY(block_header(block) & BLOCK_PURGED) ? *block_clean_word(block) : 0;
}

static inline size_t block_clean_bytes(const struct block *block) { return clean_bytes_of(block_clean(block)); }

/* Blocks in use, and slabs as if they were full. */
static inline size_t arena_used_bytes(const struct arena *arena) {
  return __atomic_load_n(&arena->live_bytes, __ATOMIC_RELAXED) + __atomic_load_n(&arena->slabs, __ATOMIC_RELAXED) * GRANULE_BYTES;
}

static inline size_t block_usable(const struct block *block) { return block_bytes(block) - sizeof block->header; }

/* What marks a block that waits in a thread's cache or a deferred stack, and vouches for its link: its header cannot, since that word may
 * be written only under the arena's lock. Wiped before the block goes anywhere else. */
static inline uint64_t block_seal(const struct block *block) {
  return secrets.cache - (uintptr_t)block - (uintptr_t)block->next;
}

static inline bool block_is_sealed(const struct block *block) { return block->seal == block_seal(block); }

static inline uint64_t chunk_magic(const struct chunk *chunk) { return ((uintptr_t)chunk ^ secrets.chunk) * 0x9e3779b97f4a7c15u; }

/* Block bytes that serve a request of `bytes`. */
static inline size_t block_bytes_for(size_t bytes) {
  size_t need = round_up(bytes + sizeof(uint64_t), ALIGNMENT);
  return need < BLOCK_MIN ? BLOCK_MIN : need;
}

_Static_assert(GRANULE_BYTES / CARVE_PAGE <= 8, "a bit of `purged` for each page");
_Static_assert(SLAB_USABLE / ALIGNMENT <= INT16_MAX, "objects of a slab are counted in 16 bits");
_Static_assert(CACHE_BLOCK_MAX / ALIGNMENT <= 1 << (64 - ADDRESS_BITS), "units of a cached block are, too");
_Static_assert(sizeof(struct slab) == 64 && sizeof(struct remote) == 64, "one cache line each");
_Static_assert(sizeof(struct chunk_info) + HEADER_BYTES <= sizeof(struct slab),
               "the last record holds it, and the header of the chunk's first block");
_Static_assert(sizeof(struct chunk) == GRANULE_BYTES, "a chunk's metadata is its first granule");
_Static_assert(offsetof(struct block, next) == HEADER_BYTES && sizeof(struct block) == BLOCK_MIN, "payload follows the header");
_Static_assert(BLOCK_MAX <= (int64_t)BLOCK_BYTES_MASK, "sizes fit the header");
_Static_assert(BLOCK_VOUCHED >> BLOCK_TAG_FROM == 0, "so many bits are the tag's to vouch for");
_Static_assert(sizeof(struct born_theap) <= 4096 - HEADER_BYTES, "a thread at rest costs at most a page");

#endif
