/* OSMEM_OPTIONS: name=value,name=value. Read once, by a constructor; unknown names are reported on stderr and ignored. */
#ifndef OSMEM_OPTIONS_H
#define OSMEM_OPTIONS_H

#include <stddef.h>

struct options {
  size_t stats;         /* 1: print a table on stderr at exit */
  size_t keep_deepbind; /* 1: dlopen() keeps RTLD_DEEPBIND */
};

extern struct options settings;

#endif
