/* SPDX-License-Identifier: MIT */
/* The standard names: malloc and its family, one-line forwarders to the heap. Together with cxx.c this is what
 * LD_PRELOAD puts under a program. */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "os.h"
#include "block_meta.h"
#include "foreign.h"
#include "heap.h"
#include "libc.h"
#include "printf.h"
#include "stats.h"
#include "symbols.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT void *malloc(size_t size) { return heap_malloc(size); }

EXPORT void free(void *ptr) { heap_free(ptr); }

/* The sizes are hints: wrong ones are common, and nothing here needs them. By the public free, see reallocarray(). */
EXPORT void free_sized(void *ptr, size_t size) {
  (void)size;
  free(ptr);
}

EXPORT void free_aligned_sized(void *ptr, size_t alignment, size_t size) {
  (void)alignment;
  (void)size;
  free(ptr);
}

EXPORT void *calloc(size_t nmemb, size_t size) { return heap_calloc(nmemb, size); }

EXPORT void *realloc(void *ptr, size_t size) { return heap_realloc(ptr, max_size(size, LIBC_LEAST_REALLOC), "realloc"); }

/* By the public realloc, as glibc's: who stands before us may have, as glibc's manual asks for, a malloc, free, calloc and realloc and no
 * more. Then our reallocarray is called for his blocks. */
EXPORT void *reallocarray(void *ptr, size_t nmemb, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(nmemb, size, &bytes)) bytes = SIZE_MAX;
  return realloc(ptr, bytes);
}

/* Where somebody stands before us with a free, and not with this function, it goes where it would without us: what it gives out ends in his free. (A
 * program that has, as above, a malloc of its own over glibc's, and no posix_memalign.) NULL: it is ours. So it is where he has the function, too, and
 * hands on to us; and where libc's own free comes first, since we were loaded later: who calls us then asked for us. In a process that is left alone nothing is. */
static enum { FREE_UNKNOWN, FREE_OURS, FREE_THEIRS } whose_free; /* atomic */

static COLD void *elsewhere_slow(void **cached, const char *name) {
  if (__atomic_load_n(&whose_free, __ATOMIC_RELAXED) == FREE_UNKNOWN) {
    bool ours = !left_alone && (symbol_is_ours("free") || symbol_of_all("free") == symbol_of_libc("free"));
    __atomic_store_n(&whose_free, ours ? FREE_OURS : FREE_THEIRS, __ATOMIC_RELAXED);
  }
  if (__atomic_load_n(&whose_free, __ATOMIC_RELAXED) == FREE_OURS) return NULL;
  void *function = __atomic_load_n(cached, __ATOMIC_RELAXED);
  if (!function && symbol_is_ours(name)) __atomic_store_n(cached, function = symbol_behind_ours(name), __ATOMIC_RELAXED);
  return function;
}

/* `cached`: looked for once. */
static inline void *elsewhere(void **cached, const char *name) {
  return LIKELY(__atomic_load_n(&whose_free, __ATOMIC_RELAXED) == FREE_OURS) ? NULL : elsewhere_slow(cached, name);
}

typedef int posix_memalign_function(void **memptr, size_t alignment, size_t size);
typedef void *memalign_function(size_t alignment, size_t size);
typedef void *valloc_function(size_t size);

static COLD size_t round_up_to_power(size_t n) {
  size_t power = 1;
  while (power < n) power *= 2;
  return power;
}

/* An alignment of 0 is none. */
static inline void *aligned_as_in_libc(size_t alignment, size_t size) {
  bool usable = LIBC_ROUNDS_ALIGNMENTS ? alignment <= SIZE_MAX / 2 + 1 : (alignment & (alignment - 1)) == 0;
  if (!usable) {
    errno = EINVAL;
    return NULL;
  }
  return heap_aligned(LIKELY(is_power_of_two(alignment)) ? alignment : round_up_to_power(alignment), size);
}

/* Besides the answer ENOMEM errno says so, too, as in glibc: programs print it. EINVAL is only answered. */
EXPORT int posix_memalign(void **memptr, size_t alignment, size_t size) {
  static void *next;
  posix_memalign_function *theirs = (posix_memalign_function *)elsewhere(&next, "posix_memalign");
  if (UNLIKELY(theirs != NULL)) return theirs(memptr, alignment, size);
  if (!is_power_of_two(alignment) || alignment % sizeof(void *) != 0) return EINVAL;
  void *payload = heap_aligned(alignment, size);
  if (!payload) return ENOMEM;
  *memptr = payload;
  return 0;
}

EXPORT void *aligned_alloc(size_t alignment, size_t size) {
  static void *next;
  memalign_function *theirs = (memalign_function *)elsewhere(&next, "aligned_alloc");
  return UNLIKELY(theirs != NULL) ? theirs(alignment, size) : aligned_as_in_libc(alignment, size);
}

EXPORT void *memalign(size_t alignment, size_t size) {
  static void *next;
  memalign_function *theirs = (memalign_function *)elsewhere(&next, "memalign");
  return UNLIKELY(theirs != NULL) ? theirs(alignment, size) : aligned_as_in_libc(alignment, size);
}

EXPORT void *valloc(size_t size) {
  static void *next;
  valloc_function *theirs = (valloc_function *)elsewhere(&next, "valloc");
  return UNLIKELY(theirs != NULL) ? theirs(size) : heap_aligned(page_bytes, size);
}

EXPORT void *pvalloc(size_t size) {
  static void *next;
  valloc_function *theirs = (valloc_function *)elsewhere(&next, "pvalloc");
  if (UNLIKELY(theirs != NULL)) return theirs(size);
  return heap_aligned(page_bytes, size > PTRDIFF_MAX ? size : round_up(size ? size : 1, page_bytes));
}

EXPORT size_t malloc_usable_size(void *ptr) { return heap_usable(ptr, "malloc_usable_size"); }

/* What is about a heap as a whole is about theirs in a process that is left alone. */
typedef int trim_function(size_t pad);
typedef int option_function(int param, int value);
typedef struct mallinfo2 info2_function(void);
typedef struct mallinfo old_info_function(void);
typedef void stats_function(void);
typedef int write_function(int options, FILE *stream);

EXPORT int malloc_trim(size_t pad) {
  trim_function *theirs = (trim_function *)foreign_function("malloc_trim");
  return theirs ? theirs(pad) : heap_trim(pad) > 0;
}

/* Tuning parameters of glibc's malloc mean nothing here; accepted, as callers expect. */
EXPORT int mallopt(int param, int value) {
  option_function *theirs = (option_function *)foreign_function("mallopt");
  return theirs ? theirs(param, value) : 1;
}

static size_t less(size_t from, size_t amount) { return from > amount ? from - amount : 0; }

/* Other threads go on meanwhile, so differences may come out below zero: that is 0. glibc's fastbins (smblks, fsmblks) have no like here:
 * every free block counts as one. Kept mappings are free memory of the heap: arena + hblkhd is what the heap holds of the kernel. */
static struct mallinfo2 info_of(const struct heap_stats *s) {
  struct free_blocks kept = stats_kept_by_caller();
  size_t held = s->shown.heap_bytes + s->shown.cached_bytes;
  size_t used = min_size(less(s->shown.small_live_bytes + s->shown.medium_live_bytes, kept.bytes), held);
  return (struct mallinfo2){
      .arena = held,
      .ordblks = s->free_objects + s->tops + kept.count + stats_count_free_blocks(),
      .hblks = s->shown.large_live_count,
      .hblkhd = s->shown.mapped_bytes,
      .uordblks = used,
      .fordblks = held - used,
      .keepcost = min_size(s->shown.cached_bytes + s->top_bytes, held - used),
  };
}

EXPORT struct mallinfo2 mallinfo2(void) {
  info2_function *theirs = (info2_function *)foreign_function("mallinfo2");
  if (theirs) return theirs();
  struct heap_stats s;
  stats_collect(&s);
  return info_of(&s);
}

/* What does not fit is INT_MAX, and not some other number. */
static int as_int(size_t n) { return (int)min_size(n, INT_MAX); }

EXPORT struct mallinfo mallinfo(void) {
  old_info_function *theirs = (old_info_function *)foreign_function("mallinfo");
  if (theirs) return theirs();
  struct mallinfo2 wide = mallinfo2();
  return (struct mallinfo){
      .arena = as_int(wide.arena),
      .ordblks = as_int(wide.ordblks),
      .hblks = as_int(wide.hblks),
      .hblkhd = as_int(wide.hblkhd),
      .uordblks = as_int(wide.uordblks),
      .fordblks = as_int(wide.fordblks),
      .keepcost = as_int(wide.keepcost),
  };
}

/* In glibc's words, which programs look for, and then in ours. All block heaps are one arena. (The most mappings that there ever were nobody counts: those that are there now.) */
EXPORT void malloc_stats(void) {
  stats_function *theirs = (stats_function *)foreign_function("malloc_stats");
  if (theirs) {
    theirs();
    return;
  }
  struct heap_stats s;
  stats_collect(&s);
  struct mallinfo2 info = info_of(&s);
  print(STDERR_FILENO,
        "Arena 0:\nsystem bytes     = %10zu\nin use bytes     = %10zu\nTotal (incl. mmap):\nsystem bytes     = %10zu\nin use bytes     = %10zu\n"
        "max mmap regions = %10zu\nmax mmap bytes   = %10zu\n",
        info.arena, info.uordblks, info.arena + info.hblkhd, info.uordblks + info.hblkhd, info.hblks, info.hblkhd);
  stats_print(STDERR_FILENO);
}

#define TOTALS "<total type=\"fast\" count=\"%zu\" size=\"%zu\"/>\n<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n"
#define SYSTEM \
  "<system type=\"current\" size=\"%zu\"/>\n<system type=\"max\" size=\"%zu\"/>\n" \
  "<aspace type=\"total\" size=\"%zu\"/>\n<aspace type=\"mprotect\" size=\"%zu\"/>\n"

/* In glibc's schema, whose readers take current - fast - rest for what is in use: free objects are its fast chunks, all else that is free the rest. */
EXPORT int malloc_info(int options, FILE *stream) {
  write_function *theirs = (write_function *)foreign_function("malloc_info");
  if (theirs) return theirs(options, stream);
  if (options != 0) return EINVAL;
  struct heap_stats s;
  stats_collect(&s);
  struct mallinfo2 info = info_of(&s);
  size_t fast = min_size(less(s.shown.slab_bytes, s.shown.small_live_bytes), info.fordblks), rest = info.fordblks - fast;
  size_t chunks = less(info.ordblks, s.free_objects), most = max_size(info.arena, s.shown.peak_bytes);
  int written = fprintf(stream,
                        "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n</sizes>\n" TOTALS SYSTEM "</heap>\n" TOTALS
                        "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n" SYSTEM "</malloc>\n",
                        s.free_objects, fast, chunks, rest, info.arena, most, info.arena, info.arena, s.free_objects, fast, chunks, rest, info.hblks,
                        info.hblkhd, info.arena, most, info.arena, info.arena);
  return written < 0 ? -1 : 0;
}
