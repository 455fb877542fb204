/* SPDX-License-Identifier: MIT */
/* For every traced snippet: a mark in the trace, and checks of contents that a trace cannot show.
 *
 * tests/snippets holds the programs that show the same thing on both cores, textbook/ and engine/ those made for one. Each core's
 * sizes.h has the figures from which the addresses of its references are added up by hand. */
#ifndef SNIPPET_H
#define SNIPPET_H

#include <osmem.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sizes.h> /* of the core that is traced */

enum { KIB = 1024 };

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
