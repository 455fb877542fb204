/* SPDX-License-Identifier: MIT */
/* The guard pool (guard=1): now and then a sample lies in a page of its own, at its end or its beginning, between pages that nobody may touch; and when it is freed its page is closed,
 * too, for as long as there are others. So of a write past its end or before its beginning, or a use after free, the very instruction is told, with who asked for the block, and
 * who freed it. It finds what happens often, or on many machines; on one it is a lottery.
 *
 * Where no pool is guards.bytes is 0, and no address is in it. */
#ifndef OSMEM_GUARD_H
#define OSMEM_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "samples.h"

enum { GUARD_SLOTS = 64, GUARD_SHARE = 16 /* of the samples up to a page, one in so many */ };

struct guard_slot {
  uintptr_t payload; /* of the last block there; 0: there was none */
  size_t asked;
  struct stack *asked_by, *freed_by;
  uint32_t asked_thread, freed_thread;
  uint64_t freed; /* how many were before; 0: it is in use */
};

extern struct guards {
  uintptr_t base; /* a closed page, then of each slot its own, and a closed one */
  size_t bytes;
  struct guard_slot *slots;
  uint64_t frees;
} guards;

static inline bool guard_has(uintptr_t address) { return UNLIKELY(address - guards.base < guards.bytes); }

/* At the start: from now on. */
COLD void guard_start(void);

/* NULL: it is not this one's turn, or all are in use. */
COLD void *guard_take(struct theap *heap, size_t bytes, size_t alignment);

/* What the program may use of it. Ends the process, with a report, if that is none, or freed. */
COLD size_t guard_usable(const void *payload, const char *call);
COLD void guard_give(void *payload, const char *call);

bool guard_is_held_by_me(void);
void guard_before_fork(uint32_t *patience);
void guard_after_fork(bool child);

#endif
