/* What giving memory back may cost. */
#ifndef OSMEM_BUDGET_H
#define OSMEM_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

/* May `pages` be released now? True spends what releasing them costs. The caller holds large_lock, as for the other. */
bool budget_spend(size_t pages);

/* Fresh pages were asked for: as far as they replace released ones, releasing those was a mistake, and is paid for. */
void budget_regret(size_t pages);

#endif
