/* SPDX-License-Identifier: MIT */
/* See lines.h. */
#include "lines.h"

#include <fcntl.h>

#include "kernel.h"

static int next_byte(struct file *file) {
  if (file->at == file->end) {
    long got = KERNEL(SYS_read, (uintptr_t)file->fd, (uintptr_t)file->bytes, sizeof file->bytes);
    if (got <= 0) return -1;
    file->at = 0;
    file->end = (size_t)got;
  }
  return (unsigned char)file->bytes[file->at++];
}

bool file_read_line(struct file *file, char *line, size_t room) {
  size_t length = 0;
  int byte = next_byte(file);
  if (byte < 0) return false;
  for (; byte >= 0 && byte != '\n'; byte = next_byte(file))
    if (length < room - 1) line[length++] = (char)byte;
  line[length] = 0;
  return true;
}

bool file_open(struct file *file, const char *path) {
  file->at = file->end = 0;
  file->fd = KERNEL(SYS_openat, (uintptr_t)AT_FDCWD, (uintptr_t)path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  return file->fd >= 0;
}

void file_close(const struct file *file) { KERNEL(SYS_close, (uintptr_t)file->fd); }
