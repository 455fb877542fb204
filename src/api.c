/* SPDX-License-Identifier: MIT */
/* The os_* functions of include/osmem.h: one-line forwarders to the heap. */
#include "../include/osmem.h"

#include <errno.h>
#include <string.h>

#include "check.h"
#include "heap.h"
#include "os.h"
#include "stats.h"

#define EXPORT __attribute__((visibility("default")))
#define TEXT_OF(x) #x
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

EXPORT void *os_malloc(size_t size) { return size ? heap_malloc(size) : NULL; }

EXPORT void *os_calloc(size_t nmemb, size_t size) { return nmemb && size ? heap_calloc(nmemb, size) : NULL; }

EXPORT void *os_realloc(void *ptr, size_t size) { return ptr || size ? heap_realloc(ptr, size, "os_realloc") : NULL; }

EXPORT void *os_reallocarray(void *ptr, size_t nmemb, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(nmemb, size, &bytes)) bytes = SIZE_MAX;
  return ptr || bytes ? heap_realloc(ptr, bytes, "os_reallocarray") : NULL;
}

EXPORT void os_free(void *ptr) { heap_free(ptr); }

EXPORT void *os_aligned_alloc(size_t alignment, size_t size) {
  if (!is_power_of_two(alignment)) {
    errno = EINVAL;
    return NULL;
  }
  return size ? heap_aligned(alignment, size) : NULL;
}

EXPORT size_t os_usable_size(const void *ptr) { return heap_usable((void *)(uintptr_t)ptr, "os_usable_size"); }

EXPORT bool os_trim(size_t pad) { return heap_trim(pad) > 0; }

EXPORT void os_get_stats(struct os_stats *out, size_t out_size) {
  struct heap_stats now;
  stats_collect(&now);
  memcpy(out, &now.shown, min_size(out_size, sizeof now.shown));
}

EXPORT bool os_check(void) { return heap_check(); }

EXPORT const char *os_version(void) {
  return VERSION_TEXT(OSMEM_VERSION_MAJOR, OSMEM_VERSION_MINOR, OSMEM_VERSION_PATCH);
}
