/* SPDX-License-Identifier: MIT */
/* The whole-heap validator. */
#ifndef OSMEM_CHECK_H
#define OSMEM_CHECK_H

#include <stdbool.h>

/* True if every invariant of every tier holds; else one line on stderr. No other thread may allocate, free or end meanwhile. */
bool heap_check(void);

#endif
