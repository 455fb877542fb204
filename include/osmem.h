/* SPDX-License-Identifier: MIT */
/* osmem: a malloc for Linux.
 *
 * Either put libosmem.so under a program (LD_PRELOAD) and say nothing here, or
 * link with it and call the functions below. The standard names (malloc, free,
 * posix_memalign, operator new, ...) and the os_* names share one heap: memory
 * from one may be given to the other. (Where another malloc comes first, as for a
 * library that a program on glibc's malloc opens, os_* work beside it: then
 * what os_malloc gave is for os_free and os_realloc alone.)
 *
 * What holds for every function of this header:
 *   units        sizes and alignments are in bytes;
 *   alignment    every block is 16-aligned, as the ABI asks (the compiler is
 *                told 8, which the textbook core keeps too), aligned requests as asked;
 *   errors       NULL with errno ENOMEM when memory or address space is short
 *                or a size exceeds PTRDIFF_MAX; errno is untouched on success
 *                and by os_free;
 *   misuse       a pointer that is not a live block (freed before, interior,
 *                never allocated) ends the process: one line on stderr naming
 *                the call (all that frees is called free) and the pointer,
 *                then abort();
 *   threads      all functions may be called from any thread at any time,
 *                from constructors, destructors and atfork handlers; a block may be
 *                freed by another thread than the one that allocated it. None
 *                is async-signal-safe;
 *   complexity   O(1) but for copying and zeroing; the kernel is asked for memory
 *                in geometrically growing steps. */
#ifndef OSMEM_H
#define OSMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OSMEM_VERSION_MAJOR 0
#define OSMEM_VERSION_MINOR 1
#define OSMEM_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

#define OSMEM_ATTR(...) __attribute__((__VA_ARGS__))

/* Release a block. NULL is ignored. errno is unchanged. The block must be live:
 * anything else is misuse (see above). */
void os_free(void *ptr) OSMEM_ATTR(nothrow);

/* `size` bytes, uninitialised, 16-aligned. os_malloc(0) is NULL (unlike malloc(0), which
 * gives a unique block), with errno unchanged. */
void *os_malloc(size_t size)
    OSMEM_ATTR(nothrow, malloc, alloc_size(1), assume_aligned(8), warn_unused_result);

/* `nmemb` objects of `size` bytes, all zero. NULL if either factor is 0 (errno unchanged), or
 * with ENOMEM if the product overflows. */
void *os_calloc(size_t nmemb, size_t size)
    OSMEM_ATTR(nothrow, malloc, alloc_size(1, 2), assume_aligned(8), warn_unused_result);

/* Resize a block, in place where the neighbourhood allows, else by moving it; the common
 * prefix of old and new size is kept. os_realloc(NULL, n) is os_malloc(n). os_realloc(p, 0)
 * frees p and gives NULL. On failure NULL with ENOMEM, and `ptr` stays valid and unchanged.
 * A freed block is refused as misuse, never obeyed. An over-aligned block may lose its alignment. */
void *os_realloc(void *ptr, size_t size)
    OSMEM_ATTR(nothrow, alloc_size(2), warn_unused_result);

/* os_realloc for `nmemb` objects of `size` bytes; a product that overflows gives NULL with ENOMEM
 * and leaves `ptr` as it is. */
void *os_reallocarray(void *ptr, size_t nmemb, size_t size)
    OSMEM_ATTR(nothrow, alloc_size(2, 3), warn_unused_result);

/* `size` bytes at a multiple of `alignment`, which must be a power of two; any such power is served, up to what
 * the address space holds. NULL with EINVAL for another alignment; NULL with errno unchanged for size 0.
 * Free with os_free. */
void *os_aligned_alloc(size_t alignment, size_t size)
    OSMEM_ATTR(nothrow, malloc, alloc_align(1), alloc_size(2), warn_unused_result);

/* How many bytes of a live block may be used (at least the size asked for, all of it
 * writable, stable while the block lives). 0 for NULL. */
size_t os_usable_size(const void *ptr) OSMEM_ATTR(nothrow);

/* Give free memory back to the kernel: cached mappings, wholly free pages inside the heap, and the
 * end of the heap but for `pad` bytes. True if any was released. O(free blocks), takes every heap lock in turn. */
bool os_trim(size_t pad) OSMEM_ATTR(nothrow);

/* A snapshot of the whole process, consistent per field but not across fields while other threads run.
 * Bytes. The first few small objects of a size count as medium: they are blocks. */
struct os_stats {
  size_t heap_bytes;        /* brk heap and its fallback regions, as asked of the kernel */
  size_t mapped_bytes;      /* large blocks in mappings of their own, in use */
  size_t cached_bytes;      /* freed mappings kept for reuse */
  size_t peak_bytes;        /* highest heap + mapped + cached seen */
  size_t small_live_bytes;  /* objects in slabs, by class size */
  size_t small_live_count;
  size_t slab_bytes;        /* granules held by slabs */
  size_t medium_live_bytes; /* blocks in use, headers and thread-cached blocks included */
  size_t medium_live_count;
  size_t large_live_count;
  size_t medium_allocations; /* since the start, thread-cache hits not counted */
  size_t large_allocations;
  size_t calls_brk, calls_mmap, calls_munmap, calls_mremap, calls_madvise; /* system calls made */
  size_t pages_from_kernel; /* address space asked for, in pages */
  size_t pages_to_kernel;   /* address space or residency given back, in pages */
  size_t thread_heaps;      /* thread heaps in existence, idle ones included */
  size_t arenas;            /* block heaps; more than one only after lock contention */
};

/* Fill `out`, a struct os_stats of `out_size` bytes (pass sizeof *out: fields may be appended in later versions, and
 * only as many bytes as both sides know are written). O(heap). */
void os_get_stats(struct os_stats *out, size_t out_size) OSMEM_ATTR(nothrow, nonnull(1));

/* Walk the whole heap and verify every invariant (boundary tags, bins, slabs, registry of mappings). True if it is sound; else
 * one line on stderr says what was found first. For tests and debugging, in a moment when no other
 * thread allocates, frees or ends (libc frees on its way out). O(heap). */
bool os_check(void) OSMEM_ATTR(nothrow);

/* The version of the library that runs, "major.minor.patch": compare with the macros above. */
const char *os_version(void) OSMEM_ATTR(nothrow, const);

#undef OSMEM_ATTR

#ifdef __cplusplus
}
#endif

#endif
