/* SPDX-License-Identifier: MIT */
/* See samples.h.
 *
 * Choosing: the bytes until a thread's next sample are drawn from the exponential distribution, so that each byte is as likely as any other to be chosen, whatever was before. A
 * block of n bytes is chosen with probability 1 - exp(-n / rate), and stands for as many of its kind as that says, each by itself, before anything is summed. (pprof and
 * jeprof correct the sum of a stack by its average size, which is wrong where sizes are mixed.)
 *
 * On record: an array of records, a hash table of their indices by address, and the stacks, each once, which are only ever added to. All in mappings of their own
 * that are there only while samples are taken; one lock, under which nothing is asked of anybody but memory of the kernel. */
#include "samples.h"

#include <string.h>

#include "lock.h"
#include "os.h"
#include "probes.h"
#include "secret.h"
#include "slab.h"
#include "symbols.h"
#include "thread.h"
#include "unwind.h"

enum {
  STACK_DEPTH = 128,
  STACK_BUCKETS = 8192,
  STACKS_MAX = 1 << 16, /* then those that are new lose their outer frames, and in the end all */
  STACK_DEPTH_THEN = 4,
  STACK_SEGMENT = 1 << 20,
  SAMPLES_MAX = 1 << 20,
  SAMPLES_FIRST = 256,
  INDEX_FIRST_LOG = 9,
  PEAK_STEP = 64 /* a peak is taken when it is higher than the one before by this share of it */
};

struct samples samples;

static struct lock samples_lock = {.rank = LOCK_SAMPLES};

/* All under the lock. */
static uint32_t records_room, first_free;
static struct stack **stack_buckets;
static char *segment;
static size_t segment_left;

/* ---- arithmetic ----------------------------------------------------------------------------------------------------- */

/* ln x, x > 0, to twelve digits: its exponent, and an artanh series of what is left. */
static double natural_log(double x) {
  union {
    double value;
    uint64_t bits;
  } u = {x};
  int exponent = (int)(u.bits >> 52 & 2047) - 1023;
  u.bits = (u.bits & ~(2047ull << 52)) | 1023ull << 52;
  if (u.value > 1.4142135623730951) u.value /= 2, exponent++;
  double t = (u.value - 1) / (u.value + 1), square = t * t, term = t, sum = 0;
  for (int i = 1; i < 25; i += 2, term *= square) sum += term / i;
  return 2 * sum + exponent * 0.69314718055994531;
}

/* 1 - exp(-x), x >= 0, without a difference of what is nearly equal. */
static double chance(double x) {
  if (x > 40) return 1;
  int halvings = 0;
  while (x > 0.25) x /= 2, halvings++;
  double term = x, sum = 0;
  for (int i = 1; i < 14; i++, term *= -x / i) sum += term;
  for (; halvings; halvings--) sum = sum * (2 - sum); /* 1 - (1 - p)^2 */
  return sum;
}

static uint64_t next_random(struct sampler *sampler) {
  uint64_t x = sampler->random;
  x ^= x << 13, x ^= x >> 7, x ^= x << 17;
  sampler->random = x;
  return x * 0x2545f4914f6cdd1du;
}

/* At a rate of 1 each block is chosen, and stands for itself. */
static void draw_next(struct sampler *sampler, size_t rate) {
  double uniform = ((double)(next_random(sampler) >> 12) + 0.5) * 0x1p-52;
  double bytes = -natural_log(uniform) * (double)rate;
  sampler->left = rate == 1 ? 0 : bytes < 0x1p62 ? (size_t)bytes : (size_t)1 << 62;
  sampler->next_rate = rate;
}

/* ---- choosing ------------------------------------------------------------------------------------------------------- */

static size_t rate_now(void) { return __atomic_load_n(&samples.rate, __ATOMIC_ACQUIRE); }

/* Never freed: samplers and stacks. Under the lock. */
static void *permanent(size_t bytes) {
  if (segment_left < bytes) {
    char *fresh = sys_map(STACK_SEGMENT);
    if (!fresh) return NULL;
    segment = fresh;
    segment_left = STACK_SEGMENT;
  }
  segment_left -= bytes;
  return segment + segment_left;
}

static struct sampler *new_sampler(void) {
  if (!lock_enter(&samples_lock)) return NULL;
  struct sampler *sampler = permanent(sizeof *sampler);
  lock_leave(&samples_lock);
  return sampler;
}

static bool begin_samples(struct theap *heap, size_t rate) {
  struct sampler *sampler = as_born(heap)->sampler_kept;
  if (!sampler && !(as_born(heap)->sampler_kept = sampler = new_sampler())) return false;
  *sampler = (struct sampler){.random = secret_salt() | 1};
  for (size_t step = 0; step < SIZE_STEPS; step++) sampler->direct[step] = NO_SLAB;
  draw_next(sampler, rate);
  slab_begin_samples(heap, sampler);
  return true;
}

bool samples_settle(struct theap *heap) {
  size_t rate = rate_now();
  if (rate) return heap->sampler || begin_samples(heap, rate);
  if (heap->sampler) slab_begin_samples(heap, NULL);
  return false;
}

bool samples_choose(struct theap *heap, size_t bytes) {
  size_t rate = rate_now();
  if (!rate || !theap_is_born(heap) || bytes > PTRDIFF_MAX || !samples_settle(heap) || samples_pass(heap, bytes)) return false;
  struct sampler *sampler = heap->sampler;
  sampler->rate = sampler->next_rate;
  draw_next(sampler, rate);
  return true;
}

static size_t rate_at_start;

void samples_start(size_t rate) { __atomic_store_n(&samples.rate, rate_at_start = rate, __ATOMIC_RELEASE); }

/* ---- stacks --------------------------------------------------------------------------------------------------------- */

struct trace {
  uint32_t depth;
  uintptr_t frames[STACK_DEPTH];
};

/* Without the shared library's own frames. (In a program that the archive is linked into nobody can tell them from the program's.) */
static struct trace trace_here(void) {
  struct trace trace;
  uint32_t own = 0;
  trace.depth = (uint32_t)unwind(trace.frames, STACK_DEPTH);
#ifndef OSMEM_ARCHIVE
  struct image ours = trace.depth ? image_of_ours() : (struct image){0};
  while (own < trace.depth && lies_in(ours, (const void *)trace.frames[own])) own++;
#endif
  trace.depth -= own;
  memmove(trace.frames, trace.frames + own, trace.depth * sizeof *trace.frames);
  return trace;
}

static uint32_t stacks_made;

static uint32_t depth_for_new(uint32_t depth) {
  if (LIKELY(stacks_made < STACKS_MAX)) return depth;
  return stacks_made >= 2 * STACKS_MAX ? 0 : depth < STACK_DEPTH_THEN ? depth : STACK_DEPTH_THEN;
}

static uint64_t hash_of(const struct trace *trace) {
  uint64_t hash = trace->depth;
  for (uint32_t i = 0; i < trace->depth; i++) hash = (hash ^ trace->frames[i]) * 0x9e3779b97f4a7c15u, hash ^= hash >> 29;
  return hash;
}

static struct stack *find_stack(const struct trace *trace) {
  uint64_t hash = hash_of(trace);
  struct stack *stack = stack_buckets[hash % STACK_BUCKETS];
  while (stack && !(stack->hash == hash && stack->depth == trace->depth && !memcmp(stack->frames, trace->frames, trace->depth * sizeof *trace->frames)))
    stack = stack->next;
  return stack;
}

static struct stack *new_stack(const struct trace *trace) {
  uint64_t hash = hash_of(trace);
  struct stack **bucket = &stack_buckets[hash % STACK_BUCKETS];
  struct stack *stack = permanent(round_up(sizeof *stack + trace->depth * sizeof *trace->frames, ALIGNMENT));
  if (!stack) return NULL;
  *stack = (struct stack){.next = *bucket, .older = samples.newest, .hash = hash, .peak_number = samples.peak_number, .depth = trace->depth};
  memcpy(stack->frames, trace->frames, trace->depth * sizeof *trace->frames);
  *bucket = stack;
  __atomic_store_n(&samples.newest, stack, __ATOMIC_RELEASE); /* for who reads from outside */
  stacks_made++;
  return stack;
}

/* The one that has these frames; under the lock. */
static struct stack *intern(struct trace *trace) {
  if (!stack_buckets && !(stack_buckets = sys_map(STACK_BUCKETS * sizeof *stack_buckets))) return NULL;
  struct stack *stack = find_stack(trace);
  uint32_t depth = depth_for_new(trace->depth);
  if (!stack && depth < trace->depth) {
    trace->depth = depth;
    stack = find_stack(trace);
  }
  return stack ? stack : new_stack(trace);
}

/* What one stands for. */
static double share_of(const struct sample *sample) { return sample->rate == 1 ? 1 : 1 / chance((double)(sample->chance_bytes + 1) / (double)sample->rate); }

/* In a step, however many stacks there are: whichever changes next keeps first what it had. */
static void keep_peak(struct stack *stack) {
  if (stack->peak_number == samples.peak_number) return;
  stack->peak = stack->live;
  stack->peak_number = samples.peak_number;
}

static void add_to(struct tally *tally, double count, double bytes) { tally->count += count, tally->bytes += bytes; }

static void tally_live(const struct sample *sample, int sign) {
  double share = sign * share_of(sample), bytes = share * (double)sample->asked;
  keep_peak(sample->stack);
  add_to(&sample->stack->live, share, bytes);
  add_to(&samples.live, share, bytes);
}

static void tally_all(const struct sample *sample) {
  double share = share_of(sample), bytes = share * (double)sample->asked;
  add_to(&sample->stack->all, share, bytes);
  add_to(&samples.all, share, bytes);
}

/* Before something goes: so what was highest is known to the byte where it rose steadily until then. */
static void take_peak(int step) {
  if (samples.live.bytes <= samples.peak.bytes + (step ? samples.peak.bytes / step : 0)) return;
  samples.peak = samples.live;
  samples.peak_number++;
}

static void tally_end(const struct sample *sample) {
  double bytes = share_of(sample) * (double)sample->asked;
  uint64_t age = sys_coarse_time() - sample->since_ns, bound = FIRST_LIFETIME_NS;
  int lifetime = 0;
  for (; lifetime < LIFETIMES - 1 && age >= bound; bound *= 10) lifetime++;
  sample->stack->freed[lifetime] += bytes;
  if (sample->thread != thread_number) sample->stack->elsewhere += bytes;
}

/* ---- records -------------------------------------------------------------------------------------------------------- */

static size_t slot_of(uintptr_t payload) { return payload / ALIGNMENT * 0x9e3779b97f4a7c15u >> (64 - samples.index_log); }

/* Where the index has that address, or has room for it. */
static uint32_t *find_slot(uintptr_t payload) {
  size_t wrap = ((size_t)1 << samples.index_log) - 1;
  for (size_t i = slot_of(payload);; i = (i + 1) & wrap)
    if (!samples.index[i] || samples.records[samples.index[i]].payload == payload) return &samples.index[i];
}

/* The number on record, or 0. */
static uint32_t find(const void *payload) { return samples.index ? *find_slot((uintptr_t)payload) : 0; }

static bool grow_index(void) {
  unsigned log = samples.index ? samples.index_log + 1 : INDEX_FIRST_LOG;
  uint32_t *before = samples.index, *fresh = sys_map(((size_t)1 << log) * sizeof *fresh);
  if (!fresh) return false;
  size_t size_before = before ? (size_t)1 << samples.index_log : 0;
  samples.index = fresh;
  samples.index_log = log;
  for (uint32_t i = 1; i < samples.used; i++)
    if (samples.records[i].payload && !samples.records[i].lifted) *find_slot(samples.records[i].payload) = i;
  if (before) sys_unmap(before, size_before * sizeof *before);
  return true;
}

/* What comes behind a hole and would rather be in it moves there. */
static void take_out(uint32_t *slot) {
  size_t wrap = ((size_t)1 << samples.index_log) - 1, hole = (size_t)(slot - samples.index);
  samples.index[hole] = 0;
  for (size_t i = (hole + 1) & wrap; samples.index[i]; i = (i + 1) & wrap) {
    size_t home = slot_of(samples.records[samples.index[i]].payload);
    if (((i - home) & wrap) < ((i - hole) & wrap)) continue;
    samples.index[hole] = samples.index[i];
    samples.index[i] = 0;
    hole = i;
  }
}

static bool grow_records(void) {
  uint32_t more = samples.records ? 2 * records_room : SAMPLES_FIRST;
  size_t bytes = more * sizeof *samples.records;
  struct sample *grown = samples.records ? sys_remap(samples.records, records_room * sizeof *grown, bytes) : sys_map(bytes);
  if (!grown) return false;
  samples.records = grown;
  samples.used += !records_room; /* [0] is none */
  records_room = more;
  return true;
}

static uint32_t new_record(void) {
  size_t index_room = samples.index ? (size_t)1 << samples.index_log : 0;
  if (2 * (samples.count + 1) > index_room && !grow_index()) return 0;
  if (first_free) {
    uint32_t taken = first_free;
    first_free = (uint32_t)samples.records[taken].asked;
    return taken;
  }
  if (samples.used == SAMPLES_MAX || (samples.used >= records_room && !grow_records())) return 0;
  return samples.used++;
}

static void count_samples(size_t more) { __atomic_store_n(&samples.count, samples.count + more, __ATOMIC_RELAXED); }

static void free_record(uint32_t number) {
  struct sample *gone = &samples.records[number];
  probe_free(gone->payload);
  take_peak(PEAK_STEP);
  tally_live(gone, -1);
  tally_end(gone);
  *gone = (struct sample){.asked = first_free};
  first_free = number;
  count_samples((size_t)-1);
}

/* The lock is had. */
static void forget(const void *payload) {
  uint32_t number = find(payload);
  if (!number) return;
  take_out(find_slot((uintptr_t)payload));
  free_record(number);
}

static void record(const struct sample *sample) {
  uint32_t number = sample->stack ? new_record() : 0;
  if (!number) {
    samples.missed++;
    return;
  }
  samples.records[number] = *sample;
  *find_slot(sample->payload) = number;
  count_samples(1);
  samples.taken++;
  tally_all(sample);
  tally_live(sample, 1);
  probe_alloc(sample->payload, sample->asked, (uint64_t)(share_of(sample) * (double)sample->asked));
}

struct stack *samples_stack_here(void) {
  struct trace trace = trace_here();
  if (!lock_enter(&samples_lock)) return NULL;
  struct stack *stack = intern(&trace);
  lock_leave(&samples_lock);
  return stack;
}

bool samples_toss(struct theap *heap, uint32_t share, bool *coin) {
  uint64_t random = next_random(heap->sampler) >> 16;
  *coin = random & 1;
  return (random >> 1) % share == 0;
}

bool samples_add(struct theap *heap, const void *payload, size_t asked, size_t chance_bytes) {
  struct sampler *sampler = heap->sampler;
  struct trace trace = trace_here();
  if (!lock_enter(&samples_lock)) return false;
  forget(payload); /* what was there before, and could not be forgotten then */
  record(&(struct sample){.payload = (uintptr_t)payload, .asked = asked, .chance_bytes = chance_bytes, .rate = sampler->rate, .stack = intern(&trace),
                          .since_ns = sys_coarse_time(), .thread = thread_number});
  bool done = find(payload) != 0;
  lock_leave(&samples_lock);
  return done;
}

void samples_forget(const void *payload) {
  if (!lock_enter(&samples_lock)) return;
  forget(payload);
  lock_leave(&samples_lock);
}

bool samples_find(const void *payload, struct sample *found) {
  if (!lock_enter(&samples_lock)) return false;
  uint32_t number = find(payload);
  if (number) *found = samples.records[number];
  lock_leave(&samples_lock);
  return number != 0;
}

bool samples_lack(const void *payload) {
  if (!lock_enter(&samples_lock)) return false;
  bool found = find(payload) != 0;
  lock_leave(&samples_lock);
  return !found;
}

/* The lock is had. */
static void change(uint32_t number, size_t asked, size_t chance_bytes) {
  struct sample *sample = &samples.records[number];
  take_peak(PEAK_STEP);
  tally_live(sample, -1);
  sample->asked = asked;
  sample->chance_bytes = chance_bytes;
  tally_live(sample, 1);
}

void samples_update(const void *payload, size_t asked, size_t chance_bytes) {
  if (!lock_enter(&samples_lock)) return;
  uint32_t number = find(payload);
  if (number) change(number, asked, chance_bytes);
  lock_leave(&samples_lock);
}

uint32_t samples_lift(const void *payload) {
  if (!lock_enter(&samples_lock)) return 0;
  uint32_t number = find(payload);
  if (number) {
    take_out(find_slot((uintptr_t)payload));
    samples.records[number].lifted = true;
  }
  lock_leave(&samples_lock);
  return number;
}

void samples_drop(uint32_t number) {
  if (!lock_enter(&samples_lock)) return;
  free_record(number);
  lock_leave(&samples_lock);
}

void samples_lower(uint32_t number, const void *payload, size_t asked) {
  if (!lock_enter(&samples_lock)) return;
  struct sample *sample = &samples.records[number];
  sample->lifted = false;
  sample->payload = (uintptr_t)payload;
  *find_slot((uintptr_t)payload) = number;
  if (asked) change(number, asked, sample->chance_bytes);
  lock_leave(&samples_lock);
}

/* ---- for who reads -------------------------------------------------------------------------------------------------- */

void samples_copy(const struct stack *stack, struct stack *copy) {
  bool entered = lock_enter(&samples_lock);
  *copy = *stack;
  if (copy->peak_number != samples.peak_number) copy->peak = copy->live;
  if (entered) lock_leave(&samples_lock);
}

void samples_settle_peak(void) {
  if (!lock_enter(&samples_lock)) return;
  take_peak(0);
  lock_leave(&samples_lock);
}

bool samples_are_held_by_me(void) { return lock_held_by_me(&samples_lock); }

void samples_before_fork(uint32_t *patience) { lock_enter_for_fork(&samples_lock, patience); }

void samples_after_fork(bool child) {
  lock_leave_after_fork(&samples_lock, child);
  if (!child) return;
  lock_abandon_orphan(&samples_lock);
  __atomic_store_n(&samples.rate, rate_at_start, __ATOMIC_RELEASE); /* who switched them on in the parent will not switch them off in here */
}
