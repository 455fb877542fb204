/* SPDX-License-Identifier: MIT */
/* The engine (src/block_meta.h): a granule of records, then blocks side by side. A block takes the request, 8 bytes, and what is
 * missing to a multiple of 16; payloads lie as far apart as their blocks are long, the first is at HeapStart + 0x8000.
 *
 * The first eight blocks of a size class up to 1 KiB are such blocks too. On free, blocks of 1 KiB and more wait in the thread's cache,
 * until that is full or the heap would touch fresh memory. Smaller ones, those of 0x20000 and what realloc cuts off go straight back to the
 * heap: with those, splits and coalescing show. */
enum {
  SMALLEST_BLOCK = 32,
  ROOM = 0x78000,   /* of the first brk's 128 KiB and 12 granules, one holds the records */
  LARGEST = 0x1ffff, /* request that is a block: at 128 KiB mappings begin */
  CLASS_BLOCKS = 8,  /* of a size class, before it gets a slab */
};

/* The request that a block of `block_bytes` (a multiple of 16) serves to the last byte. */
#define REQUEST(block_bytes) ((block_bytes) - 8)
