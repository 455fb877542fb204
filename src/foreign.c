/* SPDX-License-Identifier: MIT */
/* See foreign.h.
 *
 * Forth: memory from glibc (an object bound to libc itself, or from before we were loaded) is recognised by not being ours, and
 * handed to __libc_free and its kin, which exist for wrappers like us. If glibc's malloc never served
 * anything, as in nearly every process, such a pointer can only be a mistake.
 * The way back is closed by dynamic.c.
 *
 * Where we serve nobody all pointers are such, and nothing is judged. */
#include "foreign.h"

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "block_meta.h"
#include "libc.h"
#include "printf.h"
#include "report.h"
#include "symbols.h"

extern void __libc_free(void *) __attribute__((weak));
extern void *__libc_realloc(void *, size_t) __attribute__((weak));

typedef struct mallinfo2 info_function(void);
typedef struct mallinfo old_info_function(void);
typedef size_t usable_function(void *payload);

const char *left_alone;

/* The strangers: libc's, of a process that is left alone the next one's. What only that needs is looked for then. */
static struct {
  void *(*malloc)(size_t bytes);
  void *(*calloc)(size_t count, size_t bytes);
  void *(*memalign)(size_t alignment, size_t bytes);
  void *(*realloc)(void *payload, size_t bytes);
  void (*free)(void *payload);
  usable_function *usable;
} stranger = {.realloc = __libc_realloc, .free = __libc_free};

COLD bool foreign_leave_alone(const char *why) {
  if (!symbol_next("malloc")) return false;
  stranger.malloc = (void *(*)(size_t))symbol_next("malloc");
  stranger.calloc = (void *(*)(size_t, size_t))symbol_next("calloc");
  stranger.memalign = (void *(*)(size_t, size_t))symbol_next("memalign");
  stranger.realloc = (void *(*)(void *, size_t))symbol_next("realloc");
  stranger.free = (void (*)(void *))symbol_next("free");
  stranger.usable = (usable_function *)symbol_next("malloc_usable_size");
  left_alone = why;
  return true;
}

COLD void foreign_serve_instead(const char *reason) {
  bool served = foreign_leave_alone(reason);
  print(STDERR_FILENO, "osmem: %s: %s\n", reason, served ? "the C library's own malloc serves this process" : "and this program has no other malloc");
  if (!served) abort();
}

void *foreign_allocate(size_t bytes, size_t alignment, bool zero) {
  if (alignment > ALIGNMENT) return stranger.memalign(alignment, bytes);
  return zero ? stranger.calloc(1, bytes) : stranger.malloc(bytes);
}

void *foreign_function(const char *name) { return left_alone ? symbol_next(name) : NULL; }

/* libc's own definitions of names that we export, too, and that who is preloaded behind us may have. Not by dlvsym(): that takes the loader's
 * lock, under which a plugin's constructor may be waiting for the very thread that frees. (A wholly static program has no other malloc.) */
static bool libc_holds_memory(void) {
  info_function *info = (info_function *)symbol_of_libc("mallinfo2");
  if (info) {
    struct mallinfo2 libc = info();
    return libc.arena + libc.hblkhd > 0;
  }
  old_info_function *old_info = (old_info_function *)symbol_of_libc("mallinfo"); /* before glibc 2.33; its numbers are short */
  if (!old_info) return true;
  struct mallinfo libc = old_info();
  return libc.arena != 0 || libc.hblkhd != 0;
}

/* Once true it stays so: mallinfo2() walks all that libc's heap has free, and 40,000 frees that asked it each time took 42 s. */
bool foreign_has_memory(void) {
  static bool held_memory; /* atomic */
  if (!stranger.free || !stranger.realloc) return false;
  if (__atomic_load_n(&held_memory, __ATOMIC_RELAXED)) return true;
  bool holds = libc_holds_memory();
  __atomic_store_n(&held_memory, holds, __ATOMIC_RELAXED);
  return holds;
}

/* Ends the process unless `payload` may be glibc's. */
static void check_foreign(const void *payload, const char *call) {
  if (left_alone) return;
  if ((uintptr_t)payload % ALIGNMENT) report_misuse(call, MISUSE_MISALIGNED, payload);
  if (!foreign_has_memory()) report_misuse(call, MISUSE_INVALID, payload);
}

void foreign_free(void *payload, const char *call) {
  check_foreign(payload, call);
  stranger.free(payload);
}

void *foreign_realloc(void *payload, size_t bytes, const char *call) {
  check_foreign(payload, call);
  return stranger.realloc(payload, bytes);
}

size_t foreign_usable(void *payload, const char *call) {
  check_foreign(payload, call);
  usable_function *usable = left_alone ? stranger.usable : (usable_function *)symbol_of_libc("malloc_usable_size");
  return usable ? usable(payload) : 0;
}
