/* SPDX-License-Identifier: MIT */
/* counts [LOAD THREADS [--sites]]: what scaling depends on, counted, since no machine with many cores is needed for that.
 *
 *   lines  of 64 bytes that one thread wrote last, or has, and another one reads or writes: what would travel from cache to cache, were each
 *          thread on a processor of its own with a cache that forgets nothing. Per thousand operations
 *   rmw    atomic read-modify-writes, likewise
 *   calls  of the system, likewise
 *
 * An operation is a call of malloc, free or realloc. The library is compiled with -fsanitize=thread, and linked to the functions below in place of that
 * sanitizer's: they see each access that the library makes in C (not what memcpy and memset do for it, nor libc). What the program does with its objects is not counted; the
 * lines of objects that go from thread to thread and that the library links into its lists are. Threads take turns, an operation each, so the
 * figures are the same in each run. There are no waits for locks, then, and none are counted; each lock that is taken is an rmw.
 *
 * Without arguments: each load with 1 to 64 threads. --sites: the places in the sources that most of its lines come from (by addr2line). */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../real_kernel.h"
#include "osmem.h"

enum { MOST_THREADS = 64, LINE = 64 };

static void fail(const char *what) {
    dprintf(STDERR_FILENO, "counts: %s\n", what);
    _exit(1);
}

/* ---- caches ---- */

enum { LINES_LOG = 22, SITES = 1 << 12 };

struct line {
    uintptr_t number; /* 0: none */
    uint64_t holders; /* a bit for each thread; one alone, after a write */
};

struct site {
    uintptr_t at;
    size_t lines;
};

static struct line lines[1 << LINES_LOG];
static struct site sites[SITES];
static size_t lines_moved, rmws, calls;
static bool counting;
static bool model_is_taken;
static __thread unsigned me;

static void *found(void *table, size_t entries, size_t bytes, uintptr_t key) {
    size_t at = key * 0x9e3779b97f4a7c15u >> 32;
    for (size_t tries = 0; tries < entries; tries++) {
        uintptr_t *entry = (uintptr_t *)((char *)table + (at + tries) % entries * bytes);
        if (*entry == 0)
            *entry = key;
        if (*entry == key)
            return entry;
    }
    fail("a table is full");
    return NULL;
}

static void touch_line(uintptr_t number, bool writes, uintptr_t from) {
    struct line *line = found(lines, sizeof lines / sizeof *lines, sizeof *lines, number);
    uint64_t mine = 1ull << me, others = line->holders & ~mine;
    bool moves = others && (writes || !(line->holders & mine));
    line->holders = writes ? mine : line->holders | mine;
    if (!moves || !counting)
        return;
    lines_moved++;
    ((struct site *)found(sites, SITES, sizeof *sites, from))->lines++;
}

static void touch(const volatile void *at, size_t bytes, bool writes, void *from) {
    while (__atomic_exchange_n(&model_is_taken, true, __ATOMIC_ACQUIRE))
        sched_yield();
    for (uintptr_t line = (uintptr_t)at / LINE; line <= ((uintptr_t)at + bytes - 1) / LINE; line++)
        touch_line(line, writes, (uintptr_t)from);
    __atomic_store_n(&model_is_taken, false, __ATOMIC_RELEASE);
}

static void count_rmw(void) {
    if (__atomic_load_n(&counting, __ATOMIC_RELAXED))
        __atomic_fetch_add(&rmws, 1, __ATOMIC_RELAXED);
}

static size_t steps_done; /* of all threads */
static uint32_t threads_running = 1;

/* Each thread is on a processor of its own, and does a step in a microsecond; the clock ticks every four milliseconds. */
static struct timespec time_now(void) {
    enum { STEP_NS = 1000, TICK_NS = 4000000, BEGIN_S = 1000 };
    uint64_t ns = steps_done * STEP_NS / threads_running / TICK_NS * TICK_NS;
    return (struct timespec){BEGIN_S + (time_t)(ns / 1000000000), (long)(ns % 1000000000)};
}

long kernel_call(long number, const uintptr_t a[6]) {
    if (number == SYS_clock_gettime) {
        *(struct timespec *)a[1] = time_now();
        return 0;
    }
    if (number == SYS_getcpu) {
        *(unsigned *)a[0] = me;
        return 0;
    }
    calls += counting;
    return real_kernel_call(number, a);
}

unsigned long kernel_auxval(unsigned long type) { return real_kernel_auxval(type); }

/* ---- what the compiler calls ---- */

#define FROM __builtin_return_address(0)

#define ACCESSES(bytes) \
    void __tsan_read##bytes(void *at) { touch(at, bytes, false, FROM); } \
    void __tsan_write##bytes(void *at) { touch(at, bytes, true, FROM); } \
    void __tsan_unaligned_read##bytes(void *at) { touch(at, bytes, false, FROM); } \
    void __tsan_unaligned_write##bytes(void *at) { touch(at, bytes, true, FROM); }
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

void __tsan_read_range(void *at, size_t bytes) { touch(at, bytes, false, FROM); }
void __tsan_write_range(void *at, size_t bytes) { touch(at, bytes, true, FROM); }
void __tsan_init(void) {}
void __tsan_func_entry(void *from) { (void)from; }
void __tsan_func_exit(void) {}
void __tsan_atomic_thread_fence(int order) { (void)order; __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int order) { (void)order; __atomic_signal_fence(__ATOMIC_SEQ_CST); }

#define MODIFIES(bits, type, what) \
    type __tsan_atomic##bits##_##what(volatile type *at, type value, int order) { \
        (void)order; \
        count_rmw(); \
        touch(at, sizeof *at, true, FROM); \
        return __atomic_##what(at, value, __ATOMIC_SEQ_CST); \
    }
#define __atomic_exchange(at, value, order) __atomic_exchange_n(at, value, order)

#define EXCHANGES(bits, type, what) \
    int __tsan_atomic##bits##_compare_exchange_##what(volatile type *at, type *expected, type value, int order, int failed) { \
        (void)order, (void)failed; \
        count_rmw(); \
        touch(at, sizeof *at, true, FROM); \
        return __atomic_compare_exchange_n(at, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
    }

#define ATOMICS(bits, type) \
    type __tsan_atomic##bits##_load(const volatile type *at, int order) { \
        (void)order; \
        touch(at, sizeof *at, false, FROM); \
        return __atomic_load_n(at, __ATOMIC_SEQ_CST); \
    } \
    void __tsan_atomic##bits##_store(volatile type *at, type value, int order) { \
        (void)order; \
        touch(at, sizeof *at, true, FROM); \
        __atomic_store_n(at, value, __ATOMIC_SEQ_CST); \
    } \
    MODIFIES(bits, type, exchange) MODIFIES(bits, type, fetch_add) MODIFIES(bits, type, fetch_sub) MODIFIES(bits, type, fetch_and) \
    MODIFIES(bits, type, fetch_or) MODIFIES(bits, type, fetch_xor) EXCHANGES(bits, type, strong) EXCHANGES(bits, type, weak)
ATOMICS(8, uint8_t)
ATOMICS(16, uint16_t)
ATOMICS(32, uint32_t)
ATOMICS(64, uint64_t)

/* ---- loads ---- */

enum { SLOTS = 256, WARM_STEPS = 4000, STEPS = 4000 };

struct worker {
    uint32_t number, threads;
    uint64_t dice;
    char *slots[SLOTS];
};

static struct worker workers[MOST_THREADS];

static uint32_t roll(struct worker *w, uint32_t limit) {
    w->dice = w->dice * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((w->dice >> 32) * limit >> 32);
}

static size_t between(struct worker *w, size_t least, size_t most) { return least + roll(w, (uint32_t)(most - least + 1)); }

/* Returns the number of operations, as all of them do. */
static size_t replace(struct worker *w, size_t bytes) {
    char **slot = &w->slots[roll(w, SLOTS)];
    os_free(*slot);
    return (*slot = os_malloc(bytes)) ? 2 : 1;
}

static size_t small_apart(struct worker *w) { return replace(w, between(w, 16, 1000)); }
static size_t medium_apart(struct worker *w) { return replace(w, between(w, 1001, 65536)); }
static size_t large_apart(struct worker *w) { return replace(w, between(w, 1 << 17, 1 << 20)); }

static size_t arrays_that_grow(struct worker *w) {
    char **slot = &w->slots[roll(w, 8)];
    size_t bytes = *slot ? os_usable_size(*slot) * 3 / 2 : 16;
    if (bytes > 50000) {
        os_free(*slot);
        *slot = NULL;
    } else {
        *slot = os_realloc(*slot, bytes);
    }
    return 1;
}

/* Frees one of another's, and makes one of its own. */
static size_t pass(struct worker *w, struct worker *from, size_t bytes) {
    char **takes = &from->slots[roll(w, SLOTS)], **makes = &w->slots[roll(w, SLOTS)];
    size_t done = *takes != NULL;
    os_free(*takes);
    *takes = NULL;
    if (!*makes)
        *makes = os_malloc(bytes), done++;
    return done;
}

static struct worker *neighbour(const struct worker *w) { return &workers[(w->number + 1) % w->threads]; }

static size_t ring(struct worker *w) { return pass(w, neighbour(w), between(w, 16, 1000)); }
static size_t medium_ring(struct worker *w) { return pass(w, neighbour(w), between(w, 1001, 65536)); }
static size_t stealing(struct worker *w) { return pass(w, &workers[roll(w, w->threads)], between(w, 16, 16384)); }

/* One makes, the others free. */
static size_t producer(struct worker *w) {
    char **slot = &workers[0].slots[roll(w, SLOTS)];
    if (w->number == 0 && w->threads > 1) {
        size_t made = 0;
        for (uint32_t i = 0; i < w->threads; i++)
            if (!*(slot = &w->slots[roll(w, SLOTS)]))
                *slot = os_malloc(between(w, 16, 1000)), made++;
        return made;
    }
    if (w->threads == 1)
        return small_apart(w);
    size_t freed = *slot != NULL;
    os_free(*slot);
    *slot = NULL;
    return freed;
}

static const struct load {
    const char *name;
    size_t (*step)(struct worker *w);
} LOADS[] = {
    {"small", small_apart}, {"medium", medium_apart}, {"large", large_apart}, {"grow", arrays_that_grow}, {"ring", ring}, {"mediumring", medium_ring},
    {"stealing", stealing}, {"producer", producer},
};

/* ---- turns ---- */

static pthread_mutex_t turn_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_changed[MOST_THREADS];
static uint32_t turn;
static size_t operations;

static void wait_for_turn(const struct worker *w) {
    pthread_mutex_lock(&turn_lock);
    while (turn != w->number)
        pthread_cond_wait(&turn_changed[w->number], &turn_lock);
    pthread_mutex_unlock(&turn_lock);
}

static void give_turn(const struct worker *w) {
    pthread_mutex_lock(&turn_lock);
    turn = (w->number + 1) % w->threads;
    pthread_cond_signal(&turn_changed[turn]);
    pthread_mutex_unlock(&turn_lock);
}

static const struct load *load;

static void *works(void *worker) {
    struct worker *w = worker;
    me = w->number;
    for (size_t step = 0; step < WARM_STEPS + STEPS; step++) {
        wait_for_turn(w);
        if (w->number == 0 && step == WARM_STEPS)
            counting = true;
        size_t done = load->step(w);
        steps_done++;
        if (counting)
            operations += done;
        if (w->number == w->threads - 1 && step == WARM_STEPS + STEPS - 1)
            counting = false;
        give_turn(w);
    }
    return NULL;
}

static void run(const struct load *which, uint32_t threads) {
    pthread_t ids[MOST_THREADS];
    load = which;
    threads_running = threads;
    for (uint32_t i = 0; i < threads; i++) {
        workers[i] = (struct worker){.number = i, .threads = threads, .dice = i + 1};
        pthread_cond_init(&turn_changed[i], NULL);
    }
    for (uint32_t i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, works, &workers[i]))
            fail("no thread");
    for (uint32_t i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
}

/* ---- reports ---- */

static int by_lines(const void *a, const void *b) {
    size_t x = ((const struct site *)a)->lines, y = ((const struct site *)b)->lines;
    return x < y ? 1 : x > y ? -1 : 0;
}

static void show_sites(void) {
    enum { SHOWN = 12 };
    qsort(sites, SITES, sizeof *sites, by_lines);
    for (int i = 0; i < SHOWN && sites[i].lines; i++) {
        char command[200];
        printf("%10.2f ", 1000.0 * (double)sites[i].lines / (double)operations);
        fflush(stdout);
        snprintf(command, sizeof command, "addr2line -s -f -p -i -e /proc/%d/exe %#lx | tr '\\n' ' '; echo", getpid(), sites[i].at - 1);
        if (system(command))
            return;
    }
}

enum { FIGURES = 3 };

static const char *const FIGURE_NAMES[FIGURES] = {"lines", "rmw", "calls"};

static void count_one(const struct load *which, uint32_t threads, bool with_sites) {
    run(which, threads);
    size_t counts[FIGURES] = {lines_moved, rmws, calls};
    for (int i = 0; i < FIGURES; i++)
        printf("%s %.2f\n", FIGURE_NAMES[i], 1000.0 * (double)counts[i] / (double)operations);
    if (with_sites)
        show_sites();
}

/* In a process of its own: each begins with a fresh heap. */
static void count_apart(const char *self, const struct load *which, uint32_t threads, double figures[FIGURES]) {
    char command[4200], name[16];
    snprintf(command, sizeof command, "exec '%s' %s %u", self, which->name, threads);
    FILE *child = popen(command, "r");
    for (int i = 0; i < FIGURES; i++)
        if (!child || fscanf(child, "%15s %lf", name, &figures[i]) != 2 || strcmp(name, FIGURE_NAMES[i]))
            fail("a run has failed");
    if (pclose(child))
        fail("a run has failed");
}

static void count_all(const char *self) {
    static const uint32_t THREADS[] = {1, 2, 4, 8, 16, 32, 64};
    enum { COLUMNS = sizeof THREADS / sizeof *THREADS };
    static double figures[sizeof LOADS / sizeof *LOADS][COLUMNS][FIGURES];
    for (size_t i = 0; i < sizeof LOADS / sizeof *LOADS; i++)
        for (size_t k = 0; k < COLUMNS; k++)
            count_apart(self, &LOADS[i], THREADS[k], figures[i][k]);
    for (int figure = 0; figure < FIGURES; figure++) {
        printf("%s%-11s", figure ? "\n" : "", FIGURE_NAMES[figure]);
        for (size_t k = 0; k < COLUMNS; k++)
            printf("%9u", THREADS[k]);
        for (size_t i = 0; i < sizeof LOADS / sizeof *LOADS; i++) {
            printf("\n%-11s", LOADS[i].name);
            for (size_t k = 0; k < COLUMNS; k++)
                printf("%9.1f", figures[i][k][figure]);
        }
        printf("\n");
    }
}

int main(int argc, char **argv) {
    bool with_sites = argc > 1 && !strcmp(argv[argc - 1], "--sites");
    argc -= with_sites;
    char self[4097];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    if (argc == 1 && !with_sites) {
        count_all(self);
        return 0;
    }
    for (size_t i = 0; argc == 3 && i < sizeof LOADS / sizeof *LOADS; i++) {
        int threads = atoi(argv[2]);
        if (strcmp(LOADS[i].name, argv[1]) || threads < 1 || threads > MOST_THREADS)
            continue;
        count_one(&LOADS[i], (uint32_t)threads, with_sites);
        return 0;
    }
    fail("usage: counts [LOAD THREADS [--sites]]");
}
