/* The kernel as the library sees it, in the test's hands. The library is linked in as the release builds it, but its system
 * calls come here (the linker's --wrap, see c.mk) and may be refused, counted, interrupted, or answered as another kernel would.
 *
 *   kernel.refuse    which kinds of calls fail, from the how-manieth to the how-manieth of them
 *   kernel.visit     called first at every call of the library, and when it is about to wait for a lock
 *   kernel.page      if not 0: pages of that size, as kernels for 16 and 64 KiB have them. Must be so from the start
 *   kernel.most      if not 0: mmap of more bytes than that is refused
 *   kernel.keeps     MADV_DONTNEED succeeds and leaves what is there, as under qemu-user
 *   kernel.old       MADV_POPULATE_WRITE is not known, as before Linux 5.14
 *   kernel.break_asked   the break that is asked for, at a visit; 0: only where it is
 *   kernel.discarded     bytes of MADV_DONTNEED so far that were in memory
 *   kernel.mapped    bytes the library has mapped and not unmapped: what it really holds
 *
 * libc's own calls do not come here. */
#ifndef KERNEL_H
#define KERNEL_H

#include "../verbs.h"

#include <sys/auxv.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* BRK is the kernel's way to refuse: the break stays. BRK_FILTER is a seccomp filter's, an error even to the question where it is. */
enum kind { BRK, BRK_FILTER, MMAP, MUNMAP, MREMAP, MADVISE, KINDS, WAIT };

static struct {
  unsigned refuse; /* a set of kinds, bit by bit */
  size_t from, to; /* counted from 1 over all calls of these kinds */
  size_t counted, refused;
  size_t seen[KINDS];
  size_t mapped, page, most, discarded;
  uintptr_t break_asked;
  bool keeps, old;
  void (*visit)(enum kind kind);
} kernel;

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

static size_t pages_up(size_t n)
{
  size_t page = kernel.page ? kernel.page : 4096;
  return (n + page - 1) / page * page;
}

static bool is_page(const void *address)
{
  return pages_up((uintptr_t)address) == (uintptr_t)address;
}

static int refusal(int error)
{
  errno = error;
  return -1;
}

void *__real_mmap(void *, size_t, int, int, int, off_t);
int __real_munmap(void *, size_t);
void *__real_mremap(void *, size_t, size_t, int, ...);
int __real_madvise(void *, size_t, int);
long __real_syscall(long, ...);
unsigned long __real_getauxval(unsigned long);

void *__wrap_mmap(void *, size_t, int, int, int, off_t);
int __wrap_munmap(void *, size_t);
void *__wrap_mremap(void *, size_t, size_t, int, ...);
int __wrap_madvise(void *, size_t, int);
long __wrap_syscall(long, long, long, long, long, long, long);
unsigned long __wrap_getauxval(unsigned long);

/* Anonymous memory on the edge of one of the larger pages. */
static char *map_on_edge(size_t bytes)
{
  size_t spare = kernel.page - 4096;
  char *base = __real_mmap(NULL, bytes + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return MAP_FAILED;
  char *edge = (char *)pages_up((uintptr_t)base);
  if (edge > base) __real_munmap(base, (size_t)(edge - base));
  if (edge < base + spare) __real_munmap(edge + bytes, (size_t)(base + spare - edge));
  return edge;
}

void *__wrap_mmap(void *hint, size_t bytes, int protection, int flags, int fd, off_t offset)
{
  visit(MMAP);
  if (refuses(MMAP) || (kernel.most && bytes > kernel.most)) return errno = ENOMEM, MAP_FAILED;
  bytes = pages_up(bytes);
  void *base = kernel.page ? map_on_edge(bytes) : __real_mmap(hint, bytes, protection, flags, fd, offset);
  if (base != MAP_FAILED) add(&kernel.mapped, bytes);
  return base;
}

int __wrap_munmap(void *base, size_t bytes)
{
  visit(MUNMAP);
  if (!is_page(base)) return refusal(EINVAL);
  if (refuses(MUNMAP)) return refusal(ENOMEM);
  int failed = __real_munmap(base, pages_up(bytes));
  if (!failed) add(&kernel.mapped, -pages_up(bytes));
  return failed;
}

void *__wrap_mremap(void *base, size_t old_bytes, size_t bytes, int flags, ...)
{
  visit(MREMAP);
  if (!is_page(base)) return errno = EINVAL, MAP_FAILED;
  if (refuses(MREMAP)) return errno = ENOMEM, MAP_FAILED;
  old_bytes = pages_up(old_bytes);
  bytes = pages_up(bytes);
  void *place = kernel.page ? map_on_edge(bytes) : NULL;
  if (place == MAP_FAILED) return place;
  void *moved = place ? __real_mremap(base, old_bytes, bytes, flags | MREMAP_FIXED, place)
                      : __real_mremap(base, old_bytes, bytes, flags);
  if (moved != MAP_FAILED) add(&kernel.mapped, bytes - old_bytes);
  return moved;
}

static size_t bytes_in_memory(char *base, size_t bytes)
{
  size_t sum = 0;
  unsigned char page;
  for (size_t at = 0; at < bytes; at += 4096) sum += mincore(base + at, 4096, &page) == 0 && (page & 1) ? 4096 : 0;
  return sum;
}

int __wrap_madvise(void *base, size_t bytes, int advice)
{
  visit(MADVISE);
  if (!is_page(base)) return refusal(EINVAL);
  if (refuses(MADVISE)) return refusal(ENOMEM);
  if (kernel.old && advice == MADV_POPULATE_WRITE) return refusal(EINVAL);
  if (advice == MADV_DONTNEED) add(&kernel.discarded, bytes_in_memory(base, bytes));
  if (kernel.keeps && advice == MADV_DONTNEED) return 0;
  return __real_madvise(base, pages_up(bytes), advice);
}

/* On the edge of one of the larger pages, or as far behind one as the environment says. */
static uintptr_t first_break(void)
{
  const char *behind = getenv("OSMEM_TEST_BREAK");
  uintptr_t edge = pages_up((uintptr_t)__real_syscall(SYS_brk, 0)), start = edge + (behind ? strtoul(behind, NULL, 10) : 0);
  require((uintptr_t)__real_syscall(SYS_brk, pages_up(start)) == pages_up(start));
  return start;
}

/* With larger pages the memory reaches to the end of the break's page, and what stands there stays when the break goes down. */
static uintptr_t move_break(uintptr_t end)
{
  static uintptr_t now;
  if (!kernel.page) return (uintptr_t)__real_syscall(SYS_brk, end);
  if (!now) now = first_break();
  if (end && (uintptr_t)__real_syscall(SYS_brk, pages_up(end)) == pages_up(end)) now = end;
  return now;
}

/* A brk that only asks, with 0, is never refused by a kernel, but by a filter. */
static long filtered_break(uintptr_t end)
{
  kernel.break_asked = end;
  visit(BRK);
  if (refuses(BRK_FILTER)) return refusal(EPERM);
  if (end && refuses(BRK)) end = 0;
  return (long)move_break(end);
}

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
  if (number == SYS_brk) return filtered_break((uintptr_t)a);
  if (number == SYS_futex && (b & 127) == 0) visit(WAIT); /* FUTEX_WAIT */
  return __real_syscall(number, a, b, c, d, e, f);
}

/* Called before main: the environment is the way to tell. */
unsigned long __wrap_getauxval(unsigned long type)
{
  const char *page = getenv("OSMEM_TEST_PAGE");
  if (type != AT_PAGESZ || !page) return __real_getauxval(type);
  return kernel.page = strtoul(page, NULL, 10);
}

#endif
