/* SPDX-License-Identifier: MIT */
/* A file of programs that are left alone, for who puts the library under all of them by /etc/ld.so.preload. */
#ifndef OSMEM_EXEMPT_H
#define OSMEM_EXEMPT_H

#include <stdbool.h>

#define EXEMPT_FILE "/etc/osmem/exempt.conf"

/* Does a line of it name the file that this process runs? Asked only if the library came by /etc/ld.so.preload: else nothing is opened. */
bool exempt_is_named(void);

#endif
