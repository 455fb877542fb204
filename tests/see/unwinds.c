/* SPDX-License-Identifier: MIT */
/* Preloaded on glibc's malloc: at every so many calls of malloc, are the frames that src/unwind.c finds those that libgcc's unwinder does? What differs stands in the file
 * that UNWINDS names, and how many were compared (unwind.t). */
#include "../../src/unwind.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <unwind.h>

enum { DEPTH = 128, EVERY = 13 };

extern void *__libc_malloc(size_t bytes);
static size_t calls, compared, different, longest; /* atomic */
static __thread bool busy;

struct list {
  size_t count;
  uintptr_t frames[DEPTH];
};

static _Unwind_Reason_Code add(struct _Unwind_Context *context, void *list_) {
  struct list *list = list_;
  int is_exact = 0;
  uintptr_t ip = _Unwind_GetIPInfo(context, &is_exact);
  if (!ip) return _URC_END_OF_STACK;
  list->frames[list->count++] = ip + (is_exact != 0);
  return list->count < DEPTH ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static void say(const struct list *list, const char *whose) {
  char line[32];
  const char *name = getenv("UNWINDS");
  int fd = open(name ? name : "/dev/null", O_WRONLY | O_CREAT | O_APPEND, 0666);
  if (fd < 0) return;
  dprintf(fd, "%s:", whose);
  for (size_t i = 0; i < list->count; i++) write(fd, line, (size_t)snprintf(line, sizeof line, " %#zx", (size_t)list->frames[i]));
  write(fd, "\n", 1);
  close(fd);
}

/* Of both the first is in here. */
static __attribute__((noinline)) void compare(void) {
  struct list ours, libgccs = {.count = 0};
  ours.count = unwind(ours.frames, DEPTH);
  _Unwind_Backtrace(add, &libgccs);
  bool same = ours.count == libgccs.count;
  for (size_t i = 1; same && i < ours.count; i++) same = ours.frames[i] == libgccs.frames[i];
  __atomic_add_fetch(&compared, 1, __ATOMIC_RELAXED);
  if (ours.count > __atomic_load_n(&longest, __ATOMIC_RELAXED)) __atomic_store_n(&longest, ours.count, __ATOMIC_RELAXED);
  if (same || __atomic_fetch_add(&different, 1, __ATOMIC_RELAXED) >= 3) return;
  say(&ours, "ours"), say(&libgccs, "libgcc's");
}

void *malloc(size_t bytes) {
  if (!busy && __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED) % EVERY == 0) {
    busy = true;
    compare();
    busy = false;
  }
  return __libc_malloc(bytes);
}

__attribute__((destructor)) static void conclude(void) {
  const char *name = getenv("UNWINDS");
  int fd = open(name ? name : "/dev/null", O_WRONLY | O_CREAT | O_APPEND, 0666);
  if (fd < 0 || !compared) return;
  dprintf(fd, "%zu compared, %zu different, at most %zu frames\n", compared, different, longest);
  close(fd);
}
