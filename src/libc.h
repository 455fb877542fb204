/* What we go by of the C library and no header of its own says. */
#ifndef OSMEM_LIBC_H
#define OSMEM_LIBC_H

/* The version of libc's oldest names, malloc's among them. */
#ifdef __x86_64__
#define LIBC_VERSION "GLIBC_2.2.5"
#else
#define LIBC_VERSION "GLIBC_2.17" /* aarch64 */
#endif

/* A robust mutex, as pthread_mutex_init() makes one: PTHREAD_MUTEX_ROBUST_NORMAL_NP, which has had that number since 2006 (glibc 2.4), and the bit
 * of those that processes share, since the kernel wakes for a dead thread as if it were one. Written down, since the calls that say it have names which
 * others may have. tests/preload/threads.c holds it against what the glibc that runs makes. */
enum { ROBUST_MUTEX_KIND = 16 | 128 };
#define ROBUST_MUTEX_INITIALIZER {.__data = {.__kind = ROBUST_MUTEX_KIND}}

#endif
