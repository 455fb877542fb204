/* SPDX-License-Identifier: MIT */
/* The kernel as the library sees it, in the test's hands. The library is linked in as the release builds it, but its gate to the kernel
 * (src/kernel.h) is this one: calls may be refused, counted, interrupted, or answered as another kernel would.
 *
 *   kernel.refuse    which kinds of calls fail, from the how-manieth to the how-manieth of them
 *   kernel.visit     called first at every call of the library, and when it is about to wait for a lock
 *   kernel.page      if not 0: pages of that size, as kernels for 16 and 64 KiB have them. Must be so from the start
 *   kernel.most      if not 0: mmap of more bytes than that is refused
 *   kernel.high      if not 0: the break, and mmap of more bytes than that, are at addresses above 48 bits, where here nothing can be
 *   kernel.keeps     MADV_DONTNEED succeeds and leaves what is there, as under qemu-user
 *   kernel.locked    what the library holds is locked, as by mlockall()
 *   kernel.before_5_18   there is no MADV_DONTNEED_LOCKED
 *   kernel.populate  if not 0: the error that MADV_POPULATE_WRITE ends in: EINVAL before Linux 5.14, a filter's
 *   kernel.ahead_s   the clock is so much ahead; it goes back, as in a child in another time namespace, when that becomes less
 *   kernel.stopped   the clock stands still, but for that
 *   kernel.clock_looks   how often it was looked at
 *   kernel.processor if not 0: the one that all threads are on
 *   kernel.reborn    each file has another birth than it has: one that was given the number of the one before
 *   kernel.break_asked   the break that is asked for, at a visit; 0: only where it is
 *   map_asked        the bytes that this thread's mmap asks for, at a visit
 *   unmap_asked      where and how much this thread's munmap asks for, at a visit
 *   kernel.discarded     bytes of MADV_DONTNEED so far that were in memory
 *   kernel.populated     bytes of MADV_POPULATE_WRITE so far
 *   kernel.mapped    bytes the library has mapped and not unmapped: what it really holds
 *
 * libc's own calls do not come here. */
#ifndef KERNEL_H
#define KERNEL_H

#include "../verbs.h"
#include "../real_kernel.h"

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

/* BRK is the kernel's way to refuse: the break stays. BRK_FILTER is a seccomp filter's, an error even to the question where it is. */
enum kind { BRK, BRK_FILTER, MMAP, MUNMAP, MREMAP, MADVISE, KINDS, WAIT };

static struct {
  unsigned refuse; /* a set of kinds, bit by bit */
  size_t from, to; /* counted from 1 over all calls of these kinds */
  size_t counted, refused;
  size_t seen[KINDS];
  size_t mapped, page, most, high, discarded, populated, clock_looks;
  uintptr_t break_asked;
  int populate;
  unsigned processor;
  time_t ahead_s;
  bool keeps, reborn, stopped, locked, before_5_18;
  void (*visit)(enum kind kind);
} kernel;

static __thread size_t map_asked;
static __thread struct { uintptr_t base; size_t bytes; } unmap_asked;

static inline void add(size_t *sum, size_t more)
{
  __atomic_fetch_add(sum, more, __ATOMIC_RELAXED);
}

static void visit(enum kind kind)
{
  void (*visitor)(enum kind) = __atomic_load_n(&kernel.visit, __ATOMIC_RELAXED);
  if (visitor) visitor(kind);
}

/* Is this call to fail? */
static bool refuses(enum kind kind)
{
  add(&kernel.seen[kind], 1);
  if (!(kernel.refuse >> kind & 1)) return false;
  size_t number = __atomic_add_fetch(&kernel.counted, 1, __ATOMIC_RELAXED);
  if (number < kernel.from || number > kernel.to) return false;
  add(&kernel.refused, 1);
  return true;
}

static size_t kernel_page(void)
{
  return kernel.page ? kernel.page : page_size();
}

static size_t pages_up(size_t n)
{
  return (n + kernel_page() - 1) / kernel_page() * kernel_page();
}

static bool is_page(uintptr_t address)
{
  return pages_up(address) == address;
}

/* An answer that is an address. */
static bool is_place(long answer)
{
  return answer >= 0;
}

static long real_unmap(uintptr_t base, size_t bytes)
{
  return real_kernel_call(SYS_munmap, (uintptr_t[6]){base, bytes});
}

/* Anonymous memory on the edge of one of the larger pages. */
static long map_on_edge(size_t bytes)
{
  size_t spare = kernel.page - page_size();
  long base = real_kernel_call(SYS_mmap, (uintptr_t[6]){0, bytes + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1});
  if (!is_place(base)) return base;
  uintptr_t from = (uintptr_t)base, edge = pages_up(from);
  if (edge > from) real_unmap(from, edge - from);
  if (edge < from + spare) real_unmap(edge + bytes, from + spare - edge);
  return (long)edge;
}

static const uintptr_t HIGH = (uintptr_t)1 << 50;

static long test_mmap(const uintptr_t a[6])
{
  map_asked = a[1];
  visit(MMAP);
  if (refuses(MMAP) || (kernel.most && a[1] > kernel.most)) return -ENOMEM;
  if (kernel.high && a[1] > kernel.high) return (long)HIGH;
  size_t bytes = pages_up(a[1]);
  long base = kernel.page ? map_on_edge(bytes) : real_kernel_call(SYS_mmap, a);
  if (is_place(base)) add(&kernel.mapped, bytes);
  return base;
}

static long test_munmap(const uintptr_t a[6])
{
  unmap_asked.base = a[0];
  unmap_asked.bytes = a[1];
  visit(MUNMAP);
  if (!is_page(a[0])) return -EINVAL;
  if (refuses(MUNMAP)) return -ENOMEM;
  if (a[0] == HIGH) return 0;
  long answer = real_unmap(a[0], pages_up(a[1]));
  if (answer == 0) add(&kernel.mapped, -pages_up(a[1]));
  return answer;
}

static long test_mremap(const uintptr_t a[6])
{
  visit(MREMAP);
  if (!is_page(a[0])) return -EINVAL;
  if (refuses(MREMAP)) return -ENOMEM;
  size_t old_bytes = pages_up(a[1]), bytes = pages_up(a[2]);
  long place = kernel.page ? map_on_edge(bytes) : 0;
  if (!is_place(place)) return place;
  long moved = real_kernel_call(SYS_mremap, (uintptr_t[6]){a[0], old_bytes, bytes, a[3] | (place ? MREMAP_FIXED : 0), (uintptr_t)place});
  if (is_place(moved)) add(&kernel.mapped, bytes - old_bytes);
  return moved;
}

static size_t bytes_in_memory(uintptr_t base, size_t bytes)
{
  size_t sum = 0, each = page_size();
  unsigned char page;
  for (size_t at = 0; at < bytes; at += each) sum += mincore((void *)(base + at), each, &page) == 0 && (page & 1) ? each : 0;
  return sum;
}

static long test_madvise(const uintptr_t a[6])
{
  visit(MADVISE);
  if (!is_page(a[0])) return -EINVAL;
  if (refuses(MADVISE)) return -ENOMEM;
  if (kernel.populate && a[2] == MADV_POPULATE_WRITE) return -kernel.populate;
  if (kernel.locked && a[2] == MADV_DONTNEED) return -EINVAL;
  if (kernel.before_5_18 && a[2] == MADV_DONTNEED_LOCKED) return -EINVAL;
  if (a[2] == MADV_DONTNEED || a[2] == MADV_DONTNEED_LOCKED) add(&kernel.discarded, bytes_in_memory(a[0], a[1]));
  if (a[2] == MADV_POPULATE_WRITE) add(&kernel.populated, a[1]);
  if (kernel.keeps && a[2] == MADV_DONTNEED) return 0;
  return real_kernel_call(SYS_madvise, (uintptr_t[6]){a[0], pages_up(a[1]), a[2]});
}

static uintptr_t real_break(uintptr_t end)
{
  return (uintptr_t)real_kernel_call(SYS_brk, (uintptr_t[6]){end});
}

/* On the edge of one of the larger pages, or as far behind one as the environment says. */
static uintptr_t first_break(void)
{
  const char *behind = getenv("OSMEM_TEST_BREAK");
  uintptr_t edge = pages_up(real_break(0)), start = edge + (behind ? strtoul(behind, NULL, 10) : 0);
  require(real_break(pages_up(start)) == pages_up(start));
  return start;
}

/* With larger pages the memory reaches to the end of the break's page, and what stands there stays when the break goes down. */
static uintptr_t move_break(uintptr_t end)
{
  static uintptr_t now;
  if (!kernel.page) return real_break(end);
  if (!now) now = first_break();
  if (end && real_break(pages_up(end)) == pages_up(end)) now = end;
  return now;
}

/* A brk that only asks, with 0, is never refused by a kernel, but by a filter. */
static long test_brk(uintptr_t end)
{
  kernel.break_asked = end;
  visit(BRK);
  if (refuses(BRK_FILTER)) return -EPERM;
  if (kernel.high) return (long)HIGH;
  if (end && refuses(BRK)) end = 0;
  return (long)move_break(end);
}

static long test_statx(const uintptr_t a[6])
{
  long answer = real_kernel_call(SYS_statx, a);
  if (kernel.reborn) ((struct statx *)a[4])->stx_btime.tv_nsec ^= 1;
  return answer;
}

/* That of a machine which has just started: there what never was, and is zero, was not long ago. */
static long test_clock(const uintptr_t a[6])
{
  static struct timespec last;
  static time_t started;
  long answer = kernel.stopped && last.tv_sec ? 0 : real_kernel_call(SYS_clock_gettime, (uintptr_t[6]){a[0], (uintptr_t)&last});
  add(&kernel.clock_looks, 1);
  if (!started) started = last.tv_sec;
  *(struct timespec *)a[1] = (struct timespec){last.tv_sec - started + kernel.ahead_s, last.tv_nsec};
  return answer;
}

static long test_getcpu(const uintptr_t a[6])
{
  if (!kernel.processor) return real_kernel_call(SYS_getcpu, a);
  *(unsigned *)a[0] = kernel.processor;
  return 0;
}

static long answer_to(long number, const uintptr_t a[6])
{
  switch (number) {
    case SYS_brk: return test_brk(a[0]);
    case SYS_mmap: return test_mmap(a);
    case SYS_munmap: return test_munmap(a);
    case SYS_mremap: return test_mremap(a);
    case SYS_madvise: return test_madvise(a);
    case SYS_statx: return test_statx(a);
    case SYS_clock_gettime: return test_clock(a);
    case SYS_getcpu: return test_getcpu(a);
    case SYS_futex: if (a[1] == FUTEX_WAIT_PRIVATE) visit(WAIT); /* fall through */
    default: return real_kernel_call(number, a);
  }
}

/* What is called from here may touch errno; a gate does not. */
long kernel_call(long number, const uintptr_t a[6])
{
  int saved = errno;
  long answer = answer_to(number, a);
  errno = saved;
  return answer;
}

/* Called before main: the environment is the way to tell. */
unsigned long kernel_auxval(unsigned long type)
{
  const char *page = getenv("OSMEM_TEST_PAGE");
  if (type != AT_PAGESZ || !page) return real_kernel_auxval(type);
  return kernel.page = strtoul(page, NULL, 10);
}

#endif
