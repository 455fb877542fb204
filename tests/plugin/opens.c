/* SPDX-License-Identifier: MIT */
/* A plugin that opens another one by its bare name: ld.so finds that through the RUNPATH of the *calling* object, so
 * whoever stands between must not become the caller. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <dlfcn.h>

void *open_neighbour(const char *name);
void *open_neighbour(const char *name)
{
  void *neighbour = dlopen(name, RTLD_NOW);
  return neighbour; /* no tail call: the return address has to lie in this object */
}

void *open_neighbour_in_base(const char *name);
void *open_neighbour_in_base(const char *name)
{
  void *neighbour = dlmopen(LM_ID_BASE, name, RTLD_NOW);
  return neighbour;
}
