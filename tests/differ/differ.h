/* SPDX-License-Identifier: MIT */
/* Beside glibc: the same calls to both heaps in one process, and what each owes and answers compared.
 *
 * The program runs on glibc's malloc; the library under test is opened with dlopen, bound to itself, and called by pointer. So a fuzzer
 * that links these files works on glibc and finds the library as its inputs left it; and the two heaps meet at the break,
 * each the other's stranger.
 *
 * An input is a list of the model's operations (../model/model.h), eight bytes each, any eight bytes are one:
 *
 *   bytes   0      1       2, 3    4      5       6, 7
 *           verb   errno   slot    kind   shape   amount
 *
 *   verb    which call, by weight (asks.c)
 *   errno   one of PRESETS, before the call
 *   slot    which pointer
 *   kind, amount   the size: small, near an edge, relative to the old one, huge, impossible, ...
 *   shape   alignment, count
 *
 * Slots hold a pair of blocks, one of each heap, asked for by the same call. */
#ifndef DIFFER_H
#define DIFFER_H

#include "../model/model.h"
#include "../older.h"

#include <stdio.h>

enum { OPS_MAX = 64, SLOTS = 8, PAGE = 4096 };
static const size_t HUGE_FROM = (size_t)64 << 20, HUGE_TO = (size_t)1 << 47; /* to: more than there are addresses */

/* ---- the heaps: engines.c --------------------------------------------------------------------------------------------- */

struct engine {
  void *(*malloc)(size_t size);
  void *(*calloc)(size_t count, size_t size);
  void *(*realloc)(void *old, size_t size);
  void *(*reallocarray)(void *old, size_t count, size_t size);
  int (*posix_memalign)(void **block, size_t alignment, size_t size);
  void *(*aligned_alloc)(size_t alignment, size_t size);
  void *(*memalign)(size_t alignment, size_t size);
  void *(*valloc)(size_t size);
  void *(*pvalloc)(size_t size);
  void (*free)(void *block);
  void (*cfree)(void *block);
  void (*free_sized)(void *block, size_t size);
  void (*free_aligned_sized)(void *block, size_t alignment, size_t size);
  size_t (*malloc_usable_size)(void *block);
  int (*malloc_trim)(size_t pad);
  int (*mallopt)(int parameter, int value);
  int (*malloc_info)(int options, FILE *stream);
  struct mallinfo2 (*mallinfo2)(void);
};

enum which { GLIBC, OSMEM, ENGINES };
extern struct engine engines[ENGINES];

/* glibc, which must be this program's malloc, and the library at `path`. What is amiss, or NULL. */
const char *engines_open(const char *path);

/* Plant a fault in the library under test; false: none has that name. */
bool engines_spoil(const char *fault);

/* ---- what an operation asks for: asks.c ------------------------------------------------------------------------------- */

enum rule {
  ZEROED = 1,
  WHOLE_PAGES = 2,  /* alignment */
  ROUNDED_PAGES = 4 /* size */
};

enum shape { PLAIN, COUNTED, ALIGNED, NUMBERED };

struct outcome {
  bool null;
  int error;     /* errno after the call */
  long returned; /* by a call that returns a number */
  unsigned flaws;
};

struct ask {
  const struct call *call;
  unsigned slot;
  int preset;
  size_t alignment, count, size;
  size_t bytes; /* count * size; SIZE_MAX if that is no number */
};

struct call {
  const char *name;
  uint8_t weight; /* of 256: how many values of the first byte mean it */
  enum verb verb;
  enum shape shape;
  unsigned rules;
  void *(*by)(const struct engine *engine, const struct ask *ask, void *old, struct outcome *outcome);
};

struct ask ask_of(const struct op *op, size_t old); /* `old`: bytes asked for last at that slot */
struct ask release_of(const struct ask *ask);        /* free() of that slot, with that errno */
size_t owed_alignment(const struct ask *ask);
size_t reach_of(const struct ask *ask); /* bytes and alignment together; SIZE_MAX if that is no number */
void describe(const struct ask *ask, char *text, size_t bytes);

/* ---- the comparison: differ.c ----------------------------------------------------------------------------------------- */

struct difference {
  const char *call, *aspect;
  size_t step;    /* in the input, from 0 */
  char line[320]; /* the call, and both answers */
};

/* Run an input, tell `found` of each difference that nobody wants, and free everything. */
void differ_run(const struct op *ops, size_t count, void (*found)(const struct difference *difference));

/* Differences that are wanted: why stands in osmem(7), ANSWERS, under the same name. */
struct wanted {
  const char *name, *call; /* call NULL: any */
  unsigned aspects;
  bool (*applies)(const struct ask *ask, const struct outcome *outcomes);
  bool by_chance; /* need not occur */
  size_t met;
};
extern struct wanted wanted[];
extern const size_t wanted_count;

#endif
