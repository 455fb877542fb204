/* SPDX-License-Identifier: MIT */
/* The gate of a library that times what it gives back (make timed): at the process's end a line with the CPU time, in ns, of the calls that did
 * goes to the end of the file that OSMEM_TIMED names. Faults that follow are not in it; those scripts/bench.py counts. */
#include "../real_kernel.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

static uint64_t giving_ns; /* atomic */

static bool gives_back(long number, const uintptr_t a[6])
{
  bool discards = number == SYS_madvise && (a[2] == MADV_DONTNEED || a[2] == MADV_DONTNEED_LOCKED);
  return discards || number == SYS_munmap;
}

static uint64_t thread_ns(void)
{
  struct timespec now;
  real_kernel_call(SYS_clock_gettime, (const uintptr_t[6]){CLOCK_THREAD_CPUTIME_ID, (uintptr_t)&now});
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

long kernel_call(long number, const uintptr_t a[6])
{
  if (!gives_back(number, a)) return real_kernel_call(number, a);
  uint64_t before = thread_ns();
  long answer = real_kernel_call(number, a);
  __atomic_add_fetch(&giving_ns, thread_ns() - before, __ATOMIC_RELAXED);
  return answer;
}

unsigned long kernel_auxval(unsigned long type) { return real_kernel_auxval(type); }

static __attribute__((destructor)) void tell(void)
{
  const char *file = getenv("OSMEM_TIMED");
  char line[32];
  int bytes = snprintf(line, sizeof line, "%llu\n", (unsigned long long)giving_ns);
  long fd = file ? real_kernel_call(SYS_openat, (const uintptr_t[6]){(uintptr_t)AT_FDCWD, (uintptr_t)file, O_WRONLY | O_APPEND | O_CLOEXEC}) : -1;
  if (fd < 0) return;
  real_kernel_call(SYS_write, (const uintptr_t[6]){(uintptr_t)fd, (uintptr_t)line, (uintptr_t)bytes});
  real_kernel_call(SYS_close, (const uintptr_t[6]){(uintptr_t)fd});
}
