/* SPDX-License-Identifier: MIT */
/* The gate of the library that is built with ThreadSanitizer. From libc's mmap() and munmap(), which it wraps, ThreadSanitizer learns that memory is
 * new: what is written there is no race with whoever had the address before. */
#include "../real_kernel.h"

#include <sys/mman.h>

long kernel_call(long number, const uintptr_t a[6])
{
  if (number != SYS_mmap && number != SYS_munmap) return real_kernel_call(number, a);
  int saved = errno;
  long answer = number == SYS_mmap ? (long)mmap((void *)a[0], a[1], (int)a[2], (int)a[3], (int)a[4], (off_t)a[5]) : munmap((void *)a[0], a[1]);
  if (answer == -1) answer = -errno;
  errno = saved;
  return answer;
}

unsigned long kernel_auxval(unsigned long type) { return real_kernel_auxval(type); }
