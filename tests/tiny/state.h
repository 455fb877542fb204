/* SPDX-License-Identifier: MIT */
/* The whole state of the heap of world.h, copied and put back: the library's variables (gathered by the linker, see tiny.mk), its memory, what it
 * has in this thread. Only where no other thread lives. */
#ifndef STATE_H
#define STATE_H

#include "world.h"

struct state_part {
  void *at;
  size_t bytes;
};

struct state_copy {
  char *at;
};

/* Nobody has used the heap so far. What the test has to put back with it. */
void state_begin(struct state_part of_the_test);
void state_save(struct state_copy *copy);
void state_restore(const struct state_copy *copy);
/* Never 0. */
uint64_t state_hash(void);

/* Memory that is not the heap's, zero. */
void *state_reserve(size_t bytes);

#endif
