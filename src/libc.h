/* SPDX-License-Identifier: MIT */
/* What we go by of the C library, where no header of its own says it, or where glibc, of whatever age, and musl differ. Nothing else asks which of them it is but
 * dynamic.c, that is, what stands before functions that only one of them has.
 *
 * Of glibc any from 2.28 on will do; what newer ones have is found by weak names, so that a library that was made with the oldest has it on the newest. */
#ifndef OSMEM_LIBC_H
#define OSMEM_LIBC_H

#include <dlfcn.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include "kernel.h"
#include "symbols.h"

#ifndef DLFO_STRUCT_HAS_EH_DBASE /* of <dlfcn.h>, since glibc 2.35 */
struct dl_find_object {
  unsigned long long flags;
  void *dlfo_map_start, *dlfo_map_end;
  struct link_map *dlfo_link_map;
  void *dlfo_eh_frame;
  unsigned long long reserved[8];
};
#endif
extern int _dl_find_object(void *address, struct dl_find_object *found) __attribute__((weak));

#ifndef STATX_TYPE /* of <sys/stat.h>, since musl 1.2.5: what the kernel writes, statx(2) */
struct statx {
  uint32_t stx_mask, stx_blksize;
  uint64_t stx_attributes;
  uint32_t stx_nlink, stx_uid, stx_gid;
  uint16_t stx_mode, unused;
  uint64_t stx_ino, stx_size, stx_blocks, stx_attributes_mask;
  struct {
    int64_t tv_sec;
    uint32_t tv_nsec;
    int32_t unused;
  } stx_atime, stx_btime, stx_ctime, stx_mtime;
  uint32_t stx_rdev_major, stx_rdev_minor, stx_dev_major, stx_dev_minor;
  uint64_t unused_too[14];
};
enum { STATX_TYPE = 0x1, STATX_INO = 0x100, STATX_BTIME = 0x800 };
#endif

#ifdef __GLIBC__
#include <gnu/libc-version.h>

/* The version of glibc's oldest names, malloc's among them. */
#if defined(__x86_64__)
#define LIBC_VERSION "GLIBC_2.2.5"
#elif defined(__riscv)
#define LIBC_VERSION "GLIBC_2.27"
#else
#define LIBC_VERSION "GLIBC_2.17" /* aarch64 */
#endif

/* Is it of that version, or newer? */
extern int __strverscmp(const char *one, const char *other);
static inline bool libc_is_from(const char *version) { return __strverscmp(gnu_get_libc_version(), version) >= 0; }

/* A function of pthread's by the reserved name that glibc has for it, in this version alone. (Not in the archive: the libc of a wholly static program has no versions. Nor for
 * ThreadSanitizer, which has to see them.) */
#if !defined OSMEM_ARCHIVE && !defined __SANITIZE_THREAD__
#define LIBC_BY_RESERVED_NAME(function) __asm__(".symver " #function ", __" #function "@" LIBC_VERSION)
#else
#define LIBC_BY_RESERVED_NAME(function) _Static_assert(true, "")
#endif

extern unsigned long __getauxval(unsigned long type);
#define LIBC_GETAUXVAL __getauxval
static inline const void *libc_address(void) { return (const void *)__getauxval; }

/* What debuggers are told of. A wholly static program has none. */
extern struct r_debug _r_debug __attribute__((weak));
static inline const struct r_debug *libc_debug(void) { return &_r_debug; }

/* libc's, by a name that no program has for itself. */
struct sigaction;
extern int __sigaction(int number, const struct sigaction *action, struct sigaction *old);
#define LIBC_SIGACTION __sigaction

/* No other thread was ever started, and so nothing need be atomic. Before 2.32 nobody says so. */
#if __GLIBC_PREREQ(2, 32)
#include <sys/single_threaded.h>
static inline bool libc_single_threaded(void) { return __libc_single_threaded; }
#else
extern char __libc_single_threaded __attribute__((weak));
static inline bool libc_single_threaded(void) { return &__libc_single_threaded && __libc_single_threaded; }
#endif

/* What fork() itself goes by, where that is known: then there is nothing that it holds. Before 2.32 it is a word in each thread's head. (What is that old is not changed any more. For more it
 * is not good enough: a pthread_create() that fails late, for want of the right to its scheduling, leaves it as it was, and its thread allocates in the end, to unwind.) */
static inline bool libc_forks_alone(void) {
#if defined __x86_64__ && !__GLIBC_PREREQ(2, 32)
  if (!&__libc_single_threaded) {
    uint32_t multiple_threads;
    __asm__ volatile("movl %%fs:0x18, %0" : "=r"(multiple_threads) : : "memory");
    return !multiple_threads;
  }
#endif
  return libc_single_threaded();
}

/* It is told where the break is (__curbrk), so we may share that. */
#define LIBC_SHARES_BREAK true

/* Who is told of memory that goes writes over the code of its functions that take memory away, see kernel.c. */
#define LIBC_IS_WRITTEN_OVER true

/* The name of the executable in the base namespace. */
#define LIBC_EXECUTABLE_HAS_NO_NAME true

/* `given` to a constructor, which is called with what main() will be called with. Else what libc has noted down; and before it has (ours is the first constructor; ld.so asks for memory), ld.so
 * alone knows where the kernel has put it: behind the arguments, of which the number comes first, and a NULL. (Not later: called as a command with options it may move its stack up over them, and
 * write there: glibc 2.31 did. In a wholly static program, that name means another place.) A library that names the variable has it under the names that are not reserved, too: so it is looked for. */
extern void *__libc_stack_end __attribute__((weak));
static inline char **libc_environment(char **given) {
  if (given) return given;
#ifdef OSMEM_ARCHIVE
  extern char **__environ;
  char ***noted = &__environ;
#else
  char ***noted = (char ***)symbol_of_all("__environ");
#endif
  if ((noted && *noted) || !&__libc_stack_end) return noted ? *noted : NULL;
  char **arguments = (char **)__libc_stack_end + 1;
  return arguments + (uintptr_t)arguments[-1] + 1;
}

/* What pthread_atfork() is. `library`: with whose end the handlers go, or NULL. */
extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *library);
#define LIBC_REGISTER_ATFORK __register_atfork

/* May others register handlers while one of a fork runs? Since 2.36 they need not wait for the end of the fork; nor in what distributions made of some that are older, but nobody
 * says of which. */
static inline bool libc_registers_in_forks(void) { return libc_is_from("2.36"); }

/* What programs for this libc know its functions to do: realloc(p, 0) frees; an alignment that is no power of two is rounded up to one. (From 2.38 on aligned_alloc() refuses such.) */
#define LIBC_LEAST_REALLOC 0
#define LIBC_ROUNDS_ALIGNMENTS true

/* The lock of the list of all stdio streams: recursive, and taken by fork() itself after the prepare handlers. */
extern void _IO_list_lock(void) __attribute__((weak));
extern void _IO_list_unlock(void) __attribute__((weak));
extern void _IO_list_resetlock(void) __attribute__((weak));
static inline bool libc_has_stdio_lock(void) { return _IO_list_lock && _IO_list_unlock && _IO_list_resetlock; }
static inline void libc_lock_stdio(void) { _IO_list_lock(); }
static inline void libc_unlock_stdio(void) { _IO_list_unlock(); }

/* In the child of a fork. fork() does it where it knows of several threads; before 2.32 nobody else may be told of them, and the lock is taken here of a process with one, too. */
static inline void libc_reset_stdio(void) { _IO_list_resetlock(); }

/* A robust mutex, as pthread_mutex_init() makes one: PTHREAD_MUTEX_ROBUST_NORMAL_NP, which has had that number since 2006 (glibc 2.4), and the bit
 * of those that processes share, since the kernel wakes for a dead thread as if it were one. Written down, since the calls that say it have names which
 * others may have. tests/preload/threads.c holds it against what the libc that runs makes. */
enum { ROBUST_MUTEX_KIND = 16 | 128 };
#define ROBUST_MUTEX_INITIALIZER {.__data = {.__kind = ROBUST_MUTEX_KIND}}
#define ROBUST_MUTEX_KIND_OF(mutex) ((mutex)->__data.__kind)

/* Can the first thread lock one? Before 2.34 the list that it goes into is made by a constructor of libpthread's, which others come before, where there is a libpthread: without a list the lock ended
 * in a SIGSEGV. Threads that are started have one. */
static inline bool libc_has_robust_lists(void) { return libc_is_from("2.34"); }

/* In the child of a fork, before a mutex that this thread held is made anew: its list of them is empty there. */
static inline void libc_let_go_in_child(pthread_mutex_t *mutex) { (void)mutex; }

#if !__GLIBC_PREREQ(2, 33)
struct mallinfo2 {
  size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};
#endif

#else /* musl 1.2 */

#define LIBC_BY_RESERVED_NAME(function) _Static_assert(true, "")
#define LIBC_GETAUXVAL getauxval

/* What debuggers are told of, which lies in it. A wholly static program has none. */
extern struct r_debug *_dl_debug_addr __attribute__((weak));
static inline const struct r_debug *libc_debug(void) { return &_dl_debug_addr ? _dl_debug_addr : NULL; }
static inline const void *libc_address(void) { return libc_debug(); }

#define LIBC_SIGACTION sigaction

/* It knows, and tells nobody; and starts threads (for timers, aio, mq_notify, thrd_create) by no function that one could stand before. */
static inline bool libc_single_threaded(void) { return false; }
static inline bool libc_forks_alone(void) { return false; }

/* Its own malloc, which its loader, atexit() and setlocale() use, remembers where it left the break, and sets it from there: what we had above would be gone. */
#define LIBC_SHARES_BREAK false

#define LIBC_IS_WRITTEN_OVER false
#define LIBC_EXECUTABLE_HAS_NO_NAME false

/* Constructors are called without arguments, when that is set. */
extern char **__environ;
static inline char **libc_environment(char **given) { return (void)given, __environ; }

/* It holds a lock of its own from before the first handler until after the last, and allocates before it takes that, by our malloc: nobody has a lock of ours then. Nothing is ever
 * unloaded. */
static inline bool libc_registers_in_forks(void) { return true; }
static inline int libc_register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *library) {
  (void)library;
  return pthread_atfork(prepare, parent, child);
}
#define LIBC_REGISTER_ATFORK libc_register_atfork

/* As above: realloc(p, 0) leaves a block, as malloc(0) makes one; an alignment that is no power of two is EINVAL. */
#define LIBC_LEAST_REALLOC 1
#define LIBC_ROUNDS_ALIGNMENTS false

/* It calls no malloc of others under a lock that fork() takes. */
static inline bool libc_has_stdio_lock(void) { return false; }
static inline void libc_lock_stdio(void) {}
static inline void libc_unlock_stdio(void) {}
static inline void libc_reset_stdio(void) {}

/* As above; musl's numbers, which programs have in them since 1.1 (2014): static programs are made with one, and run with that. */
enum { ROBUST_MUTEX_KIND = 4 | 128 };
#define ROBUST_MUTEX_INITIALIZER {.__u = {.__i = {ROBUST_MUTEX_KIND}}}
#define ROBUST_MUTEX_KIND_OF(mutex) ((mutex)->__u.__i[0])
static inline bool libc_has_robust_lists(void) { return true; }

/* The list stays, the thread has another number. Made anew where it is a mutex would lead to itself there, and the thread's end go round for ever: so it is let go, as by its
 * holder. (One that a fork out of a handler caught half way into the list is in none.) */
static inline void libc_let_go_in_child(pthread_mutex_t *mutex) {
  bool listed = mutex->__u.__vi[1] != 0 && mutex->__u.__p[3] && mutex->__u.__p[4];
  if (!listed) return;
  mutex->__u.__vi[1] = (int)kernel_call(SYS_gettid, (const uintptr_t[6]){0});
  pthread_mutex_unlock(mutex);
}

/* It has none of these. As glibc's, for who asks for them. */
struct mallinfo {
  int arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};
struct mallinfo2 {
  size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};

#endif
#endif
