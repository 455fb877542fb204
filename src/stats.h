/* SPDX-License-Identifier: MIT */
/* Statistics: the counters of all tiers in one struct, and as a table at exit. */
#ifndef OSMEM_STATS_H
#define OSMEM_STATS_H

#include "../include/osmem.h"

struct heap_stats {
  struct os_stats shown;
  size_t free_objects;    /* in slabs */
  size_t tops, top_bytes; /* the ends of block heaps, where nothing is yet */
};

void stats_collect(struct heap_stats *out);

struct free_blocks {
  size_t count, bytes;
};

/* In the caller's cache; stats_collect() has them among the live ones. */
struct free_blocks stats_kept_by_caller(void);

/* In the bins of all block heaps. Takes no lock. */
size_t stats_count_free_blocks(void);

/* Keep a copy of stderr, since many programs close theirs before they end; where that is not to be had, one line says so. */
void stats_open(void);

/* Print the table. */
void stats_print(int fd);

#endif
