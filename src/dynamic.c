/* See dynamic.h; and what stands before functions of libc's: dlopen without RTLD_DEEPBIND, and the registration of handlers for fork; and cfree.
 *
 * A plugin opened with that flag binds to libc's own malloc and free, and hands libc our pointers: php, Apache and Qt open plugins so,
 * and crash under other preloaded allocators. No free of ours can catch it, so the flag is dropped here. dlmopen into the base namespace
 * is the same; another namespace has a libc and a malloc of its own, and none of ours.
 * OSMEM_OPTIONS=deepbind=1 leaves it alone. */
#include "dynamic.h"

#include <dlfcn.h>
#include <stddef.h>

#include "foreign.h"
#include "fork.h"
#include "heap.h"
#include "options.h"
#include "symbols.h"

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
  function = symbol_behind_ours(name);
  if (!function) function = symbol_of_libc(name); /* we were loaded after it */
  __atomic_store_n(cached, function, __ATOMIC_RELAXED);
  return function;
}

static int without_deepbind(int mode) { return settings.keep_deepbind ? mode : mode & ~RTLD_DEEPBIND; }

/* The calls below are tail calls, which the compiler makes jumps (-foptimize-sibling-calls): the dynamic linker must see our caller's address, for
 * RUNPATH and $ORIGIN are the caller's. */
typedef void *dlopen_function(const char *file, int mode);
typedef void *dlmopen_function(Lmid_t namespace, const char *file, int mode);

__attribute__((visibility("default"))) void *dlopen(const char *file, int mode) {
  static void *next; /* atomic */
  return ((dlopen_function *)next_function(&next, "dlopen"))(file, without_deepbind(mode));
}

__attribute__((visibility("default"))) void *dlmopen(Lmid_t namespace, const char *file, int mode) {
  static void *next; /* atomic */
  if (namespace == LM_ID_BASE) mode = without_deepbind(mode);
  return ((dlmopen_function *)next_function(&next, "dlmopen"))(namespace, file, mode);
}

/* What pthread_atfork() of every library comes to, ours too: see fork.c. (ThreadSanitizer's library calls it before it can bear code that it
 * watches.) */
#ifndef __SANITIZE_THREAD__
extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *library);
__attribute__((visibility("default"))) int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *library) {
  static void *next; /* atomic */
  return fork_register((fork_registrar *)next_function(&next, "__register_atfork"), prepare, parent, child, library);
}
#endif

/* Programs linked before glibc 2.26 (2017) may call cfree. We have it as glibc has, hidden, in the version that they ask for, since the name is
 * nobody's: a library with a function cfree of its own must not find ours in its place. */
__attribute__((visibility("default"))) void old_cfree(void *ptr);
void old_cfree(void *ptr) { heap_free(ptr); }
__asm__(".symver old_cfree, cfree@" LIBC_VERSION ", remove");
