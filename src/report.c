/* SPDX-License-Identifier: MIT */
/* See report.h. */
#include "report.h"

#include <stdlib.h>
#include <unistd.h>

#include "printf.h"

_Noreturn void report_misuse(const char *call, const char *what, const void *pointer) {
  print(STDERR_FILENO, "osmem: %s(): %s %p\n", call, what, pointer);
  abort();
}
