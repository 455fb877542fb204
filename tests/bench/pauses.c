/* SPDX-License-Identifier: MIT */
/* pauses KIND MIB: how long a call can take, by the size of the heap. Prints `name milliseconds` lines:
 *
 *   malloc, free, realloc, trim   the longest call while MIB of live memory, every page written, come (malloc), change a little in size
 *                                 (realloc), and go (free); trim: one malloc_trim(0) after half has gone. Of the thread's own time: that
 *                                 others had the processor does not count
 *   waits                         the longest malloc and free of another thread meanwhile, by the clock on the wall
 *   malloc.9999, free.9999, ...   of ten thousand calls one took longer
 *
 * KIND is small (16 bytes to 1 KiB), medium (100,000 bytes), large (1 MiB), mixed (these three, as many bytes of each), aligned (1 to 64 KiB,
 * to 64 bytes), foreign (mixed, which another thread frees) or grow (32 arrays that realloc grows by a tenth, until they have MIB). Memory is
 * written outside the measured calls, so page faults that the program itself causes do not count; what realloc copies does. Look at several
 * runs, and at waits on a quiet machine only. */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { PAGE = 4096, REALLOCS = 20000, ARRAYS = 32, LEAST_ARRAY = 65536 };

static const struct sizes {
    size_t low, high, alignment;
} small = {16, 1024, 0}, medium = {100000, 100000, 0}, large = {1 << 20, 1 << 20, 0}, aligned = {1024, 65536, 64};

static const struct kind {
    const char *name;
    const struct sizes *sizes[3]; /* as many bytes of each */
    bool foreign;
    bool grows;
} kinds[] = {{"small", {&small, &small, &small}, false, false},     {"medium", {&medium, &medium, &medium}, false, false},
             {"large", {&large, &large, &large}, false, false},     {"mixed", {&small, &medium, &large}, false, false},
             {"aligned", {&aligned, &aligned, &aligned}, false, false}, {"foreign", {&small, &medium, &large}, true, false},
             {"grow", {&small, &small, &small}, false, true}};

static void fail(const char *what) {
    fprintf(stderr, "pauses: %s\n", what);
    exit(1);
}

/* ---- what calls took ---- */

static double clock_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static double own_time(void) { return clock_of(CLOCK_THREAD_CPUTIME_ID); }
static double time_of_all(void) { return clock_of(CLOCK_MONOTONIC); }

enum { PARTS = 16 /* of a doubling */, DOUBLINGS = 40 /* from 1 ns on */ };

struct tally {
    double longest;
    uint64_t calls, by_length[PARTS * DOUBLINGS];
} mallocs, frees, reallocs, trims, waits;

static size_t length_class(double ms) {
    uint64_t ns = (uint64_t)(ms * 1e6) + 1;
    int doubling = 63 - __builtin_clzl(ns);
    size_t part = (doubling > 4 ? ns >> (doubling - 4) : ns << (4 - doubling)) & (PARTS - 1);
    return doubling < DOUBLINGS ? (size_t)doubling * PARTS + part : PARTS * DOUBLINGS - 1;
}

static double length_of(size_t class) { return (double)((uint64_t)1 << class / PARTS) * (1 + (double)(class % PARTS + 1) / PARTS) / 1e6; }

static void note(struct tally *tally, double ms) {
    if (ms > tally->longest)
        tally->longest = ms;
    tally->calls++;
    tally->by_length[length_class(ms)]++;
}

/* One call in 10,000 took longer. */
static double rarely_longer(const struct tally *tally) {
    uint64_t longer = 0;
    size_t class = PARTS * DOUBLINGS;
    while (class > 0 && longer <= tally->calls / 10000)
        longer += tally->by_length[--class];
    double length = length_of(class);
    return length < tally->longest ? length : tally->longest;
}

static void print(const char *name, const struct tally *tally) {
    if (tally->calls > 0)
        printf("%s %.3f\n", name, tally->longest);
    if (tally->calls > 10000)
        printf("%s.9999 %.4f\n", name, rarely_longer(tally));
}

/* ---- the load ---- */

static struct block {
    char *at;
    uint32_t alignment; /* realloc would lose it */
} *blocks;
static size_t count;

static size_t below(size_t limit) {
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)((state >> 33) % limit);
}

static size_t some_size(const struct sizes *sizes) { return sizes->low + below(sizes->high - sizes->low + 1); }

static void write_pages(char *p, size_t from, size_t bytes) {
    if (!p)
        fail("out of memory");
    for (size_t at = from; at < bytes; at += PAGE)
        p[at] = 1;
}

static void take(const struct sizes *sizes, size_t bytes) {
    double begin = own_time();
    char *at = sizes->alignment ? aligned_alloc(sizes->alignment, bytes) : malloc(bytes);
    note(&mallocs, own_time() - begin);
    write_pages(at, 0, bytes);
    blocks[count++] = (struct block){at, (uint32_t)sizes->alignment};
}

static void resize(struct block *block, size_t from, size_t bytes) {
    double begin = own_time();
    char *moved = realloc(block->at, bytes);
    note(&reallocs, own_time() - begin);
    write_pages(moved, from, bytes);
    block->at = moved;
}

static void take_all(const struct kind *kind, size_t wanted) {
    size_t taken[3] = {0};
    for (size_t all = 0; all < wanted;) {
        int least = taken[1] < taken[0] ? 1 : 0;
        if (taken[2] < taken[least])
            least = 2;
        size_t bytes = some_size(kind->sizes[least]);
        take(kind->sizes[least], bytes);
        taken[least] += bytes;
        all += bytes;
    }
}

/* By up to a sixteenth, up or down. */
static void resize_some(void) {
    for (size_t i = 0; i < REALLOCS; i++) {
        struct block *block = &blocks[below(count)];
        if (block->alignment)
            continue;
        size_t bytes = malloc_usable_size(block->at);
        resize(block, bytes, bytes - bytes / 16 + below(bytes / 8 + 1));
    }
}

static void grow_arrays(size_t wanted) {
    for (size_t i = 0; i < ARRAYS; i++)
        take(&(struct sizes){0}, LEAST_ARRAY);
    for (size_t bytes = LEAST_ARRAY; bytes < wanted / ARRAYS; bytes += bytes / 10)
        for (size_t i = 0; i < ARRAYS; i++)
            resize(&blocks[i], bytes, bytes + bytes / 10);
}

static void *free_all(void *arg) {
    for (size_t i = 0; i < count; i++) {
        if (i == count / 2) {
            double begin = own_time();
            malloc_trim(0);
            note(&trims, own_time() - begin);
        }
        double begin = own_time();
        free(blocks[i].at);
        note(&frees, own_time() - begin);
    }
    return arg;
}

/* ---- who waits ---- */

static atomic_bool stop;

static void *other(void *arg) {
    while (!atomic_load(&stop)) {
        double begin = time_of_all();
        free(aligned_alloc(256, 3000));
        note(&waits, time_of_all() - begin);
    }
    return arg;
}

static pthread_t started(void *(*work)(void *)) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, NULL))
        fail("no thread");
    return thread;
}

int main(int argc, char **argv) {
    const struct kind *kind = kinds;
    if (argc != 3 || atol(argv[2]) <= 0)
        fail("usage: pauses small|medium|large|mixed|aligned|foreign|grow MIB");
    while (strcmp(kind->name, argv[1]) != 0)
        if (++kind == kinds + sizeof kinds / sizeof *kinds)
            fail("no such kind");
    size_t wanted = (size_t)atol(argv[2]) << 20, least = kind->sizes[0]->low + kind->sizes[0]->high;
    blocks = mmap(NULL, (3 * wanted / least + ARRAYS) * sizeof *blocks, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (blocks == MAP_FAILED)
        fail("no memory for the notes");
    pthread_t waiting = started(other);
    if (kind->grows)
        grow_arrays(wanted);
    else {
        take_all(kind, wanted);
        resize_some();
    }
    if (kind->foreign)
        pthread_join(started(free_all), NULL);
    else
        free_all(NULL);
    atomic_store(&stop, true);
    pthread_join(waiting, NULL);
    print("malloc", &mallocs);
    print("free", &frees);
    print("realloc", &reallocs);
    print("trim", &trims);
    print("waits", &waits);
    return 0;
}
