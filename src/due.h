/* Coming back to what is kept beyond its share: it goes at later frees, of anything. */
#ifndef OSMEM_DUE_H
#define OSMEM_DUE_H

#include "block_meta.h"
#include "budget.h"

/* Frees of this thread until it looks at the clock again. */
extern __thread uint32_t due_frees_left __attribute__((tls_model("initial-exec")));
void due_give_slow(void);

/* At the slow exits of free; the caller holds no lock. Else who frees no mapping for a long time would keep what it was too poor to give back: after two uses of 1000 MB all of it for
 * good, without a request of 128 KiB or more. And after bursts, while a light load lives on what the thread has at hand, no free reaches an arena: 575 MB
 * stayed. */
static inline void due_give(void) {
  if (LIKELY(!__atomic_load_n(&budget_due.what, __ATOMIC_RELAXED))) return;
  if (due_frees_left > 0)
    due_frees_left--;
  else
    due_give_slow();
}

#endif
