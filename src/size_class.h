/* SPDX-License-Identifier: MIT */
/* Size <-> size class of small objects. Pure arithmetic, no state.
 *
 *   classes  0 .. 15    16, 32, ... 256              steps of 16
 *           16 .. 23    288, 320, ... 512            eight steps of 32
 *           24 .. 31    576, 640, ... 1024           eight steps of 64
 *
 * At most 12.5 % of an object above 128 bytes is padding. Every multiple of a power of two up to 64 that is a size here is
 * the size of its own class: that is what makes small aligned requests plain small requests (see heap_aligned). */
#ifndef OSMEM_SIZE_CLASS_H
#define OSMEM_SIZE_CLASS_H

#include <stddef.h>

enum {
  ALIGNMENT = 16,
  SMALL_MAX = 1024,                               /* largest small object, bytes */
  SIZE_STEPS = SMALL_MAX / ALIGNMENT + 1,         /* sizes counted in units of 16 bytes, 0 included */
  SIZE_CLASSES = 32
};

/* Size in units of 16 bytes, 0 .. 64: the index of the fast path's table. */
static inline size_t size_step(size_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT; }

static inline size_t class_of_step(size_t step) {
  if (step <= 16) return step ? step - 1 : 0;
  if (step <= 32) return 16 + (step - 17) / 2;
  return 24 + (step - 33) / 4;
}

static inline size_t class_steps(size_t size_class) {
  if (size_class < 16) return size_class + 1;
  if (size_class < 24) return 16 + (size_class - 15) * 2;
  return 32 + (size_class - 23) * 4;
}

static inline size_t class_bytes(size_t size_class) { return class_steps(size_class) * ALIGNMENT; }
static inline size_t class_bytes_for(size_t bytes) { return class_bytes(class_of_step(size_step(bytes))); }

/* The first step that belongs to a class: its steps are first .. class_steps(). Step 0 (malloc(0)) belongs to class 0. */
static inline size_t class_first_step(size_t size_class) { return size_class ? class_steps(size_class - 1) + 1 : 0; }

#endif
