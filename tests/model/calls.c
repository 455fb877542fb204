/* SPDX-License-Identifier: MIT */
/* See calls.h. */
#include "calls.h"

#include "../verbs.h"
#include "osmem.h"

/* Known to the library, not to the headers of every glibc; operators new and delete by their names in the object file. */
extern void free_sized(void *ptr, size_t size);
extern void free_aligned_sized(void *ptr, size_t alignment, size_t size);
extern void *_Znwm(size_t size), *_Znam(size_t size), *_ZnwmRKSt9nothrow_t(size_t size, const void *tag);
extern void *_ZnwmSt11align_val_t(size_t size, size_t alignment);
extern void _ZdlPv(void *ptr), _ZdaPv(void *ptr), _ZdlPvm(void *ptr, size_t size), _ZdlPvSt11align_val_t(void *ptr, size_t alignment);

/* ---- the calls -------------------------------------------------------------------------------------------------------- */

#define CALL(name, expression) \
  static void *by_##name(void *old, const struct request *r) \
  { \
    (void)old; \
    return expression; \
  }
CALL(malloc, malloc(r->bytes))
CALL(os_malloc, os_malloc(r->bytes))
CALL(calloc, calloc(r->count, r->size))
CALL(os_calloc, os_calloc(r->count, r->size))
CALL(aligned_alloc, aligned_alloc(r->alignment, r->bytes))
CALL(os_aligned_alloc, os_aligned_alloc(r->alignment, r->bytes))
CALL(memalign, memalign(r->alignment, r->bytes))
CALL(valloc, valloc(r->bytes))
CALL(pvalloc, pvalloc(r->bytes))
CALL(new, _Znwm(r->bytes))
CALL(new_array, _Znam(r->bytes))
CALL(new_nothrow, _ZnwmRKSt9nothrow_t(r->bytes, ""))
CALL(new_aligned, _ZnwmSt11align_val_t(r->bytes, r->alignment))
CALL(realloc, realloc(old, r->bytes))
CALL(os_realloc, os_realloc(old, r->bytes))
CALL(reallocarray, reallocarray(old, r->count, r->size))
CALL(os_reallocarray, os_reallocarray(old, r->count, r->size))

/* Says what is wrong by its answer; the pointer stays as it is, errno too unless memory is short. */
static void *by_posix_memalign(void *old, const struct request *r)
{
  void *block = &old;
  int error = posix_memalign(&block, r->alignment, r->bytes);
  must(errno == (error == ENOMEM ? ENOMEM : UNTOUCHED));
  if (error == 0) return block;
  must(block == &old);
  errno = error;
  return NULL;
}

static const struct call CALLS[] = {
    {"malloc", 32, ALLOCATE, PLAIN, 0, by_malloc},
    {"os_malloc", 14, ALLOCATE, PLAIN, NULL_FOR_NOTHING, by_os_malloc},
    {"calloc", 20, ALLOCATE, COUNTED, ZEROED, by_calloc},
    {"os_calloc", 8, ALLOCATE, COUNTED, ZEROED | NULL_FOR_NOTHING, by_os_calloc},
    {"posix_memalign", 8, ALLOCATE, ALIGNED, CHECKS_ALIGNMENT | CHECKS_WORD, by_posix_memalign},
    {"aligned_alloc", 6, ALLOCATE, ALIGNED, ROUNDS_ALIGNMENT, by_aligned_alloc},
    {"os_aligned_alloc", 6, ALLOCATE, ALIGNED, CHECKS_ALIGNMENT | NULL_FOR_NOTHING, by_os_aligned_alloc},
    {"memalign", 6, ALLOCATE, ALIGNED, ROUNDS_ALIGNMENT, by_memalign},
    {"valloc", 2, ALLOCATE, PLAIN, WHOLE_PAGES, by_valloc},
    {"pvalloc", 2, ALLOCATE, PLAIN, WHOLE_PAGES, by_pvalloc},
    {"operator_new", 5, ALLOCATE, PLAIN, MUST_SUCCEED, by_new},
    {"operator_new_array", 2, ALLOCATE, PLAIN, MUST_SUCCEED, by_new_array},
    {"operator_new_nothrow", 2, ALLOCATE, PLAIN, MUST_SUCCEED, by_new_nothrow},
    {"operator_new_aligned", 4, ALLOCATE, ALIGNED, MUST_SUCCEED | CHECKS_ALIGNMENT, by_new_aligned},
    {"realloc", 24, RESIZE, PLAIN, 0, by_realloc},
    {"os_realloc", 12, RESIZE, PLAIN, NULL_FOR_NOTHING, by_os_realloc},
    {"reallocarray", 8, RESIZE, COUNTED, 0, by_reallocarray},
    {"os_reallocarray", 4, RESIZE, COUNTED, NULL_FOR_NOTHING, by_os_reallocarray},
    {"free", 71, RELEASE, PLAIN, 0, NULL},
    {"swap", 12, PASS, PLAIN, 0, NULL},
    {"mallinfo2", 2, REPORT, PLAIN, 0, NULL},
    {"trim", 2, TRIM, PLAIN, 0, NULL},
    {"weather", 2, WEATHER, PLAIN, 0, NULL},
    {"meet", 2, MEET, PLAIN, 0, NULL},
};

const struct call *call_of(const struct op *op)
{
  size_t i = 0;
  for (unsigned left = op->verb; i + 1 < COUNT(CALLS) && left >= CALLS[i].weight; i++) left -= CALLS[i].weight;
  return &CALLS[i];
}

enum verb model_verb(const struct op *op)
{
  return call_of(op)->verb;
}

void model_set_verb(struct op *op, enum verb verb)
{
  unsigned byte = 0;
  for (size_t i = 0; CALLS[i].verb != verb; i++) byte += CALLS[i].weight;
  op->verb = (uint8_t)byte;
}

/* ---- sizes, alignments, counts ---------------------------------------------------------------------------------------- */

enum kind { ANY_SMALL, CLASS_EDGE, RELATIVE, ANY_BLOCK, CACHEABLE, THRESHOLD, PAGES, ANY_LARGE, CHUNK, NOTHING, IMPOSSIBLE, KINDS };

static const uint8_t KIND_WEIGHTS[KINDS] = {[ANY_SMALL] = 80, [CLASS_EDGE] = 48, [RELATIVE] = 40, [ANY_BLOCK] = 14,
                                            [CACHEABLE] = 36, [THRESHOLD] = 20,  [PAGES] = 6,     [ANY_LARGE] = 4,
                                            [CHUNK] = 1,      [NOTHING] = 4,     [IMPOSSIBLE] = 3};

static enum kind kind_of(const struct op *op)
{
  enum kind kind = ANY_SMALL;
  for (unsigned left = op->kind; kind + 1 < KINDS && left >= KIND_WEIGHTS[kind]; kind++) left -= KIND_WEIGHTS[kind];
  return kind;
}

static const size_t THRESHOLDS[] = {SMALL_MAX, 2 * KB, PAGE, GRANULE_BYTES / 4, GRANULE_BYTES / 2, GRANULE_BYTES - 16, GRANULE_BYTES,
                                    GRANULE_BYTES + 16, 2 * GRANULE_BYTES, 3 * GRANULE_BYTES, MMAP_THRESHOLD, MMAP_THRESHOLD + PAGE,
                                    2 * MMAP_THRESHOLD, 4 * MMAP_THRESHOLD};
static const size_t CHUNKS[] = {CHUNK_BYTES / 2, CHUNK_BYTES - 2 * GRANULE_BYTES, CHUNK_BYTES - GRANULE_BYTES, CHUNK_BYTES};
static const size_t IMPOSSIBLES[] = {(size_t)PTRDIFF_MAX + 1, SIZE_MAX,        SIZE_MAX - 4096,
                                     PTRDIFF_MAX,             (size_t)1 << 47, PTRDIFF_MAX - 4096};

/* One of `edges`, missed by up to 16 on either side or hit. */
static size_t near_one_of(const size_t *edges, size_t edge_count, unsigned amount)
{
  return edges[amount % edge_count] + amount / edge_count % 33 - 16;
}

static size_t near_class_edge(unsigned amount)
{
  return class_bytes(amount % SIZE_CLASSES) + amount / SIZE_CLASSES % 5 - 2;
}

/* What programs resize grows a little or doubles. */
static size_t relative_to(size_t old, unsigned amount)
{
  size_t little = amount / 4 % 256;
  switch (amount % 4) {
    case 0: return old + little < ASKED_MAX ? old + little : old;
    case 1: return old > little ? old - little : old;
    case 2: return old * 2 < ASKED_MAX ? old * 2 : old;
    default: return old / 2;
  }
}

static size_t size_of(const struct op *op, size_t old)
{
  unsigned amount = op->amount;
  switch (kind_of(op)) {
    case ANY_SMALL: return 1 + amount % SMALL_MAX;
    case CLASS_EDGE: return near_class_edge(amount);
    case RELATIVE: return relative_to(old, amount);
    case ANY_BLOCK: return (size_t)amount * 2 % MMAP_THRESHOLD;
    case CACHEABLE: return SMALL_MAX + amount % (MMAP_THRESHOLD / 4);
    case THRESHOLD: return near_one_of(THRESHOLDS, COUNT(THRESHOLDS), amount);
    case PAGES: return (size_t)PAGE * (1 + amount % 64) + amount / 64 % 17 - 8;
    case ANY_LARGE: return MMAP_THRESHOLD + (size_t)amount * SIZED(16, 2);
    case CHUNK: return near_one_of(CHUNKS, COUNT(CHUNKS), amount);
    case IMPOSSIBLE: return IMPOSSIBLES[amount % COUNT(IMPOSSIBLES)];
    default: return 0;
  }
}

/* Powers of two up to 1 MiB, the small ones more often; now and then what is none, or what nobody can give. */
enum { ALIGNMENT_MIN_LOG = 3, SMALL_LOGS = 7, LOGS = 18, SMALL_LOGS_TO = 126, ODD_FROM = 244 };

static const size_t ODD_ALIGNMENTS[] = {
    0, 1, 2, 4, 3, 24, 48, 1000, 4097, (size_t)1 << 47, (size_t)1 << 62, (size_t)1 << 63, SIZE_MAX};

static size_t alignment_of(const struct op *op)
{
  unsigned shape = op->shape;
  if (shape >= ODD_FROM) return ODD_ALIGNMENTS[(shape - ODD_FROM + op->amount) % COUNT(ODD_ALIGNMENTS)];
  return (size_t)1 << (ALIGNMENT_MIN_LOG + shape % (shape < SMALL_LOGS_TO ? SMALL_LOGS : LOGS));
}

static const size_t FACTORS[] = {1, 1, 1, 2, 3, 7, 8, 100};
static const size_t OVERFLOWS[][2] = {{(size_t)1 << 32, (size_t)1 << 32},
                                      {SIZE_MAX / 16 + 2, 16},
                                      {3, SIZE_MAX / 2},
                                      {SIZE_MAX, SIZE_MAX},
                                      {((size_t)1 << 32) + 1, ((size_t)1 << 32) + 1}};

/* Two factors of about the product asked for; of an impossible one, factors that wrap round, to something small mostly. */
static void split(struct request *request, const struct op *op)
{
  bool odd = op->shape % 2;
  if (odd && kind_of(op) == IMPOSSIBLE) {
    const size_t *factors = OVERFLOWS[op->shape / 2 % COUNT(OVERFLOWS)];
    request->count = factors[0];
    request->size = factors[1];
  } else if (odd && kind_of(op) == NOTHING) {
    request->count = 0;
    request->size = op->amount;
  } else {
    request->count = FACTORS[op->shape % COUNT(FACTORS)];
    request->size /= request->count;
  }
  if (__builtin_mul_overflow(request->count, request->size, &request->bytes)) request->bytes = SIZE_MAX;
}

struct request request_of(const struct op *op, size_t old)
{
  const struct call *call = call_of(op);
  struct request request = {.alignment = ALIGNMENT, .count = 1, .size = size_of(op, old)};
  request.bytes = request.size;
  if (call->shape == COUNTED) split(&request, op);
  if (call->shape == ALIGNED) request.alignment = alignment_of(op);
  return request;
}

/* ---- what is owed ----------------------------------------------------------------------------------------------------- */

int owed_error(const struct call *call, const struct request *request)
{
  size_t alignment = request->alignment;
  bool is_odd = alignment & (alignment - 1);
  if (call->rules & CHECKS_ALIGNMENT && (is_odd || !alignment)) return EINVAL;
  if (call->rules & ROUNDS_ALIGNMENT && is_odd && !ODD_ALIGNMENTS_ARE_ROUNDED) return EINVAL;
  if (call->rules & CHECKS_WORD && alignment % sizeof(void *)) return EINVAL;
  if (call->rules & ROUNDS_ALIGNMENT && alignment > SIZE_MAX / 2 + 1) return EINVAL;
  if (call->rules & NULL_FOR_NOTHING && request->bytes == 0) return 0;
  return request->bytes > ASKED_MAX || alignment > MB ? ENOMEM : 0;
}

size_t owed_alignment(const struct call *call, const struct request *request)
{
  if (call->rules & WHOLE_PAGES) return page_of_heap();
  size_t power = ALIGNMENT;
  while (power < request->alignment) power *= 2;
  return power;
}

/* ---- calls that free -------------------------------------------------------------------------------------------------- */

static const char *const FREE_LINES[FREE_FORMS] = {
    "free(p[%u])",
    "free(p[%u])",
    "free(p[%u])",
    "os_free(p[%u])",
    "os_free(p[%u])",
    "free(p[%u])",
    "free_sized(p[%u], size)",
    "free_sized(p[%u], 1)",
    "free_aligned_sized(p[%u], alignment, size)",
    "operator_delete(p[%u])",
    "operator_delete_array(p[%u])",
    "operator_delete_sized(p[%u], size)",
    "operator_delete_aligned(p[%u], alignment)",
    "if (p[%u]) realloc(p[%u], 0)",
    "if (p[%u]) os_realloc(p[%u], 0)",
    "if (p[%u]) reallocarray(p[%u], 0, 3)",
};

unsigned free_form(const struct op *op)
{
  return op->thread / PARTIES_MAX % FREE_FORMS;
}

void free_by(unsigned form, const struct block *block)
{
  void *at = block->at;
  switch (form) {
    case 3:
    case 4: os_free(at); break;
    case 6: free_sized(at, block->asked); break;
    case 7: free_sized(at, 1); break; /* a wrong size is no crime */
    case 8: free_aligned_sized(at, block->alignment, block->asked); break;
    case 9: _ZdlPv(at); break;
    case 10: _ZdaPv(at); break;
    case 11: _ZdlPvm(at, block->asked); break;
    case 12: _ZdlPvSt11align_val_t(at, block->alignment); break;
    case 13: must(is_left_of_nothing(realloc(at, 0))); break;
    case 14: must(os_realloc(at, 0) == NULL); break;
    case 15: must(is_left_of_nothing(reallocarray(at, 0, 3))); break;
    default: free(at);
  }
}

/* Mostly nothing, now and then up to a chunk. */
size_t trim_pad(const struct op *op)
{
  return op->shape < 128 ? 0 : (size_t)op->amount * (CHUNK_BYTES >> 16);
}

/* ---- as C ------------------------------------------------------------------------------------------------------------- */

struct text {
  char *at;
  size_t left;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *text, const char *format, ...)
{
  va_list rest;
  va_start(rest, format);
  int length = vsnprintf(text->at, text->left, format, rest);
  va_end(rest);
  size_t written = (size_t)length < text->left ? (size_t)length : text->left - 1;
  text->at += written;
  text->left -= written;
}

/* What of a size depends on the block before is said by n[place], the size asked for last. */
static void put_size(struct text *text, const struct op *op, unsigned place, size_t count)
{
  size_t little = op->amount / 4 % 256;
  if (kind_of(op) != RELATIVE || count == 0) {
    put(text, "%zu", request_of(op, 0).size);
    return;
  }
  static const char *const FORMS[] = {"n[%u] + %zu", "n[%u] - %zu", "n[%u] * 2", "n[%u] / 2"};
  put(text, count > 1 ? "(" : "");
  put(text, FORMS[op->amount % 4], place, little);
  if (count > 1) put(text, ") / %zu", count);
}

static void put_arguments(struct text *text, const struct op *op, const struct call *call, unsigned place)
{
  struct request request = request_of(op, 0);
  if (call->shape == COUNTED) put(text, "%zu, ", request.count);
  bool alignment_first = call->shape == ALIGNED && !(call->rules & MUST_SUCCEED);
  if (alignment_first) put(text, "%zu, ", request.alignment);
  put_size(text, op, place, request.count);
  if (call->shape == ALIGNED && !alignment_first) put(text, ", %zu", request.alignment);
}

static void put_allocation(struct text *text, const struct op *op, const struct call *call, unsigned place)
{
  put(text, FREE_LINES[free_form(op)], place, place);
  if (call->rules & CHECKS_WORD)
    put(text, "; posix_memalign(&p[%u], ", place);
  else
    put(text, "; p[%u] = %s(", place, call->name);
  put_arguments(text, op, call, place);
  put(text, ");");
}

void model_describe(const struct op *op, const struct setting *setting, char *line, size_t bytes)
{
  struct text text = {line, bytes};
  const struct call *call = call_of(op);
  unsigned thread = op->thread % setting->threads, place = op->place % setting->places + thread * setting->places;
  if (setting->threads > 1) put(&text, "/* thread %u */ ", thread);
  switch (call->verb) {
    case ALLOCATE: put_allocation(&text, op, call, place); break;
    case RESIZE:
      put(&text, "p[%u] = %s(p[%u], ", place, call->name, place);
      put_arguments(&text, op, call, place);
      put(&text, ");");
      break;
    case RELEASE:
      put(&text, FREE_LINES[free_form(op)], place, place);
      put(&text, "; p[%u] = NULL;", place);
      break;
    case PASS: put(&text, "swap(p[%u], cell[%u]);", place, op->amount % CELLS); break;
    case WEATHER: put(&text, "/* the weather: %u %u %u */", op->kind, op->shape, op->amount); break;
    case REPORT: put(&text, "mallinfo2(), os_get_stats();"); break;
    case TRIM: put(&text, "%s(%zu);", op->shape % 2 ? "os_trim" : "malloc_trim", trim_pad(op)); break;
    case MEET:
      put(&text, "/* all threads meet%s%s */", op->amount & MEET_TRIMS ? ", trim" : "",
          op->amount & MEET_NEW_THREADS ? ", end, and others begin" : "");
      break;
  }
}
