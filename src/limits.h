/* SPDX-License-Identifier: MIT */
/* The limit that a container sets. */
#ifndef OSMEM_LIMITS_H
#define OSMEM_LIMITS_H

#include <stddef.h>

/* The least memory limit, hard or soft, of the control groups this process is in, in bytes; 0: there is none, or it cannot be read. Opens
 * files, and closes them. */
size_t limits_of_cgroup(void);

#endif
