/* SPDX-License-Identifier: MIT */
/* The one library of a process whose constructors glibc runs before all others, those of a preloaded one and of the executable's preinit_array included: the last loaded of
 * those that ask for it (-z initfirst). Before glibc 2.34 libpthread was it in every threaded program. */
int runs_first;
__attribute__((constructor)) static void run_first(void) { runs_first = 1; }
