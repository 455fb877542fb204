/* SPDX-License-Identifier: MIT */
/* Runs of the model in a child process, and a failing list of operations made short. */
#ifndef MINIMISE_H
#define MINIMISE_H

#include <stdio.h>

#include "model.h"

/* A list of operations as a source. */
struct list {
  struct source source;
  const struct op *ops;
  size_t count;
  bool given;
};
void list_begin(struct list *list, const struct op *ops, size_t count);

/* How a run went: of the child's steps, the furthest. */
struct outcome {
  int status; /* as wait() has it; 0: all was well */
  uint64_t steps, meetings, peak_bytes;
};

/* The model in a child of its own, on a heap that nobody has used. Quiet: its words go nowhere. */
struct outcome run_in_child(const struct setting *setting, struct source *source, unsigned patience_s, bool quiet);

/* Thin out a failing list, then make simpler what is left, as long as it fails in some way (not necessarily the same), for about
 * `budget_s` seconds. Gives the new count. */
size_t minimise(struct setting *setting, struct op *ops, size_t count, unsigned budget_s);

#endif
