/* SPDX-License-Identifier: MIT */
/* librecord.so, for LD_PRELOAD: writes down what a program asks of malloc, in
 * the form of trace.h, and hands every call to the next allocator: glibc's, or
 * whichever is preloaded behind it. Nothing is kept of contents and addresses.
 *
 *     OSMEM_RECORD=FILE     the trace; %p is the process's number. Unset: only hands on
 *
 * One file is one program: a name that is taken gets .1, .2 ... where it has a
 * %p (exec keeps the number), else it is left alone. So without %p only the
 * first process is recorded. A forked child with %p begins a trace of its own,
 * to which the memory that it inherited is unknown: freeing that is no event.
 * Neither is a call that fails; realloc(p, 0) is a free.
 *
 * Events go straight into a shared mapping of the file, a chunk per thread.
 * What was written is in the kernel's hands at once, so _exit, exec and SIGKILL
 * lose nothing; and the file is opened by name for each new chunk and closed
 * again, so there is no descriptor that the program could close. A program
 * that changes its root or its user so that the name no longer opens is
 * recorded up to there, with a line on stderr.
 *
 * A table from address to birth number, in shards with a lock each, names the
 * objects. `busy` marks a thread inside the recorder: a signal handler that
 * allocates there is handed on unrecorded. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "trace.h"

#define EXPORT __attribute__((visibility("default")))

enum { SHARDS = 64, SHARD_ENTRIES = 256, BOOT_BYTES = 64 * 1024, SPARES = 256, NAMES_TRIED = 1000 };

/* ---- the next allocator, and memory until it is known ---- */

static struct {
    void *(*malloc)(size_t);
    void (*free)(void *);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    int (*posix_memalign)(void **, size_t, size_t);
    void *(*aligned_alloc)(size_t, size_t);
    void *(*memalign)(size_t, size_t);
    void *(*valloc)(size_t);
    void *(*pvalloc)(size_t);
} next;

static const struct {
    const char *name;
    void *function;
} NEXT[] = {
    {"malloc", &next.malloc},
    {"free", &next.free},
    {"calloc", &next.calloc},
    {"realloc", &next.realloc},
    {"posix_memalign", &next.posix_memalign},
    {"aligned_alloc", &next.aligned_alloc},
    {"memalign", &next.memalign},
    {"valloc", &next.valloc},
    {"pvalloc", &next.pvalloc},
};

static void *next_symbol(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    if (function)
        return function;
    dprintf(STDERR_FILENO, "librecord: no %s behind the recorder\n", name);
    abort();
}

static void prepare(void);

/* False while dlsym is at work, which may allocate. The first call comes while
 * there is one thread: pthread_create allocates. */
static bool resolved(void)
{
    static bool done, resolving;
    if (__builtin_expect(done, 1))
        return true;
    if (resolving)
        return false;
    resolving = true;
    for (size_t i = 0; i < sizeof NEXT / sizeof *NEXT; i++) {
        void *function = next_symbol(NEXT[i].name);
        memcpy(NEXT[i].function, &function, sizeof function);
    }
    prepare();
    done = true;
    return true;
}

static _Alignas(16) char boot[BOOT_BYTES];
static size_t boot_used;

static bool in_boot(const void *p)
{
    return (uintptr_t)p - (uintptr_t)boot < BOOT_BYTES;
}

/* Zeroed, each with its size before it. Never reused. */
static void *boot_take(size_t bytes)
{
    if (bytes > BOOT_BYTES - 32 || boot_used > BOOT_BYTES - 32 - bytes) {
        errno = ENOMEM;
        return NULL;
    }
    char *p = boot + boot_used + 16;
    memcpy(p - sizeof bytes, &bytes, sizeof bytes);
    boot_used += 16 + ((bytes + 15) & ~(size_t)15);
    return p;
}

static size_t boot_size(const void *p)
{
    size_t bytes;
    memcpy(&bytes, (const char *)p - sizeof bytes, sizeof bytes);
    return bytes;
}

/* ---- the state of a recording ---- */

struct writer {
    unsigned char *chunk, *at; /* chunk NULL: has none */
    uint64_t last;             /* number of the event written last */
    uint32_t number;           /* of the thread, from 1; 0: not known yet */
    bool busy, ended;
};
static __thread struct writer self __attribute__((tls_model("initial-exec")));

struct entry {
    uintptr_t address;
    uint64_t birth;
};

struct shard {
    pthread_mutex_t lock;
    struct entry *entries; /* open addressing, linear probes */
    size_t capacity, used;
} __attribute__((aligned(64)));

/* All of it starts anew in a forked child. */
static struct recording {
    uint64_t events __attribute__((aligned(64)));
    uint32_t threads, chunks;
    pthread_mutex_t spare_lock;
    struct {
        unsigned char *chunk, *at;
    } spare[SPARES]; /* what threads that ended left of their chunks */
    size_t spares;
    char path[PATH_MAX];
    struct shard shards[SHARDS];
} rec;

static bool off;
static const char *pattern; /* absolute, with its %p */
static bool *ours;          /* in a page that the kernel wipes in a forked child */
static pthread_key_t thread_end;
static bool has_thread_end;

/* Its number: strerrorname_np() is glibc's alone, since 2.32, and strerror() may ask for memory. */
static void stop(int error)
{
    if (!__atomic_exchange_n(&off, true, __ATOMIC_RELAXED))
        dprintf(STDERR_FILENO, "librecord: %s: errno %d; no longer recording\n", rec.path, error);
}

/* Not carried into forked children: they have no use for the parent's table
 * and must not write to its chunks. */
static void *map(size_t bytes, int flags, int fd, off_t offset)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, offset);
    if (p == MAP_FAILED)
        return NULL;
    madvise(p, bytes, MADV_DONTFORK);
    return p;
}

/* ---- from address to birth ---- */

static uint64_t hash(uintptr_t address)
{
    return (address >> 4) * 0x9E3779B97F4A7C15u;
}

static struct shard *shard_enter(uintptr_t address)
{
    struct shard *shard = &rec.shards[hash(address) >> 58];
    pthread_mutex_lock(&shard->lock);
    return shard;
}

static size_t home(const struct shard *shard, uintptr_t address)
{
    return (hash(address) >> 20) & (shard->capacity - 1);
}

/* Where `address` is, or the free place where it would be. */
static size_t place(const struct shard *shard, uintptr_t address)
{
    size_t at = home(shard, address);
    while (shard->entries[at].address && shard->entries[at].address != address)
        at = (at + 1) & (shard->capacity - 1);
    return at;
}

static bool grow(struct shard *shard)
{
    struct shard old = *shard;
    size_t capacity = old.capacity ? 2 * old.capacity : SHARD_ENTRIES;
    struct entry *entries = map(capacity * sizeof *entries, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!entries)
        return false;
    shard->entries = entries;
    shard->capacity = capacity;
    for (size_t i = 0; i < old.capacity; i++)
        if (old.entries[i].address)
            entries[place(shard, old.entries[i].address)] = old.entries[i];
    if (old.entries)
        munmap(old.entries, old.capacity * sizeof *entries);
    return true;
}

static bool remember(uintptr_t address, uint64_t birth)
{
    struct shard *shard = shard_enter(address);
    bool room = (shard->used + 1) * 4 <= shard->capacity * 3 || grow(shard);
    if (room) {
        struct entry *e = &shard->entries[place(shard, address)];
        shard->used += e->address == 0; /* else it was freed unseen, in a signal handler */
        *e = (struct entry){address, birth};
    }
    pthread_mutex_unlock(&shard->lock);
    return room;
}

/* Close the gap at `hole`: an entry further on moves there unless its home lies between. */
static void erase(struct shard *shard, size_t hole)
{
    size_t mask = shard->capacity - 1;
    for (size_t at = (hole + 1) & mask; shard->entries[at].address; at = (at + 1) & mask) {
        size_t from_home = (at - home(shard, shard->entries[at].address)) & mask;
        if (from_home < ((at - hole) & mask))
            continue;
        shard->entries[hole] = shard->entries[at];
        hole = at;
    }
    shard->entries[hole] = (struct entry){0, 0};
    shard->used--;
}

static bool forget(uintptr_t address, uint64_t *birth)
{
    struct shard *shard = shard_enter(address);
    size_t at = shard->capacity ? place(shard, address) : 0;
    bool known = shard->capacity && shard->entries[at].address;
    if (known) {
        *birth = shard->entries[at].birth;
        erase(shard, at);
    }
    pthread_mutex_unlock(&shard->lock);
    return known;
}

/* ---- the file ---- */

/* A full disk must be met here, not later by a store to the mapping. */
static bool write_all(int fd, const void *bytes, size_t length, off_t offset)
{
    while (length > 0) {
        ssize_t done = pwrite(fd, bytes, length, offset);
        if (done < 0 && errno != EINTR)
            return false;
        if (done > 0) {
            bytes = (const char *)bytes + done;
            offset += done;
            length -= (size_t)done;
        }
    }
    return true;
}

static unsigned char *map_new_chunk(void)
{
    static const char zeros[TRACE_CHUNK];
    off_t offset = (off_t)__atomic_fetch_add(&rec.chunks, 1, __ATOMIC_RELAXED) * TRACE_CHUNK;
    int fd = open(rec.path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    void *chunk = write_all(fd, zeros, sizeof zeros, offset) ? map(TRACE_CHUNK, MAP_SHARED, fd, offset) : NULL;
    close(fd);
    return chunk;
}

static bool take_spare(void)
{
    pthread_mutex_lock(&rec.spare_lock);
    bool found = rec.spares > 0;
    if (found) {
        self.chunk = rec.spare[--rec.spares].chunk;
        self.at = rec.spare[rec.spares].at;
    }
    pthread_mutex_unlock(&rec.spare_lock);
    return found;
}

static void leave_spare(void)
{
    pthread_mutex_lock(&rec.spare_lock);
    bool room = rec.spares < SPARES;
    if (room) {
        rec.spare[rec.spares].chunk = self.chunk;
        rec.spare[rec.spares++].at = self.at;
    }
    pthread_mutex_unlock(&rec.spare_lock);
    if (!room)
        munmap(self.chunk, TRACE_CHUNK);
}

static bool has_room(void)
{
    return self.chunk && self.at + 2 * TRACE_EVENT_MAX <= self.chunk + TRACE_CHUNK;
}

/* A part of a chunk, for events from number `seq` on. */
static bool take_chunk(uint64_t seq)
{
    if (self.chunk)
        munmap(self.chunk, TRACE_CHUNK);
    if (!take_spare() && !(self.at = self.chunk = map_new_chunk()))
        return false;
    if (!self.number)
        self.number = __atomic_add_fetch(&rec.threads, 1, __ATOMIC_RELAXED);
    self.at = trace_encode(self.at, &(struct trace_event){.kind = TRACE_THREAD, .value = self.number, .extra = seq});
    self.last = seq - 1;
    if (has_thread_end && !self.ended)
        pthread_setspecific(thread_end, &self);
    return true;
}

static void leave_chunk(void)
{
    if (has_room())
        leave_spare();
    else if (self.chunk)
        munmap(self.chunk, TRACE_CHUNK);
    self.chunk = self.at = NULL;
}

/* At a thread's end. Other destructors and libc itself may free things later: one chunk for each event. In a forked
 * child that has recorded nothing yet the chunk is the parent's. */
static void end_thread(void *arg)
{
    (void)arg;
    self.busy = true;
    if (*ours)
        leave_chunk();
    self.ended = true;
    self.busy = false;
}

/* rec.path from the pattern: %p is the process's number, `more` comes behind it. Gives whether there was a %p. */
static bool fill_path(unsigned more)
{
    const char *mark = strstr(strrchr(pattern, '/'), "%p"); /* not that of a folder */
    int before = mark ? (int)(mark - pattern) : (int)strlen(pattern);
    int length = snprintf(rec.path, sizeof rec.path, "%.*s", before, pattern);
    if (mark)
        length += snprintf(rec.path + length, sizeof rec.path - (size_t)length, "%d%s", (int)getpid(), mark + 2);
    if (more)
        snprintf(rec.path + length, sizeof rec.path - (size_t)length, ".%u", more);
    return mark;
}

/* Without a %p a name that is taken is most often our parent's. */
static int create_file(void)
{
    for (unsigned more = 0; more < NAMES_TRIED; more++) {
        bool each_its_own = fill_path(more);
        int fd = open(rec.path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST || !each_its_own)
            return fd;
    }
    return -1;
}

static bool write_head(int fd)
{
    char program[PATH_MAX], head[PATH_MAX + 100];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = 0;
    int bytes = snprintf(head, sizeof head, TRACE_MAGIC "process %d\nprogram %s\n", (int)getpid(), program);
    return write_all(fd, head, (size_t)bytes, 0) && ftruncate(fd, TRACE_CHUNK) == 0;
}

/* At the process's first event, in its only thread; again at a forked child's. */
static void begin(void)
{
    memset(&rec, 0, sizeof rec);
    self = (struct writer){.busy = true};
    rec.chunks = 1;
    int fd = create_file();
    if (fd < 0 && errno == EEXIST)
        off = true;
    else if (fd < 0 || !write_head(fd))
        stop(errno);
    if (fd >= 0)
        close(fd);
    *ours = true;
}

static void name_file(void)
{
    static char path[2 * PATH_MAX];
    const char *name = secure_getenv("OSMEM_RECORD");
    size_t length = 0;
    off = !name || !*name;
    if (off)
        return;
    if (*name != '/' && getcwd(path, PATH_MAX)) {
        length = strlen(path);
        path[length++] = '/';
    }
    snprintf(path + length, PATH_MAX, "%s", name);
    pattern = path;
}

static void child_begins(void)
{
    *ours = false;
}

/* When the next allocator is known, before the first event. */
static void prepare(void)
{
    name_file();
    if (off)
        return;
    ours = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ours == MAP_FAILED) {
        off = true;
        return;
    }
    /* Not pthread_atfork for all: other handlers may allocate before ours has run, and _Fork and clone run none. */
    if (madvise(ours, 1, MADV_WIPEONFORK))
        pthread_atfork(NULL, NULL, child_begins);
    has_thread_end = pthread_key_create(&thread_end, end_thread) == 0;
}

/* ---- events ---- */

/* Around everything that touches the recording. False: hand on and write nothing. */
static bool enter(void)
{
    if (__atomic_load_n(&off, __ATOMIC_RELAXED) || self.busy)
        return false;
    self.busy = true;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (__builtin_expect(!*ours, 0)) {
        int saved = errno;
        begin();
        errno = saved;
        if (off)
            self.busy = false;
        return !off;
    }
    return true;
}

static void leave(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    self.busy = false;
}

static uint64_t next_number(void)
{
    return __atomic_fetch_add(&rec.events, 1, __ATOMIC_RELAXED);
}

static void write_event(uint64_t seq, enum trace_kind kind, uint64_t value, uint64_t extra)
{
    if (__builtin_expect(!has_room(), 0)) {
        int saved = errno;
        bool failed = !take_chunk(seq);
        if (failed)
            stop(errno);
        errno = saved;
        if (failed)
            return;
    }
    self.at = trace_encode(self.at, &(struct trace_event){kind, seq - self.last - 1, value, extra});
    self.last = seq;
    if (__builtin_expect(self.ended, 0))
        leave_chunk();
}

static uint64_t age(uint64_t seq, bool known, uint64_t birth)
{
    return known ? seq - birth : 0;
}

/* The object is known before anybody else can hold it, and so has the lower number than what is done to it. */
static void *born(enum trace_kind kind, void *p, uint64_t bytes, uint64_t extra)
{
    if (!p || !enter())
        return p;
    uint64_t seq = next_number();
    if (remember((uintptr_t)p, seq))
        write_event(seq, kind, bytes, extra);
    leave();
    return p;
}

/* Before the memory goes back: afterwards another thread may get it. */
static void died(void *p)
{
    uint64_t birth = 0;
    if (!enter())
        return;
    bool known = p && forget((uintptr_t)p, &birth);
    if (known || !p) {
        uint64_t seq = next_number();
        write_event(seq, TRACE_FREE, age(seq, known, birth), 0);
    }
    leave();
}

/* An object on its way through realloc, which others may not touch. */
struct moving {
    uintptr_t address;
    uint64_t birth;
    bool known;
};

static struct moving lift(void *p)
{
    struct moving it = {.address = (uintptr_t)p};
    if (p && enter()) {
        it.known = forget(it.address, &it.birth);
        leave();
    }
    return it;
}

static void put_down(struct moving it, void *p, size_t bytes)
{
    if ((!p && !it.known) || !enter())
        return;
    if (!p && bytes > 0) { /* refused */
        remember(it.address, it.birth);
    } else {
        uint64_t seq = next_number(), lived = age(seq, it.known, it.birth);
        if (!p)
            write_event(seq, TRACE_FREE, lived, 0);
        else if (remember((uintptr_t)p, seq))
            write_event(seq, TRACE_REALLOC, bytes, lived);
    }
    leave();
}

static unsigned log2_of(size_t alignment)
{
    return alignment > 1 ? 63 - (unsigned)__builtin_clzll(alignment) : 0;
}

/* ---- the names ---- */

EXPORT void *malloc(size_t bytes)
{
    if (!resolved())
        return boot_take(bytes);
    return born(TRACE_MALLOC, next.malloc(bytes), bytes, 0);
}

EXPORT void free(void *p)
{
    if (in_boot(p) || !resolved())
        return;
    died(p);
    next.free(p);
}

EXPORT void *calloc(size_t count, size_t bytes)
{
    if (!resolved()) {
        size_t all = 0;
        return boot_take(__builtin_mul_overflow(count, bytes, &all) ? SIZE_MAX : all);
    }
    return born(TRACE_CALLOC, next.calloc(count, bytes), count * bytes, 0);
}

EXPORT void *realloc(void *old, size_t bytes)
{
    if (!resolved() || in_boot(old)) {
        void *p = malloc(bytes);
        if (p && old)
            memcpy(p, old, bytes < boot_size(old) ? bytes : boot_size(old));
        return p;
    }
    struct moving it = lift(old);
    void *p = next.realloc(old, bytes);
    put_down(it, p, bytes);
    return p;
}

EXPORT void *reallocarray(void *old, size_t count, size_t bytes)
{
    size_t all;
    if (__builtin_mul_overflow(count, bytes, &all)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(old, all);
}

/* The aligned calls come late enough: ld.so and dlsym make none. */
static void see_to_next(void)
{
    if (!resolved())
        abort();
}

EXPORT int posix_memalign(void **where, size_t alignment, size_t bytes)
{
    see_to_next();
    int refused = next.posix_memalign(where, alignment, bytes);
    if (!refused)
        born(TRACE_ALIGNED, *where, bytes, log2_of(alignment));
    return refused;
}

EXPORT void *aligned_alloc(size_t alignment, size_t bytes)
{
    see_to_next();
    return born(TRACE_ALIGNED, next.aligned_alloc(alignment, bytes), bytes, log2_of(alignment));
}

EXPORT void *memalign(size_t alignment, size_t bytes)
{
    see_to_next();
    return born(TRACE_ALIGNED, next.memalign(alignment, bytes), bytes, log2_of(alignment));
}

EXPORT void *valloc(size_t bytes)
{
    see_to_next();
    return born(TRACE_ALIGNED, next.valloc(bytes), bytes, log2_of((size_t)sysconf(_SC_PAGESIZE)));
}

EXPORT void *pvalloc(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    see_to_next();
    return born(TRACE_ALIGNED, next.pvalloc(bytes), (bytes + page - 1) & ~(page - 1), log2_of(page));
}

#define FREE_TOO(name) EXPORT void name(void *) __attribute__((alias("free"), nothrow, leaf))

FREE_TOO(cfree);

/* No aliases: glibc 2.43 declares these two. */
EXPORT void free_sized(void *p, size_t bytes)
{
    (void)bytes;
    free(p);
}

EXPORT void free_aligned_sized(void *p, size_t alignment, size_t bytes)
{
    (void)alignment;
    (void)bytes;
    free(p);
}

/* C++'s operators: an allocator behind us may bring its own, past its malloc. They are malloc and free here. Out of
 * memory is the next operator's affair, which has the new-handler and the exception. */

FREE_TOO(_ZdlPv);
FREE_TOO(_ZdaPv);
FREE_TOO(_ZdlPvm);
FREE_TOO(_ZdaPvm);
FREE_TOO(_ZdlPvRKSt9nothrow_t);
FREE_TOO(_ZdaPvRKSt9nothrow_t);
FREE_TOO(_ZdlPvSt11align_val_t);
FREE_TOO(_ZdaPvSt11align_val_t);
FREE_TOO(_ZdlPvmSt11align_val_t);
FREE_TOO(_ZdaPvmSt11align_val_t);
FREE_TOO(_ZdlPvSt11align_val_tRKSt9nothrow_t);
FREE_TOO(_ZdaPvSt11align_val_tRKSt9nothrow_t);

typedef void *new_function(size_t, size_t, const void *);

/* Arguments that the form does not have are not looked at. */
static void *new_slow(const char *name, size_t first, size_t second, const void *third)
{
    return ((new_function *)next_symbol(name))(first, second, third);
}

EXPORT void *_Znwm(size_t bytes)
{
    void *p = malloc(bytes);
    return p ? p : new_slow("_Znwm", bytes, 0, NULL);
}

EXPORT void *_Znam(size_t bytes)
{
    void *p = malloc(bytes);
    return p ? p : new_slow("_Znam", bytes, 0, NULL);
}

EXPORT void *_ZnwmRKSt9nothrow_t(size_t bytes, size_t tag)
{
    void *p = malloc(bytes);
    return p ? p : new_slow("_ZnwmRKSt9nothrow_t", bytes, tag, NULL);
}

EXPORT void *_ZnamRKSt9nothrow_t(size_t bytes, size_t tag)
{
    void *p = malloc(bytes);
    return p ? p : new_slow("_ZnamRKSt9nothrow_t", bytes, tag, NULL);
}

EXPORT void *_ZnwmSt11align_val_t(size_t bytes, size_t alignment)
{
    void *p = memalign(alignment, bytes);
    return p ? p : new_slow("_ZnwmSt11align_val_t", bytes, alignment, NULL);
}

EXPORT void *_ZnamSt11align_val_t(size_t bytes, size_t alignment)
{
    void *p = memalign(alignment, bytes);
    return p ? p : new_slow("_ZnamSt11align_val_t", bytes, alignment, NULL);
}

EXPORT void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t bytes, size_t alignment, const void *tag)
{
    void *p = memalign(alignment, bytes);
    return p ? p : new_slow("_ZnwmSt11align_val_tRKSt9nothrow_t", bytes, alignment, tag);
}

EXPORT void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t bytes, size_t alignment, const void *tag)
{
    void *p = memalign(alignment, bytes);
    return p ? p : new_slow("_ZnamSt11align_val_tRKSt9nothrow_t", bytes, alignment, tag);
}

/* A program that allocates nothing has a trace too. */
__attribute__((constructor)) static void begin_early(void)
{
    if (resolved() && enter())
        leave();
}
