/* SPDX-License-Identifier: MIT */
/* The gate to the kernel: all that the library wants of it goes through here, and nothing by the names that libc has for it. (By the code of four of
 * its functions all the same, which some write over to hear of memory that goes: kernel.c.)
 *
 * Their names are not reserved (C11, 7.1.3): a program may have a mmap(), a syscall(), a clock_gettime() of its own that does something else. Tools
 * wrap them: libfaketime's clock takes a mutex and frees, ThreadSanitizer's wrappers do not work before its start. And libc's write() is a point
 * where a thread can be cancelled. Here nothing of others runs, and errno is not touched.
 *
 * kernel.c is no part of unity.c: tests link a gate of their own in its place. */
#ifndef OSMEM_KERNEL_H
#define OSMEM_KERNEL_H

#include <stdint.h>
#include <sys/syscall.h>

/* What the kernel answers; failure is -errno. */
long kernel_call(long number, const uintptr_t arguments[6]);

/* With as many arguments as the call has, integers or pointers as uintptr_t. */
#define KERNEL(number, ...) kernel_call(number, (const uintptr_t[6]){__VA_ARGS__})

/* What the kernel told the process at exec, AT_PAGESZ and the like; 0: nothing. */
unsigned long kernel_auxval(unsigned long type);

#endif
