/* pauses KIND MIB: the longest single call by the size of the heap. Prints `name milliseconds` lines:
 *
 *   malloc, free, realloc, trim   the longest call of the main thread while MIB of live memory, every page written, come (malloc), change a
 *                                 little in size (realloc), and go (free); trim: one malloc_trim(0) after half has gone. Of its own time:
 *                                 that others had the processor does not count
 *   waits                         the longest malloc and free of another thread meanwhile, by the clock on the wall
 *
 * KIND is small (16 bytes to 1 KiB), medium (100,000 bytes) or large (1 MiB). Memory is written outside the measured calls, so page faults
 * that the program itself causes do not count; what realloc copies does. Look at several runs, and at waits on a quiet machine only. */
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

enum { PAGE = 4096, REALLOCS = 20000 };

static const struct kind {
    const char *name;
    size_t low, high;
} kinds[] = {{"small", 16, 1024}, {"medium", 100000, 100000}, {"large", 1 << 20, 1 << 20}};

static double clock_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static double own_time(void) { return clock_of(CLOCK_THREAD_CPUTIME_ID); }
static double time_of_all(void) { return clock_of(CLOCK_MONOTONIC); }

static double longest(double before, double took) { return took > before ? took : before; }

static size_t below(size_t limit)
{
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)((state >> 33) % limit);
}

static size_t size_of(const struct kind *kind) { return kind->low + below(kind->high - kind->low + 1); }

static void write_pages(char *p, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += PAGE)
        p[at] = 1;
}

static atomic_bool stop;
static double waits;

static void *other(void *arg)
{
    while (!atomic_load(&stop)) {
        double begin = time_of_all();
        free(aligned_alloc(256, 3000));
        waits = longest(waits, time_of_all() - begin);
    }
    return arg;
}

static void fail(const char *what)
{
    fprintf(stderr, "pauses: %s\n", what);
    exit(1);
}

int main(int argc, char **argv)
{
    const struct kind *kind = kinds;
    if (argc != 3)
        fail("usage: pauses small|medium|large MIB");
    while (strcmp(kind->name, argv[1]) != 0)
        if (++kind == kinds + sizeof kinds / sizeof *kinds)
            fail("no such kind");
    size_t wanted = (size_t)atol(argv[2]) << 20, count = 2 * wanted / (kind->low + kind->high);
    char **blocks = mmap(NULL, (count + 1) * sizeof *blocks, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (blocks == MAP_FAILED)
        fail("no memory for the notes");
    pthread_t thread;
    if (pthread_create(&thread, NULL, other, NULL))
        fail("no thread");
    double of_malloc = 0, of_realloc = 0, of_free = 0, of_trim = 0;
    for (size_t i = 0; i < count; i++) {
        size_t bytes = size_of(kind);
        double begin = own_time();
        blocks[i] = malloc(bytes);
        of_malloc = longest(of_malloc, own_time() - begin);
        if (!blocks[i])
            fail("out of memory");
        write_pages(blocks[i], bytes);
    }
    for (size_t i = 0; i < REALLOCS; i++) {
        size_t at = below(count), bytes = size_of(kind) + below(kind->low / 8);
        double begin = own_time();
        char *moved = realloc(blocks[at], bytes);
        of_realloc = longest(of_realloc, own_time() - begin);
        if (moved)
            blocks[at] = moved;
    }
    for (size_t i = 0; i < count; i++) {
        if (i == count / 2) {
            double begin = own_time();
            malloc_trim(0);
            of_trim = longest(of_trim, own_time() - begin);
        }
        double begin = own_time();
        free(blocks[i]);
        of_free = longest(of_free, own_time() - begin);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    printf("malloc %.3f\nfree %.3f\nrealloc %.3f\ntrim %.3f\nwaits %.3f\n", of_malloc, of_free, of_realloc, of_trim, waits);
    return 0;
}
