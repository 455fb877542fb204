/* SPDX-License-Identifier: MIT */
/* footprint: what an allocator holds. Prints `name value` lines, memory in KiB.
 *
 * footprint trivial: `dirty`, the private dirty memory of a process that does
 * nothing.
 *
 * footprint idle THREADS: `growth` of resident memory by that many threads that
 * have each used 64 small objects and now wait.
 *
 * footprint burst KIND MIB ROUNDS: MIB of live objects, every page written, are
 * freed in random order, but for 5 % that survive at random places. `live` are
 * the survivors, `rest` what is resident a second later, `over` their ratio.
 * With more than one round the survivors go too, the next burst begins at once,
 * and the time is the result. KIND is small (16 bytes to 1 KiB),
 * medium (to 128 KiB), large (to 4 MiB) or mixed (as many bytes of each).
 *
 * footprint quiet KIND MIB CALLS: four such bursts of which nothing survives, a
 * second between them, then CALLS small allocations a second. `rest` is what is
 * resident five seconds after the last burst.
 *
 * The notes about objects lie in a mapping that is resident before the first
 * look at the memory, and nothing here allocates but what is measured. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, KINDS = 3, SURVIVORS = 20, OBJECTS_EACH = 64, THREADS_MAX = 10000 };

static const struct {
    const char *name;
    uint32_t low, high;
} kinds[KINDS] = {{"small", 16, 1024}, {"medium", 1025, 128 << 10}, {"large", (128 << 10) + 1, 4 << 20}};

struct object {
    char *at;
    size_t bytes;
};

static uint32_t below(uint32_t limit)
{
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 32) * limit >> 32);
}

static void fail(const char *what)
{
    dprintf(STDERR_FILENO, "footprint: %s\n", what);
    exit(1);
}

/* The number behind `name` in a file of /proc, without a stream. */
static long proc_number(const char *path, const char *name)
{
    char text[8192];
    int fd = open(path, O_RDONLY);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (length <= 0)
        fail(path);
    close(fd);
    text[length] = 0;
    const char *line = strstr(text, name);
    if (!line)
        fail(name);
    return strtol(line + strlen(name), NULL, 10);
}

static long resident_kib(void)
{
    return proc_number("/proc/self/status", "VmRSS:");
}

/* ---- idle threads ---- */

static pthread_barrier_t used;

static void *use_and_wait(void *arg)
{
    void *held[OBJECTS_EACH];
    for (int i = 0; i < OBJECTS_EACH; i++)
        *(char *)(held[i] = malloc(16 + 8 * (size_t)i)) = 1;
    for (int i = 0; i < OBJECTS_EACH; i++)
        free(held[i]);
    pthread_barrier_wait(&used);
    pause();
    return arg;
}

static void idle(long threads)
{
    pthread_t id;
    pthread_barrier_init(&used, NULL, (unsigned)threads + 1);
    long before = resident_kib();
    for (long i = 0; i < threads; i++)
        if (pthread_create(&id, NULL, use_and_wait, NULL))
            fail("no more threads");
    pthread_barrier_wait(&used);
    printf("growth %ld\n", resident_kib() - before);
}

/* ---- bursts ---- */

static size_t take(struct object *o, int kind)
{
    o->bytes = kinds[kind].low + below(kinds[kind].high - kinds[kind].low + 1);
    o->at = malloc(o->bytes);
    if (!o->at)
        fail("out of memory");
    for (size_t i = 0; i < o->bytes; i += PAGE)
        o->at[i] = 1;
    o->at[o->bytes - 1] = 1;
    return o->bytes;
}

/* KINDS as a kind means mixed: always the one that has least. */
static uint32_t take_all(struct object *objects, int kind, size_t bytes)
{
    size_t taken[KINDS] = {0}, all = 0;
    uint32_t count = 0;
    while (all < bytes) {
        int least = kind < KINDS ? kind : 0;
        for (int i = 0; kind == KINDS && i < KINDS; i++)
            least = taken[i] < taken[least] ? i : least;
        size_t more = take(&objects[count++], least);
        taken[least] += more;
        all += more;
    }
    return count;
}

static void shuffle(struct object *objects, uint32_t count)
{
    for (uint32_t i = count; i > 1; i--) {
        uint32_t other = below(i);
        struct object moved = objects[i - 1];
        objects[i - 1] = objects[other];
        objects[other] = moved;
    }
}

static void free_from(struct object *objects, uint32_t from, uint32_t count)
{
    for (uint32_t i = from; i < count; i++)
        free(objects[i].at);
}

/* Room for twice as many objects as sizes of the mean would need, small or not. */
static struct object *make_notes(int kind, size_t bytes)
{
    size_t mean = (kinds[kind % KINDS].low + kinds[kind % KINDS].high) / 2;
    size_t room = (2 * bytes / mean + PAGE) * sizeof(struct object);
    struct object *notes = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (notes == MAP_FAILED)
        fail("no memory for the notes");
    return notes;
}

/* How many survive; they come first. */
static uint32_t burst_once(struct object *objects, int kind, size_t bytes)
{
    uint32_t count = take_all(objects, kind, bytes), kept = count / SURVIVORS;
    shuffle(objects, count);
    free_from(objects, kept, count);
    return kept;
}

static void burst(int kind, size_t bytes, long rounds)
{
    struct object *objects = make_notes(kind, bytes);
    size_t live = 0;
    long before = resident_kib();
    for (long i = 1; i < rounds; i++)
        free_from(objects, 0, burst_once(objects, kind, bytes));
    for (uint32_t kept = burst_once(objects, kind, bytes); kept-- > 0;)
        live += objects[kept].bytes;
    if (rounds > 1)
        return;
    sleep(1);
    double rest = (double)(resident_kib() - before);
    printf("live %zu\nrest %.0f\nover %.3f\n", live / 1024, rest, rest * 1024 / (double)(live + !live));
}

/* ---- after the bursts ---- */

static void light_load(long calls_a_second, int seconds)
{
    enum { KEPT = 100, TICKS = 50 /* a second */ };
    static char *kept[KEPT];
    long due = 0;
    for (int tick = 0; tick < TICKS * seconds; tick++) {
        nanosleep(&(struct timespec){0, 1000000000 / TICKS}, NULL);
        for (due += calls_a_second; due >= TICKS; due -= TICKS) {
            uint32_t at = below(KEPT);
            free(kept[at]);
            *(kept[at] = malloc(16 + below(1000))) = 1;
        }
    }
}

static void quiet(int kind, size_t bytes, long calls_a_second)
{
    struct object *objects = make_notes(kind, bytes);
    long before = resident_kib();
    for (int i = 0; i < 4; i++) {
        sleep(i > 0);
        free_from(objects, 0, burst_once(objects, kind, bytes));
    }
    light_load(calls_a_second, 5);
    printf("rest %ld\n", resident_kib() - before);
}

/* ---- command line ---- */

static int kind_of(const char *name)
{
    int kind = 0;
    while (kind < KINDS && strcmp(name, kinds[kind].name))
        kind++;
    if (kind == KINDS && strcmp(name, "mixed"))
        fail("KIND is small, medium, large or mixed");
    return kind;
}

int main(int argc, char **argv)
{
    static char buffer[BUFSIZ];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    long number = argc > 2 ? atol(argv[argc == 5 ? 3 : 2]) : 0;
    if (argc == 2 && !strcmp(argv[1], "trivial"))
        printf("dirty %ld\n", proc_number("/proc/self/smaps_rollup", "Private_Dirty:"));
    else if (argc == 3 && !strcmp(argv[1], "idle") && number > 0 && number <= THREADS_MAX)
        idle(number);
    else if (argc == 5 && !strcmp(argv[1], "burst") && number > 0)
        burst(kind_of(argv[2]), (size_t)number << 20, atol(argv[4]));
    else if (argc == 5 && !strcmp(argv[1], "quiet") && number > 0)
        quiet(kind_of(argv[2]), (size_t)number << 20, atol(argv[4]));
    else
        return 2;
    return 0;
}
