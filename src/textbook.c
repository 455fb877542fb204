/* SPDX-License-Identifier: MIT */
/* osmem, the textbook core: four functions as an operating-systems course asks for them.
 *
 * The heap is one list of blocks in the order of their addresses. Every block is a header
 * with its payload behind it, and the user holds the address of the payload:
 *
 *   start of the heap (where the break was)                        sbrk(0), the break
 *   |                                                                              |
 *   +--------+-----------+--------+----------------+--------+----------------------+
 *   | header | payload   | header | payload        | header | payload              |
 *   | 32     | size      | 32     | size           | 32     | size                 |
 *   +--------+-----------+--------+----------------+--------+----------------------+
 *            ^ os_malloc's result                    ^ what a split leaves: a free block
 *
 *   header:  | size 8 | status 4 | gap 4 | prev 8 | next 8 |
 *   list:    heap <-> block <-> block <-> block <-> heap   (`heap` is a header without payload)
 *
 * A large block has a mapping of its own, header first, and is in no list.
 *
 * Rules: sizes and addresses are multiples of 8; a free block is split when the rest can be a
 * block (header and 8 bytes); neighbours that are free become one before each search; the search
 * takes the smallest block that is large enough; the heap grows by exactly what is missing.
 *
 * It deliberately has no threads, no check for misuse, no memory given back by brk and no way to
 * survive a refused system call: DIE() ends the process. */
#include "../include/osmem.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* A system call that fails ends the process with one line on stderr; dprintf takes no memory of ours. */
#define DIE(failed, call) \
  do {                    \
    if (failed)           \
      die(call);          \
  } while (0)

static _Noreturn void die(const char *call)
{
  dprintf(STDERR_FILENO, "osmem-textbook: %s: %s\n", call, strerror(errno));
  abort();
}

/* ---- a block ---------------------------------------------------------------------------------- */

enum { STATUS_FREE = 0, STATUS_ALLOC = 1, STATUS_MAPPED = 2 };

struct block_meta {
  size_t size; /* bytes of payload, a multiple of 8 */
  int status;
  struct block_meta *prev, *next; /* neighbours in the heap's list; NULL in a mapped block */
};

static const size_t ALIGNMENT = 8;
static const size_t HEADER = sizeof(struct block_meta);
static const size_t MMAP_THRESHOLD = 128 * 1024; /* header and payload from here on: a mapping */
static const size_t PREALLOCATION = 128 * 1024;  /* header and payload of the heap's first block */

_Static_assert(sizeof(struct block_meta) == 32, "a payload starts 32 bytes after its header");

static size_t align_up(size_t bytes)
{
  return (bytes + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
}

static void *payload_of(struct block_meta *block)
{
  return block + 1;
}

static struct block_meta *block_of(void *payload)
{
  return (struct block_meta *)payload - 1;
}

static char *end_of(struct block_meta *block)
{
  return (char *)payload_of(block) + block->size;
}

/* ---- the list --------------------------------------------------------------------------------- */

/* Both ends of the list. It looks like a block in use, so no neighbour ever merges with it. */
static struct block_meta heap = {0, STATUS_ALLOC, &heap, &heap};

static bool heap_is_empty(void)
{
  return heap.next == &heap;
}

static struct block_meta *last_block(void)
{
  return heap.prev;
}

static void insert_after(struct block_meta *place, struct block_meta *block)
{
  block->prev = place;
  block->next = place->next;
  place->next->prev = block;
  place->next = block;
}

static void unlink_block(struct block_meta *block)
{
  block->prev->next = block->next;
  block->next->prev = block->prev;
}

/* ---- split and merge -------------------------------------------------------------------------- */

/* Cut `block` down to `size` bytes if the rest can be a block itself, else leave it whole.
 *
 *   | header | payload                   |   becomes   | header | size | header | rest |  */
static void split(struct block_meta *block, size_t size)
{
  size_t rest_bytes = block->size - size;
  if (rest_bytes < HEADER + ALIGNMENT)
    return;
  block->size = size;

  struct block_meta *rest = (struct block_meta *)(void *)end_of(block);
  rest->size = rest_bytes - HEADER;
  rest->status = STATUS_FREE;
  insert_after(block, rest);
}

/* Next in the list is not always next in memory: see append_block. */
static bool can_absorb_next(struct block_meta *block)
{
  return block->next->status == STATUS_FREE && (char *)block->next == end_of(block);
}

static void absorb_next(struct block_meta *block)
{
  block->size += HEADER + block->next->size;
  unlink_block(block->next);
}

static void coalesce_all(void)
{
  for (struct block_meta *block = heap.next; block != &heap; block = block->next)
    while (block->status == STATUS_FREE && can_absorb_next(block))
      absorb_next(block);
}

/* ---- the end of the heap ---------------------------------------------------------------------- */

static char *get_break(void)
{
  void *end = sbrk(0);
  DIE(end == (void *)-1, "sbrk");
  return end;
}

static void set_break(char *end)
{
  DIE(brk(end) == -1, "brk");
}

/* A new free block at the end of the heap, with one move of the break.
 *
 * The course has the break for itself. A real process shares it with the C library's malloc, which may
 * have moved it since. Then the heap has a hole that is not ours: the new block starts behind the
 * hole, and blocks on its two sides stay neighbours in the list but never merge (can_absorb_next), nor
 * does the one before it grow (can_expand). A break that somebody left at an odd address is rounded up.
 * Nobody is expected to move it below what we got. */
static struct block_meta *append_block(size_t size)
{
  char *end = get_break();
  char *start = end + (align_up((uintptr_t)end) - (uintptr_t)end);
  set_break(start + HEADER + size);

  struct block_meta *block = (struct block_meta *)(void *)start;
  block->size = size;
  block->status = STATUS_FREE;
  insert_after(last_block(), block);
  return block;
}

/* Only the block that ends at the break can get longer by moving it. */
static bool can_expand(struct block_meta *block)
{
  return block == last_block() && end_of(block) == get_break();
}

static void expand(struct block_meta *block, size_t size)
{
  set_break((char *)payload_of(block) + size);
  block->size = size;
}

/* ---- finding a block -------------------------------------------------------------------------- */

/* Best fit: the smallest free block of at least `size` bytes, the first one among equals; or NULL. */
static struct block_meta *find_best(size_t size)
{
  struct block_meta *best = NULL;
  for (struct block_meta *block = heap.next; block != &heap; block = block->next)
    if (block->status == STATUS_FREE && block->size >= size && (best == NULL || block->size < best->size))
      best = block;
  return best;
}

/* The heap had no block for `size` bytes: get longer by just what is missing. */
static struct block_meta *grow_heap(size_t size)
{
  struct block_meta *last = last_block();
  if (last->status != STATUS_FREE || !can_expand(last))
    return append_block(size);
  expand(last, size);
  return last;
}

static struct block_meta *take_from_heap(size_t size)
{
  if (heap_is_empty()) /* true once: blocks merge, but one always remains */
    append_block(PREALLOCATION - HEADER);

  coalesce_all();
  struct block_meta *block = find_best(size);
  if (block == NULL)
    block = grow_heap(size);
  split(block, size);
  block->status = STATUS_ALLOC;
  return block;
}

static struct block_meta *map_block(size_t size)
{
  struct block_meta *block =
      mmap(NULL, HEADER + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  DIE(block == MAP_FAILED, "mmap");
  block->size = size;
  block->status = STATUS_MAPPED;
  return block;
}

static void unmap_block(struct block_meta *block)
{
  DIE(munmap(block, HEADER + block->size) == -1, "munmap");
}

/* ---- the four functions ----------------------------------------------------------------------- */

/* No object can be larger, and align_up would wrap around: the one shortage that is an answer, not the end. */
static bool is_too_large(size_t size)
{
  if (size <= PTRDIFF_MAX)
    return false;
  errno = ENOMEM;
  return true;
}

/* Both thresholds are compared with header plus *aligned* size: 4,057 bytes by os_calloc become 4,064, and
 * with the header that is a page, so they are mapped. */
static void *allocate(size_t size, size_t threshold)
{
  if (size == 0 || is_too_large(size))
    return NULL;
  size = align_up(size);
  return payload_of(HEADER + size < threshold ? take_from_heap(size) : map_block(size));
}

EXPORT void os_free(void *ptr)
{
  if (ptr == NULL)
    return;
  struct block_meta *block = block_of(ptr);
  if (block->status == STATUS_MAPPED)
    unmap_block(block);
  else
    block->status = STATUS_FREE;
}

EXPORT void *os_malloc(size_t size)
{
  return allocate(size, MMAP_THRESHOLD);
}

EXPORT void *os_calloc(size_t nmemb, size_t size)
{
  size_t bytes;
  if (__builtin_mul_overflow(nmemb, size, &bytes))
    bytes = SIZE_MAX; /* too large as well */

  void *payload = allocate(bytes, (size_t)getpagesize());
  if (payload != NULL && block_of(payload)->status != STATUS_MAPPED) /* the kernel's pages are zero already */
    memset(payload, 0, bytes);
  return payload;
}

/* Make a block of the heap longer where it is. What was merged stays merged, even in vain.
 *
 * Whether the block is the last one is asked once, before merging: a block that becomes the last
 * by swallowing its successor, and is still too short, moves. */
static bool grow_in_place(struct block_meta *block, size_t size)
{
  if (can_expand(block)) {
    expand(block, size);
    return true;
  }
  while (block->size < size && can_absorb_next(block))
    absorb_next(block);
  if (block->size < size)
    return false;
  split(block, size);
  return true;
}

/* The new place is chosen as os_malloc would, whichever function made the old one. */
static void *move(struct block_meta *block, size_t size)
{
  void *target = allocate(size, MMAP_THRESHOLD);
  memcpy(target, payload_of(block), size < block->size ? size : block->size);
  os_free(payload_of(block));
  return target;
}

/* The size a block has is the one in its header: up to 32 bytes more than asked for where a split was not possible.
 * A rest cut off here is merged with a free successor only before the next search. */
EXPORT void *os_realloc(void *ptr, size_t size)
{
  if (ptr == NULL)
    return allocate(size, MMAP_THRESHOLD);
  if (size == 0) {
    os_free(ptr);
    return NULL;
  }
  struct block_meta *block = block_of(ptr);
  if (block->status == STATUS_FREE || is_too_large(size))
    return NULL;

  size = align_up(size);
  if (size == block->size)
    return ptr;
  if (block->status == STATUS_MAPPED)
    return move(block, size);
  if (size < block->size) {
    split(block, size);
    return ptr;
  }
  if (HEADER + size >= MMAP_THRESHOLD || !grow_in_place(block, size))
    return move(block, size);
  return ptr;
}
