/* SPDX-License-Identifier: MIT */
/* What osmem is built for, in a sentence: this stands before the headers of the system, of which one would be missing. */
#ifndef OSMEM_TARGET_H
#define OSMEM_TARGET_H

#if !defined __linux__ || !defined __LP64__
#error "osmem is for 64-bit Linux (no -m32, no -mx32)"
#elif __STDC_VERSION__ < 201112L || defined __STRICT_ANSI__
#error "osmem is C11 with GNU's extensions: leave -std=... out of CFLAGS"
#endif

#endif
