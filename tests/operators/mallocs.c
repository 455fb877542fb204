/* SPDX-License-Identifier: MIT */
/* The malloc family of somebody else, as glibc's manual says that a program may have one, and aligned_alloc: linked into a program, or preloaded before
 * us. Who is given what it never gave says so and ends, so that new, delete, malloc and free must all have come here. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char pool[8 << 20] __attribute__((aligned(4096)));
static size_t used;

void *aligned_alloc(size_t alignment, size_t bytes)
{
  size_t start = (used + sizeof(size_t) + alignment - 1) & ~(alignment - 1);
  if (start > sizeof pool || bytes > sizeof pool - start) {
    errno = ENOMEM;
    return NULL;
  }
  memcpy(pool + start - sizeof bytes, &bytes, sizeof bytes);
  used = start + bytes;
  return pool + start;
}

void *malloc(size_t bytes) { return aligned_alloc(16, bytes); }

void free(void *block)
{
  static const char said[] = "free of what this malloc never gave\n";
  if (!block || (uintptr_t)block - (uintptr_t)pool < sizeof pool) return;
  if (write(1, said, sizeof said - 1)) _exit(1);
}

void *calloc(size_t count, size_t bytes)
{
  size_t sum;
  return malloc(__builtin_mul_overflow(count, bytes, &sum) ? SIZE_MAX : sum); /* never used before, and so zero */
}

void *realloc(void *block, size_t bytes)
{
  void *moved = malloc(bytes);
  size_t had = 0;
  if (block) memcpy(&had, (char *)block - sizeof had, sizeof had);
  if (moved && had) memcpy(moved, block, had < bytes ? had : bytes);
  free(block);
  return moved;
}
