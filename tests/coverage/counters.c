/* SPDX-License-Identifier: MIT */
/* Linked into the coverage variant only: the counters of all processes are one file, mapped over gcc's own (counters.ld).
 *
 * gcov's way, to write them out when a process exits, loses what ends by a signal, an abort, _exit or exec, which is half of our tests;
 * and it opens files and allocates at the worst of times, in a process that may have closed everything, shut itself off by a filter or
 * counted its system calls. So nothing is written at exit but by the one process that has OSMEM_COVERAGE_WRITE in its environment.
 *
 * The counters are atomic (-fprofile-update=atomic), which holds between processes too. All images that share the file link the same objects in
 * the same order; an image of another size is refused. What runs before the constructor below is added when it comes; a process that may
 * not open the file counts for itself. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HIDDEN __attribute__((visibility("hidden")))

extern HIDDEN uint64_t counters_begin[], counters_end[];

/* Programs may have functions of these names for themselves (tests/programs/names.t), and clang's ThreadSanitizer has some that it cannot bear this early: so the calls are
 * by number. */
static long give_up(const char *why, size_t length)
{
  syscall(SYS_write, STDERR_FILENO, why, length);
  return syscall(SYS_exit_group, 99);
}
#define GIVE_UP(why) give_up("coverage: " why "\n", sizeof "coverage: " why)

static int open_counters(size_t bytes)
{
  int fd = (int)syscall(SYS_openat, AT_FDCWD, COUNTERS, O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) return fd;
  long size = syscall(SYS_lseek, fd, 0, SEEK_END);
  if (size < 0) GIVE_UP("the file of the counters has no size");
  if (size == 0 && syscall(SYS_ftruncate, fd, bytes) != 0) GIVE_UP("no room for the counters");
  if (size != 0 && (size_t)size != bytes) GIVE_UP("these counters are another image's");
  return fd;
}

__attribute__((constructor(101))) static void share_counters(void)
{
  int saved = errno;
  size_t bytes = (size_t)((char *)counters_end - (char *)counters_begin);
  int fd = open_counters(bytes);
  if (fd < 0) goto done;
  uint64_t *shared = (uint64_t *)syscall(SYS_mmap, NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  syscall(SYS_close, fd);
  if (shared == MAP_FAILED) goto done;
  for (size_t i = 0; i < bytes / sizeof *shared; i++)
    if (counters_begin[i]) __atomic_fetch_add(&shared[i], counters_begin[i], __ATOMIC_RELAXED);
  syscall(SYS_mremap, shared, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, counters_begin);
done:
  errno = saved;
}

HIDDEN void __real___gcov_exit(void);
HIDDEN void __wrap___gcov_exit(void);

void __wrap___gcov_exit(void)
{
  if (getenv("OSMEM_COVERAGE_WRITE")) __real___gcov_exit();
}
