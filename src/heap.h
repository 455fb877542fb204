/* SPDX-License-Identifier: MIT */
/* The heap: what the exported names (shim.c, api.c) forward to. Semantics of the C standard and glibc; misuse is reported under `call`. */
#ifndef OSMEM_HEAP_H
#define OSMEM_HEAP_H

#include <stdbool.h>
#include <stddef.h>

/* NULL with errno ENOMEM on failure; heap_malloc(0) is a unique block. */
void *heap_malloc(size_t bytes);
void *heap_calloc(size_t count, size_t bytes);
/* heap_realloc(p, 0) frees. */
void *heap_realloc(void *payload, size_t bytes, const char *call);
/* `alignment` must be a power of two. */
void *heap_aligned(size_t alignment, size_t bytes);
void heap_free(void *payload);
size_t heap_usable(void *payload, const char *call);

/* Flush caches, take back what dead threads left, release free pages but for `pad` bytes at the top: bytes released. */
size_t heap_trim(size_t pad);

static inline bool is_power_of_two(size_t n) { return n && !(n & (n - 1)); }

#endif
