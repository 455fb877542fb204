/* See limits.h. Beside the heap. Files are read with plain system calls: no stdio, no heap.
 *
 * /proc/self/cgroup names the process's folder in each hierarchy, "0::/path" for cgroup v2, "4:memory:/path" for v1. The limits
 * of that folder and of each one above it apply. */
#include "limits.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "kernel.h"

/* A line: a path as long as the kernel takes one, and what stands before it. */
enum { LINE_BYTES = 4096 + 64, NUMBER_BYTES = 32, FILES = 2 };

static const struct hierarchy {
  const char *mark; /* behind the number of its line in /proc/self/cgroup, before the path */
  const char *root;
  const char *files[FILES];
} hierarchies[] = {
    {"::", "/sys/fs/cgroup", {"/memory.high", "/memory.max"}},
    {":memory:", "/sys/fs/cgroup/memory", {"/memory.limit_in_bytes", "/memory.soft_limit_in_bytes"}},
};

struct file {
  long fd;
  size_t at, end; /* of `bytes`: read, and not looked at yet */
  char bytes[512];
};

static int next_byte(struct file *file) {
  if (file->at == file->end) {
    long got = KERNEL(SYS_read, (uintptr_t)file->fd, (uintptr_t)file->bytes, sizeof file->bytes);
    if (got <= 0) return -1;
    file->at = 0;
    file->end = (size_t)got;
  }
  return (unsigned char)file->bytes[file->at++];
}

/* The next line without its end, as a string, or the first part of it that there is room for. False: there is none. */
static bool read_line(struct file *file, char *line, size_t room) {
  size_t length = 0;
  int byte = next_byte(file);
  if (byte < 0) return false;
  for (; byte >= 0 && byte != '\n'; byte = next_byte(file))
    if (length < room - 1) line[length++] = (char)byte;
  line[length] = 0;
  return true;
}

static bool open_file(struct file *file, const char *path) {
  file->at = file->end = 0;
  file->fd = KERNEL(SYS_openat, (uintptr_t)AT_FDCWD, (uintptr_t)path, O_RDONLY | O_CLOEXEC);
  return file->fd >= 0;
}

static void close_file(const struct file *file) { KERNEL(SYS_close, (uintptr_t)file->fd); }

/* The number that a file holds; 0 for "max", and for what v1 writes instead: more than there is address space. */
static size_t number_in(const char *path) {
  struct file file;
  char text[NUMBER_BYTES] = "";
  size_t number = 0;
  if (!open_file(&file, path)) return 0;
  read_line(&file, text, sizeof text);
  close_file(&file);
  for (const char *at = text; *at >= '0' && *at <= '9'; at++) number = number * 10 + (size_t)(*at - '0');
  return number > PTRDIFF_MAX / 2 ? 0 : number;
}

static size_t lesser(size_t a, size_t b) { return a && (!b || a < b) ? a : b; }

/* Not strcpy(): that of clang's ThreadSanitizer does not work before its start. */
static void copy_text(char *to, const char *from) { memcpy(to, from, strlen(from) + 1); }

/* The least number in the hierarchy's files in `folder`, which has room for their names. */
static size_t limit_in(char *folder, const struct hierarchy *hierarchy) {
  size_t limit = 0, length = strlen(folder);
  for (size_t i = 0; i < FILES; i++) {
    copy_text(folder + length, hierarchy->files[i]);
    limit = lesser(number_in(folder), limit);
  }
  folder[length] = 0;
  return limit;
}

/* The same of the folder that a line of /proc/self/cgroup names and those above, if it is the hierarchy's. */
static size_t limit_of(const struct hierarchy *hierarchy, const char *line) {
  char folder[LINE_BYTES + 64];
  const char *mark = strchr(line, ':');
  if (!mark || strncmp(mark, hierarchy->mark, strlen(hierarchy->mark)) != 0) return 0;
  char *root_end = folder + strlen(hierarchy->root);
  copy_text(folder, hierarchy->root);
  copy_text(root_end, mark + strlen(hierarchy->mark));
  size_t limit = 0;
  for (char *end = folder + strlen(folder); end >= root_end; end = strrchr(folder, '/')) {
    *end = 0;
    limit = lesser(limit_in(folder, hierarchy), limit);
  }
  return limit;
}

/* Line by line: with v1 there are a dozen, and in a container each has the whole path; Kubernetes' come to 1,670 bytes. */
size_t limits_of_cgroup(void) {
  struct file groups;
  char line[LINE_BYTES];
  size_t limit = 0;
  if (!open_file(&groups, "/proc/self/cgroup")) return 0;
  while (read_line(&groups, line, sizeof line))
    for (size_t i = 0; i < sizeof hierarchies / sizeof *hierarchies; i++) limit = lesser(limit_of(&hierarchies[i], line), limit);
  close_file(&groups);
  return limit;
}
