/* SPDX-License-Identifier: MIT */
/* C++'s operators new and delete under their mangled names, without libstdc++. In the shared library alone: who links libosmem.a gets
 * the C++ library's own, which call malloc.
 *
 * A program or any of its libraries may replace each of them, and the standard says which others then follow: new[] calls new, the
 * nothrow forms call the throwing ones and catch, a sized delete calls the plain one. `leads_to` below has it. So a form is served here,
 * in one step, only while nobody replaced what it leads to. Otherwise it goes to whom it would have reached
 * without us: the next definition behind us, which is mostly the C++ library's. That one calls what was replaced, and can catch.
 *
 * Last in each such chain is malloc, aligned_alloc or free. Where that is another's, who stands before us (a profiler, a program with a
 * malloc of its own or with libosmem.a in it), the forms call it, as the C++ library's would.
 *
 * To leave all of it to the C++ library was tried: 10.4 ns for a pair of new and delete, against 7.4. */
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "block_meta.h"
#include "dynamic.h"
#include "heap.h"
#include "printf.h"
#include "slab.h"
#include "symbols.h"
#include "thread.h"

#define EXPORT __attribute__((visibility("default")))
#define NOINLINE __attribute__((noinline))

typedef void *new_function(size_t size);
typedef void *new_nothrow_function(size_t size, const void *tag);
typedef void *new_aligned_function(size_t size, size_t alignment);
typedef void *new_aligned_nothrow_function(size_t size, size_t alignment, const void *tag);
typedef void delete_function(void *ptr);
typedef void delete_nothrow_function(void *ptr, const void *tag);
typedef void delete_word_function(void *ptr, size_t size_or_alignment);
typedef void delete_words_function(void *ptr, size_t size, size_t alignment);
typedef void delete_aligned_nothrow_function(void *ptr, size_t alignment, const void *tag);

EXPORT new_function _Znwm, _Znam;
EXPORT new_nothrow_function _ZnwmRKSt9nothrow_t, _ZnamRKSt9nothrow_t;
EXPORT new_aligned_function _ZnwmSt11align_val_t, _ZnamSt11align_val_t;
EXPORT new_aligned_nothrow_function _ZnwmSt11align_val_tRKSt9nothrow_t, _ZnamSt11align_val_tRKSt9nothrow_t;
EXPORT delete_function _ZdlPv, _ZdaPv;
EXPORT delete_nothrow_function _ZdlPvRKSt9nothrow_t, _ZdaPvRKSt9nothrow_t;
EXPORT delete_word_function _ZdlPvm, _ZdaPvm, _ZdlPvSt11align_val_t, _ZdaPvSt11align_val_t;
EXPORT delete_words_function _ZdlPvmSt11align_val_t, _ZdaPvmSt11align_val_t;
EXPORT delete_aligned_nothrow_function _ZdlPvSt11align_val_tRKSt9nothrow_t, _ZdaPvSt11align_val_tRKSt9nothrow_t;

/* ---- who serves a form ---------------------------------------------------------------------------------------------- */

enum form {
  NEW, NEW_ARRAY, NEW_NOTHROW, NEW_ARRAY_NOTHROW,
  NEW_ALIGNED, NEW_ARRAY_ALIGNED, NEW_ALIGNED_NOTHROW, NEW_ARRAY_ALIGNED_NOTHROW,
  DELETE, DELETE_ARRAY, DELETE_SIZED, DELETE_ARRAY_SIZED, DELETE_NOTHROW, DELETE_ARRAY_NOTHROW,
  DELETE_ALIGNED, DELETE_ARRAY_ALIGNED, DELETE_SIZED_ALIGNED, DELETE_ARRAY_SIZED_ALIGNED,
  DELETE_ALIGNED_NOTHROW, DELETE_ARRAY_ALIGNED_NOTHROW,
  FORMS
};

static const struct {
  char name[36];
  uint8_t leads_to; /* the form that this one calls, or itself */
} operators[FORMS] = {
    [NEW] = {"_Znwm", NEW},
    [NEW_ARRAY] = {"_Znam", NEW},
    [NEW_NOTHROW] = {"_ZnwmRKSt9nothrow_t", NEW},
    [NEW_ARRAY_NOTHROW] = {"_ZnamRKSt9nothrow_t", NEW_ARRAY},
    [NEW_ALIGNED] = {"_ZnwmSt11align_val_t", NEW_ALIGNED},
    [NEW_ARRAY_ALIGNED] = {"_ZnamSt11align_val_t", NEW_ALIGNED},
    [NEW_ALIGNED_NOTHROW] = {"_ZnwmSt11align_val_tRKSt9nothrow_t", NEW_ALIGNED},
    [NEW_ARRAY_ALIGNED_NOTHROW] = {"_ZnamSt11align_val_tRKSt9nothrow_t", NEW_ARRAY_ALIGNED},
    [DELETE] = {"_ZdlPv", DELETE},
    [DELETE_ARRAY] = {"_ZdaPv", DELETE},
    [DELETE_SIZED] = {"_ZdlPvm", DELETE},
    [DELETE_ARRAY_SIZED] = {"_ZdaPvm", DELETE_ARRAY},
    [DELETE_NOTHROW] = {"_ZdlPvRKSt9nothrow_t", DELETE},
    [DELETE_ARRAY_NOTHROW] = {"_ZdaPvRKSt9nothrow_t", DELETE_ARRAY},
    [DELETE_ALIGNED] = {"_ZdlPvSt11align_val_t", DELETE_ALIGNED},
    [DELETE_ARRAY_ALIGNED] = {"_ZdaPvSt11align_val_t", DELETE_ALIGNED},
    [DELETE_SIZED_ALIGNED] = {"_ZdlPvmSt11align_val_t", DELETE_ALIGNED},
    [DELETE_ARRAY_SIZED_ALIGNED] = {"_ZdaPvmSt11align_val_t", DELETE_ARRAY_ALIGNED},
    [DELETE_ALIGNED_NOTHROW] = {"_ZdlPvSt11align_val_tRKSt9nothrow_t", DELETE_ALIGNED},
    [DELETE_ARRAY_ALIGNED_NOTHROW] = {"_ZdaPvSt11align_val_tRKSt9nothrow_t", DELETE_ARRAY_ALIGNED},
};

enum server {
  UNKNOWN,
  OURS,
  THEIRS,
  MALLOCS, /* nobody replaced what it leads to, but malloc, aligned_alloc or free in the end is another's */
};

static uint8_t servers[FORMS]; /* enum server; atomic */
static void *behind[FORMS];    /* the next definition of a form, or NULL where there is none; atomic */

static void *symbol_beside(const void *address, const char *name) {
  Dl_info info;
  return dladdr(address, &info) && info.dli_fname ? dynamic_symbol(info.dli_fname, name) : NULL;
}

/* Who brings malloc and operators is an allocator that we stand before, as a whole. */
static bool is_allocators(const void *function) {
  const void *next_malloc = symbol_behind_ours("malloc");
  return next_malloc && lies_in(image_of(function), next_malloc);
}

/* Of the C++ library, which all have these: here, if the program knows C++ from the start. */
extern void *__cxa_allocate_exception(size_t) __attribute__((weak));
extern void __cxa_throw(void *exception, const void *type, void (*destroy)(void *)) __attribute__((weak));
extern const void *const _ZTISt9bad_alloc[] __attribute__((weak));                  /* typeid(std::bad_alloc) */
extern const void *const _ZTVSt9bad_alloc[] __attribute__((weak));                  /* its virtual functions */
typedef void handler_function(void);
extern handler_function *_ZSt15get_new_handlerv(void) __attribute__((weak));        /* std::get_new_handler() */

/* Fills `behind`. Of what is not the C++ library's own definition, say that the form was replaced. Nothing is looked up by dlopen(): our
 * constructors run before libc's own, which that would run, without the environment (redis with jemalloc crashed so). */
static void find_replaced_behind(bool replaced[FORMS]) {
  struct image runtime = image_of(symbol_behind_ours("__cxa_throw"));
  for (int form = 0; form < FORMS; form++) {
    void *next = symbol_behind_ours(operators[form].name);
    if (next && !lies_in(runtime, next) && is_allocators(next)) next = NULL; /* the other is found when it is wanted */
    __atomic_store_n(&behind[form], next, __ATOMIC_RELAXED);
    replaced[form] = next && !lies_in(runtime, next);
  }
}

/* The definition that everybody sees, of the forms that others lead to. */
static const void *public_operator(enum form form) {
  switch (form) {
    case NEW: return (const void *)_Znwm;
    case NEW_ARRAY: return (const void *)_Znam;
    case NEW_ALIGNED: return (const void *)_ZnwmSt11align_val_t;
    case NEW_ARRAY_ALIGNED: return (const void *)_ZnamSt11align_val_t;
    case DELETE: return (const void *)_ZdlPv;
    case DELETE_ARRAY: return (const void *)_ZdaPv;
    case DELETE_ALIGNED: return (const void *)_ZdlPvSt11align_val_t;
    default: return (const void *)_ZdaPvSt11align_val_t;
  }
}

/* Of a form that leads to no other. Found by its name, not by its address: an executable at a fixed place that takes malloc's (node, python3) makes
 * that an entry in its own PLT, for everybody. */
static bool malloc_is_ours(enum form form) {
  if (sys_malloc_is_ours && form != NEW_ALIGNED) return true; /* looked for once in each process */
  switch (form) {
    case NEW: return symbol_is_ours("malloc");
    case NEW_ALIGNED: return symbol_is_ours("aligned_alloc");
    default: return symbol_is_ours("free");
  }
}

/* What others lead to comes before them. */
static enum server server_of(enum form form, bool replaced, struct image own) {
  enum form next = operators[form].leads_to;
  if (replaced) return THEIRS;
  if (next == form) return malloc_is_ours(form) ? OURS : MALLOCS;
  return lies_in(own, public_operator(next)) ? (enum server)servers[next] : THEIRS;
}

/* Before there is a second thread, or when an operator is called still earlier. A program that knows no C++ when it starts has nobody to
 * ask: what a plugin replaces later is found by nobody but the plugin. */
static __attribute__((constructor)) void find_servers(void) {
  bool replaced[FORMS] = {false};
  struct image own = image_of_ours();
  if (__cxa_throw) find_replaced_behind(replaced);
  for (int form = 0; form < FORMS; form++)
    __atomic_store_n(&servers[form], (uint8_t)server_of((enum form)form, replaced[form], own), __ATOMIC_RELEASE);
}

static inline bool is_ours(enum form form) { return LIKELY(__atomic_load_n(&servers[form], __ATOMIC_RELAXED) == OURS); }

/* Does the form lead to the public malloc or free, be that ours or another's? Known once served_behind() was asked. */
static bool is_mallocs(enum form form) { return __atomic_load_n(&servers[form], __ATOMIC_RELAXED) != THEIRS; }

/* Off the fast paths: the definition behind us that serves a form. NULL: it is ours, or malloc's, or there is none. */
static COLD void *served_behind(enum form form) {
  if (__atomic_load_n(&servers[form], __ATOMIC_ACQUIRE) == UNKNOWN) find_servers();
  if (__atomic_load_n(&servers[form], __ATOMIC_ACQUIRE) != THEIRS) return NULL;
  void *next = __atomic_load_n(&behind[form], __ATOMIC_RELAXED);
  if (!next && (next = dynamic_symbol("libstdc++.so.6", operators[form].name))) __atomic_store_n(&behind[form], next, __ATOMIC_RELAXED);
  return next;
}

/* ---- out of memory -------------------------------------------------------------------------------------------------- */

/* Where a C program gets C++ with a plugin: a function of the library that the plugin brought, in itself or beside it. */
static void *plugin_symbol(const char *name, const void *caller) {
  void *symbol = symbol_beside(caller, name);
  if (!symbol || lies_in(image_of_ours(), symbol)) symbol = dynamic_symbol("libstdc++.so.6", name);
  return symbol;
}

/* The C++ library's own definition of a form that is ours. */
static void *library_operator(enum form form, const void *caller) {
  void *library = __atomic_load_n(&behind[form], __ATOMIC_RELAXED);
  return library ? library : plugin_symbol(operators[form].name, caller);
}

static handler_function *new_handler(const void *caller) {
  if (_ZSt15get_new_handlerv) return _ZSt15get_new_handlerv();
  handler_function *(*get)(void) = (handler_function * (*)(void)) plugin_symbol("_ZSt15get_new_handlerv", caller);
  /* cppcheck-suppress legacyUninitvar ; a false alarm about a pointer to a function that returns one */
  return get ? get() : NULL;
}

/* The program's C++ library may be in it, without an operator new since it was linked with us; a plugin's is out of sight, but has one,
 * which throws for a size that nobody has. */
static _Noreturn void throw_bad_alloc(const void *caller) {
  if (__cxa_throw && __cxa_allocate_exception && _ZTISt9bad_alloc && _ZTVSt9bad_alloc) {
    const void **exception = __cxa_allocate_exception(sizeof(void *));
    *exception = &_ZTVSt9bad_alloc[2];
    __cxa_throw(exception, _ZTISt9bad_alloc, NULL);
  }
  new_function *library = (new_function *)library_operator(NEW, caller);
  if (library) library(PTRDIFF_MAX);
  print(STDERR_FILENO, "osmem: operator new: out of memory, and no C++ library to throw bad_alloc\n");
  abort();
}

/* Memory as the C++ library takes it: of the public malloc, which need not be ours. NULL, too, for what is no alignment. aligned_alloc wants
 * a multiple of it; by its name, since one that has a hidden version (glibc's libc_malloc_debug) is everybody's, but not ours to link to. */
static void *malloc_or_aligned(size_t alignment, size_t size) {
  if (!is_power_of_two(alignment)) return NULL;
  if (alignment <= ALIGNMENT) return malloc(size ? size : 1);
  typedef void *aligned_alloc_function(size_t alignment, size_t size);
  aligned_alloc_function *public_aligned_alloc = (aligned_alloc_function *)symbol_of_all("aligned_alloc");
  return public_aligned_alloc(alignment, size > PTRDIFF_MAX ? size : round_up(size ? size : 1, alignment));
}

/* Ask the new-handler to make room until it does, throws, or is none: then NULL. */
static void *new_by_handler(size_t alignment, size_t size, const void *caller) {
  for (;;) {
    handler_function *handler = new_handler(caller);
    if (!handler) return NULL;
    handler();
    void *payload = malloc_or_aligned(alignment, size);
    if (payload) return payload;
  }
}

static COLD void *new_slow(size_t alignment, size_t size, const void *caller) {
  void *payload = is_power_of_two(alignment) ? new_by_handler(alignment, size, caller) : NULL;
  if (!payload) throw_bad_alloc(caller);
  return payload;
}

/* What a handler throws becomes NULL. That takes C++: the library's own form, which calls our throwing one. A program that has the
 * library in it, but no such form since it was linked with us, gets on without. Not to have the nothrow forms here at all was thought
 * of: but they must stand before those of another allocator that the program is linked with. */
static COLD void *nothrow_slow(enum form form, size_t size, const void *tag, const void *caller) {
  new_nothrow_function *library = (new_nothrow_function *)library_operator(form, caller);
  return library ? library(size, tag) : new_by_handler(ALIGNMENT, size, caller);
}

static COLD void *nothrow_aligned_slow(enum form form, size_t size, size_t alignment, const void *tag, const void *caller) {
  if (!is_power_of_two(alignment)) return NULL;
  new_aligned_nothrow_function *library = (new_aligned_nothrow_function *)library_operator(form, caller);
  return library ? library(size, alignment, tag) : new_by_handler(alignment, size, caller);
}

/* ---- new ------------------------------------------------------------------------------------------------------------ */

#define CALLER __builtin_return_address(0)

/* The fast path, heap_malloc's own; all else is a jump, so this way needs no stack. NULL: go the long way. */
static inline void *object_at_hand(size_t size) { return LIKELY(size <= SMALL_MAX) ? object_pop(self->direct[size_step(size)]) : NULL; }

static NOINLINE void *new_plain(size_t size, const void *caller) {
  void *payload = heap_malloc(size);
  return LIKELY(payload != NULL) ? payload : new_slow(ALIGNMENT, size, caller);
}

static NOINLINE void *new_nothrow(enum form form, size_t size, const void *tag, const void *caller) {
  void *payload = heap_malloc(size);
  return LIKELY(payload != NULL) ? payload : nothrow_slow(form, size, tag, caller);
}

static inline void *aligned_or_null(size_t alignment, size_t size) {
  return LIKELY(is_power_of_two(alignment)) ? heap_aligned(alignment, size) : NULL;
}

static inline void *new_aligned(size_t size, size_t alignment, const void *caller) {
  void *payload = aligned_or_null(alignment, size);
  return LIKELY(payload != NULL) ? payload : new_slow(alignment, size, caller);
}

static inline void *new_aligned_nothrow(enum form form, size_t size, size_t alignment, const void *tag, const void *caller) {
  void *payload = aligned_or_null(alignment, size);
  return LIKELY(payload != NULL) ? payload : nothrow_aligned_slow(form, size, alignment, tag, caller);
}

/* Not known to be ours: served by another; or it is not known yet; or malloc is another's; or it leads to what was replaced, and there is nobody
 * behind us. Then what the replacement throws is not caught. */
static COLD void *new_elsewhere(enum form form, size_t size, const void *caller) {
  new_function *next = (new_function *)served_behind(form);
  if (next) return next(size);
  if (!is_mallocs(form)) return _Znwm(size);
  void *payload = malloc_or_aligned(ALIGNMENT, size);
  return payload ? payload : new_slow(ALIGNMENT, size, caller);
}

static COLD void *new_nothrow_elsewhere(enum form form, size_t size, const void *tag, const void *caller) {
  new_nothrow_function *next = (new_nothrow_function *)served_behind(form);
  if (next) return next(size, tag);
  if (!is_mallocs(form)) return operators[form].leads_to == NEW ? _Znwm(size) : _Znam(size);
  void *payload = malloc_or_aligned(ALIGNMENT, size);
  return payload ? payload : nothrow_slow(form, size, tag, caller);
}

static COLD void *new_aligned_elsewhere(enum form form, size_t size, size_t alignment, const void *caller) {
  new_aligned_function *next = (new_aligned_function *)served_behind(form);
  if (next) return next(size, alignment);
  if (!is_mallocs(form)) return _ZnwmSt11align_val_t(size, alignment);
  void *payload = malloc_or_aligned(alignment, size);
  return payload ? payload : new_slow(alignment, size, caller);
}

static COLD void *new_aligned_nothrow_elsewhere(enum form form, size_t size, size_t alignment, const void *tag, const void *caller) {
  new_aligned_nothrow_function *next = (new_aligned_nothrow_function *)served_behind(form);
  if (next) return next(size, alignment, tag);
  if (!is_mallocs(form))
    return operators[form].leads_to == NEW_ALIGNED ? _ZnwmSt11align_val_t(size, alignment) : _ZnamSt11align_val_t(size, alignment);
  void *payload = malloc_or_aligned(alignment, size);
  return payload ? payload : nothrow_aligned_slow(form, size, alignment, tag, caller);
}

void *_Znwm(size_t size) {
  if (!is_ours(NEW)) return new_elsewhere(NEW, size, CALLER);
  void *object = object_at_hand(size);
  return LIKELY(object != NULL) ? object : new_plain(size, CALLER);
}

void *_Znam(size_t size) {
  if (!is_ours(NEW_ARRAY)) return new_elsewhere(NEW_ARRAY, size, CALLER);
  void *object = object_at_hand(size);
  return LIKELY(object != NULL) ? object : new_plain(size, CALLER);
}

void *_ZnwmRKSt9nothrow_t(size_t size, const void *tag) {
  if (!is_ours(NEW_NOTHROW)) return new_nothrow_elsewhere(NEW_NOTHROW, size, tag, CALLER);
  void *object = object_at_hand(size);
  return LIKELY(object != NULL) ? object : new_nothrow(NEW_NOTHROW, size, tag, CALLER);
}

void *_ZnamRKSt9nothrow_t(size_t size, const void *tag) {
  if (!is_ours(NEW_ARRAY_NOTHROW)) return new_nothrow_elsewhere(NEW_ARRAY_NOTHROW, size, tag, CALLER);
  void *object = object_at_hand(size);
  return LIKELY(object != NULL) ? object : new_nothrow(NEW_ARRAY_NOTHROW, size, tag, CALLER);
}

void *_ZnwmSt11align_val_t(size_t size, size_t alignment) {
  if (!is_ours(NEW_ALIGNED)) return new_aligned_elsewhere(NEW_ALIGNED, size, alignment, CALLER);
  return new_aligned(size, alignment, CALLER);
}

void *_ZnamSt11align_val_t(size_t size, size_t alignment) {
  if (!is_ours(NEW_ARRAY_ALIGNED)) return new_aligned_elsewhere(NEW_ARRAY_ALIGNED, size, alignment, CALLER);
  return new_aligned(size, alignment, CALLER);
}

void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const void *tag) {
  if (!is_ours(NEW_ALIGNED_NOTHROW)) return new_aligned_nothrow_elsewhere(NEW_ALIGNED_NOTHROW, size, alignment, tag, CALLER);
  return new_aligned_nothrow(NEW_ALIGNED_NOTHROW, size, alignment, tag, CALLER);
}

void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const void *tag) {
  if (!is_ours(NEW_ARRAY_ALIGNED_NOTHROW)) return new_aligned_nothrow_elsewhere(NEW_ARRAY_ALIGNED_NOTHROW, size, alignment, tag, CALLER);
  return new_aligned_nothrow(NEW_ARRAY_ALIGNED_NOTHROW, size, alignment, tag, CALLER);
}

/* ---- delete; sizes and alignments are hints ------------------------------------------------------------------------- */

static void delete_onwards(enum form form, void *ptr) {
  if (is_mallocs(form)) free(ptr);
  else if (operators[form].leads_to == DELETE) _ZdlPv(ptr);
  else _ZdaPv(ptr);
}

static void delete_aligned_onwards(enum form form, void *ptr, size_t alignment) {
  if (is_mallocs(form)) free(ptr);
  else if (operators[form].leads_to == DELETE_ALIGNED) _ZdlPvSt11align_val_t(ptr, alignment);
  else _ZdaPvSt11align_val_t(ptr, alignment);
}

static COLD void delete_elsewhere(enum form form, void *ptr) {
  delete_function *next = (delete_function *)served_behind(form);
  if (next) next(ptr);
  else delete_onwards(form, ptr);
}

static COLD void delete_sized_elsewhere(enum form form, void *ptr, size_t size) {
  delete_word_function *next = (delete_word_function *)served_behind(form);
  if (next) next(ptr, size);
  else delete_onwards(form, ptr);
}

static COLD void delete_nothrow_elsewhere(enum form form, void *ptr, const void *tag) {
  delete_nothrow_function *next = (delete_nothrow_function *)served_behind(form);
  if (next) next(ptr, tag);
  else delete_onwards(form, ptr);
}

static COLD void delete_aligned_elsewhere(enum form form, void *ptr, size_t alignment) {
  delete_word_function *next = (delete_word_function *)served_behind(form);
  if (next) next(ptr, alignment);
  else delete_aligned_onwards(form, ptr, alignment);
}

static COLD void delete_sized_aligned_elsewhere(enum form form, void *ptr, size_t size, size_t alignment) {
  delete_words_function *next = (delete_words_function *)served_behind(form);
  if (next) next(ptr, size, alignment);
  else delete_aligned_onwards(form, ptr, alignment);
}

static COLD void delete_aligned_nothrow_elsewhere(enum form form, void *ptr, size_t alignment, const void *tag) {
  delete_aligned_nothrow_function *next = (delete_aligned_nothrow_function *)served_behind(form);
  if (next) next(ptr, alignment, tag);
  else delete_aligned_onwards(form, ptr, alignment);
}

void _ZdlPv(void *ptr) { is_ours(DELETE) ? heap_free(ptr) : delete_elsewhere(DELETE, ptr); }

void _ZdaPv(void *ptr) { is_ours(DELETE_ARRAY) ? heap_free(ptr) : delete_elsewhere(DELETE_ARRAY, ptr); }

void _ZdlPvm(void *ptr, size_t size) { is_ours(DELETE_SIZED) ? heap_free(ptr) : delete_sized_elsewhere(DELETE_SIZED, ptr, size); }

void _ZdaPvm(void *ptr, size_t size) {
  is_ours(DELETE_ARRAY_SIZED) ? heap_free(ptr) : delete_sized_elsewhere(DELETE_ARRAY_SIZED, ptr, size);
}

/* The nothrow ones are for a constructor that throws after new(nothrow). */
void _ZdlPvRKSt9nothrow_t(void *ptr, const void *tag) {
  is_ours(DELETE_NOTHROW) ? heap_free(ptr) : delete_nothrow_elsewhere(DELETE_NOTHROW, ptr, tag);
}

void _ZdaPvRKSt9nothrow_t(void *ptr, const void *tag) {
  is_ours(DELETE_ARRAY_NOTHROW) ? heap_free(ptr) : delete_nothrow_elsewhere(DELETE_ARRAY_NOTHROW, ptr, tag);
}

void _ZdlPvSt11align_val_t(void *ptr, size_t alignment) {
  is_ours(DELETE_ALIGNED) ? heap_free(ptr) : delete_aligned_elsewhere(DELETE_ALIGNED, ptr, alignment);
}

void _ZdaPvSt11align_val_t(void *ptr, size_t alignment) {
  is_ours(DELETE_ARRAY_ALIGNED) ? heap_free(ptr) : delete_aligned_elsewhere(DELETE_ARRAY_ALIGNED, ptr, alignment);
}

void _ZdlPvmSt11align_val_t(void *ptr, size_t size, size_t alignment) {
  is_ours(DELETE_SIZED_ALIGNED) ? heap_free(ptr) : delete_sized_aligned_elsewhere(DELETE_SIZED_ALIGNED, ptr, size, alignment);
}

void _ZdaPvmSt11align_val_t(void *ptr, size_t size, size_t alignment) {
  is_ours(DELETE_ARRAY_SIZED_ALIGNED) ? heap_free(ptr)
                                      : delete_sized_aligned_elsewhere(DELETE_ARRAY_SIZED_ALIGNED, ptr, size, alignment);
}

void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *ptr, size_t alignment, const void *tag) {
  is_ours(DELETE_ALIGNED_NOTHROW) ? heap_free(ptr)
                                  : delete_aligned_nothrow_elsewhere(DELETE_ALIGNED_NOTHROW, ptr, alignment, tag);
}

void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *ptr, size_t alignment, const void *tag) {
  is_ours(DELETE_ARRAY_ALIGNED_NOTHROW) ? heap_free(ptr)
                                        : delete_aligned_nothrow_elsewhere(DELETE_ARRAY_ALIGNED_NOTHROW, ptr, alignment, tag);
}
