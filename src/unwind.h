/* SPDX-License-Identifier: MIT */
/* Who called: by the tables that compilers leave for exceptions (.eh_frame), which nearly all programs have, frame pointers or not.
 *
 * Our own, since libgcc's has to be loaded in most programs that are written in C: at the start, before libc has set itself up, that cannot be done (node had no environment, ld.so's
 * messages no program), and later no malloc is a place for it. This one loads nothing, locks nothing, allocates nothing, and works in a static program, too, if that has an index of its tables
 * (-static-pie, or -Wl,--eh-frame-hdr).
 *
 * DWARF 5, 6.4; and what the Linux Standard Base says of .eh_frame. */
#ifndef OSMEM_UNWIND_H
#define OSMEM_UNWIND_H

#include <stddef.h>
#include <stdint.h>

/* Where the calls on the caller's stack return to, the innermost first; its own first. As many as there are, or as fit. Where a table is missing it ends. Async-signal-safe. */
size_t unwind(uintptr_t *frames, size_t most);

#endif
