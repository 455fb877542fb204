/* SPDX-License-Identifier: MIT */
/* See profile.h.
 *
 * The format is the oldest of its kind, which google-pprof, go's pprof and jeprof all read: a line for each stack, what is in use and what was ever asked for, then what is
 * mapped where. It has no place for weights that are right already, and none is needed. (Tried: jemalloc's heap_v2, which only its own jeprof reads.) What else is known of a stack stands
 * in a comment behind its line, which they skip. */
#include "profile.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "foreign.h"
#include "guard.h"
#include "kernel.h"
#include "os.h"
#include "printf.h"
#include "samples.h"

enum { RATE = 512 * KIB };

struct profile_settings profile_settings;

static size_t rounded(double value) { return value < 0.5 ? 0 : (size_t)(value + 0.5); }

static void write_tallies(struct printer *out, const struct tally *live, const struct tally *all) {
  printer_print(out, "%zu: %zu [%zu: %zu] @", rounded(live->count), rounded(live->bytes), rounded(all->count), rounded(all->bytes));
}

static void write_stack(struct printer *out, const struct stack *stack, bool peak) {
  struct stack now;
  samples_copy(stack, &now);
  write_tallies(out, peak ? &now.peak : &now.live, &now.all);
  for (uint64_t i = 0; i < stack->depth; i++) printer_print(out, " %p", (void *)stack->frames[i]);
  printer_print(out, "\n# freed");
  for (int i = 0; i < LIFETIMES; i++) printer_print(out, " %zu", rounded(now.freed[i]));
  printer_print(out, " elsewhere %zu\n", rounded(now.elsewhere));
}

static void write_maps(struct printer *out) {
  char part[1024];
  long from = KERNEL(SYS_openat, (uintptr_t)AT_FDCWD, (uintptr_t)"/proc/self/maps", O_RDONLY | O_CLOEXEC), bytes;
  printer_print(out, "\nMAPPED_LIBRARIES:\n");
  printer_flush(out);
  if (from < 0) return;
  while ((bytes = KERNEL(SYS_read, (uintptr_t)from, (uintptr_t)part, sizeof part)) > 0) sys_write(out->fd, part, (size_t)bytes);
  KERNEL(SYS_close, (uintptr_t)from);
}

static void write_profile(int fd, bool peak) {
  struct printer out = {.fd = fd};
  printer_print(&out, "heap profile: ");
  write_tallies(&out, peak ? &samples.peak : &samples.live, &samples.all);
  printer_print(&out, " heapprofile\n# rate %zu\n# samples %zu\n# missed %zu\n# freed: bytes that had lived less than 10 ms, 100 ms, 1 s, 10 s, 100 s, longer; of them by another thread\n",
                samples.rate, samples.taken, samples.missed);
  for (const struct stack *stack = samples.newest; stack; stack = stack->older) write_stack(&out, stack, peak);
  write_maps(&out);
}

static void write_file(const char *ending, bool peak) {
  struct printer name = {.length = 0}; /* as text: it is shorter than the room */
  printer_print(&name, "%s.%u%s", profile_settings.prefix, (unsigned)KERNEL(SYS_getpid), ending);
  name.bytes[name.length] = 0;
  /* Without a reader that a pipe of that name waits for. */
  long fd = KERNEL(SYS_openat, (uintptr_t)AT_FDCWD, (uintptr_t)name.bytes, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0666);
  if (fd < 0) return; /* it was told at the start; descriptor 2 may be anything now */
  write_profile((int)fd, peak);
  KERNEL(SYS_close, (uintptr_t)fd);
}

/* Signals that a write may bring, beyond a limit of files (RLIMIT_FSIZE) or into a pipe without a reader, would end a program that has ended well. */
static void write_files(void) {
  uint64_t of_writes = 1ull << (SIGXFSZ - 1) | 1ull << (SIGPIPE - 1), before, pending;
  const struct timespec at_once = {0};
  KERNEL(SYS_rt_sigprocmask, SIG_BLOCK, (uintptr_t)&of_writes, (uintptr_t)&before, sizeof before);
  KERNEL(SYS_rt_sigpending, (uintptr_t)&pending, sizeof pending);
  write_file(".heap", false);
  if (samples.taken) write_file(".peak.heap", true);
  uint64_t ours = of_writes & ~pending;
  while (ours && KERNEL(SYS_rt_sigtimedwait, (uintptr_t)&ours, 0, (uintptr_t)&at_once, sizeof ours) > 0) continue;
  KERNEL(SYS_rt_sigprocmask, SIG_SETMASK, (uintptr_t)&before, 0, sizeof before);
}

__attribute__((destructor)) COLD static void profile_at_exit(void) {
  if (!profile_settings.prefix[0] || left_alone) return;
  samples_settle_peak();
  write_files();
}

/* What a program that goes to another folder takes with it. */
static void make_absolute(void) {
  char from[sizeof profile_settings.prefix];
  long length = KERNEL(SYS_getcwd, (uintptr_t)from, sizeof from); /* with its end */
  size_t have = strlen(profile_settings.prefix);
  if (profile_settings.prefix[0] == '/' || length <= 0 || (size_t)length + have >= sizeof from) return;
  memmove(profile_settings.prefix + length, profile_settings.prefix, have + 1);
  memcpy(profile_settings.prefix, from, (size_t)length - 1);
  profile_settings.prefix[length - 1] = '/';
}

/* Now, while descriptor 2 is what it was at the start. */
static void check_folder(void) {
  char folder[sizeof profile_settings.prefix];
  memcpy(folder, profile_settings.prefix, sizeof folder);
  char *end = strrchr(folder, '/');
  if (end) end[end == folder] = 0;
  long answer = KERNEL(SYS_faccessat, (uintptr_t)AT_FDCWD, (uintptr_t)(end ? folder : "."), W_OK | X_OK);
  if (answer < 0) print(STDERR_FILENO, "osmem: profile: nothing can be written in %s (errno %zu)\n", end ? folder : ".", (size_t)-answer);
}

COLD void profile_start(void) {
  bool begins = profile_settings.prefix[0] || profile_settings.rate || profile_settings.guard;
  if (!begins || left_alone) return;
  if (profile_settings.prefix[0]) make_absolute(), check_folder();
  if (profile_settings.guard) guard_start();
  samples_start(profile_settings.rate ? profile_settings.rate : RATE);
}

_Static_assert(sizeof profile_settings.prefix + 40 < sizeof((struct printer *)0)->bytes, "a file's name fits");
