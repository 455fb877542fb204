/* SPDX-License-Identifier: MIT */
/* See os.h. */
#include "os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "geometry.h"
#include "kernel.h"
#include "libc.h"
#include "printf.h"
#include "symbols.h"

/* <linux/futex.h>, which musl's compilers do not find. */
enum { FUTEX_WAIT_PRIVATE = 128, FUTEX_WAKE_PRIVATE = 129 };

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* Linux 5.18 */
#endif

struct sys_counters sys_counters;
struct sys_limits sys_limits;
size_t sys_populates = 1;
size_t sys_huge_pages = SYS_HUGE_AS_IT_IS;
size_t page_bytes = 4096; /* until sys_init: the first call of all may be a free */
bool sys_malloc_is_ours;

void sys_init(void) {
  size_t page = kernel_auxval(AT_PAGESZ);
  if (page) page_bytes = page;
  sys_malloc_is_ours = symbol_is_ours("malloc") && symbol_is_ours("free"); /* or aligned requests are another's, see shim.c */
}

/* What this thread has reserved and the kernel has not yet answered. */
static __thread volatile size_t asking_bytes;

static size_t counter_now(const size_t *counter) { return __atomic_load_n(counter, __ATOMIC_RELAXED); }

static void counter_add(size_t *counter, size_t amount) { __atomic_fetch_add(counter, amount, __ATOMIC_RELAXED); }

static void raise_peak(size_t held) {
  size_t peak = counter_now(&sys_counters.bytes_peak);
  while (held > peak && !__atomic_compare_exchange_n(&sys_counters.bytes_peak, &peak, held, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
}

/* Address space that is `from` bytes and shall be `to` is booked before the kernel is asked: threads that grow at the same moment cannot pass
 * the limit together. (Looked at first and counted afterwards, three threads got 40 MB each of 64.) False: it would be passed, and nothing
 * was booked, so that nobody else is refused for it. */
static bool reserve(size_t from, size_t to) {
  if (to <= from) return true;
  size_t bytes = to - from, limit = sys_limits.hard ? sys_limits.hard : SIZE_MAX, reserved = counter_now(&sys_counters.bytes_reserved);
  asking_bytes += bytes; /* first, and below last: a handler that forks in between books too much in its child, never too little */
  do {
    if (bytes > limit || reserved > limit - bytes) {
      asking_bytes -= bytes;
      return false;
    }
  } while (!__atomic_compare_exchange_n(&sys_counters.bytes_reserved, &reserved, reserved + bytes, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return true;
}

static void count(enum sys_call call) { counter_add(&sys_counters.calls[call], 1); }

/* A call is over that should have made of `from` bytes of address space `to`. */
static void conclude(enum sys_call call, size_t from, size_t to, bool done) {
  count(call);
  if (to > from) {
    if (done) {
      counter_add(&sys_counters.bytes_in, to - from);
      raise_peak(__atomic_add_fetch(&sys_counters.bytes_held, to - from, __ATOMIC_RELAXED));
    } else {
      counter_add(&sys_counters.bytes_reserved, from - to);
    }
    asking_bytes -= to - from;
  } else if (done) {
    counter_add(&sys_counters.bytes_out, from - to);
    counter_add(&sys_counters.bytes_reserved, to - from); /* first, as above: else the child's books would go below nothing, and refuse everything */
    counter_add(&sys_counters.bytes_held, to - from);
  }
}

void sys_forget_other_threads(void) {
  size_t charged = counter_now(&sys_counters.bytes_held) - counter_now(&sys_counters.bytes_back);
  __atomic_store_n(&sys_counters.bytes_reserved, charged + asking_bytes, __ATOMIC_RELAXED);
}

void sys_count_back(size_t bytes) {
  counter_add(&sys_counters.bytes_reserved, -bytes);
  counter_add(&sys_counters.bytes_back, bytes);
}

bool sys_take_back(size_t bytes) {
  if (!reserve(0, bytes)) return false;
  counter_add(&sys_counters.bytes_back, -bytes);
  asking_bytes -= bytes;
  return true;
}

size_t sys_bytes_over_peak(size_t bytes) {
  size_t held = counter_now(&sys_counters.bytes_held) + bytes, peak = counter_now(&sys_counters.bytes_peak);
  return held > peak ? held - peak : 0;
}

uint64_t sys_coarse_time(void) {
  struct timespec now = {0};
  KERNEL(SYS_clock_gettime, CLOCK_MONOTONIC_COARSE, (uintptr_t)&now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

unsigned sys_processor(void) {
  unsigned processor = 0;
  KERNEL(SYS_getcpu, (uintptr_t)&processor);
  return processor;
}

static long advise(void *base, size_t bytes, uintptr_t advice) {
  count(SYS_CALL_MADVISE);
  return KERNEL(SYS_madvise, (uintptr_t)base, bytes, advice);
}

static bool huge_is_due(void) { return sys_huge_pages == SYS_HUGE_PLEASE && counter_now(&sys_counters.bytes_held) >= HUGE_FROM; }

/* Of memory that nobody has touched. Where the kernel has no huge pages all are small. */
static void choose_pages(uintptr_t from, uintptr_t to) {
  if (sys_huge_pages == SYS_HUGE_AS_IT_IS || from >= to) return;
  if (sys_huge_pages == SYS_HUGE_NO)
    advise((void *)from, to - from, MADV_NOHUGEPAGE);
  else if (huge_is_due() && to - from >= HUGE_PAGE)
    advise((void *)from, to - from, MADV_HUGEPAGE);
}

uintptr_t sys_break_edge(uintptr_t end) { return huge_is_due() ? round_up(end, HUGE_PAGE) : end; }

static uintptr_t raw_break(uintptr_t end) {
  long now = KERNEL(SYS_brk, end);
  return now < 0 ? 0 : (uintptr_t)now; /* a filter's EPERM */
}

/* Where another malloc serves the process, the break is that one's: both would take what the other moved it over, since nobody can look at it and
 * move it in one step. So it is refused us (we were loaded later, for os_malloc; or somebody stands before us; or libc's own malloc goes on beside us, and does so). */
uintptr_t sys_break(void) {
  if (!sys_malloc_is_ours || !LIBC_SHARES_BREAK) return 0;
  count(SYS_CALL_BRK);
  return raw_break(0);
}

bool sys_move_break(uintptr_t now, uintptr_t end) {
  if (!reserve(now, end)) return false;
  bool moved = raw_break(end) == end;
  if (moved && &__curbrk) __atomic_store_n(&__curbrk, (void *)end, __ATOMIC_RELAXED);
  conclude(SYS_CALL_BRK, now, end, moved);
  if (moved) choose_pages(round_up(now, page_bytes), end);
  return moved;
}

/* An answer that is an address. */
static void *place_of(long answer) { return answer < 0 ? NULL : (void *)answer; }

static void *raw_map(size_t bytes) {
  return place_of(KERNEL(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, (uintptr_t)-1));
}

void *sys_map(size_t bytes) {
  if (!reserve(0, bytes)) return NULL;
  void *base = raw_map(bytes);
  conclude(SYS_CALL_MMAP, 0, bytes, base != NULL);
  if (base) choose_pages((uintptr_t)base, (uintptr_t)base + bytes);
  return base;
}

static long raw_unmap(void *base, size_t bytes) { return KERNEL(SYS_munmap, (uintptr_t)base, bytes); }

bool sys_unmap(void *base, size_t bytes) {
  long answer = raw_unmap(base, bytes);
  if (answer == -EINVAL) DIE("munmap of an unaligned range");
  conclude(SYS_CALL_MUNMAP, bytes, 0, answer == 0);
  return answer == 0;
}

/* Could so much be mapped? *stays: the kernel does not take it back, since it has joined it with a neighbour. */
static bool can_map(size_t bytes, void **stays) {
  void *base = raw_map(bytes);
  count(SYS_CALL_MMAP);
  if (!base) return false;
  bool stayed = raw_unmap(base, bytes) != 0;
  asking_bytes += bytes;
  counter_add(&sys_counters.bytes_reserved, bytes);
  conclude(SYS_CALL_MUNMAP, 0, bytes, stayed);
  if (stayed) *stays = base;
  return true;
}

bool sys_refuses_size(size_t bytes, void **stays) {
  *stays = NULL;
  return !sys_admits(bytes) || (!can_map(bytes, stays) && can_map(page_bytes, stays));
}

void *sys_remap(void *base, size_t old_bytes, size_t new_bytes) {
  if (!reserve(old_bytes, new_bytes)) return NULL;
  void *moved = place_of(KERNEL(SYS_mremap, (uintptr_t)base, old_bytes, new_bytes, MREMAP_MAYMOVE));
  conclude(SYS_CALL_MREMAP, old_bytes, new_bytes, moved != NULL);
  return moved;
}

static bool note_discarded(long answer, size_t bytes) {
  if (answer == 0) counter_add(&sys_counters.bytes_out, bytes); /* pages, not address space */
  return answer == 0;
}

/* MADV_DONTNEED and not MADV_FREE: with the latter RSS stays up until the machine is short, and users measure RSS. */
bool sys_discard(void *base, size_t bytes) { return note_discarded(advise(base, bytes, MADV_DONTNEED), bytes); }

bool sys_discard_locked(void *base, size_t bytes) {
  long answer = advise(base, bytes, MADV_DONTNEED);
  if (answer == -EINVAL) answer = advise(base, bytes, MADV_DONTNEED_LOCKED);
  return note_discarded(answer, bytes);
}

/* For want of memory, or since a signal came in between: the next time it may be otherwise. Any other refusal is a kernel's before 5.14 (EINVAL) or a
 * filter's (EPERM, ENOSYS, what whoever wrote it thought of) and stays so. */
static bool is_for_now(long answer) { return answer == -ENOMEM || answer == -EAGAIN || answer == -EINTR; }

bool sys_populate(void *base, size_t bytes) {
  if (!__atomic_load_n(&sys_populates, __ATOMIC_RELAXED)) return false;
  long answer = advise(base, bytes, MADV_POPULATE_WRITE);
  if (answer < 0 && !is_for_now(answer)) __atomic_store_n(&sys_populates, 0, __ATOMIC_RELAXED);
  return answer == 0;
}

void sys_wait(uint32_t *word, uint32_t while_value, uint32_t at_most_ns) {
  struct timespec span = {.tv_nsec = at_most_ns};
  KERNEL(SYS_futex, (uintptr_t)word, FUTEX_WAIT_PRIVATE, while_value, (uintptr_t)&span);
}

void sys_sleep(uint32_t ns) {
  static uint32_t nobody;
  sys_wait(&nobody, 0, ns);
}

void sys_wake(uint32_t *word) { KERNEL(SYS_futex, (uintptr_t)word, FUTEX_WAKE_PRIVATE, 1); }

void sys_write(int fd, const char *text, size_t bytes) {
  while (bytes > 0) {
    long written = KERNEL(SYS_write, (uintptr_t)fd, (uintptr_t)text, bytes);
    if (written == -EINTR) continue;
    if (written <= 0) break; /* nobody listens: nothing better can be done with a message */
    text += written;
    bytes -= (size_t)written;
  }
}

void sys_random(uint64_t bits[2]) {
  const void *random = (const void *)kernel_auxval(AT_RANDOM);
  if (random) {
    memcpy(bits, random, 2 * sizeof *bits);
    return;
  }
  bits[0] = sys_coarse_time(); /* a kernel or emulator without: better than a constant */
  bits[1] = (uintptr_t)__builtin_frame_address(0);
}

void die(const char *file, int line, const char *what) {
  print(STDERR_FILENO, "osmem: internal error at %s:%u: %s\n", file, (unsigned)line, what);
  abort();
}
