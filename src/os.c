/* See os.h. */
#include "os.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "printf.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

struct sys_counters sys_counters;
struct sys_limits sys_limits;
size_t page_bytes = 4096; /* until sys_init: the first call of all may be a free */

void sys_init(void) {
  size_t page = getauxval(AT_PAGESZ);
  if (page) page_bytes = page;
}

/* Count a call that brought `in` bytes of address space, or gave `out` back. */
static void count(enum sys_call call, size_t in, size_t out) {
  __atomic_fetch_add(&sys_counters.calls[call], 1, __ATOMIC_RELAXED);
  __atomic_fetch_add(&sys_counters.bytes_in, in, __ATOMIC_RELAXED);
  __atomic_fetch_add(&sys_counters.bytes_out, out, __ATOMIC_RELAXED);
  size_t held = __atomic_add_fetch(&sys_counters.bytes_held, in - out, __ATOMIC_RELAXED);
  if (held > __atomic_load_n(&sys_counters.bytes_peak, __ATOMIC_RELAXED))
    __atomic_store_n(&sys_counters.bytes_peak, held, __ATOMIC_RELAXED);
}

static bool beyond_limit(size_t more) {
  size_t held = __atomic_load_n(&sys_counters.bytes_held, __ATOMIC_RELAXED);
  return sys_limits.hard && more > 0 && held + more > sys_limits.hard;
}

size_t sys_bytes_over_peak(size_t bytes) {
  size_t held = __atomic_load_n(&sys_counters.bytes_held, __ATOMIC_RELAXED) + bytes;
  size_t peak = __atomic_load_n(&sys_counters.bytes_peak, __ATOMIC_RELAXED);
  return held > peak ? held - peak : 0;
}

uint64_t sys_coarse_time(void) {
  struct timespec now = {0};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* glibc's memory of the break, which its sbrk() trusts. */
extern void *__curbrk __attribute__((weak));

/* The raw call: libc's brk() takes a filter's EPERM for a break, and musl's refuses always. */
static uintptr_t raw_break(uintptr_t end) {
  int saved = errno;
  long now = syscall(SYS_brk, end);
  errno = saved;
  return now == -1 ? 0 : (uintptr_t)now;
}

uintptr_t sys_break(void) {
  count(SYS_CALL_BRK, 0, 0);
  return raw_break(0);
}

bool sys_move_break(uintptr_t now, uintptr_t end) {
  if (beyond_limit(end > now ? end - now : 0)) return false;
  bool moved = raw_break(end) == end;
  if (moved && &__curbrk) __curbrk = (void *)end;
  count(SYS_CALL_BRK, moved && end > now ? end - now : 0, moved && end < now ? now - end : 0);
  return moved;
}

void *sys_map(size_t bytes) {
  if (beyond_limit(bytes)) return NULL;
  int saved = errno;
  void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  errno = saved;
  count(SYS_CALL_MMAP, base != MAP_FAILED ? bytes : 0, 0);
  return base == MAP_FAILED ? NULL : base;
}

bool sys_unmap(void *base, size_t bytes) {
  int saved = errno;
  int failed = munmap(base, bytes);
  if (failed && errno == EINVAL) DIE("munmap of an unaligned range");
  errno = saved;
  count(SYS_CALL_MUNMAP, 0, failed ? 0 : bytes);
  return !failed;
}

void *sys_remap(void *base, size_t old_bytes, size_t new_bytes) {
  if (beyond_limit(new_bytes > old_bytes ? new_bytes - old_bytes : 0)) return NULL;
  int saved = errno;
  void *moved = mremap(base, old_bytes, new_bytes, MREMAP_MAYMOVE);
  errno = saved;
  bool done = moved != MAP_FAILED;
  count(SYS_CALL_MREMAP, done && new_bytes > old_bytes ? new_bytes - old_bytes : 0,
        done && new_bytes < old_bytes ? old_bytes - new_bytes : 0);
  return done ? moved : NULL;
}

/* MADV_DONTNEED and not MADV_FREE: with the latter RSS stays up until the machine is short, and users measure RSS. */
bool sys_discard(void *base, size_t bytes) {
  int saved = errno;
  int failed = madvise(base, bytes, MADV_DONTNEED);
  errno = saved;
  count(SYS_CALL_MADVISE, 0, 0);
  if (!failed) __atomic_fetch_add(&sys_counters.bytes_out, bytes, __ATOMIC_RELAXED); /* pages, not address space */
  return !failed;
}

bool sys_populate(void *base, size_t bytes) {
  static bool refused; /* then not asked again */
  if (__atomic_load_n(&refused, __ATOMIC_RELAXED)) return false;
  int saved = errno;
  int failed = madvise(base, bytes, MADV_POPULATE_WRITE);
  if (failed && errno == EINVAL) __atomic_store_n(&refused, true, __ATOMIC_RELAXED);
  errno = saved;
  count(SYS_CALL_MADVISE, 0, 0);
  return !failed;
}

void sys_wait(uint32_t *word, uint32_t while_value) {
  int saved = errno;
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, while_value, NULL, NULL, 0);
  errno = saved;
}

void sys_wake(uint32_t *word) {
  int saved = errno;
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
  errno = saved;
}

void sys_write(int fd, const char *text, size_t bytes) {
  int saved = errno;
  while (bytes > 0) {
    ssize_t written = write(fd, text, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break; /* nobody listens: nothing better can be done with a message */
    text += written;
    bytes -= (size_t)written;
  }
  errno = saved;
}

void sys_random(uint64_t bits[2]) {
  const void *random = (const void *)getauxval(AT_RANDOM);
  if (random) {
    memcpy(bits, random, 2 * sizeof *bits);
    return;
  }
  bits[0] = sys_coarse_time(); /* a kernel or emulator without: better than a constant */
  bits[1] = (uintptr_t)&random;
}

void die(const char *file, int line, const char *what) {
  print(STDERR_FILENO, "osmem: internal error at %s:%u: %s\n", file, (unsigned)line, what);
  abort();
}
