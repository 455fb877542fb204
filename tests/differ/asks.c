/* SPDX-License-Identifier: MIT */
/* See differ.h: the table of calls, and what an operation's bytes ask for. No state. */
#include "differ.h"

#include "../../src/size_class.h"
#include "../verbs.h"

/* ---- the calls -------------------------------------------------------------------------------------------------------- */

#define CALL(name, expression) \
  static void *by_##name(const struct engine *engine, const struct ask *ask, void *old, struct outcome *outcome) \
  { \
    (void)ask; \
    (void)old; \
    (void)outcome; \
    return expression; \
  }
#define RELEASES(name, expression) CALL(name, (expression, NULL))
#define ANSWERS(name, expression) CALL(name, (outcome->returned = (expression), NULL))

CALL(malloc, engine->malloc(ask->bytes))
CALL(calloc, engine->calloc(ask->count, ask->size))
CALL(realloc, engine->realloc(old, ask->bytes))
CALL(reallocarray, engine->reallocarray(old, ask->count, ask->size))
CALL(aligned_alloc, engine->aligned_alloc(ask->alignment, ask->bytes))
CALL(memalign, engine->memalign(ask->alignment, ask->bytes))
CALL(valloc, engine->valloc(ask->bytes))
CALL(pvalloc, engine->pvalloc(ask->bytes))
RELEASES(free, engine->free(old))
RELEASES(cfree, engine->cfree(old))
RELEASES(free_sized, engine->free_sized(old, ask->bytes))
RELEASES(free_aligned_sized, engine->free_aligned_sized(old, ask->alignment, ask->bytes))
ANSWERS(malloc_usable_size, engine->malloc_usable_size(old) > 0)
ANSWERS(malloc_trim, engine->malloc_trim(ask->bytes))
ANSWERS(mallopt, engine->mallopt((int)ask->count, (int)ask->size))
ANSWERS(malloc_info, engine->malloc_info((int)(ask->bytes | 1), NULL)) /* no such form: the stream is not looked at */

/* The figures are each heap's own; what they must have in common is that they add up. */
static void *by_mallinfo2(const struct engine *engine, const struct ask *ask, void *old, struct outcome *outcome)
{
  (void)ask;
  (void)old;
  struct mallinfo2 info = engine->mallinfo2();
  outcome->returned = info.uordblks + info.fordblks == info.arena;
  return NULL;
}

static void *by_posix_memalign(const struct engine *engine, const struct ask *ask, void *old, struct outcome *outcome)
{
  void *untouched = &old, *block = untouched;
  outcome->returned = engine->posix_memalign(&block, ask->alignment, ask->bytes);
  if (outcome->returned == 0) return block;
  if (block != untouched) outcome->returned = -1; /* an error must leave the pointer */
  return NULL;
}

static const struct call CALLS[] = {
    {"malloc", 28, ALLOCATE, PLAIN, 0, by_malloc},
    {"calloc", 32, ALLOCATE, COUNTED, ZEROED, by_calloc},
    {"posix_memalign", 24, ALLOCATE, ALIGNED, 0, by_posix_memalign},
    {"aligned_alloc", 20, ALLOCATE, ALIGNED, 0, by_aligned_alloc},
    {"memalign", 20, ALLOCATE, ALIGNED, 0, by_memalign},
    {"valloc", 8, ALLOCATE, PLAIN, WHOLE_PAGES, by_valloc},
    {"pvalloc", 8, ALLOCATE, PLAIN, WHOLE_PAGES | ROUNDED_PAGES, by_pvalloc},
    {"realloc", 36, RESIZE, PLAIN, 0, by_realloc},
    {"reallocarray", 20, RESIZE, COUNTED, 0, by_reallocarray},
    {"free", 22, RELEASE, PLAIN, 0, by_free},
    {"cfree", 4, RELEASE, PLAIN, 0, by_cfree},
    {"free_sized", 4, RELEASE, PLAIN, 0, by_free_sized},
    {"free_aligned_sized", 4, RELEASE, ALIGNED, 0, by_free_aligned_sized},
    {"malloc_usable_size", 8, REPORT, PLAIN, 0, by_malloc_usable_size},
    {"malloc_trim", 6, REPORT, PLAIN, 0, by_malloc_trim},
    {"mallopt", 4, REPORT, NUMBERED, 0, by_mallopt},
    {"malloc_info", 2, REPORT, PLAIN, 0, by_malloc_info},
    {"mallinfo2", 6, REPORT, PLAIN, 0, by_mallinfo2},
};

/* The last takes what is left of the 256. */
static const struct call *call_of(const struct op *op)
{
  size_t i = 0;
  for (unsigned left = op->verb; i + 1 < COUNT(CALLS) && left >= CALLS[i].weight; i++) left -= CALLS[i].weight;
  return &CALLS[i];
}

/* ---- sizes, alignments, counts ---------------------------------------------------------------------------------------- */

enum kind { ANY_SMALL, CLASS_EDGE, NEAR_EDGE, PAGES, RELATIVE, BIG, HUGE, POWER, TOP, KINDS };

static const uint8_t KIND_WEIGHTS[KINDS] = {[ANY_SMALL] = 56, [CLASS_EDGE] = 40, [NEAR_EDGE] = 48, [PAGES] = 20, [RELATIVE] = 36,
                                            [BIG] = 6,        [HUGE] = 8,        [POWER] = 20,     [TOP] = 22};

static enum kind kind_of(const struct op *op)
{
  enum kind kind = ANY_SMALL;
  for (unsigned left = op->kind; kind + 1 < KINDS && left >= KIND_WEIGHTS[kind]; kind++) left -= KIND_WEIGHTS[kind];
  return kind;
}

static const size_t EDGES[] = {0,      SMALL_MAX, 2 * KB,   PAGE,     8 * KB,   16 * KB,  32 * KB, 64 * KB,
                               96 * KB, 128 * KB,  132 * KB, 256 * KB, 512 * KB, 1 * MB, 4 * MB, 8 * MB};
static const size_t TOPS[] = {SIZE_MAX,    SIZE_MAX - 4096,    SIZE_MAX - 65536,    SIZE_MAX - 2 * MB,   SIZE_MAX / 2 + 65536,
                              PTRDIFF_MAX, PTRDIFF_MAX - 4096, PTRDIFF_MAX - 65536, PTRDIFF_MAX - 2 * MB};

/* What programs resize grows a little or doubles. */
static size_t relative_to(size_t old, unsigned amount)
{
  size_t little = amount / 4 % 256;
  switch (amount % 4) {
    case 0: return old + little;
    case 1: return old > little ? old - little : old;
    case 2: return old * 2;
    default: return old / 2;
  }
}

static size_t size_of(const struct op *op, size_t old)
{
  unsigned amount = op->amount;
  switch (kind_of(op)) {
    case ANY_SMALL: return amount % (SMALL_MAX + 64);
    case CLASS_EDGE: return class_bytes(amount % SIZE_CLASSES) + amount / SIZE_CLASSES % 5 - 2;
    case NEAR_EDGE: return EDGES[amount % COUNT(EDGES)] + amount / COUNT(EDGES) % 81 - 40;
    case PAGES: return (size_t)PAGE * (amount % 64) + amount / 64 % 33 - 16;
    case RELATIVE: return relative_to(old, amount);
    case BIG: return ((size_t)MB << amount % 5) + amount / 5;
    case HUGE: return (HUGE_FROM << amount % 8) + amount / 8 % 65 - 32;
    case POWER: return ((size_t)1 << amount % 64) + amount / 64 % 17 - 8;
    default: return TOPS[amount % COUNT(TOPS)] + amount / COUNT(TOPS) % 129 - 64;
  }
}

static const size_t ODD_ALIGNMENTS[] = {0, 1, 2, 3, 4, 5, 7, 12, 24, 40, 48, 100, 1000, 4095, 4097, 65537, PTRDIFF_MAX, SIZE_MAX};
enum { ODD_FROM = 160, USUAL_LOGS = 17 };

/* Powers of two up to 64 KiB mostly, up to the last one, what is none. */
static size_t alignment_of(const struct op *op)
{
  unsigned shape = op->shape;
  if (shape < 96) return (size_t)1 << shape % USUAL_LOGS;
  if (shape < ODD_FROM) return (size_t)1 << (shape - 96);
  if (shape % 2) return ODD_ALIGNMENTS[shape / 2 % COUNT(ODD_ALIGNMENTS)];
  return ((size_t)1 << shape / 2 % 64) + op->amount % 3 - 1;
}

/* Some wrap round to what looks small. */
static const size_t FACTORS[] = {2, 3, 7, 8, 16, 24, 100, 4096};
static const size_t OVERFLOWS[][2] = {{(size_t)1 << 32, (size_t)1 << 32},
                                      {((size_t)1 << 32) + 1, ((size_t)1 << 32) + 1},
                                      {((size_t)1 << 32) - 1, ((size_t)1 << 32) + 1},
                                      {SIZE_MAX / 16 + 2, 16},
                                      {16, SIZE_MAX / 16 + 2},
                                      {3, SIZE_MAX / 3 + 10},
                                      {(size_t)1 << 63, 2},
                                      {SIZE_MAX, 2},
                                      {SIZE_MAX, SIZE_MAX},
                                      {PTRDIFF_MAX, 2},
                                      {SIZE_MAX, 0},
                                      {0, SIZE_MAX},
                                      {0, 0}};

static void split(struct ask *ask, const struct op *op)
{
  size_t size = ask->size, factor = FACTORS[op->shape / 8 % COUNT(FACTORS)];
  const size_t *odd = OVERFLOWS[op->shape / 8 % COUNT(OVERFLOWS)];
  switch (op->shape % 8) {
    case 0:
    case 1: break;
    case 2:
    case 3: ask->count = size, ask->size = 1; break;
    case 4: ask->count = factor, ask->size = size / factor; break;
    case 5: ask->count = size / factor, ask->size = factor; break;
    case 6: ask->count = factor; break;
    default: ask->count = odd[0], ask->size = odd[1]; break;
  }
  if (__builtin_mul_overflow(ask->count, ask->size, &ask->bytes)) ask->bytes = SIZE_MAX;
}

/* Parameters and values that glibc accepts, refuses, does not know. None that lets it trim a top smaller than a request: where a stranger
 * has moved the break it then trims what it has just got, and answers NULL (M_TRIM_THRESHOLD 0; M_MMAP_THRESHOLD 1 GiB, M_TOP_PAD 0). */
static const int TUNINGS[][2] = {
    {M_MMAP_THRESHOLD, 128 * KB}, {M_MMAP_THRESHOLD, 64 * KB}, {M_MXFAST, 64},         {M_MXFAST, 0},
    {M_MXFAST, 100000},           {M_ARENA_MAX, 1},            {M_MMAP_MAX, 65536}, {-1000, 1},
};

static const int PRESETS[] = {0, EINVAL, ENOMEM, EINTR, 12345, -1, EAGAIN, 0};

struct ask ask_of(const struct op *op, size_t old)
{
  struct ask ask = {.call = call_of(op), .slot = op->place % SLOTS, .preset = PRESETS[op->thread % COUNT(PRESETS)], .alignment = 1,
                    .count = 1, .size = size_of(op, old)};
  ask.bytes = ask.size;
  if (ask.call->shape == COUNTED) split(&ask, op);
  if (ask.call->shape == ALIGNED) ask.alignment = alignment_of(op);
  if (ask.call->shape == NUMBERED) {
    const int *tuning = TUNINGS[op->amount % COUNT(TUNINGS)];
    ask.count = (size_t)tuning[0];
    ask.size = (size_t)tuning[1];
  }
  return ask;
}

struct ask release_of(const struct ask *ask)
{
  static const struct call FREE = {"free", 0, RELEASE, PLAIN, 0, by_free};
  return (struct ask){.call = &FREE, .slot = ask->slot, .preset = ask->preset};
}

size_t owed_alignment(const struct ask *ask)
{
  if (ask->call->rules & WHOLE_PAGES) return PAGE;
  size_t power = ALIGNMENT;
  while (power && power < ask->alignment) power *= 2;
  return power;
}

size_t reach_of(const struct ask *ask)
{
  size_t reach;
  return __builtin_add_overflow(ask->bytes, ask->alignment, &reach) ? SIZE_MAX : reach;
}

/* ---- as C ------------------------------------------------------------------------------------------------------------- */

/* A number, as somebody would write it. `text` has room for 40 characters. */
static const char *number(size_t n, char *text)
{
  size_t near = MB * 4;
  if (n > SIZE_MAX - near)
    sprintf(text, n == SIZE_MAX ? "SIZE_MAX" : "SIZE_MAX - %zu", SIZE_MAX - n);
  else if (n - (PTRDIFF_MAX - near) < near)
    sprintf(text, "PTRDIFF_MAX - %zu", PTRDIFF_MAX - n);
  else if (n - PTRDIFF_MAX < near)
    sprintf(text, "PTRDIFF_MAX + %zu", n - PTRDIFF_MAX);
  else if (n >= MB && (n & (n - 1)) == 0)
    sprintf(text, "1ul << %d", __builtin_ctzl(n));
  else
    sprintf(text, "%zu", n);
  return text;
}

static void describe_arguments(const struct ask *ask, char *text, size_t bytes)
{
  char first[40], second[40];
  switch (ask->call->shape) {
    case COUNTED: snprintf(text, bytes, "%s, %s", number(ask->count, first), number(ask->size, second)); break;
    case ALIGNED: snprintf(text, bytes, "%s, %s", number(ask->alignment, first), number(ask->bytes, second)); break;
    case NUMBERED: snprintf(text, bytes, "%d, %d", (int)ask->count, (int)ask->size); break;
    case PLAIN: snprintf(text, bytes, "%s", number(ask->bytes, first)); break;
  }
}

void describe(const struct ask *ask, char *text, size_t bytes)
{
  const struct call *call = ask->call;
  unsigned slot = ask->slot;
  char arguments[100];
  describe_arguments(ask, arguments, sizeof arguments);
  int done = snprintf(text, bytes, "errno = %d; ", ask->preset);
  text += done;
  bytes -= (size_t)done;
  if (call->by == by_posix_memalign)
    snprintf(text, bytes, "posix_memalign(&p[%u], %s);", slot, arguments);
  else if (call->verb == ALLOCATE)
    snprintf(text, bytes, "p[%u] = %s(%s);", slot, call->name, arguments);
  else if (call->verb == RESIZE)
    snprintf(text, bytes, "p[%u] = %s(p[%u], %s);", slot, call->name, slot, arguments);
  else if (call->verb == RELEASE || call->by == by_malloc_usable_size)
    snprintf(text, bytes, call->by == by_free_sized || call->by == by_free_aligned_sized ? "%s(p[%u], %s);" : "%s(p[%u]);", call->name, slot,
             arguments);
  else if (call->by == by_malloc_info)
    snprintf(text, bytes, "malloc_info(%d, NULL);", (int)(ask->bytes | 1));
  else
    snprintf(text, bytes, "%s(%s);", call->name, call->by == by_mallinfo2 ? "" : arguments);
}
