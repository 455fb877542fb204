/* C++'s operators new and delete under their mangled names, without libstdc++.
 *
 * A program may replace any of them. The standard says which of the others then follow: new[] and the sized forms call the plain
 * ones. So do these, by their public names (the library is built with -fsemantic-interposition): a replaced
 * operator delete gets what a replaced operator new gave. */
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "block_meta.h"
#include "dynamic.h"
#include "heap.h"
#include "printf.h"

#define EXPORT __attribute__((visibility("default")))

/* The weak references below find nothing when a C program loads the C++ library later, with a plugin. */
static void *cxx_symbol(const char *name) { return dynamic_symbol ? dynamic_symbol("libstdc++.so.6", name) : NULL; }

typedef void handler_function(void);

extern handler_function *_ZSt15get_new_handlerv(void) __attribute__((weak)); /* std::get_new_handler() */
extern void _ZSt17__throw_bad_allocv(void) __attribute__((weak));             /* std::__throw_bad_alloc() */

static handler_function *new_handler(void) {
  if (_ZSt15get_new_handlerv) return _ZSt15get_new_handlerv();
  handler_function *(*get)(void) = (handler_function * (*)(void)) cxx_symbol("_ZSt15get_new_handlerv");
  /* cppcheck-suppress legacyUninitvar ; a false alarm about a pointer to a function that returns one */
  return get ? get() : NULL;
}

static _Noreturn void throw_bad_alloc(void) {
  if (_ZSt17__throw_bad_allocv) _ZSt17__throw_bad_allocv();
  void (*throw)(void) = (void (*)(void))cxx_symbol("_ZSt17__throw_bad_allocv");
  if (throw) throw();
  print(STDERR_FILENO, "osmem: operator new: out of memory, and no C++ library to throw bad_alloc\n");
  abort();
}

/* Ask the new-handler to make room until it does, throws, or is none. */
static COLD void *new_slow(size_t alignment, size_t size) {
  for (;;) {
    handler_function *handler = new_handler();
    if (!handler) throw_bad_alloc();
    handler();
    void *payload = heap_aligned(alignment, size);
    if (payload) return payload;
  }
}

/* The nothrow forms turn what a handler throws into NULL. That takes C++: the library's own form, which calls our throwing one. */
static COLD void *nothrow_slow(const char *name, size_t size, const void *tag) {
  void *(*library)(size_t, const void *) = (void *(*)(size_t, const void *))dlsym(RTLD_NEXT, name);
  return library ? library(size, tag) : NULL;
}

static COLD void *nothrow_aligned_slow(const char *name, size_t size, size_t alignment, const void *tag) {
  void *(*library)(size_t, size_t, const void *) = (void *(*)(size_t, size_t, const void *))dlsym(RTLD_NEXT, name);
  return library ? library(size, alignment, tag) : NULL;
}

/* new: plain, array */
EXPORT void *_Znwm(size_t size) {
  void *payload = heap_malloc(size);
  return LIKELY(payload != NULL) ? payload : new_slow(ALIGNMENT, size);
}

EXPORT void *_Znam(size_t size) { return _Znwm(size); }

/* new: nothrow */
EXPORT void *_ZnwmRKSt9nothrow_t(size_t size, const void *tag) {
  void *payload = heap_malloc(size);
  return LIKELY(payload != NULL) ? payload : nothrow_slow("_ZnwmRKSt9nothrow_t", size, tag);
}

EXPORT void *_ZnamRKSt9nothrow_t(size_t size, const void *tag) { return _ZnwmRKSt9nothrow_t(size, tag); }

/* new: aligned */
EXPORT void *_ZnwmSt11align_val_t(size_t size, size_t alignment) {
  void *payload = heap_aligned(alignment, size);
  return LIKELY(payload != NULL) ? payload : new_slow(alignment, size);
}

EXPORT void *_ZnamSt11align_val_t(size_t size, size_t alignment) { return _ZnwmSt11align_val_t(size, alignment); }

EXPORT void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const void *tag) {
  void *payload = heap_aligned(alignment, size);
  return LIKELY(payload != NULL) ? payload
                                 : nothrow_aligned_slow("_ZnwmSt11align_val_tRKSt9nothrow_t", size, alignment, tag);
}

EXPORT void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const void *tag) {
  return _ZnwmSt11align_val_tRKSt9nothrow_t(size, alignment, tag);
}

/* delete: plain, array */
EXPORT void _ZdlPv(void *ptr) { heap_free(ptr); }

EXPORT void _ZdaPv(void *ptr) { _ZdlPv(ptr); }

/* delete: sized; the sizes are hints */
EXPORT void _ZdlPvm(void *ptr, size_t size) {
  (void)size;
  _ZdlPv(ptr);
}

EXPORT void _ZdaPvm(void *ptr, size_t size) {
  (void)size;
  _ZdaPv(ptr);
}

/* delete: nothrow, what a constructor that throws calls after new(nothrow) */
EXPORT void _ZdlPvRKSt9nothrow_t(void *ptr, const void *tag) {
  (void)tag;
  _ZdlPv(ptr);
}

EXPORT void _ZdaPvRKSt9nothrow_t(void *ptr, const void *tag) {
  (void)tag;
  _ZdaPv(ptr);
}

/* delete: aligned */
EXPORT void _ZdlPvSt11align_val_t(void *ptr, size_t alignment) {
  (void)alignment;
  heap_free(ptr);
}

EXPORT void _ZdaPvSt11align_val_t(void *ptr, size_t alignment) { _ZdlPvSt11align_val_t(ptr, alignment); }

EXPORT void _ZdlPvmSt11align_val_t(void *ptr, size_t size, size_t alignment) {
  (void)size;
  _ZdlPvSt11align_val_t(ptr, alignment);
}

EXPORT void _ZdaPvmSt11align_val_t(void *ptr, size_t size, size_t alignment) {
  (void)size;
  _ZdaPvSt11align_val_t(ptr, alignment);
}

EXPORT void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *ptr, size_t alignment, const void *tag) {
  (void)tag;
  _ZdlPvSt11align_val_t(ptr, alignment);
}

EXPORT void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *ptr, size_t alignment, const void *tag) {
  (void)tag;
  _ZdaPvSt11align_val_t(ptr, alignment);
}
