/* SPDX-License-Identifier: MIT */
/* A library for LD_AUDIT, which allocates in each of its callbacks and looks after what it has. It lives in a namespace of its own,
 * with a libc of its own, and runs before anything that is preloaded. OSMEM_TEST_AUDIT names a file for what it has seen. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCKS = 512 };
static struct {
  unsigned char *at;
  size_t bytes;
} blocks[BLOCKS];
static size_t callbacks;

/* One block is looked at and goes, another one comes. (Threads that bind symbols at the same moment come here together.) */
static void allocate(void)
{
  static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&one_at_a_time);
  size_t place = callbacks % BLOCKS, bytes = 1 + callbacks * 7919 % 3000 + (callbacks % 64 == 0) * 300000;
  for (size_t i = 0; i < blocks[place].bytes; i++)
    if (blocks[place].at[i] != (unsigned char)place) abort();
  blocks[place].at = realloc(blocks[place].at, bytes);
  if (!blocks[place].at) abort();
  memset(blocks[place].at, (int)place, blocks[place].bytes = bytes);
  callbacks++;
  pthread_mutex_unlock(&one_at_a_time);
}

unsigned la_version(unsigned version)
{
  allocate();
  return version;
}

unsigned la_objopen(struct link_map *map, Lmid_t namespace, uintptr_t *cookie)
{
  (void)map;
  (void)namespace;
  (void)cookie;
  allocate();
  return LA_FLG_BINDTO | LA_FLG_BINDFROM;
}

void la_activity(uintptr_t *cookie, unsigned flag)
{
  (void)cookie;
  (void)flag;
  allocate();
}

uintptr_t la_symbind64(Elf64_Sym *symbol, unsigned index, uintptr_t *from, uintptr_t *to, unsigned *flags, const char *name)
{
  (void)index;
  (void)from;
  (void)to;
  (void)flags;
  (void)name;
  allocate();
  return symbol->st_value;
}

void la_preinit(uintptr_t *cookie)
{
  (void)cookie;
  const char *file = getenv("OSMEM_TEST_AUDIT");
  int fd = file ? open(file, O_CREAT | O_WRONLY | O_APPEND, 0600) : -1;
  if (fd < 0) return;
  dprintf(fd, "%zu callbacks\n", callbacks);
  close(fd);
}
