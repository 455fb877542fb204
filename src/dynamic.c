/* See dynamic.h; and dlopen without RTLD_DEEPBIND.
 *
 * A plugin opened with that flag binds to libc's own malloc and free, and hands libc our pointers: php, Apache and Qt open plugins so,
 * and crash under other preloaded allocators. No free of ours can catch it, so the flag is dropped here.
 * OSMEM_OPTIONS=deepbind=1 leaves it alone. */
#include "dynamic.h"

#include <dlfcn.h>
#include <stddef.h>

#include "options.h"

void *dynamic_symbol(const char *library, const char *name) {
  void *handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
  if (!handle) return NULL;
  void *symbol = dlsym(handle, name);
  dlclose(handle);
  return symbol;
}

typedef void *dlopen_function(const char *file, int mode);

/* The call is a tail call, which the compiler makes a jump (-O1 and above): the dynamic linker must see our caller's address, for
 * RUNPATH and $ORIGIN are the caller's. */
__attribute__((visibility("default"))) void *dlopen(const char *file, int mode) {
  static dlopen_function *next; /* atomic */
  dlopen_function *real = __atomic_load_n(&next, __ATOMIC_RELAXED);
  if (!real) {
    real = (dlopen_function *)dlsym(RTLD_NEXT, "dlopen");
    __atomic_store_n(&next, real, __ATOMIC_RELAXED);
  }
  return real(file, settings.keep_deepbind ? mode : mode & ~RTLD_DEEPBIND);
}
