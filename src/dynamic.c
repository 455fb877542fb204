/* SPDX-License-Identifier: MIT */
/* See dynamic.h; and what stands before functions of libc's: dlopen, without RTLD_DEEPBIND, and dlsym; of glibc's alone: dlmopen, dlvsym, the registration of handlers for
 * fork; and cfree.
 *
 * A plugin opened with that flag binds to libc's own malloc and free, and hands libc our pointers: php, Apache and Qt open plugins so,
 * and crash under other preloaded allocators. No free of ours can catch it, so the flag is dropped here. dlmopen into the base namespace
 * is the same; another namespace has a libc and a malloc of its own, and none of ours.
 * OSMEM_OPTIONS=deepbind=1 leaves it alone. */
#include "dynamic.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>

#include "foreign.h"
#include "fork.h"
#include "heap.h"
#include "libc.h"
#include "options.h"
#include "start.h"
#include "symbols.h"

#define EXPORT __attribute__((visibility("default")))

void *dynamic_symbol(const char *library, const char *name) {
  void *handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
  if (!handle) return NULL;
  void *symbol = dlsym(handle, name);
  dlclose(handle);
  return symbol;
}

/* That of who is preloaded behind us, or libc's; looked for once. */
static void *next_function(void **cached, const char *name) {
  void *function = __atomic_load_n(cached, __ATOMIC_RELAXED);
  if (function) return function;
  function = symbol_next(name);
  __atomic_store_n(cached, function, __ATOMIC_RELAXED);
  return function;
}

/* The calls below are tail calls, which the compiler makes jumps (-foptimize-sibling-calls): the dynamic linker must see our caller's address, for
 * glibc's RUNPATH and $ORIGIN are the caller's, and RTLD_NEXT is what comes after it. */
typedef void *dlopen_function(const char *file, int mode);

#ifdef __GLIBC__
static int without_deepbind(int mode) { return settings.keep_deepbind || left_alone ? mode : mode & ~RTLD_DEEPBIND; }

EXPORT void *dlopen(const char *file, int mode) {
  static void *next; /* atomic */
  return ((dlopen_function *)next_function(&next, "dlopen"))(file, without_deepbind(mode));
}

typedef void *dlmopen_function(Lmid_t namespace, const char *file, int mode);

EXPORT void *dlmopen(Lmid_t namespace, const char *file, int mode) {
  static void *next; /* atomic */
  if (namespace == LM_ID_BASE) mode = without_deepbind(mode);
  return ((dlmopen_function *)next_function(&next, "dlmopen"))(namespace, file, mode);
}
#else
/* musl does not ask for its caller here. */
EXPORT void *dlopen(const char *file, int mode) {
  static void *next; /* atomic */
  void *handle = ((dlopen_function *)next_function(&next, "dlopen"))(file, mode);
  if (handle) symbols_note_images();
  return handle;
}
#endif

#ifndef __SANITIZE_THREAD__ /* its library calls these before it can bear code that it watches */

/* ---- libc's malloc and free, asked for by its handle ------------------------------------------------------------------- */

/* Python's ctypes, PHP's FFI and whoever else takes "free" out of "libc.so.6" frees with it what libc and others allocated, by our malloc, and glibc's free takes
 * what stands before that for a size: live memory was handed out again, with no message. So where libc's function would be the answer it is ours: for a block
 * of libc's own ours is as good, see foreign.c. Likewise for RTLD_NEXT, for who stands behind us: no malloc there is anybody's but the one that asks for another, and whatever
 * he gets and hands on comes to our free.
 *
 * These names and no others. (With all that libc and we have in common a tool behind us that stands before dlopen() had ours for the next one, which calls his:
 * fakechroot, heaptrack, ThreadSanitizer's library, each program that they were used with ended by a stack overflow.) */
static bool is_of_family(const char *name) {
  static const char family[][20] = {"malloc", "free", "calloc", "realloc", "reallocarray", "aligned_alloc", "posix_memalign", "memalign", "valloc", "pvalloc",
                                    "malloc_usable_size", "malloc_trim", "mallinfo", "mallinfo2", "malloc_stats", "malloc_info", "mallopt"};
  for (size_t i = 0; i < sizeof family / sizeof *family; i++)
    if (same_name(family[i], name)) return true;
  return false;
}

/* Ours of that name, if our malloc is everybody's. */
static void *ours_for_all(const char *name) {
  bool ours = !left_alone && is_of_family(name) && symbol_is_ours("malloc") && symbol_is_ours("free");
  return ours ? symbol_of_ours(name) : NULL;
}

static void *ours_for_libcs(const char *name, void *found, void *ours) { return found && found == symbol_of_libc(name) ? ours : found; }

/* Ours, where it may be what the handle means; NULL: it is not, whatever the call answers. (With RTLD_NEXT the call itself tells, by its caller, so it cannot be made from
 * here.) */
static void *ours_by(void *handle, const char *name, const void *caller) {
  if (handle == RTLD_DEFAULT || (handle == RTLD_NEXT && !symbol_stands_behind_us(caller))) return NULL;
  return ours_for_all(name);
}

typedef void *dlsym_function(void *handle, const char *name);

EXPORT void *dlsym(void *handle, const char *name) {
  static void *next; /* atomic */
  dlsym_function *real = (dlsym_function *)next_function(&next, "dlsym");
  void *ours = ours_by(handle, name, __builtin_return_address(0));
  if (!ours) return real(handle, name);
  return handle == RTLD_NEXT ? ours : ours_for_libcs(name, real(handle, name), ours);
}

#ifdef __GLIBC__
typedef void *dlvsym_function(void *handle, const char *name, const char *version);

EXPORT void *dlvsym(void *handle, const char *name, const char *version) {
  static void *next; /* atomic */
  dlvsym_function *real = (dlvsym_function *)next_function(&next, "dlvsym");
  void *ours = ours_by(handle, name, __builtin_return_address(0));
  if (!ours) return real(handle, name, version);
  return handle == RTLD_NEXT ? ours : ours_for_libcs(name, real(handle, name, version), ours);
}

/* ---- fork --------------------------------------------------------------------------------------------------------------- */

/* What pthread_atfork() of every library comes to, ours too, which come first: see fork.c. */
EXPORT int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *library) {
  static void *next; /* atomic */
  start();
  fork_registrar *registrar = (fork_registrar *)next_function(&next, "__register_atfork");
  return registrar ? fork_register(registrar, prepare, parent, child, library) : ENOMEM; /* before glibc 2.35 nothing is found in another namespace */
}
#endif /* __GLIBC__ */
#endif /* __SANITIZE_THREAD__ */

#if defined __GLIBC__ && (defined __x86_64__ || defined __aarch64__)

/* ---- cfree --------------------------------------------------------------------------------------------------------------- */

/* Programs linked before glibc 2.26 (2017) may call cfree. We have it as glibc has, hidden, in the version that they ask for, since the name is
 * nobody's: a library with a function cfree of its own must not find ours in its place. */
EXPORT void old_cfree(void *ptr);
void old_cfree(void *ptr) { heap_free(ptr); }
__asm__(".symver old_cfree, cfree@" LIBC_VERSION ", remove");

#endif
