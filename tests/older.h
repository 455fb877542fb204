/* SPDX-License-Identifier: MIT */
/* What the tests ask for that glibc's headers have had since 2.33 and 2.34 only: the library has the one, the kernel the other. */
#ifndef OLDER_H
#define OLDER_H

#include <malloc.h>
#include <unistd.h>

#ifdef __GLIBC__
#define GLIBC_BEFORE(major, minor) (!__GLIBC_PREREQ(major, minor))
#else
#define GLIBC_BEFORE(major, minor) 0
#endif

#ifdef __GLIBC__
#if !__GLIBC_PREREQ(2, 33)
#include "../src/libc.h" /* struct mallinfo2 */
extern struct mallinfo2 mallinfo2(void) __attribute__((weak));
#endif

#if !__GLIBC_PREREQ(2, 34)
static inline int close_range(unsigned first, unsigned last, int flags)
{
  return (int)syscall(436 /* on every machine */, first, last, flags);
}
#endif
#endif

#endif
