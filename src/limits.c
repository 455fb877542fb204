/* SPDX-License-Identifier: MIT */
/* See limits.h. Beside the heap.
 *
 * /proc/self/cgroup names the process's folder in each hierarchy, "0::/path" for cgroup v2, "4:memory:/path" for v1. The limits
 * of that folder and of each one above it apply. */
#include "limits.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "lines.h"

enum { NUMBER_BYTES = 32, FILES = 2 };

static const struct hierarchy {
  const char *mark; /* behind the number of its line in /proc/self/cgroup, before the path */
  const char *root;
  const char *files[FILES];
} hierarchies[] = {
    {"::", "/sys/fs/cgroup", {"/memory.high", "/memory.max"}},
    {":memory:", "/sys/fs/cgroup/memory", {"/memory.limit_in_bytes", "/memory.soft_limit_in_bytes"}},
};

/* The number that a file holds; 0 for "max", and for what v1 writes instead: more than there is address space. */
static size_t number_in(const char *path) {
  struct file file;
  char text[NUMBER_BYTES] = "";
  size_t number = 0;
  if (!file_open(&file, path)) return 0;
  file_read_line(&file, text, sizeof text);
  file_close(&file);
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
  if (!file_open(&groups, "/proc/self/cgroup")) return 0;
  while (file_read_line(&groups, line, sizeof line))
    for (size_t i = 0; i < sizeof hierarchies / sizeof *hierarchies; i++) limit = lesser(limit_of(&hierarchies[i], line), limit);
  file_close(&groups);
  return limit;
}
