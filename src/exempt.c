/* SPDX-License-Identifier: MIT */
/* See exempt.h. Beside the heap, before its first byte.
 *
 * A line is an absolute path, or the name of a file without its folder; empty ones and those that begin with # are comments. Which file a
 * process runs the kernel tells: /proc/self/exe, of a script its interpreter; where /proc is not mounted, what exec was given (AT_EXECFN). A path
 * is compared by the file that it leads to, since /usr/bin/python3 is a link, a name with that of the file itself.
 *
 * The file holds for setuid programs, too: it is root's, or is not used. */
#include "exempt.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel.h"
#include "lines.h"
#include "options.h"
#include "printf.h"
#include "symbols.h"

/* ---- how the library came ------------------------------------------------------------------------------------------- */

/* Is there such a file name in a list as LD_PRELOAD is one? */
static bool lists(const char *list, const char *name) {
  const char *word = list;
  for (; *list; list++) {
    if (*list == '/' || *list == ':' || is_space(*list)) word = list + 1;
    size_t length = 0;
    while (name[length] && word[length] == name[length]) length++;
    if (!name[length] && (!word[length] || word[length] == ':' || is_space(word[length]))) return true;
  }
  return false;
}

/* ld.so does not say. But it loads what LD_PRELOAD names, what some object needs, what is opened later, and what that file names. (Or its
 * own option --preload.) In a setuid program it has taken LD_PRELOAD out of the environment. */
static bool came_by_file(void) {
  const struct link_map *ours = image_of_ours().map;
  if (!ours || !ours->l_prev) return false;
  const char *listed = options_variable("LD_PRELOAD");
  if (listed && lists(listed, symbol_file_name(ours->l_name))) return false;
  return symbol_stands_behind_us(symbol_of_libc("malloc")) && !symbol_image_is_needed();
}

/* ---- what the process runs ------------------------------------------------------------------------------------------ */

struct executable {
  char path[LINE_BYTES];
  bool has_status;
  struct stat status;
};

static bool find_status(const char *path, struct stat *status) {
  return KERNEL(SYS_newfstatat, (uintptr_t)AT_FDCWD, (uintptr_t)path, (uintptr_t)status, 0) == 0;
}

static void find_executable(struct executable *out) {
  static const char link[] = "/proc/self/exe";
  const char *given = (const char *)kernel_auxval(AT_EXECFN);
  long length = KERNEL(SYS_readlinkat, (uintptr_t)AT_FDCWD, (uintptr_t)link, (uintptr_t)out->path, sizeof out->path - 1);
  bool has_link = length > 0 && find_status(link, &out->status);
  if (!has_link)
    for (length = 0; given && given[length] && length < LINE_BYTES - 1; length++) out->path[length] = given[length];
  out->path[length] = 0;
  out->has_status = has_link || find_status(out->path, &out->status);
}

static bool is_executable(const struct executable *executable, const char *line) {
  struct stat named;
  if (*line != '/') return same_name(line, symbol_file_name(executable->path));
  return executable->has_status && find_status(line, &named) && named.st_dev == executable->status.st_dev && named.st_ino == executable->status.st_ino;
}

/* ---- the file ------------------------------------------------------------------------------------------------------- */

static const char *without_spaces(char *line) {
  size_t length = 0;
  while (is_space(*line)) line++;
  while (line[length]) length++;
  while (length && is_space(line[length - 1])) line[--length] = 0;
  return line;
}

static bool names_executable(struct file *file) {
  struct executable executable;
  char line[LINE_BYTES];
  find_executable(&executable);
  while (file_read_line(file, line, sizeof line)) {
    const char *name = without_spaces(line);
    if (*name && *name != '#' && is_executable(&executable, name)) return true;
  }
  return false;
}

/* Nobody but root may say what runs without us. */
static bool is_roots_own(const struct file *file) {
  struct stat status;
  bool known = KERNEL(SYS_newfstatat, (uintptr_t)file->fd, (uintptr_t)"", (uintptr_t)&status, AT_EMPTY_PATH) == 0;
  return known && S_ISREG(status.st_mode) && status.st_uid == 0 && !(status.st_mode & (S_IWGRP | S_IWOTH));
}

bool exempt_is_named(void) {
  struct file file;
  if (!came_by_file()) return false;
  if (!file_open(&file, EXEMPT_FILE)) {
    if (file.fd != -ENOENT && file.fd != -ENOTDIR) print(STDERR_FILENO, "osmem: " EXEMPT_FILE ": cannot be opened (errno %zu), nobody is left alone\n", (size_t)-file.fd);
    return false;
  }
  bool usable = is_roots_own(&file), named = usable && names_executable(&file);
  file_close(&file);
  if (!usable) print(STDERR_FILENO, "osmem: " EXEMPT_FILE ": not a file of root's that only root can write, nobody is left alone\n");
  return named;
}
