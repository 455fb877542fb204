/* SPDX-License-Identifier: MIT */
/* Coming back to what is kept beyond its share: it goes at later frees, of anything. */
#ifndef OSMEM_DUE_H
#define OSMEM_DUE_H

#include "block_meta.h"
#include "budget.h"

/* A thread's looks at the clock. */
struct due_look {
  uint64_t tick;       /* the last */
  uint32_t looks;      /* in this tick */
  uint32_t pause;      /* in frees, after this one; */
  uint32_t frees_left; /* so many of them are left */
  uint32_t slabs_left; /* at those of its slabs that became old, at an age's distance */
  bool gives;          /* one is under way */
};
extern __thread struct due_look due_look __attribute__((tls_model("initial-exec")));
void due_give_slow(void);

static inline bool due_is_some(void) { return __atomic_load_n(&budget_due.what, __ATOMIC_RELAXED) | due_look.slabs_left; }

/* Had the thread come by so often that it is to be left alone, when it looked at the clock the last time? */
static inline bool due_was_busy(void) {
  enum { LOOKS_MAX = 64 }; /* who frees 2,000 objects in 4 ms is not to make a call for each */
  return due_look.looks >= LOOKS_MAX;
}

/* And is it so now? */
bool due_is_busy(void);

/* At the slow exits of free; the caller holds no lock. Else who frees no mapping for a long time would keep what it was too poor to give back: after two uses of 1000 MB all of it for
 * good, without a request of 128 KiB or more. And after bursts, while a light load lives on what the thread has at hand, no free reaches an arena: 575 MB
 * stayed. */
static inline void due_give(void) {
  if (LIKELY(!due_is_some())) return;
  if (due_look.frees_left > 0)
    due_look.frees_left--;
  else
    due_give_slow();
}

#endif
