/* SPDX-License-Identifier: MIT */
/* OSMEM_OPTIONS: name=value,name=value. Read once, before the first byte is given out; what cannot be used is named on stderr and ignored. */
#ifndef OSMEM_OPTIONS_H
#define OSMEM_OPTIONS_H

#include <stddef.h>

struct options {
  size_t off;           /* 1: the process is left alone */
  size_t stats;         /* 1: print a table on stderr at exit */
  size_t keep_deepbind; /* 1: dlopen() keeps RTLD_DEEPBIND */
};

extern struct options settings;

/* Of that environment, as constructors are given it: ours run before libc's own, which make getenv() work. NULL: as it was at exec. */
void options_read(char **environment);

/* The value of a variable of the environment, or NULL: it is not set, or this is a setuid program, where the environment is somebody else's. */
const char *options_variable(const char *name);

#endif
