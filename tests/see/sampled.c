/* SPDX-License-Identifier: MIT */
/* Programs that are looked at while samples are taken, each known by its name (samples.t). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MB = 1 << 20, BLOCKS = 2000 };

static void *blocks[BLOCKS];

__attribute__((noinline)) static void take(size_t count, size_t bytes) {
  for (size_t i = 0; i < count; i++) memset(blocks[i] = malloc(bytes), 1, bytes);
}

static void give(size_t count) {
  for (size_t i = 0; i < count; i++) free(blocks[i]);
}

/* 40 MB at its highest moment, 5 at the end; and 20 in between. */
static void rises_and_falls(void) {
  take(1000, 20000);
  give(1000);
  take(2000, 20000);
  give(2000);
  take(1000, 5000);
}

static void *gives_all(void *unused) {
  give(BLOCKS);
  return unused;
}

static void lives_short(void) {
  for (int i = 0; i < 2000; i++) {
    take(1, 10000);
    give(1);
  }
}

static void lives_long(void) {
  take(BLOCKS, 10000);
  nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
  give(BLOCKS);
}

static void freed_elsewhere(void) {
  pthread_t thread;
  take(BLOCKS, 10000);
  pthread_create(&thread, NULL, gives_all, NULL);
  pthread_join(thread, NULL);
}

/* The child ends by itself, with what it got from its parent, and has its own child. */
static void forks(void) {
  take(1000, 10000);
  for (int i = 0; i < 2; i++) {
    pid_t child = fork();
    if (child) {
      waitpid(child, NULL, 0);
      return;
    }
    give(500);
    take(500, 20000);
  }
}

static volatile sig_atomic_t interruptions;

/* The last one is when we are told, so that a slow machine has time for what is done to us. */
static void counts(int signal_number) {
  (void)signal_number;
  if (interruptions < 1499 || access("enough", F_OK) == 0) interruptions++;
}

static void *works(void *seed_) {
  unsigned seed = (unsigned)(uintptr_t)seed_;
  void *mine[64] = {NULL};
  while (interruptions < 1500)
    for (int i = 0; i < 1000; i++) {
      seed = seed * 1103515245 + 12345;
      void **at = &mine[seed >> 8 & 63];
      if (seed >> 16 & 1) *at = realloc(*at, 1 + (seed >> 14) % (seed >> 20 & 1 ? 300 : 200000));
      else free(*at), *at = NULL;
    }
  for (int i = 0; i < 64; i++) free(mine[i]);
  return NULL;
}

static void is_interrupted(void) {
  pthread_t threads[3];
  signal(SIGALRM, counts);
  setitimer(ITIMER_REAL, &(struct itimerval){{0, 1000}, {0, 1000}}, NULL);
  for (uintptr_t i = 0; i < 3; i++) pthread_create(&threads[i], NULL, works, (void *)(i + 1));
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
}

static bool were_checked;

static void *comes_and_goes(void *unused) {
  for (size_t i = 0; !__atomic_load_n(&were_checked, __ATOMIC_ACQUIRE); i++) take(1, 2000 + i % 5000), give(1);
  return unused;
}

/* No block ever is a sample of which nothing is on record. */
static void is_checked_meanwhile(void) {
  enum { CHECKS = 300000 };
  bool (*check)(void) = (bool (*)(void))dlsym(RTLD_DEFAULT, "os_check");
  pthread_t thread;
  pthread_create(&thread, NULL, comes_and_goes, NULL);
  size_t checks = 0;
  while (checks < CHECKS && check()) checks++;
  __atomic_store_n(&were_checked, true, __ATOMIC_RELEASE);
  pthread_join(thread, NULL);
  if (checks < CHECKS) puts("not whole");
}

/* Each child finds the tables whole, and takes samples of its own. */
static void forks_beside_threads(void) {
  pthread_t threads[3];
  for (uintptr_t i = 0; i < 3; i++) pthread_create(&threads[i], NULL, works, (void *)(i + 1));
  for (int i = 0; i < 300; i++) {
    pid_t child = fork();
    if (child == 0) {
      alarm(20);
      take(200, 3000);
      give(200);
      _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    if (status) printf("child %d: status %d\n", i, status);
  }
  interruptions = 10000;
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
}

static void *held_by_coroutine;

__attribute__((noinline)) static void runs_on_a_stack_of_its_own(void) {
  held_by_coroutine = malloc(1000);
  puts("done");
  exit(0);
}

/* Its first frame lies at the very end of its stack: what it seems to return to would have its own behind that, where nothing is. */
__attribute__((noinline)) static void a_coroutine(void) {
  void *caller = __builtin_return_address(0);
  char *stack = mmap(NULL, 2 << 16, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mprotect(stack, 1 << 16, PROT_READ | PROT_WRITE)) abort();
#if defined(__x86_64__)
  memcpy(stack + (1 << 16) - sizeof caller, &caller, sizeof caller);
  __asm__ volatile("mov %0, %%rsp\n\txor %%ebp, %%ebp\n\tjmp *%1" : : "r"(stack + (1 << 16) - 8), "r"(runs_on_a_stack_of_its_own));
#elif defined(__aarch64__)
  __asm__ volatile("mov sp, %0\n\tmov x29, xzr\n\tmov x30, %2\n\tbr %1" : : "r"(stack + (1 << 16)), "r"(runs_on_a_stack_of_its_own), "r"(caller) : "x30");
#elif defined(__riscv)
  __asm__ volatile("mv sp, %0\n\tmv s0, zero\n\tmv ra, %2\n\tjr %1" : : "r"(stack + (1 << 16)), "r"(runs_on_a_stack_of_its_own), "r"(caller) : "ra");
#endif
}

/* A child comes when it is told, and another way ends the parent. */
static void forks_when_told(void) {
  close(creat("asking", 0666));
  while (access("stop", F_OK)) {
    take(10, 10000);
    give(10);
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
  }
  pid_t child = fork();
  if (child) {
    waitpid(child, NULL, 0);
    return;
  }
  close(creat("forked", 0666));
  while (!access("stop", F_OK)) {
    take(10, 10000);
    give(10);
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
  }
  _exit(0);
}

static void goes_elsewhere(void) {
  take(1000, 10000);
  if (chdir("/")) abort();
}

static void is_killed(void) {
  take(1000, 10000);
  raise(SIGKILL);
}

/* By steps of 10 ms: 100 KB that stay, and as much again that does not. */
static void asks_until_told(void) {
  static void *kept[2000];
  close(creat("asking", 0666));
  for (size_t i = 0; access("stop", F_OK); i++) {
    free(kept[i % 2000]); /* 20 MB at most */
    memset(kept[i % 2000] = malloc(10000), 1, 10000);
    take(1, 10000);
    give(1);
    if (i % 10 == 9) nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
  }
}

static void tells_home(void) { puts(getenv("HOME")); }

int main(int argc, char **argv) {
#define WAY(name) {#name, name}
  static const struct {
    const char *name;
    void (*run)(void);
  } WAYS[] = {WAY(rises_and_falls), WAY(lives_short), WAY(lives_long), WAY(freed_elsewhere), WAY(forks), WAY(is_interrupted), WAY(is_checked_meanwhile), WAY(forks_beside_threads), WAY(a_coroutine), WAY(forks_when_told), WAY(goes_elsewhere), WAY(tells_home), WAY(asks_until_told), WAY(is_killed)};
  for (size_t i = 0; argc > 1 && i < sizeof WAYS / sizeof *WAYS; i++)
    if (!strcmp(argv[1], WAYS[i].name)) {
      WAYS[i].run();
      puts("done");
      return 0;
    }
  return 2;
}
