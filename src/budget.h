/* What giving memory back to the kernel may cost: about 2 % of the time, faulting it in again included. */
#ifndef OSMEM_BUDGET_H
#define OSMEM_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

#include "os.h"

/* From now on time is earned. */
void budget_start(void);

/* May `pages` be released now? If so, they are paid for. The same for pages of the heap, which may be on hold. */
bool budget_spend(size_t pages);
bool budget_spend_on_heap(size_t pages);

/* Fresh pages are wanted: if as many were released before, that is paid for. The same on the heap, where it is a mistake, too. */
void budget_regret_slow(size_t pages);
void budget_regret_on_heap_slow(size_t pages);

extern size_t budget_outstanding_pages; /* released and not asked for again; atomic */

static inline void budget_regret(size_t pages) {
  if (__atomic_load_n(&budget_outstanding_pages, __ATOMIC_RELAXED)) budget_regret_slow(pages);
}

static inline void budget_regret_on_heap(size_t pages) {
  if (__atomic_load_n(&budget_outstanding_pages, __ATOMIC_RELAXED)) budget_regret_on_heap_slow(pages);
}

/* In the child of a fork: nothing is released before it has worked for it, so a short-lived child never does. */
void budget_start_over(void);

#endif
