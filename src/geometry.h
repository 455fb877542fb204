/* SPDX-License-Identifier: MIT */
/* The geometry of the heap: how large granules and chunks are, from where on a request is a mapping, and how much of anything is much.
 *
 * All of it in two sizes. The second, with OSMEM_TINY, is for tests: the ends of chunks and regions, retiring, reopening, purging, adoption and
 * full tables, which a program meets once in millions of operations, come once in a hundred. Everything else in the sources is the same
 * for both, and none of it asks which one it is. */
#ifndef OSMEM_GEOMETRY_H
#define OSMEM_GEOMETRY_H

#include "size_class.h"

#ifdef OSMEM_TINY
#define SIZED(normal, tiny) tiny
#else
#define SIZED(normal, tiny) normal
#endif

/* And how soon memory goes back, in three: OSMEM_EAGER, for tests, has the second of these on a heap that is otherwise of the first size, whose slabs have eight pages. */
#ifdef OSMEM_EAGER
#define PATIENT(normal, eager) eager
#else
#define PATIENT(normal, eager) SIZED(normal, eager)
#endif

enum {
  KIB = 1024,
  PAGE_MAX = 64 * KIB, /* of the kernel's: larger ones no test has seen */

  /* ---- the map ---- */
  GRANULE_SHIFT = SIZED(15, 12),
  GRANULE_BYTES = 1 << GRANULE_SHIFT,
  CHUNK_SHIFT = SIZED(23, 17),
  CHUNK_BYTES = 1 << CHUNK_SHIFT,
  CHUNK_GRANULES = CHUNK_BYTES / GRANULE_BYTES,
  MMAP_THRESHOLD = SIZED(128, 16) * KIB, /* requests from here on get a mapping of their own, */
  MAPPINGS_SHARE = SIZED(16384, 256),    /* while we have fewer than these: a quarter of what the kernel allows a process (vm.max_map_count) */
  HEADER_BYTES = 16,                     /* from a block's start to its payload */
  BLOCK_MIN = 32,                        /* room for the links of a free block */
  BLOCK_MAX = CHUNK_BYTES - GRANULE_BYTES,
  SLAB_USABLE = GRANULE_BYTES - HEADER_BYTES,
  CARVE_PAGE = SIZED(4096, 1024), /* objects are carved up to the next such edge: a slab touches what it needs */

  /* ---- small objects ---- */
  BLOCKS_BEFORE_SLAB = SIZED(8, 2), /* a class earns its slab: page faults of `ls` 28 -> 9, of `bash -c` 38 -> 11 */
  FILLS_SLABS = BLOCKS_BEFORE_SLAB + 1,
  /* How many objects of a full slab must be free before it is worth coming back for: a 32nd of it, but eight of the larger
   * objects (not over a sixth). With a 32nd alone, random sizes of 8 to 1000 bytes switch slabs at every other malloc: 0.70 s
   * against 0.39 s, for 3 % of RSS. */
  WAKE_SHARE = 32,
  WAKE_OBJECTS = 8,
  WAKE_SHARE_MAX = SIZED(6, 3),

  /* ---- a thread's cache of blocks ---- */
  CACHE_BLOCK_MIN_LOG = 10,
  CACHE_BLOCK_MIN = 1 << CACHE_BLOCK_MIN_LOG,
  CACHE_BLOCK_MAX_LOG = SIZED(17, 14),
  CACHE_BLOCK_MAX = 1 << CACHE_BLOCK_MAX_LOG,
  CACHE_BINS_PER_DOUBLING_LOG = 4,
  CACHE_BINS_PER_DOUBLING = 1 << CACHE_BINS_PER_DOUBLING_LOG,
  CACHE_BINS = (CACHE_BLOCK_MAX_LOG - CACHE_BLOCK_MIN_LOG) * CACHE_BINS_PER_DOUBLING,
  CACHE_BINS_TRIED = 3, /* by a request: blocks up to an eighth too large are in these */
  CACHE_MISSES_MAX = SIZED(32, 4),
  /* The threads of an arena may together cache as much as is live in it, within these bounds; each of them the least at least. A
   * thread hears of its share when it takes a block: who waits keeps the share of before. */
  CACHE_BYTES_MIN = SIZED(256, 8) * KIB,
  CACHE_BYTES_MAX = SIZED(4 * 1024, 64) * KIB,
  CACHE_BYTES_LEAST = SIZED(32, 4) * KIB,
  CACHE_BYTES_START = SIZED(8, 2) * KIB, /* of them, what one has before it has shown a use for more: see cache_set_limit() */
  CACHE_KEEP_SHARE = 8, /* and no more than this share of that, where the heap would have to touch fresh memory otherwise */

  /* ---- threads and arenas ---- */
  LOOK_AT_HEAPS = SIZED(8, 2),       /* of ended threads, at a time */
  HOMES_LOG = SIZED(10, 4),          /* of the table of heaps by their threads' place in memory */
  SLABS_LOOKED_AT = SIZED(4096, 8),  /* in the child of a fork, at a time, under a lock; and so many are taken over: */
  ADOPTIONS = SIZED(16, 2),          /* an adopted slab's pages are no longer shared with the parent: few */
  HEIRS_FOR_BIRTH = SIZED(128, 4),
  VISITS_TO_MOVE = SIZED(64, 4),     /* of a shared arena: see theap_settle() */
  WORTH_A_LOOK = SIZED(64, 4) * KIB, /* so much free memory in another arena */
  ARENAS_MAX = SIZED(64, 3),

  MAIL_IS_MUCH = PATIENT(128, 2), /* slabs, posted and not read: 4 MB */

  /* ---- growing ---- */
  GROWTH_MIN = SIZED(128, 8) * KIB, /* the brk heap's first step, for blocks, */
  SLABS_AHEAD = SIZED(12, 3),       /* and room for as many slabs, of which a command touches a page each: commands that make do with one
                                       brk under glibc do so here (with 8, sed does not) */
  GROWTH_FACTOR = 4,                /* after that: address space, not memory, so the system call is what counts */
  GROWTH_MAX = SIZED(4 * 1024, 32) * KIB,
  HUGE_PAGE = SIZED(2 * 1024, 16) * KIB, /* if the user wants such: where the kernel's are larger, fewer of them are found */
  HUGE_FROM = SIZED(8 * 1024, 64) * KIB, /* of address space held */
  REGION_MIN = SIZED(256, 16) * KIB, /* smallest fallback: metadata and a few slabs */
  REGIONS_MAX = SIZED(256, 32),
  SMALL_REGIONS = REGIONS_MAX / 2, /* so many may be that small: near a limit hundreds are asked for. The others make up at least */
  REGION_SHARE = 16,               /* this share of all there is, so the table lasts for 2000 times what the first half of it holds */
  DENSE_BLOCK_MAX = SIZED(4096, 1024), /* larger ones may never be filled, see populate_ahead() */
  POPULATE_SHARE = SIZED(128, 8),
  POPULATE_MIN = SIZED(64, 8) * KIB,
  POPULATE_MAX = SIZED(512, 32) * KIB, /* under the arena's lock: half a millisecond. Of 2 GB in objects of 1000 bytes 457 mallocs took more than 1 ms with 4 MiB
                                          (the longest 4 ms), 700 with 2 MiB, 7 with 1 MiB, none with this; CPU time is the same with all of them */

  /* ---- giving back ---- */
  DIRTY_MIN = PATIENT(4 * 1024, 16) * KIB, /* what is free and in memory ("dirty") is kept up to a share of what is in use, but not less than this */
  DIRTY_SHARE = 8,
  RUN_MIN = SIZED(64, 8) * KIB,
  RUN_LEAST = SIZED(8, 4) * KIB, /* where the budget is hardly used */
  PORTION = SIZED(512, 8) * KIB, /* goes back at one free, and under one lock: 128 pages, 30 us on a machine of its own, 0.1 to 0.2 ms on a crowded one */
  LOOKS = 4,                     /* at runs that are clean, at each free: so many of them make no free slow */
  LOOKS_FOR_IDLE = SIZED(64, 8), /* by one thread in a tick, for each portion: with 50,000 short runs that were clean a burst of 250 MB waited for half a minute */
  LOOKS_OF_TRIM = SIZED(256, 8), /* while the lock is held */
  CALLS_OF_TRIM = SIZED(16, 2),  /* likewise: runs of a page or two */
  PATIENCE = PATIENT(2048, 16) * KIB, /* so much is freed until we look again; */
  PORTION_SHARE = 8,             /* where much goes, this share of a portion: one call that empties a cache pays for a few */
  EARN_SHARE = PATIENT(50, 1), /* of the time that passes is to spend; tiny: all of it, so that pages always go and come */
  AGE_MIN_MS = PATIENT(500, 0), /* what was not wanted for so long is idle; */
  AGE_MAX_MS = PATIENT(4000, 0), /* longer, after mistakes, but no longer than this */
  AGES_IN_MEMORY = 16,         /* a mistake is forgotten after as many */
  FLOOD = PATIENT(128 * 1024, 64) * KIB, /* beyond its share is very much, and goes at once; */
  LARGE_FLOOD = PATIENT(32 * 1024, 64) * KIB, /* of mappings: glibc unmaps at each free what is larger than its threshold can become, this */
  SPARSE_SHARE = 4, /* a slab of which no more is in use is sparse. (A half: few pages more, and an instruction in 25 more where lifetimes are random.) */
  SPARSE_ARE_MANY = PATIENT(128, 2), /* slabs: 4 MB */
  LOOKS_FOR_OLD = 3,             /* after that: the second finds what is idle */
  SWEEP_SLABS = SIZED(24, 2),    /* give back pages at one free, with no more objects than */
  SWEEP_OBJECTS = SIZED(2048, 64), /* these: 0.2 ms. (Without: 2.8, where they have 16 bytes.) */
  SHARED_FOR_S = PATIENT(600, 0),  /* a child may live: for so long after a fork slabs are not swept; */
  INHERITED_SHARE = PATIENT(8, 1), /* nor where more than this part of the memory was there when the process began as one */
  IDLE_PORTIONS = 8,           /* of what is idle go at one free */

  /* ---- mappings ---- */
  FIRST_RECORDS = SIZED(128, 16),
  FIRST_BUCKETS_LOG = SIZED(8, 4), /* of their table */
  BUCKETS_AT_START = SIZED(16, 4), /* of them: a program with few mappings touches few cache lines */
  RECORDS_SEGMENT_MAX = SIZED(16384, 64), /* records, 1 MiB */
  SPARES_MAX = SIZED(64, 128), /* tiny: where brk is refused too, more of what a test holds are mappings */
  SPARE_FLOOR = SIZED(512, 32) * KIB,
  SPARES_BYTES_MAX = SIZED(1024 * 1024, 4 * 1024) * KIB, /* beyond their share */
  COPY_MAX = SIZED(4 * 1024, 64) * KIB /* what is copied to a spare rather than moved there: half a millisecond, and as much memory, if it was never touched */
};

_Static_assert(SLAB_USABLE / SMALL_MAX >= WAKE_SHARE_MAX, "one object at least wakes the smallest slab");
_Static_assert(WAKE_SHARE_MAX >= 3 && SPARSE_SHARE >= 2, "by its wake a full slab is told from a queued one: more than half of what it can have, or less");

#endif
