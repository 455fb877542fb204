/* See foreign.h.
 *
 * Forth: memory from glibc (an object bound to libc itself, or from before we were loaded) is recognised by not being ours, and
 * handed to __libc_free and its kin, which exist for wrappers like us. If glibc's malloc never served
 * anything, as in nearly every process, such a pointer can only be a mistake.
 * The way back is closed by dynamic.c. */
#include "foreign.h"

#include <stdint.h>

#include "block_meta.h"
#include "libc.h"
#include "report.h"
#include "symbols.h"

extern void __libc_free(void *) __attribute__((weak));
extern void *__libc_realloc(void *, size_t) __attribute__((weak));

typedef struct mallinfo2 info_function(void);
typedef size_t usable_function(void *payload);

/* libc's own definitions of names that we export, too, and that who is preloaded behind us may have. Not by dlvsym(): that takes the loader's
 * lock, under which a plugin's constructor may be waiting for the very thread that frees. (A wholly static program has no other malloc.)
 *
 * Once true it stays so: mallinfo2() walks all that libc's heap has free, and 40,000 frees that asked it each time took 42 s. */
bool foreign_has_memory(void) {
  static bool held_memory; /* atomic */
  if (!__libc_free || !__libc_realloc) return false;
  if (__atomic_load_n(&held_memory, __ATOMIC_RELAXED)) return true;
  info_function *info = (info_function *)symbol_of_libc("mallinfo2");
  if (!info) return true;
  struct mallinfo2 libc = info();
  bool holds = libc.arena + libc.hblkhd > 0;
  __atomic_store_n(&held_memory, holds, __ATOMIC_RELAXED);
  return holds;
}

/* Ends the process unless `payload` may be glibc's. */
static void check_foreign(const void *payload, const char *call) {
  if ((uintptr_t)payload % ALIGNMENT) report_misuse(call, MISUSE_MISALIGNED, payload);
  if (!foreign_has_memory()) report_misuse(call, MISUSE_INVALID, payload);
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
  usable_function *usable = (usable_function *)symbol_of_libc("malloc_usable_size");
  return usable ? usable(payload) : 0;
}
