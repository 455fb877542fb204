/* SPDX-License-Identifier: MIT */
/* A library that keeps libc's functions for itself, to be free of a program's wrappers: opened, so it stands behind the allocator. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <dlfcn.h>
#include <stdlib.h>

void releases(void *block);
void releases(void *block)
{
  static void (*real)(void *);
  if (!real) real = (void (*)(void *))dlsym(RTLD_NEXT, "free");
  if (!real) abort();
  real(block);
}

void *next_of(const char *name);
void *next_of(const char *name)
{
  void *next = dlsym(RTLD_NEXT, name);
  return next; /* no tail call: the return address has to lie in this object */
}
