/* SPDX-License-Identifier: MIT */
/* What is wrong with memory, each by its name, until a block of the guard pool is met (guard.t); and what is right. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRIES = 200000, BYTES = 100 };

__attribute__((noinline)) static char *asks(size_t bytes) { return memset(malloc(bytes), 1, bytes); }
__attribute__((noinline)) static void frees(void *block) { free(block); }
static volatile char sink;

/* The heap's own would be hurt by them: so each is done to the pool alone. Its closed page is one that nobody can read: write() says so without a signal. */
static int is_closed(const char *at) {
  static int ends[2] = {-1, -1};
  if (ends[0] < 0 && pipe(ends)) abort();
  if (write(ends[1], at, 1) < 0) return 1;
  char read_back;
  return read(ends[0], &read_back, 1) < 0;
}

static char *page_of(const char *block) { return (char *)((uintptr_t)block & -4096); }
static int is_in_pool(const char *block) { return is_closed(page_of(block) - 1) && is_closed(page_of(block) + 4096); }
static int is_at_end(const char *block) { return (uintptr_t)block % 4096 + BYTES > 4096 - 32; }

static char *from_pool(int at_end) {
  for (int i = 0; i < TRIES; i++) {
    char *block = asks(BYTES);
    if (is_in_pool(block) && is_at_end(block) == at_end) return block;
    free(block);
  }
  puts("none");
  exit(3);
}

static void use_after_free(void) {
  char *block = from_pool(0);
  frees(block);
  sink = block[40];
}

/* Others were asked for since: they took what was never used, or was freed before. */
static void late_use_after_free(void) {
  char *block = from_pool(0);
  frees(block);
  for (int i = 0; i < 3; i++) from_pool(0);
  sink = block[40];
}

static void overflow(void) { from_pool(1)[128] = 1; }
static void underflow(void) { from_pool(0)[-1] = 1; }

/* In the page: seen when it is freed. */
static void small_overflow(void) {
  char *block = from_pool(0);
  block[BYTES + 5] = 1;
  frees(block);
}

static void double_free(void) {
  char *block = from_pool(0);
  frees(block);
  frees(block);
}

static void invalid_free(void) { frees(from_pool(0) + 16); }

static void *frees_and_ends(void *block) {
  frees(block);
  return NULL;
}

static void use_after_free_elsewhere(void) {
  pthread_t thread;
  char *block = from_pool(1);
  pthread_create(&thread, NULL, frees_and_ends, block);
  pthread_join(thread, NULL);
  block[0] = 1;
}

static void use_in_child(void) {
  char *block = from_pool(0);
  frees(block);
  pid_t child = fork();
  if (child == 0) sink = *block;
  int status;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) raise(WTERMSIG(status));
}

/* ---- beside a handler of the program's own ---- */

static struct sigaction found; /* before its own */

static void says_so(int number, siginfo_t *info, void *unused) {
  (void)unused;
  dprintf(1, "the program's own handler: %d %d\n", number, info->si_addr == (void *)16);
  _exit(5);
}

/* As those do that come on top of others'. */
static void calls_what_was_there(int number, siginfo_t *info, void *context) {
  dprintf(1, "the program's own handler, first\n");
  if (found.sa_flags & SA_SIGINFO)
    found.sa_sigaction(number, info, context);
  else
    signal(number, found.sa_handler);
}

static void sets(void (*handler)(int, siginfo_t *, void *)) {
  struct sigaction own = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &own, &found);
  free(from_pool(0));
}

static void own_handler(void) {
  sets(says_so);
  *(volatile char *)16 = 1;
}

static void own_handler_and_use_after_free(void) {
  sets(says_so);
  use_after_free();
}

static void calls_and_use_after_free(void) {
  sets(calls_what_was_there);
  use_after_free();
}

static void calls_at_a_fault_of_its_own(void) {
  sets(calls_what_was_there);
  *(volatile char *)16 = 1;
}

static void puts_back_what_was_there(void) {
  sets(says_so);
  sigaction(SIGSEGV, &found, NULL);
  *(volatile char *)16 = 1;
}

static void puts_back_by_signal(void) {
  void (*before)(int) = signal(SIGSEGV, SIG_IGN);
  signal(SIGSEGV, before);
  free(from_pool(0));
  raise(SIGSEGV);
}

static void no_handler(void) {
  free(from_pool(0));
  *(volatile char *)16 = 1;
}

static void sent(void) {
  free(from_pool(0));
  raise(SIGSEGV);
}

static void ignored(void) {
  signal(SIGSEGV, SIG_IGN);
  free(from_pool(0));
  raise(SIGSEGV);
  puts("done");
}

/* ---- what is right ---- */

static void *works(void *seed_) {
  unsigned seed = (unsigned)(uintptr_t)seed_;
  char *mine[100] = {NULL};
  size_t bytes[100];
  for (int i = 0; i < 300000; i++) {
    seed = seed * 1103515245 + 12345;
    unsigned at = (seed >> 8) % 100, size = 1 + (seed >> 12) % (seed >> 30 ? 300 : 6000);
    if (mine[at] && (mine[at][0] != (char)at || mine[at][bytes[at] - 1] != (char)at)) abort();
    switch (seed >> 28 & 3) {
      case 0: free(mine[at]), mine[at] = calloc(1, size); break;
      case 1: free(mine[at]), mine[at] = aligned_alloc(64, (size + 63) / 64 * 64); break;
      default: mine[at] = realloc(mine[at], size); break;
    }
    bytes[at] = size;
    memset(mine[at], (char)at, size);
  }
  for (int i = 0; i < 100; i++) free(mine[i]);
  return NULL;
}

static void all_is_well(void) {
  pthread_t threads[3];
  for (uintptr_t i = 0; i < 3; i++) pthread_create(&threads[i], NULL, works, (void *)(i + 1));
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  puts("done");
}

int main(int argc, char **argv) {
#define WAY(name) {#name, name}
  static const struct {
    const char *name;
    void (*run)(void);
  } WAYS[] = {WAY(use_after_free), WAY(late_use_after_free), WAY(overflow), WAY(underflow), WAY(small_overflow), WAY(double_free), WAY(invalid_free), WAY(use_after_free_elsewhere), WAY(use_in_child),
              WAY(own_handler), WAY(own_handler_and_use_after_free), WAY(calls_and_use_after_free), WAY(calls_at_a_fault_of_its_own),
              WAY(puts_back_what_was_there), WAY(puts_back_by_signal), WAY(no_handler), WAY(sent), WAY(ignored), WAY(all_is_well)};
  for (size_t i = 0; argc > 1 && i < sizeof WAYS / sizeof *WAYS; i++)
    if (!strcmp(argv[1], WAYS[i].name)) {
      WAYS[i].run();
      return 0;
    }
  return 2;
}
