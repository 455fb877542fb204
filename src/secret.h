/* SPDX-License-Identifier: MIT */
/* Numbers that nobody outside can know: what marks and protects metadata is made of them. */
#ifndef OSMEM_SECRET_H
#define OSMEM_SECRET_H

#include <stdint.h>

/* One for each purpose, so that what leaks of one says nothing of another. Made once, at the start. */
struct secrets {
  uint64_t block, cache, chunk, slab[2];
};

extern struct secrets secrets;

void secrets_make(void);

/* A number that no slab had before. */
uint64_t secret_salt(void);

#endif
