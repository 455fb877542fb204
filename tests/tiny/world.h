/* SPDX-License-Identifier: MIT */
/* A small world for the tiny heap: the whole library in one object (world.c), and under it a kernel that is a range of memory in the
 * test's hands. What the real one promises holds, and no more:
 *
 *   - pages are of WORLD_PAGE bytes, so that several make a granule; fresh ones are zero;
 *   - what is unmapped, or lies above a lowered break, is poisoned, and whoever wrote there is caught when it is mapped again;
 *   - discarded pages are zero, or, with `keeps`, what they were, as under qemu-user;
 *   - calls may be refused; others may move the break; time passes by the call.
 *
 * The same at the same addresses in every process, so every run is repeatable. */
#ifndef WORLD_H
#define WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  WORLD_PAGE = 2048,
  WORLD_BREAK_BYTES = 16 * 1024 * 1024, /* the break may go so far, */
  WORLD_MAP_BYTES = 64 * 1024 * 1024,   /* and behind that is so much for mappings */
  WORLD_BYTES = WORLD_BREAK_BYTES + WORLD_MAP_BYTES,
  WORLD_PAGES = WORLD_BYTES / WORLD_PAGE
};
#define WORLD_BASE ((uintptr_t)0x200000000000)

/* As bits: kinds of calls. */
enum { REFUSE_BRK = 1, REFUSE_MMAP = 2, REFUSE_MUNMAP = 4, REFUSE_MREMAP = 8, REFUSE_MADVISE = 16, REFUSE_ALL = 31 };

enum world_page { WORLD_UNTOUCHED, WORLD_MAPPED, WORLD_POISONED };
enum { WORLD_POISON = 0xDB };
extern uint8_t world_pages[WORLD_PAGES];

extern struct world {
  bool begun;
  bool keeps;
  uintptr_t now;    /* the break */
  unsigned refuse;  /* kinds that are refused, */
  size_t refusals;  /* so many times from now on */
  size_t refused;   /* how often anything was; atomic */
  uint64_t time_ns;
  size_t break_top, map_top; /* pages that were ever touched lie below, on either side */
} world;

/* With the first call of the library, or before. */
void world_begin(void);

/* Others move the break: up by `bytes`, and down again to where they found it if it is where they left it. What they keep there they find
 * again, or the test ends. */
void world_stranger_comes(size_t bytes);
void world_stranger_goes(void);
/* Into what is free at the heap's end, if there is so much. */
void world_stranger_lowers(size_t bytes);

/* In a quiet moment: strangers' memory is as they left it, and what the library takes for fresh reads as zero; or the test ends. */
void world_look(void);

/* Nothing is refused any more, and there are no limits. */
void world_fair(void);

/* For the exhaustive search: what only grows or counts is as it was at the start, and giving back is always paid for. */
void world_forget_history(void);

/* The heap of a thread before its first allocation. */
struct theap *world_unborn(void);

#endif
