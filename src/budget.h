/* SPDX-License-Identifier: MIT */
/* What giving memory back to the kernel may cost: about 2 % of the time, faulting it in again included. */
#ifndef OSMEM_BUDGET_H
#define OSMEM_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

#include "os.h"

/* May `pages` be released now? If so, they are paid for. */
bool budget_spend(size_t pages);

/* So many objects were looked at, to find what may go. */
void budget_pay_for_looks(size_t objects);

/* For how long (ns) free memory must not have been wanted to count as idle: longer for whom it was a mistake to give back. */
uint64_t budget_age(void);

/* Has even what is very much to be idle first? For some time after a mistake. Else it goes at once: who frees his one table, and makes no call from then on, is to have
 * his memory back. */
bool budget_waits(void);

/* Is there so much to spend that short runs may go, too? Not while a mistake is remembered. */
bool budget_is_rich(void);

/* What is kept beyond its share and waits for budget, or to be idle: somebody has to come back to it (due.h). Atomic, written hardly ever: on a line that
 * nobody writes to beside it. */
enum due { DUE_MAPPINGS = 1, DUE_BLOCKS = 2, DUE_MAIL = 4 };
extern struct budget_due {
  uint32_t what;
  char line[60];
} budget_due __attribute__((aligned(64)));

void budget_note_due_slow(enum due which, bool some);
static inline void budget_note_due(enum due which, bool some) {
  bool known = __atomic_load_n(&budget_due.what, __ATOMIC_RELAXED) & which;
  if (some != known) budget_note_due_slow(which, some);
}

/* Fresh pages are wanted: if as many were released before, that is paid for, and may have been a mistake. */
void budget_regret_slow(size_t pages);

extern size_t budget_outstanding_pages; /* released and not asked for again; atomic */

static inline void budget_regret(size_t pages) {
  if (__atomic_load_n(&budget_outstanding_pages, __ATOMIC_RELAXED)) budget_regret_slow(pages);
}

/* In the child of a fork: nothing is released before it has worked for it, so a short-lived child never does. */
void budget_start_over(void);

#endif
