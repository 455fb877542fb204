/* SPDX-License-Identifier: MIT */
/* replay: performs a recorded trace on whatever malloc is in the process; see usage().
 *
 * The trace is decoded into mappings of our own before anything is measured; from then on only the trace's calls go
 * to malloc. The recorded first thread is the main thread here, the others are born and joined as they were,
 * but for a manager thread that does it.
 *
 * Order. Events are numbered over all threads. Two things are kept of that order: an object is not freed before
 * it is born, and no thread runs ahead of the slowest by more than a window, so that phases stay phases and the
 * live memory is about what it was. Inside the window threads meet as the scheduler has it: a narrow one (10,000
 * events) would repeat the time slices of the machine that recorded, one thread after the other. Waiting is on a futex,
 * never a loop, since CPU time is a result. The thread with the lowest number of all never waits, so nobody waits
 * for ever.
 *
 * Whether an object is touched: a program mostly writes what it allocates, so the first and last byte of each
 * object and a byte a page are written; bytes that realloc added alike. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "trace.h"

enum { FUTEX_WAIT_PRIVATE = 128, FUTEX_WAKE_PRIVATE = 129 }; /* <linux/futex.h>, which musl's compilers do not find */

enum { STRIDE = 4096, PUBLISH = 256, THREADS_MAX = 65535, SHIFT_MAX = 31 };
#define BYTES_MAX (((uint64_t)1 << 40) - 1)
#define DONE UINT64_MAX

/* One per event number; kind TRACE_NONE where the trace has none. Objects count from 1, in order of birth; 0 is NULL. */
struct step {
    uint64_t bytes : 40, kind : 3, shift : 5, thread : 16;
    uint32_t object; /* the one born or freed */
    uint32_t before; /* the one that realloc was given */
};
_Static_assert(sizeof(struct step) == 16, "the steps of a trace should fit into memory");

static struct {
    const char *path;
    int fd;
    size_t chunks;
    struct step *steps;
    uint64_t count; /* of numbers, holes included */
    uint32_t threads;
    size_t encoded_bytes;
} trace;

static struct {
    uint64_t ops, dropped, live_bytes, peak_bytes, live, peak_live;
    uint32_t objects;
} sum;

static struct {
    uint64_t window;
    int rounds;
    bool fold, stats, ends, pages;
} option = {.window = 100000, .ends = true, .pages = true};

__attribute__((format(printf, 1, 2), noreturn)) static void refuse(const char *format, ...)
{
    va_list rest;
    va_start(rest, format);
    dprintf(STDERR_FILENO, "replay: %s: ", trace.path);
    vdprintf(STDERR_FILENO, format, rest);
    dprintf(STDERR_FILENO, "\n");
    exit(2);
}

static void *reserve(uint64_t count, size_t each)
{
    void *p = mmap(NULL, count * each + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED)
        refuse("no memory for %llu events", (unsigned long long)trace.count);
    return p;
}

/* ---- reading ---- */

typedef void visit(const struct trace_event *e, uint64_t seq, uint32_t thread);

static void note_extent(const struct trace_event *e, uint64_t seq, uint32_t thread)
{
    (void)e;
    trace.count = seq >= trace.count ? seq + 1 : trace.count;
    trace.threads = thread >= trace.threads ? thread + 1 : trace.threads;
}

/* For now the ages stand where the objects will: 0, or the number of the birth event + 1. */
static void note_step(const struct trace_event *e, uint64_t seq, uint32_t thread)
{
    struct step *s = &trace.steps[seq];
    uint64_t age = e->kind == TRACE_FREE ? e->value : e->kind == TRACE_REALLOC ? e->extra : 0;
    if (s->kind)
        refuse("damaged: two events have the number %llu", (unsigned long long)seq);
    if (age > seq)
        refuse("damaged: event %llu names an object from before the trace", (unsigned long long)seq);
    *s = (struct step){.kind = e->kind, .thread = thread & 0xffff};
    s->before = age ? (uint32_t)(seq - age + 1) : 0;
    s->bytes = e->kind == TRACE_FREE ? 0 : e->value & BYTES_MAX;
    s->shift = e->kind == TRACE_ALIGNED ? e->extra & SHIFT_MAX : 0;
}

static bool sensible(const struct trace_event *e, uint64_t seq, uint32_t thread)
{
    return thread > 0 && thread <= THREADS_MAX && seq < UINT32_MAX - 1 && (e->kind == TRACE_FREE || e->value <= BYTES_MAX) &&
           (e->kind != TRACE_ALIGNED || e->extra <= SHIFT_MAX);
}

static void read_chunk(const unsigned char *chunk, size_t bytes, size_t number, visit *see)
{
    const unsigned char *at = chunk, *end = chunk + bytes;
    uint32_t thread = 0;
    uint64_t seq = 0; /* of the next event, but for its gap */
    while (at < end && *at) {
        struct trace_event e;
        const unsigned char *after = trace_decode(at, end, &e);
        if (!after && bytes < TRACE_CHUNK)
            break; /* the file was cut here */
        bool is_thread = after && e.kind == TRACE_THREAD;
        thread = is_thread ? (uint32_t)e.value : thread;
        seq = is_thread ? e.extra : seq + (after ? e.gap : 0);
        if (!after || (is_thread ? e.value > THREADS_MAX : !sensible(&e, seq, thread)))
            refuse("damaged: no event at byte %zu of chunk %zu", (size_t)(at - chunk), number);
        if (!is_thread)
            see(&e, seq++, thread);
        at = after;
    }
    trace.encoded_bytes += (size_t)(at - chunk);
}

static size_t read_at(void *into, size_t bytes, size_t chunk)
{
    size_t length = 0;
    for (ssize_t got; (got = pread(trace.fd, (char *)into + length, bytes - length, (off_t)(chunk * TRACE_CHUNK + length)));) {
        if (got < 0 && errno != EINTR)
            refuse("%s", strerror(errno));
        length += got > 0 ? (size_t)got : 0;
        if (length == bytes)
            break;
    }
    return length;
}

static void read_events(visit *see)
{
    static unsigned char chunk[TRACE_CHUNK]; /* not a mapping of the file: that would count as resident */
    trace.encoded_bytes = 0;
    for (size_t i = 1; i < trace.chunks; i++)
        read_chunk(chunk, read_at(chunk, sizeof chunk, i), i, see);
}

#define XZ_MAGIC "\xfd" "7zXZ"

/* Of a trace that was packed for its way here: what xz makes of it, in memory that does not count as ours. */
static int unpacked(const char *path)
{
    char *const command[] = {"xz", "-dc", "--", (char *)path, NULL};
    int fd = memfd_create("trace", MFD_CLOEXEC), status = 1;
    pid_t pid;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO);
    if (fd < 0 || posix_spawnp(&pid, *command, &actions, NULL, command, environ) || waitpid(pid, &status, 0) != pid || status)
        refuse("packed, and xz is not there or does not unpack it");
    posix_spawn_file_actions_destroy(&actions);
    return fd;
}

static void load(const char *path)
{
    struct stat is;
    char magic[sizeof TRACE_MAGIC] = {0};
    trace.path = path;
    trace.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (trace.fd >= 0 && read_at(magic, sizeof XZ_MAGIC - 1, 0) == sizeof XZ_MAGIC - 1 && !strcmp(magic, XZ_MAGIC))
        trace.fd = unpacked(path);
    if (trace.fd < 0 || fstat(trace.fd, &is))
        refuse("%s", strerror(errno));
    if (!S_ISREG(is.st_mode) || read_at(magic, sizeof magic - 1, 0) < sizeof magic - 1 || strcmp(magic, TRACE_MAGIC))
        refuse("not a trace, or of another version");
    trace.chunks = ((size_t)is.st_size + TRACE_CHUNK - 1) / TRACE_CHUNK;
    read_events(note_extent);
    trace.steps = reserve(trace.count, sizeof *trace.steps);
    read_events(note_step);
    close(trace.fd);
}

/* ---- making sense: from ages to objects, in the order of the numbers ---- */

static uint32_t *dead; /* by event: 1 + the number of the event that ended its object */

static void live_grows(uint64_t bytes)
{
    sum.live_bytes += bytes;
    sum.live++;
    sum.peak_bytes = sum.live_bytes > sum.peak_bytes ? sum.live_bytes : sum.peak_bytes;
    sum.peak_live = sum.live > sum.peak_live ? sum.live : sum.peak_live;
}

/* The step that bore what step `seq` is given. NULL: the trace was cut and does not have it. */
static struct step *end_of(uint64_t seq)
{
    uint32_t birth = trace.steps[seq].before - 1;
    struct step *born = &trace.steps[birth];
    if (!born->kind)
        return NULL;
    if (!born->object || born->kind == TRACE_FREE || dead[birth])
        refuse("damaged: event %llu names no live object", (unsigned long long)seq);
    dead[birth] = (uint32_t)seq + 1;
    sum.live_bytes -= born->bytes;
    sum.live--;
    return born;
}

static void resolve(uint64_t seq)
{
    struct step *s = &trace.steps[seq];
    struct step *born = s->before ? end_of(seq) : NULL;
    bool lost = s->before && !born;
    s->before = born ? born->object : 0;
    sum.ops++;
    if (lost) {
        sum.dropped++;
        if (s->kind == TRACE_FREE)
            s->kind = TRACE_NONE;
    }
    if (s->kind == TRACE_FREE) {
        s->object = s->before;
        s->bytes = born ? born->bytes : 0;
    } else if (s->kind) {
        s->object = ++sum.objects;
        live_grows(s->bytes);
    }
}

static void make_sense(void)
{
    dead = reserve(trace.count, sizeof *dead);
    for (uint64_t seq = 0; seq < trace.count; seq++)
        if (trace.steps[seq].kind)
            resolve(seq);
    if (sum.dropped)
        dprintf(STDERR_FILENO, "replay: %s: cut short: %llu events name objects that it does not have\n", trace.path,
                (unsigned long long)sum.dropped);
}

/* ---- threads and their places ---- */

struct thread {
    uint32_t *list; /* the numbers of its events */
    uint64_t count;
    struct lane *lane;
    struct thread *next; /* born after this one */
    pthread_t id;
};

/* A place for one thread at a time: threads that were never alive together share one. */
struct lane {
    uint64_t progress __attribute__((aligned(64))); /* all events of this lane below are done */
    uint32_t tick, sleepers;                        /* a futex that changes with progress */
    struct thread *last;                            /* the latest that was given this place */
    struct thread *running;                         /* to be joined; NULL also for the main thread */
};

static struct thread *threads, *first, *latest;
static struct lane *lanes, *manager;
static size_t lane_count;

static uint64_t first_event(const struct thread *t)
{
    return t->list[0];
}

static uint64_t last_event(const struct thread *t)
{
    return t->list[t->count - 1];
}

static void place(struct thread *t)
{
    struct lane *lane = lanes;
    while (lane < lanes + lane_count && last_event(lane->last) >= first_event(t))
        lane++;
    if (lane == lanes + lane_count)
        *lane = (struct lane){.progress = lane_count++ ? DONE : 0};
    lane->last = t;
    t->lane = lane;
    if (latest)
        latest->next = t;
    else
        first = t;
    latest = t;
}

/* Lists by counting; then places, by time of birth. */
static void find_threads(void)
{
    threads = reserve(trace.threads, sizeof *threads);
    lanes = reserve(trace.threads + 1, sizeof *lanes);
    uint32_t *numbers = reserve(trace.count, sizeof *numbers);
    for (uint64_t seq = 0; seq < trace.count; seq++)
        threads[trace.steps[seq].thread].count += trace.steps[seq].kind > 0;
    for (uint32_t i = 0; i < trace.threads; i++) {
        threads[i].list = numbers;
        numbers += threads[i].count;
        threads[i].count = 0;
    }
    for (uint64_t seq = 0; seq < trace.count; seq++) {
        struct thread *t = &threads[trace.steps[seq].thread];
        if (trace.steps[seq].kind)
            t->list[t->count++] = (uint32_t)seq;
    }
    for (uint64_t seq = 0; seq < trace.count; seq++) {
        struct thread *t = &threads[trace.steps[seq].thread];
        if (trace.steps[seq].kind && first_event(t) == seq)
            place(t);
    }
    manager = &lanes[lane_count];
    manager->progress = DONE;
}

/* ---- keeping order ---- */

static void publish(struct lane *lane, uint64_t progress)
{
    __atomic_store_n(&lane->progress, progress, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&lane->tick, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&lane->sleepers, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, &lane->tick, FUTEX_WAKE_PRIVATE, 1 << 30, NULL, NULL, 0);
}

/* Until the lane publishes something after its tick was `seen`. */
static void sleep_on(struct lane *lane, uint32_t seen)
{
    __atomic_add_fetch(&lane->sleepers, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &lane->tick, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    __atomic_sub_fetch(&lane->sleepers, 1, __ATOMIC_SEQ_CST);
}

static void await_progress(struct lane *lane, uint64_t least)
{
    for (;;) {
        uint32_t tick = __atomic_load_n(&lane->tick, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&lane->progress, __ATOMIC_SEQ_CST) >= least)
            return;
        sleep_on(lane, tick);
    }
}

/* Until no lane is more than the window behind `seq`, where `mine` is. */
static void await_window(struct lane *mine, uint64_t seq)
{
    publish(mine, seq);
    for (struct lane *lane = lanes; lane <= manager; lane++)
        await_progress(lane, seq > option.window ? seq - option.window : 0);
}

/* ---- performing ---- */

static struct block {
    void *at; /* NULL: not born yet, or gone */
    uint64_t bytes : 40, thread : 16;
} *blocks; /* by object; the first stands for NULL */

/* The object may be another thread's to bear, at an earlier event. */
static void *await_birth(const struct block *b, struct lane *mine, uint64_t seq)
{
    struct lane *theirs = threads[b->thread].lane;
    publish(mine, seq);
    for (;;) {
        uint32_t tick = __atomic_load_n(&theirs->tick, __ATOMIC_SEQ_CST);
        void *p = __atomic_load_n(&b->at, __ATOMIC_ACQUIRE);
        if (p)
            return p;
        sleep_on(theirs, tick);
    }
}

static void *taken(uint32_t object, struct lane *mine, uint64_t seq)
{
    struct block *b = &blocks[object];
    if (!object)
        return NULL;
    void *p = __atomic_load_n(&b->at, __ATOMIC_ACQUIRE);
    if (!p)
        p = await_birth(b, mine, seq);
    b->at = NULL;
    return p;
}

static void touch(volatile char *p, uint64_t from, uint64_t bytes)
{
    if (!option.ends || from >= bytes)
        return;
    if (option.pages)
        for (uint64_t at = from; at < bytes; at += STRIDE)
            p[at] = 1;
    p[from] = 1;
    p[bytes - 1] = 1;
}

static void *call(const struct step *s, void *before)
{
    void *p = NULL;
    switch (s->kind) {
    case TRACE_MALLOC: return malloc(s->bytes);
    case TRACE_CALLOC: return calloc(1, s->bytes);
    case TRACE_REALLOC: return realloc(before, s->bytes);
    case TRACE_ALIGNED:
        return posix_memalign(&p, s->shift < 3 ? sizeof p : (size_t)1 << s->shift, s->bytes) ? NULL : p;
    default: free(before); return NULL;
    }
}

static void perform(struct lane *lane, uint64_t seq)
{
    const struct step *s = &trace.steps[seq];
    void *p = call(s, taken(s->before, lane, seq));
    if (s->kind == TRACE_FREE)
        return;
    if (!p)
        refuse("out of memory: event %llu wants %llu bytes", (unsigned long long)seq, (unsigned long long)s->bytes);
    touch(p, blocks[s->before].bytes, s->bytes);
    __atomic_store_n(&blocks[s->object].at, p, __ATOMIC_RELEASE);
}

static void *run_thread(void *arg)
{
    struct thread *t = arg;
    for (uint64_t i = 0; i < t->count; i++) {
        if (i % PUBLISH == 0)
            await_window(t->lane, t->list[i]);
        perform(t->lane, t->list[i]);
    }
    publish(t->lane, DONE);
    return NULL;
}

/* All in the order of their numbers, in one thread. */
static void run_folded(void)
{
    for (uint64_t seq = 0; seq < trace.count; seq++)
        if (trace.steps[seq].kind)
            perform(lanes, seq);
}

/* Births and joins the threads but the first, in the order of their first events. */
static void *manage(void *arg)
{
    for (struct thread *t = first->next; t; t = t->next) {
        struct lane *lane = t->lane;
        publish(manager, first_event(t));
        await_progress(lane, DONE);
        if (lane->running)
            pthread_join(lane->running->id, NULL);
        await_window(manager, first_event(t));
        publish(lane, first_event(t));
        lane->running = t;
        if (pthread_create(&t->id, NULL, run_thread, t))
            refuse("no more threads than %zu", (size_t)(t - threads));
    }
    publish(manager, DONE);
    for (struct lane *lane = lanes; lane < manager; lane++)
        if (lane->running)
            pthread_join(lane->running->id, NULL);
    return arg;
}

static void run_threads(void)
{
    pthread_t id;
    for (struct lane *lane = lanes; lane <= manager; lane++) {
        lane->progress = DONE;
        lane->running = NULL;
    }
    lanes->progress = 0;
    if (first->next) {
        manager->progress = first_event(first->next);
        if (pthread_create(&id, NULL, manage, NULL))
            refuse("no thread");
    }
    run_thread(first);
    if (first->next)
        pthread_join(id, NULL);
}

static void free_leftovers(void)
{
    for (uint32_t i = 1; i <= sum.objects; i++) {
        if (blocks[i].at)
            free(blocks[i].at);
        blocks[i].at = NULL;
    }
}

/* ---- results ---- */

/* A line "VmRSS:   123 kB" of the process's status; no stream, which would allocate. */
static double status_kib(const char *name)
{
    char text[8192];
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    close(fd);
    text[length > 0 ? length : 0] = 0;
    const char *line = strstr(text, name);
    return line ? strtod(line + strlen(name), NULL) : 0;
}

static struct rusage used_now(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used;
}

static double cpu_seconds(struct rusage from, struct rusage to)
{
    timeradd(&from.ru_utime, &from.ru_stime, &from.ru_utime);
    timeradd(&to.ru_utime, &to.ru_stime, &to.ru_utime);
    timersub(&to.ru_utime, &from.ru_utime, &to.ru_utime);
    return (double)to.ru_utime.tv_sec + (double)to.ru_utime.tv_usec / 1e6;
}

static double elapsed_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What the replay itself costs: all but the calls and the touching. */
static double loop_seconds(void)
{
    static char anything;
    struct rusage before = used_now();
    for (uint64_t seq = 0; seq < trace.count; seq++) {
        const struct step *s = &trace.steps[seq];
        void *p = taken(s->before, lanes, seq);
        __asm__ volatile("" : : "r"(p) : "memory");
        if (s->kind && s->kind != TRACE_FREE)
            __atomic_store_n(&blocks[s->object].at, &anything, __ATOMIC_RELEASE);
    }
    for (uint32_t i = 1; i <= sum.objects; i++)
        blocks[i].at = NULL;
    return cpu_seconds(before, used_now());
}

static void run_rounds(void)
{
    for (int round = 0; round < option.rounds; round++) {
        if (round)
            free_leftovers();
        if (option.fold)
            run_folded();
        else
            run_threads();
    }
}

static void replay(void)
{
    blocks = reserve(sum.objects + 1, sizeof *blocks);
    for (uint64_t seq = 0; seq < trace.count; seq++) {
        const struct step *s = &trace.steps[seq];
        if (s->kind && s->kind != TRACE_FREE)
            blocks[s->object] = (struct block){.bytes = s->bytes, .thread = s->thread};
    }
    double loop = loop_seconds() * option.rounds, base = status_kib("VmRSS:"), start = elapsed_seconds();
    struct rusage before = used_now();
    run_rounds();
    struct rusage after = used_now();
    double wall = elapsed_seconds() - start, peak = status_kib("VmHWM:") - base;
    free_leftovers();
    double rest = status_kib("VmRSS:") - base;
    printf("ops %llu\nthreads %u\npeak_live_bytes %llu\n", (unsigned long long)(sum.ops - sum.dropped),
           option.fold ? 1 : trace.threads - 1, (unsigned long long)sum.peak_bytes);
    printf("cpu %.6f\nwall %.6f\nloop %.6f\n", cpu_seconds(before, after), wall, loop);
    printf("faults %ld\nrss %.0f\n", after.ru_minflt - before.ru_minflt, peak);
    printf("over %.4f\nrest %.0f\n", peak * 1024 / (double)(sum.peak_bytes + !sum.peak_bytes), rest > 0 ? rest : 0);
}

enum { SIZE_ROWS = 42, AGE_COLUMNS = 8 };

/* Columns: freed within 10, 100 ... events, later than a million, never. */
static unsigned age_column(uint64_t seq)
{
    uint64_t lived = dead[seq] - seq;
    unsigned column = 0;
    if (!dead[seq])
        return AGE_COLUMNS - 1;
    for (uint64_t limit = 10; column < AGE_COLUMNS - 2 && lived > limit; limit *= 10)
        column++;
    return column;
}

/* 0, then up to 1, 2, 4 ... bytes. */
static unsigned size_row(uint64_t bytes)
{
    return bytes > 1 ? 65 - (unsigned)__builtin_clzll(bytes - 1) : (unsigned)bytes;
}

static void print_table(uint64_t table[SIZE_ROWS][AGE_COLUMNS])
{
    static const char *const TITLES[AGE_COLUMNS] = {"<10", "<100", "<1K", "<10K", "<100K", "<1M", "later", "never"};
    printf("\nobjects by size, and by the events until they were freed\n%14s", "bytes up to");
    for (int column = 0; column < AGE_COLUMNS; column++)
        printf("%10s", TITLES[column]);
    for (int row = 0; row < SIZE_ROWS; row++) {
        uint64_t any = 0;
        for (int column = 0; column < AGE_COLUMNS; column++)
            any |= table[row][column];
        if (!any)
            continue;
        printf("\n%14llu", row ? 1ULL << (row - 1) : 0ULL);
        for (int column = 0; column < AGE_COLUMNS; column++)
            printf("%10llu", (unsigned long long)table[row][column]);
    }
    printf("\n");
}

static void print_stats(void)
{
    static const char *const KINDS[TRACE_KINDS] = {"", "malloc", "calloc", "free", "realloc", "aligned", ""};
    static uint64_t kinds[TRACE_KINDS], table[SIZE_ROWS][AGE_COLUMNS];
    uint64_t foreign = 0, nulls = 0;
    for (uint64_t seq = 0; seq < trace.count; seq++) {
        const struct step *s = &trace.steps[seq];
        kinds[s->kind]++;
        nulls += s->kind == TRACE_FREE && !s->before;
        if (dead[seq])
            foreign += trace.steps[dead[seq] - 1].thread != s->thread;
        if (s->kind && s->kind != TRACE_FREE)
            table[size_row(s->bytes)][age_column(seq)]++;
    }
    for (int kind = TRACE_MALLOC; kind < TRACE_THREAD; kind++)
        printf("%s %llu\n", KINDS[kind], (unsigned long long)kinds[kind]);
    printf("free_null %llu\n", (unsigned long long)nulls);
    printf("ops %llu\nthreads %u\nended_by_another_thread %llu\n", (unsigned long long)(sum.ops - sum.dropped), trace.threads - (trace.threads > 0),
           (unsigned long long)foreign);
    printf("peak_live_bytes %llu\npeak_live_objects %llu\nlive_bytes_at_end %llu\n", (unsigned long long)sum.peak_bytes,
           (unsigned long long)sum.peak_live, (unsigned long long)sum.live_bytes);
    printf("trace_bytes %zu\nbytes_per_event %.3f\n", trace.encoded_bytes,
           (double)trace.encoded_bytes / (double)(sum.ops + !sum.ops));
    print_table(table);
}

/* ---- command line ---- */

static void usage(void)
{
    dprintf(STDOUT_FILENO,
            "usage: replay [OPTION...] TRACE\n"
            "Performs the calls of a trace (scripts/record.sh makes them) on the malloc of this process: set LD_PRELOAD\n"
            "to compare allocators. Prints a name and a value a line:\n"
            "  ops threads peak_live_bytes   what the trace holds\n"
            "  cpu wall loop                 seconds: of the processor, elapsed; of the first, what the replay itself takes\n"
            "  faults rss over               page faults; KiB resident at most, and that over the live bytes' peak\n"
            "  rest                          KiB still resident when all is freed\n"
            "Resident memory is counted from before the first call. A trace may be packed by xz.\n"
            "  --fold         in one thread, in the order of recording\n"
            "  --window N     threads keep within N events of the slowest (100000)\n"
            "  --rounds N     the trace N times (1), freed in between\n"
            "  --touch WHAT   write to new memory: none, ends (first and last byte), pages (also one a page; the default)\n"
            "  --stats        perform nothing; print the trace's numbers, sizes and lifetimes\n");
    exit(0);
}

static void misuse(const char *why)
{
    dprintf(STDERR_FILENO, "replay: %s; --help says more\n", why);
    exit(2);
}

/* From 1 on; strtoull() alone takes a minus sign, and what is too large for the largest. */
static uint64_t number(const char *option_name, const char *text, uint64_t most)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || value == 0 || value > most) {
        dprintf(STDERR_FILENO, "replay: --%s %s: wants a number from 1 to %llu\n", option_name, text, (unsigned long long)most);
        exit(2);
    }
    return value;
}

static void parse(int argc, char **argv)
{
    static const struct option LONG[] = {
        {"fold", no_argument, NULL, 'f'},         {"window", required_argument, NULL, 'w'},
        {"rounds", required_argument, NULL, 'r'}, {"touch", required_argument, NULL, 't'},
        {"stats", no_argument, NULL, 's'},        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    option.rounds = 1;
    for (int c; (c = getopt_long(argc, argv, "", LONG, NULL)) != -1;) {
        switch (c) {
        case 'f': option.fold = true; break;
        case 'w': option.window = number("window", optarg, UINT32_MAX); break;
        case 'r': option.rounds = (int)number("rounds", optarg, INT_MAX); break;
        case 't':
            option.pages = !strcmp(optarg, "pages");
            option.ends = option.pages || !strcmp(optarg, "ends");
            if (!option.ends && strcmp(optarg, "none"))
                misuse("--touch wants none, ends or pages");
            break;
        case 's': option.stats = true; break;
        case 'h': usage(); break;
        default: misuse("no such option, or not so"); /* which, getopt has said */
        }
    }
    if (optind + 1 != argc)
        misuse("it takes one trace");
}

int main(int argc, char **argv)
{
    static char buffer[BUFSIZ];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    parse(argc, argv);
    load(argv[optind]);
    make_sense();
    if (option.stats) {
        print_stats();
        return 0;
    }
    if (!sum.ops)
        refuse("an empty trace: nothing to perform");
    munmap(dead, trace.count * sizeof *dead + 1);
    find_threads();
    replay();
    return 0;
}
