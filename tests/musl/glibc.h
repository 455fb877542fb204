/* SPDX-License-Identifier: MIT */
/* What the C tests ask for that glibc's headers have and musl's do not, for verbs.h. The library has most of it on musl, too; a test that is about the rest is
 * built, and left out by name (tests/musl/left-out). */
#ifndef GLIBC_H
#define GLIBC_H

#include "../../src/libc.h" /* struct mallinfo */

#define GLIBC_HAS(type, name, ...) extern type name(__VA_ARGS__) __attribute__((weak))

GLIBC_HAS(struct mallinfo, mallinfo, void);
GLIBC_HAS(struct mallinfo2, mallinfo2, void);
GLIBC_HAS(int, malloc_info, int options, FILE *stream);
GLIBC_HAS(void, malloc_stats, void);
GLIBC_HAS(int, malloc_trim, size_t pad);
GLIBC_HAS(int, mallopt, int option, int value);
GLIBC_HAS(void *, pvalloc, size_t bytes);
enum { M_TRIM_THRESHOLD = -1, M_MMAP_THRESHOLD = -3, M_ARENA_MAX = -8 };

typedef long Lmid_t;
enum { LM_ID_BASE = 0, LM_ID_NEWLM = -1, RTLD_DEEPBIND = 8 };
GLIBC_HAS(void *, dlmopen, Lmid_t space, const char *path, int flags);
GLIBC_HAS(void *, dlvsym, void *object, const char *name, const char *version);
#define LIBC_VERSION "GLIBC_2.2.5"

GLIBC_HAS(void *, __libc_malloc, size_t bytes);
GLIBC_HAS(void *, __libc_memalign, size_t alignment, size_t bytes);
GLIBC_HAS(int, __register_atfork, void (*prepare)(void), void (*parent)(void), void (*child)(void), void *library);
typedef int __rlimit_resource_t;
static inline int close_range(unsigned first, unsigned last, int flags) { return (int)syscall(SYS_close_range, first, last, flags); }

#endif
