/* SPDX-License-Identifier: MIT */
/* What the user of the heap did wrong: one line on stderr, then abort(). */
#ifndef OSMEM_REPORT_H
#define OSMEM_REPORT_H

#define MISUSE_DOUBLE_FREE "double free of"
#define MISUSE_INVALID "invalid pointer"
#define MISUSE_MISALIGNED "misaligned pointer"
#define MISUSE_CORRUPTED "corrupted block"
#define MISUSE_DAMAGED "write after free, or overflow, into"

/* `call` is the public function without parentheses, `what` one of the texts above:
 * "osmem: free(): double free of 0x55d0c0ffee00". */
_Noreturn void report_misuse(const char *call, const char *what, const void *pointer);

#endif
