/* SPDX-License-Identifier: MIT */
/* The library's gate to the kernel (src/kernel.h) under other names, for those that put one of their own in its place. */
#ifndef REAL_KERNEL_H
#define REAL_KERNEL_H

#define kernel_call real_kernel_call
#define kernel_auxval real_kernel_auxval
#include "../src/kernel.c"
#undef kernel_call
#undef kernel_auxval

long kernel_call(long number, const uintptr_t arguments[6]);
unsigned long kernel_auxval(unsigned long type);

#endif
