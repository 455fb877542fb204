/* Pointers that are not ours: memory of the C library's own malloc that reaches our free. */
#ifndef OSMEM_FOREIGN_H
#define OSMEM_FOREIGN_H

#include <stddef.h>

/* Hand a pointer that we never gave out to the C library, if its malloc holds memory at all; else it is misuse of `call`. */
void foreign_free(void *payload, const char *call);
void *foreign_realloc(void *payload, size_t bytes, const char *call);
size_t foreign_usable(void *payload, const char *call);

#endif
