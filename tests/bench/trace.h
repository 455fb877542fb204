/* SPDX-License-Identifier: MIT */
/* The trace of a program's allocations: record.c writes it, replay.c reads it.
 *
 *     | chunk 0: text | chunk 1: events ... 0 | chunk 2: events ... 0 | ...
 *
 * A file is a row of chunks of 64 KiB. The first holds text, TRACE_MAGIC and
 * then lines about the process. Each of the others is written by one thread at
 * a time and ends at its first zero byte, so a process that was killed leaves a
 * trace that is whole up to that moment.
 *
 * Every event of the process has a number, 0, 1, 2 ..., in one count over all
 * threads. An object is named by the number of the event it was born in, which
 * need not be written down; to free it is to say how many events ago that was.
 *
 *     byte 0      kind << 5 | gap follows << 4 | low 3 bits of value << 1 | more follows
 *     gap         varint: events of other threads since this thread's last one
 *     more        varint: value >> 3
 *     extra       varint, for the kinds that have one
 *
 *     kind        value            extra
 *     malloc      bytes
 *     calloc      bytes
 *     free        age, 0: NULL
 *     realloc     bytes            age, 0: of NULL, or of an object unknown to the trace
 *     aligned     bytes            log2 of the alignment
 *     thread      thread           number of the next event: begins every chunk, or the next thread's part of one */
#ifndef OSMEM_TRACE_H
#define OSMEM_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_MAGIC "osmem trace 1\n"

enum { TRACE_CHUNK = 64 * 1024, TRACE_EVENT_MAX = 32 };

enum trace_kind {
    TRACE_NONE,
    TRACE_MALLOC,
    TRACE_CALLOC,
    TRACE_FREE,
    TRACE_REALLOC,
    TRACE_ALIGNED,
    TRACE_THREAD,
    TRACE_KINDS
};

struct trace_event {
    enum trace_kind kind;
    uint64_t gap, value, extra;
};

static inline bool trace_has_extra(enum trace_kind kind)
{
    return kind == TRACE_REALLOC || kind == TRACE_ALIGNED || kind == TRACE_THREAD;
}

static inline unsigned char *trace_put(unsigned char *at, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *at++ = (unsigned char)(value | 0x80);
    *at++ = (unsigned char)value;
    return at;
}

/* The byte after the event. Its first byte is stored last: before that the
 * event is not there, whenever the process may be killed. */
static inline unsigned char *trace_encode(unsigned char *at, const struct trace_event *e)
{
    unsigned char *end = at + 1;
    if (e->gap)
        end = trace_put(end, e->gap);
    if (e->value >> 3)
        end = trace_put(end, e->value >> 3);
    if (trace_has_extra(e->kind))
        end = trace_put(end, e->extra);
    uint64_t head = (uint64_t)e->kind << 5 | (e->gap ? 0x10 : 0) | (e->value & 7) << 1 | (e->value >> 3 ? 1 : 0);
    __atomic_store_n(at, (unsigned char)head, __ATOMIC_RELEASE);
    return end;
}

/* NULL: it does not end before `end`, or is no number of 64 bits. */
static inline const unsigned char *trace_get(const unsigned char *at, const unsigned char *end, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; at && at < end && shift < 64; shift += 7) {
        *value |= (uint64_t)(*at & 0x7f) << shift;
        if (!(*at++ & 0x80))
            return at;
    }
    return NULL;
}

/* The byte after the event at `at`, or NULL if there is none that makes sense. */
static inline const unsigned char *trace_decode(const unsigned char *at, const unsigned char *end, struct trace_event *e)
{
    unsigned head = *at++;
    *e = (struct trace_event){.kind = (enum trace_kind)(head >> 5), .value = head >> 1 & 7};
    uint64_t high = 0;
    if (head & 0x10)
        at = trace_get(at, end, &e->gap);
    if (head & 1)
        at = trace_get(at, end, &high);
    if (trace_has_extra(e->kind))
        at = trace_get(at, end, &e->extra);
    e->value |= high << 3;
    return e->kind == TRACE_NONE || e->kind >= TRACE_KINDS || high >> 61 ? NULL : at;
}

#endif
