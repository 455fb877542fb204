/* SPDX-License-Identifier: MIT */
/* A heap with one fault, for the test of the model test: preloaded before the library, whose call it spoils. OSMEM_BROKEN names the
 * fault. */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static bool broken(const char *fault)
{
  const char *wanted = getenv("OSMEM_BROKEN");
  return wanted && strcmp(wanted, fault) == 0;
}

/* calloc: a byte of a block of 300 to 400 is not zero. */
void *os_calloc(size_t nmemb, size_t size)
{
  void *(*whole)(size_t, size_t) = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "os_calloc");
  unsigned char *block = whole(nmemb, size);
  if (block && nmemb * size >= 300 && nmemb * size < 400 && broken("zero")) block[299] = 1;
  return block;
}

/* realloc: the last byte of what has to be kept is lost in blocks of 5000 and more. */
void *os_realloc(void *old, size_t size)
{
  void *(*whole)(void *, size_t) = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "os_realloc");
  unsigned char *block = whole(old, size);
  if (old && block && size >= 5000 && broken("kept")) memset(block + size / 2, 0, size - size / 2);
  return block;
}

/* posix_memalign: an alignment of 512 is taken for 256. */
int posix_memalign(void **block, size_t alignment, size_t size)
{
  int (*whole)(void **, size_t, size_t) = (int (*)(void **, size_t, size_t))dlsym(RTLD_NEXT, "posix_memalign");
  if (alignment == 512 && broken("alignment")) alignment = 256;
  return whole(block, alignment, size);
}

/* os_free: an object of 512 is not freed; errno is touched. */
void os_free(void *block)
{
  void (*whole)(void *) = (void (*)(void *))dlsym(RTLD_NEXT, "os_free");
  size_t (*usable)(void *) = (size_t(*)(void *))dlsym(RTLD_NEXT, "malloc_usable_size");
  if (block && usable(block) == 512 && broken("leak")) return;
  whole(block);
  if (block && broken("errno")) errno = ENOENT;
}

/* os_malloc: the block given last is given again, every third time that it would do. */
void *os_malloc(size_t size)
{
  static void *last;
  static size_t last_size, calls;
  void *(*whole)(size_t) = (void *(*)(size_t))dlsym(RTLD_NEXT, "os_malloc");
  if (size && size <= last_size && ++calls % 3 == 0 && broken("twice")) return last;
  last_size = size;
  return last = whole(size);
}
