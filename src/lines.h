/* SPDX-License-Identifier: MIT */
/* Text files read line by line, with plain system calls: no stdio, no heap. */
#ifndef OSMEM_LINES_H
#define OSMEM_LINES_H

#include <stdbool.h>
#include <stddef.h>

enum { LINE_BYTES = 4096 + 64 }; /* a path as long as the kernel takes one, and what stands before it */

struct file {
  long fd;
  size_t at, end; /* of `bytes`: read, and not looked at yet */
  char bytes[512];
};

/* False: errno is file->fd, below zero. A pipe or a device of that name is not waited for. */
bool file_open(struct file *file, const char *path);
void file_close(const struct file *file);

/* The next line without its end, as a string, or the first part of it that there is room for. False: there is none. */
bool file_read_line(struct file *file, char *line, size_t room);

static inline bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

#endif
