/* SPDX-License-Identifier: MIT */
/* What an operation asks for: its decoding, the table of all entry points, the answer that each owes, and its line of C. No state. */
#ifndef CALLS_H
#define CALLS_H

#include "../../src/geometry.h"
#include "../verbs.h"
#include "model.h"

enum {
  UNTOUCHED = 4711, /* errno before each call */
  ASKED_MAX = SIZED(12, 1) * 1024 * 1024,
  PAGE = SIZED(4096, 2048),
  CELLS = 16 /* through which threads exchange blocks */
};

enum rule {
  ZEROED = 1,
  NULL_FOR_NOTHING = 2,  /* no bytes: NULL, not a block of its own */
  CHECKS_ALIGNMENT = 4,  /* EINVAL unless a power of two */
  CHECKS_WORD = 8,       /* EINVAL unless a multiple of a pointer's size */
  ROUNDS_ALIGNMENT = 16, /* up to a power of two; libc decides */
  WHOLE_PAGES = 32,      /* aligned to a page */
  MUST_SUCCEED = 64      /* would throw: not to be asked for the impossible */
};

/* The machine's; what is asked for goes by PAGE on all of them. The tiny heap has a kernel of its own. */
static inline size_t page_of_heap(void) { return SIZED(page_size(), PAGE); }

enum shape { PLAIN, COUNTED, ALIGNED };

struct request {
  size_t alignment, count, size;
  size_t bytes; /* count * size; SIZE_MAX if that is no number */
};

/* `by` allocates, or resizes `old`, which may be NULL. */
struct call {
  const char *name;
  uint8_t weight; /* of 256: how many values of the first byte mean it */
  enum verb verb;
  enum shape shape;
  unsigned rules;
  void *(*by)(void *old, const struct request *request);
};

/* What the model knows of a live block; at == NULL: of none, and `asked` is what the last one had. */
struct block {
  unsigned char *at;
  size_t asked, usable, alignment;
  uint64_t tag; /* the contents follow from it */
};

const struct call *call_of(const struct op *op);
struct request request_of(const struct op *op, size_t old);
int owed_error(const struct call *call, const struct request *request); /* 0: it has to succeed */
size_t owed_alignment(const struct call *call, const struct request *request);

/* Ways to free; those from FREE_RESIZES on are a realloc to nothing, which would allocate if given NULL. */
enum { FREE_FORMS = 16, FREE_RESIZES = 13 };
unsigned free_form(const struct op *op);
void free_by(unsigned form, const struct block *block);

size_t trim_pad(const struct op *op);

_Noreturn void model_fail(const char *what, const char *function);
#define must(truth) ((truth) ? (void)0 : model_fail(#truth, __func__))

#endif
