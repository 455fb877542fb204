/* See foreign.h.
 *
 * Forth: memory from glibc (an object bound to libc itself, or from before we were loaded) is recognised by not being ours, and
 * handed to __libc_free and its kin, which exist for wrappers like us. If glibc's malloc never served
 * anything, as in nearly every process, such a pointer can only be a mistake.
 * The way back is closed by dynamic.c. */
#include "foreign.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdint.h>

#include "block_meta.h"
#include "report.h"

extern void __libc_free(void *) __attribute__((weak));
extern void *__libc_realloc(void *, size_t) __attribute__((weak));

/* The C library's definition of a name that we export too. On cold paths only: dlsym may allocate. */
static void *libc_symbol(const char *name) { return dlsym(RTLD_NEXT, name); }

static bool libc_holds_memory(void) {
  struct mallinfo2 (*info)(void) = (struct mallinfo2(*)(void))libc_symbol("mallinfo2");
  if (!info) return __libc_free != NULL;
  struct mallinfo2 libc = info();
  return libc.arena + libc.hblkhd > 0;
}

/* Ends the process unless `payload` may be glibc's. */
static void check_foreign(const void *payload, const char *call) {
  if ((uintptr_t)payload % ALIGNMENT) report_misuse(call, MISUSE_MISALIGNED, payload);
  if (!__libc_free || !__libc_realloc || !libc_holds_memory()) report_misuse(call, MISUSE_INVALID, payload);
}

void foreign_free(void *payload, const char *call) {
  check_foreign(payload, call);
  __libc_free(payload);
}

void *foreign_realloc(void *payload, size_t bytes, const char *call) {
  check_foreign(payload, call);
  return __libc_realloc(payload, bytes);
}

size_t foreign_usable(void *payload, const char *call) {
  check_foreign(payload, call);
  size_t (*usable)(void *) = (size_t(*)(void *))libc_symbol("malloc_usable_size");
  return usable ? usable(payload) : 0;
}
