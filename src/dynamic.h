/* What only the shared library can do. */
#ifndef OSMEM_DYNAMIC_H
#define OSMEM_DYNAMIC_H

/* A symbol of a library if that is loaded already, in whatever scope, or NULL. Itself NULL in the static library. */
void *dynamic_symbol(const char *library, const char *name) __attribute__((weak));

#endif
