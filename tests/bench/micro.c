/* SPDX-License-Identifier: MIT */
/* micro THREADS SCALE: what single calls cost. Prints `name ns`, a line each:
 * nanoseconds per malloc and free pair, or per step where the name says so.
 *
 * THREADS - 1 threads sleep meanwhile: a library that saves its locks while a
 * program has one thread shows its other face at 2. SCALE stretches the counts
 * of the table. The figure is the fastest of several slices, the one that the
 * rest of the machine disturbed least.
 *
 * micro hot PAIRS: nothing but that many pairs of 64 bytes in the function
 * hot(), malloc and free on lines of their own, for counting instructions.
 *
 * micro count STEPS: each row but those of other processes once warm and once
 * counted: between its two calls of mark(). Prints the rows' names. */
#define _GNU_SOURCE
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 1000, SLICES = 5 };
enum order { LIFO, FIFO, RANDOM, ORDERS };

struct row {
    const char *name;
    void (*run)(const struct row *, long count);
    size_t bytes;
    enum order order;
    double count; /* per slice */
};

static unsigned orders[ORDERS][BATCH];

/* The compiler may not drop a pair whose object nobody looks at; this looks. */
static void keep(void *p)
{
    __asm__ volatile("" : : "r"(p) : "memory");
}

static unsigned below(unsigned limit)
{
    static unsigned long long state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((state >> 32) * limit >> 32);
}

static void fill_orders(void)
{
    for (unsigned i = 0; i < BATCH; i++) {
        unsigned other = below(i + 1);
        orders[LIFO][i] = BATCH - 1 - i;
        orders[FIFO][i] = i;
        orders[RANDOM][i] = orders[RANDOM][other];
        orders[RANDOM][other] = i;
    }
}

/* ---- rows ---- */

static void pair(const struct row *row, long count)
{
    while (count-- > 0) {
        char *p = malloc(row->bytes);
        *p = 1;
        keep(p);
        free(p);
    }
}

static void batch(const struct row *row, long count)
{
    static void *held[BATCH];
    for (long rounds = count / BATCH; rounds-- > 0;) {
        for (unsigned i = 0; i < BATCH; i++)
            *(char *)(held[i] = malloc(row->bytes)) = 1;
        for (unsigned i = 0; i < BATCH; i++)
            free(held[orders[row->order][i]]);
    }
}

/* Random sizes up to the row's, random slots. */
static void churn(const struct row *row, long count)
{
    static void *held[BATCH];
    while (count-- > 0) {
        void **slot = &held[below(BATCH)];
        free(*slot);
        *slot = malloc(1 + below((unsigned)row->bytes));
        *(char *)*slot = 1;
    }
    for (unsigned i = 0; i < BATCH; i++) {
        free(held[i]);
        held[i] = NULL;
    }
}

static void zeroed(const struct row *row, long count)
{
    while (count-- > 0) {
        void *p = calloc(1, row->bytes);
        keep(p);
        free(p);
    }
}

static void aligned(const struct row *row, long count)
{
    while (count-- > 0) {
        void *p = aligned_alloc(row->bytes, row->bytes);
        keep(p);
        free(p);
    }
}

/* One array grows by a quarter a step to a megabyte, then starts again. */
static void grow(const struct row *row, long count)
{
    char *p = NULL;
    for (size_t bytes = 0; count-- > 0;) {
        size_t more = bytes < 1 << 20 ? bytes + bytes / 4 + row->bytes : row->bytes;
        p = realloc(p, more);
        p[more - 1] = 1;
        bytes = more;
    }
    free(p);
}

static void *one_pair(void *arg)
{
    pair(arg, 1);
    return NULL;
}

static void thread(const struct row *row, long count)
{
    while (count-- > 0) {
        pthread_t t;
        if (pthread_create(&t, NULL, one_pair, (void *)row))
            exit(1);
        pthread_join(t, NULL);
    }
}

static void process(const struct row *row, long count)
{
    char *argv[] = {(char *)"/bin/true", NULL};
    (void)row;
    while (count-- > 0) {
        pid_t pid;
        if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ))
            exit(1);
        waitpid(pid, NULL, 0);
    }
}

/* name               run     bytes     order   count */
static const struct row rows[] = {
    {"pair/16",       pair,    16,       LIFO,   1e6},
    {"pair/64",       pair,    64,       LIFO,   1e6},
    {"pair/256",      pair,    256,      LIFO,   1e6},
    {"pair/1000",     pair,    1000,     LIFO,   1e6},
    {"pair/4K",       pair,    4096,     LIFO,   1e6},
    {"pair/20K",      pair,    20000,    LIFO,   3e5},
    {"pair/100K",     pair,    100000,   LIFO,   3e5},
    {"pair/256K",     pair,    256 << 10, LIFO,  2e4},
    {"pair/2M",       pair,    2 << 20,  LIFO,   5e3},
    {"pair/20M",      pair,    20 << 20, LIFO,   2e3},
    {"lifo/16",       batch,   16,       LIFO,   4e5},
    {"lifo/64",       batch,   64,       LIFO,   4e5},
    {"lifo/256",      batch,   256,      LIFO,   4e5},
    {"lifo/1000",     batch,   1000,     LIFO,   4e5},
    {"lifo/4K",       batch,   4096,     LIFO,   4e5},
    {"lifo/20K",      batch,   20000,    LIFO,   4e4},
    {"fifo/16",       batch,   16,       FIFO,   4e5},
    {"fifo/64",       batch,   64,       FIFO,   4e5},
    {"fifo/256",      batch,   256,      FIFO,   4e5},
    {"fifo/1000",     batch,   1000,     FIFO,   4e5},
    {"fifo/4K",       batch,   4096,     FIFO,   4e5},
    {"random/16",     batch,   16,       RANDOM, 4e5},
    {"random/64",     batch,   64,       RANDOM, 4e5},
    {"random/256",    batch,   256,      RANDOM, 4e5},
    {"random/1000",   batch,   1000,     RANDOM, 4e5},
    {"random/4K",     batch,   4096,     RANDOM, 4e5},
    {"churn/1000",    churn,   1000,     RANDOM, 4e5},
    {"churn/16K",     churn,   16384,    RANDOM, 2e5},
    {"churn/100K",    churn,   100000,   RANDOM, 1e5},
    {"calloc/64",     zeroed,  64,       LIFO,   1e6},
    {"calloc/4K",     zeroed,  4096,     LIFO,   2e5},
    {"calloc/200K",   zeroed,  200000,   LIFO,   5e3},
    {"aligned/64",    aligned, 64,       LIFO,   5e5},
    {"aligned/4K",    aligned, 4096,     LIFO,   2e5},
    {"realloc step",  grow,    16,       LIFO,   1e5},
    {"thread",        thread,  64,       LIFO,   400},
    {"process",       process, 0,        LIFO,   100},
};

/* ---- running ---- */

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double fastest(const struct row *row, double scale)
{
    long count = (long)(row->count * scale) + 1;
    double best = 0;
    row->run(row, count / 4); /* warm */
    for (int i = 0; i < SLICES; i++) {
        double start = now_ns();
        row->run(row, count);
        double each = (now_ns() - start) / (double)count;
        best = i == 0 || each < best ? each : best;
    }
    return best;
}

__attribute__((noinline)) static void hot(long pairs)
{
    while (pairs-- > 0) {
        void *p = malloc(64);
        keep(p);
        free(p);
    }
}

/* A profiler writes down what it has counted when this is called. */
__attribute__((noinline)) static void mark(void)
{
    __asm__ volatile("" : : : "memory");
}

static void count(long steps)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].run == process)
            continue;
        rows[i].run(&rows[i], steps);
        mark();
        rows[i].run(&rows[i], steps);
        mark();
        puts(rows[i].name);
    }
}

static void *sleeper(void *arg)
{
    pause();
    return arg;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    if (!strcmp(argv[1], "hot")) {
        for (int i = 0; i < 8; i++) /* company: a lone object may be a special case */
            keep(malloc(64));
        hot(atol(argv[2]));
        return 0;
    }
    fill_orders();
    if (!strcmp(argv[1], "count")) {
        count(atol(argv[2]));
        return 0;
    }
    for (long i = atol(argv[1]); i-- > 1;) {
        pthread_t t;
        if (pthread_create(&t, NULL, sleeper, NULL))
            return 1;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        printf("%s %.2f\n", rows[i].name, fastest(&rows[i], atof(argv[2])));
        fflush(stdout);
    }
    return 0;
}
