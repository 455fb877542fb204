/* SPDX-License-Identifier: MIT */
/* patterns NAME THREADS SCALE: one allocation pattern, a fixed amount of work.
 * patterns list: every pattern with the thread counts worth running.
 *
 * The operations of a pattern are SCALE times its count in the table, shared
 * out among the threads, so CPU time compares directly between allocators and
 * stays near one second with glibc at SCALE 1. Everything is freed before the
 * program prints `rest KIB`, what it still holds resident at that moment.
 * Sizes are in bytes; each thread has a fixed seed of its own.
 *
 * Threads meet through channels with a mutex and a condition: spinning would
 * count as CPU time. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_THREADS = 64, PAGE = 4096, BATCH = 1000, DEPTH = 8, MARKET = 4096 };

/* Each on lines of its own: one cache line for two threads would be the slowest thing measured. */
struct worker {
    const struct pattern *pattern;
    unsigned id, threads;
    long steps;
    uint64_t random;
    void **slots;
    void *gift;  /* an object from the main thread, for patterns that want one */
} __attribute__((aligned(128)));

struct pattern {
    const char *name;
    void (*run)(struct worker *);
    double steps;
    unsigned slots;     /* per thread */
    uint32_t low, high; /* sizes, both included */
    bool whole;         /* touch every page, not only first and last byte */
    bool gift;
    const char *threads;
};

/* ---- verbs ---- */

static uint32_t below(struct worker *w, uint32_t limit)
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(((w->random >> 32) * limit) >> 32);
}

static uint32_t between(struct worker *w, uint32_t low, uint32_t high)
{
    return low + below(w, high - low + 1);
}

static void *checked(void *p)
{
    if (!p) {
        fputs("patterns: out of memory\n", stderr);
        exit(1);
    }
    return p;
}

static void *take(size_t bytes)
{
    char *p = checked(malloc(bytes));
    p[0] = 1;
    p[bytes - 1] = 1;
    return p;
}

static void *draw(struct worker *w)
{
    size_t bytes = between(w, w->pattern->low, w->pattern->high);
    char *p = take(bytes);
    if (w->pattern->whole)
        for (size_t at = PAGE; at < bytes; at += PAGE)
            p[at] = 1;
    return p;
}

/* Frees first, as a program that replaces a value mostly does. */
static void replace(struct worker *w, void **slot)
{
    free(*slot);
    *slot = draw(w);
}

static void *any_slot(struct worker *w)
{
    return &w->slots[below(w, w->pattern->slots)];
}

/* ---- channels: batches of objects from one thread to another ---- */

static struct channel {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    unsigned sent, received;
    void *batch[DEPTH][BATCH];
} channels[MAX_THREADS];

static void open_channels(void)
{
    for (int i = 0; i < MAX_THREADS; i++) {
        pthread_mutex_init(&channels[i].lock, NULL);
        pthread_cond_init(&channels[i].moved, NULL);
    }
}

static void send_batch(struct channel *c, void *const *batch)
{
    pthread_mutex_lock(&c->lock);
    while (c->sent - c->received == DEPTH)
        pthread_cond_wait(&c->moved, &c->lock);
    memcpy(c->batch[c->sent++ % DEPTH], batch, sizeof c->batch[0]);
    pthread_cond_signal(&c->moved);
    pthread_mutex_unlock(&c->lock);
}

static void receive_batch(struct channel *c, void **batch)
{
    pthread_mutex_lock(&c->lock);
    while (c->sent == c->received)
        pthread_cond_wait(&c->moved, &c->lock);
    memcpy(batch, c->batch[c->received++ % DEPTH], sizeof c->batch[0]);
    pthread_cond_signal(&c->moved);
    pthread_mutex_unlock(&c->lock);
}

static void send_new(struct worker *w, struct channel *c)
{
    void *batch[BATCH];
    for (int i = 0; i < BATCH; i++)
        batch[i] = draw(w);
    send_batch(c, batch);
}

static void receive_free(struct channel *c)
{
    void *batch[BATCH];
    receive_batch(c, batch);
    for (int i = 0; i < BATCH; i++)
        free(batch[i]);
}

/* ---- a market: slots where any thread finds what any other left ---- */

static _Atomic(void *) market[MARKET];

static void swap_at_market(struct worker *w, void *mine)
{
    free(atomic_exchange(&market[below(w, MARKET)], mine));
}

static void close_market(void)
{
    for (int i = 0; i < MARKET; i++)
        free(market[i]);
}

/* ---- patterns ---- */

static void lifo(struct worker *w)
{
    unsigned slots = w->pattern->slots;
    for (long rounds = w->steps / slots; rounds-- > 0;) {
        for (unsigned i = 0; i < slots; i++)
            w->slots[i] = draw(w);
        for (unsigned i = slots; i-- > 0;) {
            free(w->slots[i]);
            w->slots[i] = NULL;
        }
    }
}

static void fifo(struct worker *w)
{
    for (long i = 0; i < w->steps; i++)
        replace(w, &w->slots[i % w->pattern->slots]);
}

static void churn(struct worker *w)
{
    for (long i = 0; i < w->steps; i++)
        replace(w, any_slot(w));
}

/* Odd threads free what the even ones before them allocate. */
static void producer(struct worker *w)
{
    for (long rounds = w->steps / BATCH; rounds-- > 0;)
        if (w->id % 2 == 0)
            send_new(w, &channels[w->id]);
        else
            receive_free(&channels[w->id - 1]);
}

/* Every thread allocates for its right neighbour, frees for its left one. */
static void ring(struct worker *w)
{
    for (long rounds = w->steps / BATCH; rounds-- > 0;) {
        send_new(w, &channels[(w->id + 1) % w->threads]);
        receive_free(&channels[w->id]);
    }
}

/* The first thread frees what all the others allocate. */
static void funnel(struct worker *w)
{
    for (long rounds = w->steps / BATCH; rounds-- > 0;)
        if (w->id > 0)
            send_new(w, &channels[w->id]);
        else
            for (unsigned from = 1; from < w->threads; from++)
                receive_free(&channels[from]);
}

/* Each thread frees what any thread made. */
static void stealing(struct worker *w)
{
    for (long i = 0; i < w->steps; i++)
        swap_at_market(w, draw(w));
}

static void *generation(void *arg)
{
    churn(arg);
    return NULL;
}

/* Each thread works for a while and dies; the next finds its objects. */
static void heirs(struct worker *w)
{
    enum { LIFE = 10000 };
    long lives = w->steps / LIFE;
    w->steps = LIFE;
    while (lives-- > 0) {
        pthread_t heir;
        if (pthread_create(&heir, NULL, generation, w))
            exit(1);
        pthread_join(heir, NULL);
    }
}

/* Arrays grow side by side, by a half each time. */
static void grow(struct worker *w)
{
    size_t bytes[64] = {0};
    for (long i = 0; i < w->steps; i++) {
        unsigned n = below(w, w->pattern->slots);
        size_t more = bytes[n] / 2 + w->pattern->low;
        if (bytes[n] + more > w->pattern->high) {
            free(w->slots[n]);
            w->slots[n] = NULL;
            bytes[n] = 0;
            continue;
        }
        w->slots[n] = checked(realloc(w->slots[n], bytes[n] + more));
        memset((char *)w->slots[n] + bytes[n], 1, more);
        bytes[n] += more;
    }
}

static char *word(struct worker *w)
{
    size_t length = below(w, 1u << between(w, 3, 9));
    char *s = take(length + 1);
    memset(s, 'a', length);
    s[length] = 0;
    return s;
}

static char *joined(const char *a, const char *b, size_t limit)
{
    size_t left = strlen(a), right = strlen(b);
    if (left + right >= limit)
        return checked(strdup(a));
    char *s = checked(malloc(left + right + 1));
    memcpy(s, a, left);
    memcpy(s + left, b, right + 1);
    return s;
}

/* Words are made, joined with others and thrown away. */
static void strings(struct worker *w)
{
    for (long i = 0; i < w->steps; i++) {
        char **a = any_slot(w), **b = any_slot(w);
        char *fresh = *a && *b && i % 4 == 0 ? joined(*a, *b, w->pattern->high) : word(w);
        free(*a);
        *a = fresh;
    }
}

/* A request allocates some tens of objects; one in twenty outlives it. */
static void server(struct worker *w)
{
    enum { MOST = 100 };
    void *held[MOST];
    for (long i = 0; i < w->steps;) {
        unsigned count = between(w, 20, MOST);
        for (unsigned n = 0; n < count; n++)
            held[n] = below(w, 16) ? draw(w) : take(between(w, 1024, 16384));
        for (unsigned n = 0; n < count; n++) {
            void **slot = below(w, 20) ? &held[n] : any_slot(w);
            free(*slot);
            *slot = slot == &held[n] ? NULL : held[n];
        }
        i += count;
    }
}

/* Small objects written again and again: slow where two threads got objects
 * of one cache line, be it by themselves or (gift) from the main thread. */
static void scratch(struct worker *w)
{
    free(w->gift);
    for (long i = 0; i < w->steps; i++) {
        volatile char *p = draw(w);
        for (int n = 0; n < 1000; n++)
            p[0]++;
        free((void *)p);
    }
}

/* Much at once, freed at once, then nearly nothing for a while. */
static void burst(struct worker *w)
{
    unsigned slots = w->pattern->slots;
    for (long rounds = w->steps / slots; rounds-- > 0;) {
        for (unsigned i = 0; i < slots; i++)
            w->slots[i] = draw(w);
        for (unsigned i = 0; i < slots; i++) {
            free(w->slots[i]);
            w->slots[i] = NULL;
        }
        for (int i = 0; i < 10; i++) {
            usleep(5000);
            free(draw(w));
        }
    }
}

/* name      run       steps  slots   sizes              whole  gift   threads */
static const struct pattern patterns[] = {
    {"lifo",     lifo,     40e6, 1000,   16, 128,            false, false, "1 2"},
    {"fifo",     fifo,     40e6, 10000,  16, 128,            false, false, "1 2"},
    {"random",   churn,    16e6, 100000, 16, 128,            false, false, "1 2 4"},
    {"mixed",    churn,    16e6, 20000,  8, 1000,            false, false, "1 2 4"},
    {"medium",   churn,    8e6,  1000,   1, 16384,           false, false, "1 2 4"},
    {"buffers",  churn,    2e6,  200,    1024, 65536,        true,  false, "1 2"},
    {"huge",     churn,    300,  8,      5000000, 25000000,  true,  false, "1 2"},
    {"producer", producer, 30e6, 1,      16, 256,            false, false, "2 4"},
    {"ring",     ring,     16e6, 1,      16, 256,            false, false, "2 4"},
    {"funnel",   funnel,   16e6, 1,      16, 256,            false, false, "17"},
    {"stealing", stealing, 8e6,  1,      16, 16384,          false, false, "2 4"},
    {"heirs",    heirs,    24e6, 5000,   16, 256,            false, false, "1 2 4"},
    {"grow",     grow,     3e5,  64,     16, 1 << 20,        false, false, "1 2"},
    {"strings",  strings,  14e6, 20000,  0, 4096,            false, false, "1 2"},
    {"server",   server,   24e6, 20000,  16, 512,            false, false, "1 2 4"},
    {"active",   scratch,  15e5, 1,      8, 8,               false, false, "2"},
    {"passive",  scratch,  15e5, 1,      8, 8,               false, true,  "2"},
    {"burst",    burst,    4e6,  200000, 16, 512,            false, false, "1 2"},
};

/* ---- running ---- */

static void *work(void *arg)
{
    struct worker *w = arg;
    w->slots = checked(calloc(w->pattern->slots, sizeof *w->slots));
    w->pattern->run(w);
    for (unsigned i = 0; i < w->pattern->slots; i++)
        free(w->slots[i]);
    free(w->slots);
    return NULL;
}

static void run(const struct pattern *pattern, unsigned threads, double scale)
{
    pthread_t thread[MAX_THREADS];
    static struct worker workers[MAX_THREADS];
    for (unsigned i = 0; i < threads; i++)
        workers[i] = (struct worker){
            .pattern = pattern, .id = i, .threads = threads, .random = i + 1,
            .steps = (long)(pattern->steps * scale / threads),
            .gift = pattern->gift ? take(pattern->low) : NULL};
    for (unsigned i = 1; i < threads; i++)
        if (pthread_create(&thread[i], NULL, work, &workers[i]))
            exit(1);
    work(&workers[0]); /* the main thread, so that one thread means no threads */
    for (unsigned i = 1; i < threads; i++)
        pthread_join(thread[i], NULL);
    close_market();
}

static long resident_kib(void)
{
    long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm && fscanf(statm, "%*d %ld", &pages) != 1)
        pages = 0;
    return pages * (PAGE / 1024);
}

int main(int argc, char **argv)
{
    bool list = argc == 2 && !strcmp(argv[1], "list");
    long threads = argc == 4 ? atol(argv[2]) : 0;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        if (list)
            printf("%s %s\n", patterns[i].name, patterns[i].threads);
        else if (threads > 0 && threads <= MAX_THREADS && !strcmp(argv[1], patterns[i].name)) {
            open_channels();
            run(&patterns[i], (unsigned)threads, atof(argv[3]));
            printf("rest %ld\n", resident_kib());
            return 0;
        }
    }
    return list ? 0 : 2;
}
