/* Statistics: the counters of all tiers in one struct, and as a table at exit. */
#ifndef OSMEM_STATS_H
#define OSMEM_STATS_H

#include "../include/osmem.h"

void stats_collect(struct os_stats *out);

/* Keep a copy of stderr, since many programs close theirs before they end. */
void stats_open(void);

/* Print the table. */
void stats_print(int fd);

#endif
