/* SPDX-License-Identifier: MIT */
/* The free space at an arena's end ("top") and the chunks that it moves through. The caller of all this holds the arena's lock. */
#ifndef OSMEM_TOP_H
#define OSMEM_TOP_H

#include "bins.h"

/* Where memory may come from: what is free and in memory, of others, too; fresh memory that the heap has; and more from the kernel. */
enum arena_growth { ARENA_WARM, ARENA_WARM_ANYWHERE, ARENA_AS_IS, ARENA_MAY_GROW };

/* Would a block at the top touch no page that is not in memory? */
bool top_is_warm(const struct arena *arena, size_t bytes, size_t alignment);

/* Make the newest chunk's memory reach `end` and a header behind it. */
bool reach(struct arena *arena, uintptr_t end, enum arena_growth growth);

/* Where a block would start at the top, once the top reaches far enough; 0: it cannot. */
uintptr_t reserve_top(struct arena *arena, size_t bytes, size_t alignment, enum arena_growth growth);

/* The top moves up by `bytes` to `end`. */
void touch_top(struct arena *arena, uintptr_t end, size_t bytes, bool dense);

/* Drop the pages of the top above `keep`, the last `most` bytes of them; bytes released. The address space stays. Locked pages go for a trim only. */
size_t discard_top(struct arena *arena, uintptr_t keep, size_t most, bool trims);

/* Give back a portion of what lies above the top but for `pad` bytes, chunks that are empty too. False: there is no more. */
bool trim_top(struct arena *arena, size_t pad, size_t *released);

/* Drop the whole pages of [start, end); bytes released. Locked ones for a trim only. */
size_t discard_pages(uintptr_t start, uintptr_t end, bool trims);

#endif
