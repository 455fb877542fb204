/* SPDX-License-Identifier: MIT */
/* The model test: operations on the heap, each judged by a shadow of what must be so.
 *
 * An operation is eight bytes, and any eight bytes are one. So a pseudo-random generator (chance.c), libFuzzer and AFL++ (fuzz.c) and
 * a replay file all drive the same core, a fuzzer's finding is a replay file, and a failing list of operations can be
 * thinned out at will (minimise.c): whatever is left is still a valid list.
 *
 *   bytes   0      1        2, 3    4      5       6, 7
 *           verb   thread   place   kind   shape   amount
 *
 *   verb    which call, by weight (calls.c)
 *   thread  who does it; the upper bits choose the call that frees what the place held before
 *   place   which pointer of the thread's table
 *   kind, amount   the size: near a class edge, near a threshold, relative to the old size, impossible, ...
 *   shape   alignment, count
 *
 * Where the kernel under the heap is in the test's hands (tests/tiny), operations change the weather, too: see weather.h.
 *
 * Threads run free between two meetings (the verb MEET), or, by turns, strictly in the order of the list: then the whole run is as
 * repeatable as that of one thread, and the heap can be validated after every step. */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct op {
  uint8_t verb, thread;
  uint16_t place;
  uint8_t kind, shape;
  uint16_t amount;
};
_Static_assert(sizeof(struct op) == 8, "eight bytes, no gaps");

enum { PLACES_MAX = 1024, PARTIES_MAX = 8 };

struct setting {
  unsigned threads;
  bool turns;           /* threads act in the order of the list */
  unsigned validate_at; /* every so many steps; never while threads run free */
  unsigned places;      /* pointers per thread */
  bool sampled;         /* the library puts some on record: what is small may be a block */
  bool guarded;         /* and some into the guard pool, which no statistics count */
};

/* Where operations come from: the next batch, NULL at the end. It stays valid until the next call. */
struct source {
  const struct op *(*more)(struct source *source, size_t *count);
};

/* How far each thread has come, in steps from 1. In memory that outlives a crash, for whoever wants to know. */
struct progress {
  struct {
    uint64_t step;
    char line[56]; /* one cache line each */
  } of[PARTIES_MAX];
  uint64_t meetings, peak_bytes;
};

/* Run all operations, free what is left and see that the heap is as it was before. What is not so ends in a line on stderr
 * and abort(). Once at a time. */
void model_run(const struct setting *setting, struct source *source, struct progress *progress);

/* What generators have to know of the encoding. */
enum verb { ALLOCATE, RESIZE, RELEASE, PASS, REPORT, TRIM, WEATHER, MEET };
enum { MEET_TRIMS = 1, MEET_NEW_THREADS = 2 }; /* bits of a meeting's amount */
enum verb model_verb(const struct op *op);
void model_set_verb(struct op *op, enum verb verb);

/* Random operations from a seed, `count` of them, in batches. */
struct chance {
  struct source source;
  struct setting setting;
  uint64_t seed, left;
};
void chance_begin(struct chance *chance, const struct setting *setting, uint64_t seed, uint64_t count);

/* The operation as a line of C. */
void model_describe(const struct op *op, const struct setting *setting, char *text, size_t bytes);

#endif
