/* What giving memory back may cost. */
#ifndef OSMEM_BUDGET_H
#define OSMEM_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

/* May `pages` be released now? True spends the cost of releasing them and of faulting them in again. Callers hold a lock of
 * theirs; two of them at once may spend a little twice. */
bool budget_spend(size_t pages);

#endif
