/* See limits.h. Beside the heap. Files are read with plain system calls: no stdio, no heap.
 *
 * /proc/self/cgroup names the process's folder in each hierarchy, "0::/path" for cgroup v2, "4:memory:/path" for v1. The limits
 * of that folder and of each one above it apply. */
#include "limits.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 1024, NUMBER_BYTES = 32, FILES = 2 };

static const struct hierarchy {
  const char *mark; /* of its line in /proc/self/cgroup, before the path */
  const char *root;
  const char *files[FILES];
} hierarchies[] = {
    {"0::", "/sys/fs/cgroup", {"/memory.high", "/memory.max"}},
    {":memory:", "/sys/fs/cgroup/memory", {"/memory.limit_in_bytes", "/memory.soft_limit_in_bytes"}},
};

/* The file's first bytes as a string. */
static bool read_text(const char *path, char *text, size_t bytes) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t got = read(fd, text, bytes - 1);
  close(fd);
  text[got > 0 ? got : 0] = 0;
  return got > 0;
}

/* The number that a file holds; 0 for "max", and for what v1 writes instead: more than there is address space. */
static size_t number_in(const char *path) {
  char text[NUMBER_BYTES];
  size_t number = 0;
  if (!read_text(path, text, sizeof text)) return 0;
  for (const char *at = text; *at >= '0' && *at <= '9'; at++) number = number * 10 + (size_t)(*at - '0');
  return number > PTRDIFF_MAX / 2 ? 0 : number;
}

static size_t lesser(size_t a, size_t b) { return a && (!b || a < b) ? a : b; }

/* The least number in the hierarchy's files in `folder`, which has room for their names. */
static size_t limit_in(char *folder, const struct hierarchy *hierarchy) {
  size_t limit = 0, length = strlen(folder);
  for (size_t i = 0; i < FILES; i++) {
    strcpy(folder + length, hierarchy->files[i]);
    limit = lesser(number_in(folder), limit);
  }
  folder[length] = 0;
  return limit;
}

/* The same of the process's folder and those above. `groups` is the text of /proc/self/cgroup. */
static size_t limit_of(const struct hierarchy *hierarchy, const char *groups) {
  char folder[2 * PATH_BYTES];
  const char *line = strstr(groups, hierarchy->mark);
  if (!line) return 0;
  const char *path = line + strlen(hierarchy->mark);
  strcpy(folder, hierarchy->root);
  strncat(folder, path, strcspn(path, "\n"));
  size_t limit = 0;
  char *root_end = folder + strlen(hierarchy->root);
  for (char *end = folder + strlen(folder); end >= root_end; end = strrchr(folder, '/')) {
    *end = 0;
    limit = lesser(limit_in(folder, hierarchy), limit);
  }
  return limit;
}

size_t limits_of_cgroup(void) {
  char groups[PATH_BYTES];
  size_t limit = 0;
  if (!read_text("/proc/self/cgroup", groups, sizeof groups)) return 0;
  for (size_t i = 0; i < sizeof hierarchies / sizeof *hierarchies; i++) limit = lesser(limit_of(&hierarchies[i], groups), limit);
  return limit;
}
