/* SPDX-License-Identifier: MIT */
/* Pointers that are not ours: memory of the C library's own malloc that reaches our free. And processes that are left alone, where all of them are. */
#ifndef OSMEM_FOREIGN_H
#define OSMEM_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>

/* Why there is no heap of ours in this process, or NULL. Known before the first byte is given out, see start.c. */
extern const char *left_alone;

/* From now on every request is the next malloc's behind us: libc's, or that of another allocator that the program is linked with, as without us. False: a wholly static
 * program has no other. */
bool foreign_leave_alone(const char *why);
/* The same, told on stderr, where there cannot be a heap. Ends the process if there is no other. */
void foreign_serve_instead(const char *reason);

/* Of a process that is left alone: memory, and who answers for a name that we export (NULL in all others). */
void *foreign_allocate(size_t bytes, size_t alignment, bool zero);
void *foreign_function(const char *name);

/* Does the C library's malloc hold memory? Mostly not. */
bool foreign_has_memory(void);

/* Hand a pointer that we never gave out to the C library, if its malloc holds memory at all; else it is misuse of `call`. */
void foreign_free(void *payload, const char *call);
void *foreign_realloc(void *payload, size_t bytes, const char *call);
size_t foreign_usable(void *payload, const char *call);

#endif
