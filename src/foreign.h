/* Pointers that are not ours: memory of the C library's own malloc that reaches our free. */
#ifndef OSMEM_FOREIGN_H
#define OSMEM_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>

/* Does the C library's malloc hold memory? Mostly not. */
bool foreign_has_memory(void);

/* Hand a pointer that we never gave out to the C library, if its malloc holds memory at all; else it is misuse of `call`. */
void foreign_free(void *payload, const char *call);
void *foreign_realloc(void *payload, size_t bytes, const char *call);
size_t foreign_usable(void *payload, const char *call);

#endif
