/* SPDX-License-Identifier: MIT */
/* What must be known before the first byte is given out. */
#ifndef OSMEM_START_H
#define OSMEM_START_H

/* Once: by the first constructor of all, or by a request for memory before it. */
void start(void);

#endif
