/* SPDX-License-Identifier: MIT */
/* The gate of a library whose clock runs a thousand times faster (make hasty): what a process does in ten days, with giving back as it would be
 * then, is seen in a quarter of an hour. */
#include "../real_kernel.h"

#include <time.h>

enum { HASTE = 1000 };

long kernel_call(long number, const uintptr_t a[6])
{
  if (number != SYS_clock_gettime) return real_kernel_call(number, a);
  struct timespec *now = (struct timespec *)a[1]; /* CLOCK_MONOTONIC: the coarse one would jump by seconds */
  long answer = real_kernel_call(number, (const uintptr_t[6]){CLOCK_MONOTONIC, a[1]});
  uint64_t fast = ((uint64_t)now->tv_sec * 1000000000u + (uint64_t)now->tv_nsec) * HASTE;
  *now = (struct timespec){(time_t)(fast / 1000000000u), (long)(fast % 1000000000u)};
  return answer;
}

unsigned long kernel_auxval(unsigned long type) { return real_kernel_auxval(type); }
