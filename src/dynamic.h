/* SPDX-License-Identifier: MIT */
/* What only the shared library can do. */
#ifndef OSMEM_DYNAMIC_H
#define OSMEM_DYNAMIC_H

/* A symbol of a library, or of what that is linked with, if it is loaded already, in whatever scope; or NULL. */
void *dynamic_symbol(const char *library, const char *name);

#endif
