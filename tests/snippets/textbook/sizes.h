/* SPDX-License-Identifier: MIT */
/* The textbook core: a block of `size` bytes takes HEADER + size, the first payload is at HeapStart + HEADER. */
enum {
  HEADER = 32,
  SMALLEST_BLOCK = HEADER + 8,
  PREALLOCATED = 128 * 1024, /* what the first brk brings */
  PAGE = 4096,
};
