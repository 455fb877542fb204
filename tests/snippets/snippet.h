/* For every traced snippet: a mark in the trace, a few sizes, and checks of contents that a trace cannot show.
 *
 * Sizes in the snippets are chosen so that each address of the reference can be added up by hand: a block of
 * `size` bytes takes HEADER + size, the first payload is at HeapStart + HEADER. */
#ifndef SNIPPET_H
#define SNIPPET_H

#include <osmem.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  KIB = 1024,
  HEADER = 32,
  PREALLOCATED = 128 * KIB, /* what the first brk brings */
  PAGE = 4096,
};

/* run-tests.py reads the trace from this close on: before it ld.so is at work. Nor does a snippet run for ever. */
__attribute__((constructor)) static void begin(void)
{
  close(-1);
  alarm(20);
}

/* Make sure that a block is not zero by chance, and can be recognised after a move. */
static inline void fill(void *block, size_t bytes)
{
  memset(block, 0x5a, bytes);
}

static inline void expect_bytes(const unsigned char *block, unsigned char byte, size_t bytes)
{
  for (size_t i = 0; i < bytes; i++)
    if (block[i] != byte)
      exit(1);
}

static inline void expect_filled(const void *block, size_t bytes)
{
  expect_bytes(block, 0x5a, bytes);
}

static inline void expect_zero(const void *block, size_t bytes)
{
  expect_bytes(block, 0, bytes);
}

#endif
