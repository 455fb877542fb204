/* SPDX-License-Identifier: MIT */
/* A printf that uses no heap and no stdio: for messages from inside the allocator. */
#ifndef OSMEM_PRINTF_H
#define OSMEM_PRINTF_H

#include <stddef.h>

/* Write to `fd` with one write() call where the text fits 1 KiB (longer text is cut). Conversions: %s %u %zu %p %%, the first
 * three with an optional width ("%12zu" pads on the left, "%-12s" on the right). Async-signal-safe; errno is kept. */
void print(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for text of any length: as many write() calls as it fills rooms, then printer_flush() for the rest. */
struct printer {
  int fd;
  size_t length;
  char bytes[1024];
};

void printer_print(struct printer *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
void printer_flush(struct printer *out);

#endif
