/* SPDX-License-Identifier: MIT */
/* Known mixtures of sizes, each asked for by one function: what samples of them must add up to (samples.t). Says of each on stdout
 *
 *   NAME START COUNT BYTES VARIANCE
 *
 * where its code starts, how many blocks and bytes of it are in use at the end, and the variance of the estimate of those bytes: a block of n bytes is chosen with p = 1 - exp(-n / RATE), and
 * stands for n / p then, so that it adds n^2 (1 - p) / p.
 *
 *   sites RATE */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SITES = 16, HELD_MAX = 150000, THREADS = 4 };

static struct site {
  const char *name;
  void *start;
  size_t count, bytes;
  double variance;
} sites[SITES], *current;

static size_t site_count;
static double rate;
static pthread_mutex_t book = PTHREAD_MUTEX_INITIALIZER;

/* Nothing is kept in malloc's memory. */
static char *held[SITES][HELD_MAX];

static unsigned chance(unsigned *seed) { return (*seed = *seed * 1103515245 + 12345) >> 8; }

static size_t between(unsigned *seed, size_t from, size_t to) { return from + chance(seed) % (to - from + 1); }

static void keep(struct site *site, void *block, size_t bytes) {
  if (!block) abort();
  *(volatile char *)block = 1;
  pthread_mutex_lock(&book);
  double p = -expm1(-(double)(bytes + 1) / rate);
  held[site - sites][site->count++] = block;
  site->bytes += bytes;
  site->variance += (double)bytes * (double)bytes * (1 - p) / p;
  pthread_mutex_unlock(&book);
}

#define SITE __attribute__((noinline, noclone)) static void

SITE small(unsigned seed) {
  for (int i = 0; i < 20000; i++) {
    size_t bytes = between(&seed, 8, 1024);
    keep(current, malloc(bytes), bytes);
  }
}

SITE tiny(unsigned seed) {
  for (int i = 0; i < 150000; i++) keep(current, malloc(8 + 0 * seed), 8);
}

SITE medium_zeroed(unsigned seed) {
  for (int i = 0; i < 1500; i++) {
    size_t bytes = between(&seed, 500, 60000);
    keep(current, calloc(bytes, 1), bytes);
  }
}

SITE large(unsigned seed) {
  for (int i = 0; i < 12; i++) {
    size_t bytes = (size_t)200000 << i % 6;
    keep(current, malloc(bytes + 0 * seed), bytes);
  }
}

SITE aligned(unsigned seed) {
  for (int i = 0; i < 3000; i++) {
    void *block = NULL;
    size_t alignment = (size_t)32 << i % 8, bytes = between(&seed, 1, 40) * alignment;
    if (i % 2)
      block = aligned_alloc(alignment, bytes);
    else if (posix_memalign(&block, alignment, bytes))
      abort();
    keep(current, block, bytes);
  }
}

/* Through the classes, some steps within one, then through blocks. */
SITE grown(unsigned seed) {
  for (int i = 0; i < 1000; i++) {
    size_t bytes = between(&seed, 10, 30), last = between(&seed, 2000, 20000);
    char *block = malloc(bytes);
    for (; bytes < last; bytes += bytes / 4) block = realloc(block, bytes);
    block = realloc(block, last);
    keep(current, block, last);
  }
}

/* The last block before the end of the heap, by little steps: it stays where it is. */
SITE grown_in_place(unsigned seed) {
  for (int i = 0; i < 300; i++) {
    size_t bytes = 5000, last = between(&seed, 20000, 60000);
    char *block = malloc(bytes);
    for (; bytes < last; bytes += 1024) block = realloc(block, bytes);
    block = realloc(block, last);
    keep(current, block, last);
  }
}

SITE shrunk(unsigned seed) {
  for (int i = 0; i < 1000; i++) {
    size_t bytes = between(&seed, 3000, 20000);
    char *block = malloc(60000);
    block = realloc(block, 30000);
    block = realloc(block, bytes);
    keep(current, block, bytes);
  }
}

SITE breathing(unsigned seed) {
  for (int i = 0; i < 300; i++) {
    size_t bytes = between(&seed, 4000, 8000);
    char *block = malloc(bytes);
    for (int j = 0; j < 6; j++) block = realloc(realloc(block, 20000), bytes);
    keep(current, block, bytes);
  }
}

SITE mapped(unsigned seed) {
  for (int i = 0; i < 12; i++) {
    size_t bytes = 300000, last = between(&seed, 2, 6) * 1000000;
    char *block = malloc(bytes);
    for (; bytes < last; bytes += bytes / 3) block = realloc(block, bytes);
    block = realloc(block, last);
    keep(current, block, last);
  }
}

SITE by_new(unsigned seed) {
  void *(*operator_new)(size_t) = (void *(*)(size_t))(uintptr_t)dlsym(RTLD_DEFAULT, "_Znwm");
  for (int i = 0; operator_new && i < 10000; i++) {
    size_t bytes = between(&seed, 100, 2000);
    keep(current, operator_new(bytes), bytes);
  }
}

/* By libc, for us. */
SITE by_strndup(unsigned seed) {
  static char text[3000];
  memset(text, 'a', sizeof text - 1);
  for (int i = 0; i < 5000; i++) {
    size_t bytes = between(&seed, 100, 2900);
    keep(current, strndup(text, bytes), bytes + 1);
  }
}

__attribute__((noinline, noclone)) static void *of_threads(void *seed_) {
  unsigned seed = (unsigned)(uintptr_t)seed_;
  for (int i = 0; i < 10000; i++) {
    size_t bytes = between(&seed, 16, 3000);
    void *block = malloc(bytes);
    if (i % 3 == 0)
      keep(current, block, bytes);
    else
      free(block);
  }
  return NULL;
}

static void enter(const char *name, void *start) {
  current = &sites[site_count++];
  current->name = name;
  current->start = start;
}

#define RUN(site) (enter(#site, (void *)(uintptr_t)site), site(site_count))

static void run_threads(void) {
  pthread_t threads[THREADS];
  enter("of_threads", (void *)(uintptr_t)of_threads);
  for (uintptr_t i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, of_threads, (void *)(i + 1));
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}

int main(int argc, char **argv) {
  rate = argc > 1 ? atof(argv[1]) : 1;
  RUN(grown_in_place), RUN(small), RUN(tiny), RUN(medium_zeroed), RUN(large), RUN(aligned), RUN(grown), RUN(shrunk), RUN(breathing), RUN(mapped), RUN(by_new), RUN(by_strndup);
  run_threads();
  for (size_t i = 0; i < site_count; i++)
    printf("%s %p %zu %zu %.0f\n", sites[i].name, sites[i].start, sites[i].count, sites[i].bytes, sites[i].variance);
  return 0;
}
