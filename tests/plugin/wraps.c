/* SPDX-License-Identifier: MIT */
/* What profilers, checkers of locks and fakes of time or of the system preload beside an allocator: the malloc family by way of dlsym(RTLD_NEXT), and
 * functions that an allocator may call, too, which here take a mutex and allocate under it, as libfaketime's clock does and mutrace's mutexes do.
 * OSMEM_TEST_WRAPS names a file for how often. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static size_t calls;

static void *next(void **function, const char *name)
{
  if (!*function) *function = dlsym(RTLD_NEXT, name);
  __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
  return *function;
}

#define NEXT(type, name) \
  static void *function; \
  type *wrapped = (type *)next(&function, name)

typedef void *malloc_type(size_t);
typedef void free_type(void *);
typedef void *calloc_type(size_t, size_t);
typedef void *realloc_type(void *, size_t);
typedef int gettime_type(clockid_t, struct timespec *);
typedef int madvise_type(void *, size_t, int);
typedef void *mmap_type(void *, size_t, int, int, int, off_t);
typedef int munmap_type(void *, size_t);
typedef int mutex_type(pthread_mutex_t *);
typedef int init_type(pthread_mutex_t *, const pthread_mutexattr_t *);

void *malloc(size_t bytes)
{
  NEXT(malloc_type, "malloc");
  return wrapped(bytes);
}

void free(void *block)
{
  NEXT(free_type, "free");
  wrapped(block);
}

void *calloc(size_t count, size_t bytes)
{
  NEXT(calloc_type, "calloc");
  return wrapped(count, bytes);
}

void *realloc(void *block, size_t bytes)
{
  NEXT(realloc_type, "realloc");
  return wrapped(block, bytes);
}

/* By libc's own functions: those below take notes. */
static void note(void)
{
  static const size_t EACH[] = {30, 600, 3000, 50000, 200000, 1 << 20};
  static pthread_mutex_t taking_notes = PTHREAD_MUTEX_INITIALIZER;
  ((mutex_type *)dlsym(RTLD_NEXT, "pthread_mutex_lock"))(&taking_notes);
  for (size_t i = 0; i < sizeof EACH / sizeof *EACH; i++) {
    char *volatile block = malloc(EACH[i]);
    if (!block) abort();
    memset(block, 1, EACH[i]);
    free(block);
  }
  ((mutex_type *)dlsym(RTLD_NEXT, "pthread_mutex_unlock"))(&taking_notes);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
  NEXT(gettime_type, "clock_gettime");
  note();
  return wrapped(clock, time);
}

int madvise(void *base, size_t bytes, int advice)
{
  NEXT(madvise_type, "madvise");
  note();
  return wrapped(base, bytes, advice);
}

void *mmap(void *hint, size_t bytes, int protection, int flags, int fd, off_t offset)
{
  NEXT(mmap_type, "mmap");
  note();
  return wrapped(hint, bytes, protection, flags, fd, offset);
}

int munmap(void *base, size_t bytes)
{
  NEXT(munmap_type, "munmap");
  note();
  return wrapped(base, bytes);
}

int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
  NEXT(init_type, "pthread_mutex_init");
  note();
  return wrapped(mutex, attributes);
}

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
  NEXT(mutex_type, "pthread_mutex_lock");
  note();
  return wrapped(mutex);
}

int pthread_mutex_trylock(pthread_mutex_t *mutex)
{
  NEXT(mutex_type, "pthread_mutex_trylock");
  note();
  return wrapped(mutex);
}

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
  NEXT(mutex_type, "pthread_mutex_unlock");
  note();
  return wrapped(mutex);
}

__attribute__((destructor)) static void tell(void)
{
  const char *file = getenv("OSMEM_TEST_WRAPS");
  int fd = file ? open(file, O_CREAT | O_WRONLY | O_APPEND, 0600) : -1;
  if (fd < 0) return;
  dprintf(fd, "%zu calls\n", calls);
  close(fd);
}
