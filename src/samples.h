/* SPDX-License-Identifier: MIT */
/* Samples: of the bytes that are asked for, one in `samples.rate` on the average is chosen, as rays hit a target, and the block that it lies in is put on record: how large it is,
 * who asked for it, since when. What all of them stand for is an unbiased picture of the heap, at a cost that depends on how many bytes are asked for, not on how many blocks.
 *
 * Nothing of it is on the fast paths. A thread that samples has no current slabs in its heap's table (block_meta.h: born_theap), so each malloc of it fails the test that it makes
 * anyway, and comes to allocate_slow(). A sample is never a small object: it is a block whose header says so (BLOCK_SAMPLED), or a mapping; so free, too, comes to its slow exit by
 * tests that it makes anyway. Off, the slow path of malloc has one load and a branch more. */
#ifndef OSMEM_SAMPLES_H
#define OSMEM_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "block_meta.h"

/* Estimates: what samples stand for, not what they are. */
struct tally {
  double count, bytes;
};

/* How long what was freed had lived: less than 10 ms, 100 ms, ..., longer. */
enum { LIFETIMES = 6, FIRST_LIFETIME_NS = 10000000 };

/* Who asked. Only ever added, and never freed: a reader outside needs no lock. */
struct stack {
  struct stack *next;  /* in its bucket */
  struct stack *older; /* of all */
  uint64_t hash;
  struct tally all, live, peak; /* ever; now; when all that was live was most: `live` still, where `peak_number` is not that of the samples */
  double freed[LIFETIMES];      /* bytes, by how long they lived; */
  double elsewhere;             /* of them, by another thread than asked for them */
  uint32_t peak_number, depth;
  uintptr_t frames[]; /* return addresses, the innermost first */
};

struct sample {
  uintptr_t payload; /* 0: free, and `asked` is the next such record, or 0 */
  size_t asked;
  size_t chance_bytes; /* that many decided on the choice: those that it was asked with, and what it grew by where it was */
  size_t rate;         /* then */
  struct stack *stack;
  uint64_t since_ns;
  uint32_t thread; /* that asked */
  bool lifted;     /* in no index: its mapping is about to move */
};

/* What a program may use of what it asked for: whole words. */
static inline size_t usable_of_asked(size_t asked) { return round_up(max_size(asked, 1), sizeof(uint64_t)); }

/* One in the process. What a reader outside wants to know; and it sets `rate`, to switch sampling on and off. */
extern struct samples {
  size_t rate;  /* bytes from sample to sample; 0: off. Atomic */
  size_t count; /* on record. Atomic */
  struct sample *records; /* [0] is none */
  struct stack *newest;
  struct tally all, live, peak;
  uint32_t peak_number; /* peaks so far */
  size_t taken;  /* ever, */
  size_t missed; /* and those for which there was no room */
  uint32_t used; /* of the records; those behind were never used */
  uint32_t index_log;
  uint32_t *index; /* of records, by address; open addressing */
} samples;

static inline bool samples_are_on(void) { return __atomic_load_n(&samples.rate, __ATOMIC_ACQUIRE) != 0; }
static inline bool samples_exist(void) { return UNLIKELY(__atomic_load_n(&samples.count, __ATOMIC_RELAXED) != 0); }

/* The caller's heap samples as all are to, from now on: does it? */
COLD bool samples_settle(struct theap *heap);

/* So many bytes are asked for: is it sure that none of them is chosen? Then they are counted. */
static inline bool samples_pass(struct theap *heap, size_t bytes) {
  struct sampler *sampler = heap->sampler;
  if (!sampler || sampler->left <= bytes) return false;
  sampler->left -= bytes + 1;
  return true;
}

/* The same, and is one? */
COLD bool samples_choose(struct theap *heap, size_t bytes);

/* This block, of so many bytes that were asked for, is one, since one of so many was chosen; on record with the caller's stack. False: there is no room. */
COLD bool samples_add(struct theap *heap, const void *payload, size_t asked, size_t chance_bytes);

/* What is on record, if it is. */
COLD bool samples_find(const void *payload, struct sample *found);

/* It is certain that it is none. */
COLD bool samples_lack(const void *payload);

/* The caller's own, without a sample; NULL: there is no room. */
COLD struct stack *samples_stack_here(void);

/* Of its samples the thread takes one in so many, at random; and tosses a coin. */
COLD bool samples_toss(struct theap *heap, uint32_t share, bool *coin);

/* It is where it was, resized. */
COLD void samples_update(const void *payload, size_t asked, size_t chance_bytes);

/* It is about to be freed, or is none any more. */
COLD void samples_forget(const void *payload);

/* A mapping is about to be resized, and its address perhaps somebody else's from then on: its number on record, or 0. It ends there, or is on record at that address again, for
 * so many bytes (0: as before). */
COLD uint32_t samples_lift(const void *payload);
COLD void samples_drop(uint32_t number);
COLD void samples_lower(uint32_t number, const void *payload, size_t asked);

/* From now on. */
COLD void samples_start(size_t rate);

/* What the stack stands for just now, all else being quiet; the newest is samples.newest. */
COLD void samples_copy(const struct stack *stack, struct stack *copy);

/* The highest moment is this one, if it is. */
COLD void samples_settle_peak(void);

bool samples_are_held_by_me(void);
void samples_before_fork(uint32_t *patience);
void samples_after_fork(bool child);

#endif
