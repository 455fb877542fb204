/* SPDX-License-Identifier: MIT */
/* lives KIND [SCALE]: ten days of a process that runs for long, each in a second or so. Prints `name value` lines:
 *
 *   over    (resident memory - what it was before) / live bytes, at the end of the last day
 *   slope   by how many per cent that grew in the last three days
 *   rest    KiB still resident when all but 5 % was freed and a light load went on for a second
 *
 * cache      120 MB of keys and values, those not asked for evicted; the mean size of the values rises and falls through the day
 * trough     a load that is five times as high at noon; one object in fifty stays for half a day to two and a half. Days end in the trough
 * threads    eight workers of requests: short-lived objects, and some that replace an entry of a shared table, whoever made that; workers
 *            end and are born all the time
 * sessions   connections whose buffers grow by realloc and shrink when idle, with small state that comes and goes
 *
 * All but threads does the same in each run. The notes about objects lie in a mapping that is resident before the first look at the memory. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { DAYS = 10, LAST_DAYS = 3, SURVIVORS = 20, PAGE = 4096 };

static double scale = 1;
static size_t live; /* bytes that the load has, as it asked for them */

static void fail(const char *what) {
    dprintf(STDERR_FILENO, "lives: %s\n", what);
    exit(1);
}

/* ---- dice ---- */

struct dice {
    uint64_t state;
};

static struct dice dice = {1};

static uint32_t roll(struct dice *d, uint32_t limit) {
    d->state = d->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((d->state >> 32) * limit >> 32);
}

static uint32_t below(uint32_t limit) { return roll(&dice, limit); }

enum { STEPS = 4096 };
static double bell[STEPS]; /* of the normal distribution, sigma 1 */

/* Twelve uniform numbers added are near enough, up to three sigma. */
static void make_bell(void) {
    for (int i = 0; i < STEPS; i++) {
        double sum = -6;
        for (int k = 0; k < 12; k++)
            sum += below(1 << 20) / (double)(1 << 20);
        bell[i] = sum;
    }
}

static uint32_t log_normal(struct dice *d, double median, double sigma, uint32_t low, uint32_t high) {
    double bytes = median * exp(sigma * bell[roll(d, STEPS)]);
    return bytes < low ? low : bytes > high ? high : (uint32_t)bytes;
}

/* ---- memory ---- */

static void *notes(size_t bytes) {
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (at == MAP_FAILED)
        fail("no memory for the notes");
    return at;
}

static char *written(char *at, size_t from, size_t bytes) {
    if (!at)
        fail("out of memory");
    for (size_t i = from; i < bytes; i += PAGE / 8)
        at[i] = 1;
    at[bytes - 1] = 1;
    return at;
}

static char *take(size_t bytes) {
    live += bytes;
    return written(malloc(bytes), 0, bytes);
}

static void give(char *at, size_t bytes) {
    live -= bytes;
    free(at);
}

static size_t resident(void) {
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (length <= 0)
        fail("/proc/self/statm");
    close(fd);
    text[length] = 0;
    return strtoul(strchr(text, ' '), NULL, 10) * PAGE;
}

/* ---- a cache ---- */

enum { KEYS = 1 << 21, REQUESTS_A_DAY = 1600000, CACHE_BYTES = 120000000 };

static struct entry {
    char *key, *value;
    uint32_t key_bytes, value_bytes;
    bool asked_for; /* since the hand passed */
} *entries;

static double median_of_values;

static void set_value(struct entry *e) {
    if (e->value)
        give(e->value, e->value_bytes);
    e->value_bytes = log_normal(&dice, median_of_values, 1.1, 20, 30000);
    e->value = take(e->value_bytes);
}

static void insert(struct entry *e) {
    e->key_bytes = 20 + below(60);
    e->key = take(e->key_bytes);
    set_value(e);
}

static void drop(struct entry *e) {
    give(e->key, e->key_bytes);
    give(e->value, e->value_bytes);
    e->key = e->value = NULL;
}

/* The one that was not asked for for longest, nearly; one in five at random. */
static void evict(void) {
    static uint32_t hand;
    bool any = !below(5);
    uint32_t at = any ? below(KEYS) : hand;
    for (;; at = (at + 1) % KEYS) {
        struct entry *e = entries + at;
        if (e->key && (any || !e->asked_for))
            break;
        e->asked_for = false;
    }
    drop(entries + at);
    if (!any)
        hand = (at + 1) % KEYS;
}

/* Half of the requests are for few keys. */
static struct entry *some_entry(void) {
    double at = below(KEYS) / (double)KEYS;
    return entries + (uint32_t)((below(2) ? at : at * at * at) * KEYS);
}

static void cache_begin(void) { entries = notes(KEYS * sizeof *entries); }

static void cache_day(int day) {
    (void)day;
    uint32_t requests = (uint32_t)(REQUESTS_A_DAY * scale);
    for (uint32_t i = 0; i < requests; i++) {
        if (i % 4096 == 0)
            median_of_values = 280 * exp(0.9 * sin(2 * M_PI * i / requests));
        struct entry *e = some_entry();
        if (!e->key)
            insert(e);
        else if (below(8))
            e->asked_for = true;
        else if (below(2))
            set_value(e);
        else
            drop(e);
        while (live > CACHE_BYTES * scale)
            evict();
    }
}

static void cache_end(void) {
    for (uint32_t i = 0; i < KEYS; i++)
        if (entries[i].key && below(SURVIVORS))
            drop(entries + i);
}

/* ---- days with a trough ---- */

enum { NOON = 130000, STEPS_A_DAY = 2600000, HOURS = 256 /* of a day */, LATER_MAX = 1 << 18 };

static struct object {
    char *at;
    uint32_t bytes;
    uint32_t next; /* that goes in the same hour */
} *objects, *later;

static uint32_t object_count, later_count, later_unused;
static uint32_t due[(DAYS + 3) * HOURS]; /* lists in `later`, by the hour; 0 ends one */

static uint32_t size_of_most(void) {
    uint32_t percent = below(100);
    return percent < 70   ? 16 + below(240)
           : percent < 95 ? 256 + below(1800)
           : percent < 99 ? 2048 + below(6000)
                          : 8192 + below(24000);
}

static void postpone(struct object object, uint32_t hour) {
    uint32_t at = later_unused;
    if (at)
        later_unused = later[at].next;
    else if (later_count + 1 < LATER_MAX)
        at = ++later_count;
    else
        fail("too many objects that stay");
    later[at] = object;
    later[at].next = due[hour];
    due[hour] = at;
}

static void end_of_hour(uint32_t hour) {
    for (uint32_t at = due[hour], next; at; at = next) {
        next = later[at].next;
        give(later[at].at, later[at].bytes);
        later[at].next = later_unused;
        later_unused = at;
    }
    due[hour] = 0;
}

static void trough_step(uint32_t wanted, uint32_t hour) {
    if (object_count && (object_count >= wanted || below(2))) {
        uint32_t at = below(object_count);
        struct object object = objects[at];
        objects[at] = objects[--object_count];
        if (below(50))
            give(object.at, object.bytes);
        else
            postpone(object, hour + HOURS / 2 + below(2 * HOURS));
    }
    while (object_count < wanted && below(4)) {
        uint32_t bytes = size_of_most();
        objects[object_count++] = (struct object){take(bytes), bytes, 0};
    }
}

static void trough_begin(void) {
    objects = notes(NOON * sizeof *objects);
    later = notes(LATER_MAX * sizeof *later);
}

static void trough_day(int day) {
    for (uint32_t hour = 0; hour < HOURS; hour++) {
        double height = 0.2 + 0.8 * (0.5 - 0.5 * cos(2 * M_PI * hour / HOURS));
        for (uint32_t i = 0; i < STEPS_A_DAY * scale / HOURS; i++)
            trough_step((uint32_t)(NOON * scale * height), (uint32_t)day * HOURS + hour);
        end_of_hour((uint32_t)day * HOURS + hour);
    }
}

static void trough_end(void) {
    for (uint32_t i = 0; i < object_count; i++)
        if (below(SURVIVORS))
            give(objects[i].at, objects[i].bytes);
    for (uint32_t hour = 0; hour < sizeof due / sizeof *due; hour++)
        for (uint32_t at = due[hour]; at; at = later[at].next)
            if (below(SURVIVORS))
                give(later[at].at, later[at].bytes);
}

/* ---- threads that share ---- */

enum { WORKERS = 8, TABLE = 1 << 17, REQUESTS_OF_A_LIFE = 4000, LIVES_A_DAY = 40, TEMPORARY_MAX = 48 };

static struct shared {
    char *at;
    uint32_t bytes;
    pthread_spinlock_t lock;
} *table;

/* Of a sleeping lock the threads would show how it wakes; the object goes outside of it. */
static long replace(struct shared *s, char *at, uint32_t bytes) {
    pthread_spin_lock(&s->lock);
    struct shared was = *s;
    s->at = at;
    s->bytes = bytes;
    pthread_spin_unlock(&s->lock);
    free(was.at);
    return (long)bytes - (long)was.bytes;
}

static long serve(struct dice *d) {
    char *temporary[TEMPORARY_MAX];
    uint32_t count = 12 + roll(d, TEMPORARY_MAX - 12);
    long more = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bytes = log_normal(d, 110, 1, 16, 8000);
        temporary[i] = written(malloc(bytes), 0, bytes);
    }
    for (uint32_t keep = 2 + roll(d, 3); keep-- > 0;) {
        uint32_t bytes = log_normal(d, 330, 0.9, 32, 16000);
        more += replace(table + roll(d, TABLE), written(malloc(bytes), 0, bytes), bytes);
    }
    if (!roll(d, 4))
        more += replace(table + roll(d, TABLE), NULL, 0);
    for (uint32_t i = 0; i < count; i++)
        free(temporary[i]);
    return more;
}

static void *worker(void *number) {
    struct dice d = {(uint64_t)(uintptr_t)number * 0x9e3779b97f4a7c15u};
    long more = 0;
    for (uint32_t i = 0; i < REQUESTS_OF_A_LIFE * scale; i++)
        more += serve(&d);
    __atomic_fetch_add(&live, (size_t)more, __ATOMIC_RELAXED);
    return NULL;
}

static void threads_begin(void) {
    table = notes(TABLE * sizeof *table);
    for (uint32_t i = 0; i < TABLE; i++)
        pthread_spin_init(&table[i].lock, PTHREAD_PROCESS_PRIVATE);
}

static void threads_day(int day) {
    uintptr_t number = (uintptr_t)day * LIVES_A_DAY;
    pthread_t workers[WORKERS];
    for (int life = 0; life < LIVES_A_DAY + WORKERS; life++) {
        if (life >= WORKERS)
            pthread_join(workers[life % WORKERS], NULL);
        if (life < LIVES_A_DAY && pthread_create(workers + life % WORKERS, NULL, worker, (void *)++number))
            fail("no thread");
    }
}

static void threads_end(void) {
    for (uint32_t i = 0; i < TABLE; i++)
        if (table[i].at && below(SURVIVORS)) {
            give(table[i].at, table[i].bytes);
            table[i].at = NULL;
        }
}

/* ---- sessions ---- */

enum { SESSIONS = 20000, EVENTS_A_DAY = 2000000, STATE = 12, BUFFER_LEAST = 512, BUFFER_MOST = 65536 };

static struct session {
    char *buffer, *state[STATE];
    uint32_t buffer_bytes, state_bytes[STATE];
} *sessions;

static void buffer_becomes(struct session *s, uint32_t bytes) {
    s->buffer = written(realloc(s->buffer, bytes), s->buffer_bytes < bytes ? s->buffer_bytes : bytes - 1, bytes);
    live = live + bytes - s->buffer_bytes;
    s->buffer_bytes = bytes;
}

static void hang_up(struct session *s) {
    give(s->buffer, s->buffer_bytes);
    for (int i = 0; i < STATE; i++)
        if (s->state[i])
            give(s->state[i], s->state_bytes[i]);
    *s = (struct session){0};
}

static void sessions_begin(void) { sessions = notes(SESSIONS * sizeof *sessions); }

static void sessions_day(int day) {
    (void)day;
    for (uint32_t i = 0; i < EVENTS_A_DAY * scale; i++) {
        struct session *s = sessions + below((uint32_t)(SESSIONS * scale));
        uint32_t event = below(100), at = below(STATE);
        if (!s->buffer)
            buffer_becomes(s, BUFFER_LEAST);
        else if (event < 2)
            hang_up(s);
        else if (event < 20 && s->buffer_bytes < BUFFER_MOST && below(s->buffer_bytes) < 2048)
            buffer_becomes(s, 2 * s->buffer_bytes);
        else if (event < 24 && s->buffer_bytes > BUFFER_LEAST)
            buffer_becomes(s, BUFFER_LEAST);
        else if (s->state[at]) {
            give(s->state[at], s->state_bytes[at]);
            s->state[at] = NULL;
        } else {
            s->state_bytes[at] = log_normal(&dice, 90, 1, 16, 4000);
            s->state[at] = take(s->state_bytes[at]);
        }
    }
}

static void sessions_end(void) {
    for (uint32_t i = 0; i < SESSIONS; i++)
        if (sessions[i].buffer && below(SURVIVORS))
            hang_up(sessions + i);
}

/* ---- command line ---- */

static const struct life {
    const char *name;
    void (*begin)(void);
    void (*day)(int day);
    void (*end)(void); /* all but 5 % goes */
} lives[] = {{"cache", cache_begin, cache_day, cache_end},
             {"trough", trough_begin, trough_day, trough_end},
             {"threads", threads_begin, threads_day, threads_end},
             {"sessions", sessions_begin, sessions_day, sessions_end}};

static void light_load(void) {
    enum { KEPT = 64, ROUNDS = 20, CALLS = 300 };
    static char *kept[KEPT];
    for (int round = 0; round < ROUNDS; round++) {
        nanosleep(&(struct timespec){0, 1000000000 / ROUNDS}, NULL);
        for (int i = 0; i < CALLS; i++) {
            uint32_t at = below(KEPT), bytes = 16 + below(2000);
            free(kept[at]);
            kept[at] = written(malloc(bytes), 0, bytes);
        }
    }
}

int main(int argc, char **argv) {
    static char buffer[BUFSIZ];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    const struct life *life = lives;
    if (argc < 2 || argc > 3 || (argc == 3 && (scale = atof(argv[2])) <= 0))
        fail("usage: lives cache|trough|threads|sessions [SCALE]");
    while (strcmp(life->name, argv[1]) != 0)
        if (++life == lives + sizeof lives / sizeof *lives)
            fail("no such kind");
    make_bell();
    life->begin();
    size_t before = resident();
    double over[DAYS];
    for (int day = 0; day < DAYS; day++) {
        life->day(day);
        over[day] = ((double)resident() - (double)before) / (double)live;
    }
    life->end();
    light_load();
    printf("over %.3f\nslope %.1f\nrest %.0f\n", over[DAYS - 1], 100 * (over[DAYS - 1] / over[DAYS - 1 - LAST_DAYS] - 1),
           ((double)resident() - (double)before) / 1024);
    return 0;
}
