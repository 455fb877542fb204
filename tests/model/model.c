/* SPDX-License-Identifier: MIT */
/* See model.h. The shadow lives in static memory, never in the heap under test.
 *
 * What must be so after each call: NULL or not, errno, alignment, enough usable bytes and not many more, no overlap with another
 * live block, zeroes after calloc, contents kept by realloc. Before each free: contents and usable size as they were.
 * At a validation: os_check(), all contents, and the statistics. Of these the shadow knows the answer, since the usable size tells the
 * tier: 16 divides that of a small object, of a block it leaves 8, a mapping has whole pages.
 *
 *   small    live objects and bytes == the shadow's; with other threads >=, for those freed and not yet collected
 *   medium   live blocks            == the shadow's + those in the threads' caches
 *   large    live mappings, bytes   == the shadow's
 *
 * and all three == after a trim by every thread. */
#include "calls.h"

#include "weather.h"

#include <semaphore.h>

#include "../verbs.h"
#include "osmem.h"

enum {
  LIVE_MAX = SIZED(48, 4) * MB, /* a thread that has more allocates nothing */
  BLOCK_HEADER = 8,
  GUARD_SLOTS = 64
};

/* ---- the shadow ------------------------------------------------------------------------------------------------------- */

enum tier { SMALL, MEDIUM, LARGE, TIERS };

struct tally {
  size_t count, bytes; /* as os_get_stats counts: of a block with its header */
};

struct span {
  uintptr_t from, to;
};

/* What one thread has. */
struct party {
  unsigned number;
  uint64_t serial;
  struct block *places[PLACES_MAX];
  struct span spans[PLACES_MAX]; /* its live blocks, by address */
  size_t span_count, live_bytes;
  struct tally tally[TIERS];
  const struct op *op; /* being carried out */
  sem_t turn;
  pthread_t thread;
};

static struct party parties[PARTIES_MAX];
static struct block blocks[PARTIES_MAX * PLACES_MAX + CELLS];
static struct block *cells[CELLS]; /* atomic */

static struct model {
  struct setting setting;
  struct source *source;
  struct progress *progress;
  const struct op *ops; /* the batch; [from, to) of it is this round */
  size_t from, to, count;
  uint64_t steps_before; /* in earlier batches */
  unsigned meeting;      /* how this round ends */
  bool over;
  pthread_barrier_t barrier;
  struct tally base[TIERS]; /* live beside the model */
} model;

static __thread struct party *acting;

_Noreturn void model_fail(const char *what, const char *function)
{
  int error = errno;
  char line[200] = "at a meeting";
  if (acting && acting->op) model_describe(acting->op, &model.setting, line, sizeof line);
  say("# %s\n# not so: %s (in %s, errno %d)\n", line, what, function, error);
  abort();
}

static enum tier tier_of(const struct block *block)
{
  if (block->usable % ALIGNMENT != 0 || model.setting.sampled) return MEDIUM;
  return block->usable <= SMALL_MAX ? SMALL : LARGE;
}

static void count(struct tally *tally, const struct block *block, size_t times)
{
  enum tier tier = tier_of(block);
  tally[tier].count += times;
  tally[tier].bytes += times * (block->usable + (tier == MEDIUM ? BLOCK_HEADER : 0));
}

/* The first of the spans that does not begin before `from`. */
static size_t span_at(const struct party *me, uintptr_t from)
{
  size_t low = 0, high = me->span_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (me->spans[middle].from < from)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static void enrol(struct party *me, const struct block *block)
{
  struct span span = {(uintptr_t)block->at, (uintptr_t)block->at + block->usable};
  size_t i = span_at(me, span.from);
  bool apart = (i == me->span_count || span.to <= me->spans[i].from) && (i == 0 || me->spans[i - 1].to <= span.from);
  must(apart && "from all live blocks");
  memmove(&me->spans[i + 1], &me->spans[i], (me->span_count - i) * sizeof span);
  me->spans[i] = span;
  me->span_count++;
  me->live_bytes += block->usable;
  count(me->tally, block, 1);
}

static void strike_off(struct party *me, const struct block *block)
{
  size_t i = span_at(me, (uintptr_t)block->at);
  me->span_count--;
  memmove(&me->spans[i], &me->spans[i + 1], (me->span_count - i) * sizeof *me->spans);
  me->live_bytes -= block->usable;
  count(me->tally, block, (size_t)-1);
}

/* ---- contents --------------------------------------------------------------------------------------------------------- */

/* Every word up to EDGE at both ends, between them one word in STRIDE: a lost page shows, and 8 MiB do not take a thousand
 * times the time of a usual block. Usable sizes are whole words. */
enum { WORD = sizeof(uint64_t), EDGE = 4096 / WORD, STRIDE = 512 / WORD };

static uint64_t word_of(uint64_t tag, size_t i)
{
  return (tag + i) * 0x9e3779b97f4a7c15u;
}

static void write_words(void *at, size_t from, size_t to, size_t stride, uint64_t tag)
{
  uint64_t *words = at;
  for (size_t i = from; i < to; i += stride) words[i] = word_of(tag, i);
}

static bool words_hold(const void *at, size_t from, size_t to, size_t stride, uint64_t tag)
{
  const uint64_t *words = at;
  uint64_t difference = 0;
  for (size_t i = from; i < to; i += stride) difference |= words[i] ^ word_of(tag, i);
  return difference == 0;
}

/* Where the thinned out middle of a block begins and ends. */
static void middle_of(const struct block *block, size_t *head, size_t *tail)
{
  size_t words = block->usable / WORD;
  *head = words < EDGE ? words : EDGE;
  *tail = words > 2 * EDGE ? words - EDGE : *head;
}

static void write_contents(const struct block *block)
{
  size_t head, tail;
  middle_of(block, &head, &tail);
  write_words(block->at, 0, head, 1, block->tag);
  write_words(block->at, head, tail, STRIDE, block->tag);
  write_words(block->at, tail, block->usable / WORD, 1, block->tag);
}

/* Do the first `bytes` at `at` hold what was written to `block`? */
static bool holds_contents(const unsigned char *at, size_t bytes, const struct block *block)
{
  size_t head, tail, end = bytes / WORD;
  middle_of(block, &head, &tail);
  uint64_t last = word_of(block->tag, end);
  bool last_was_written = end < head || end >= tail;
  return words_hold(at, 0, end < head ? end : head, 1, block->tag) &&
         words_hold(at, head, end < tail ? end : tail, STRIDE, block->tag) && words_hold(at, tail, end, 1, block->tag) &&
         (!last_was_written || memcmp(at + end * WORD, &last, bytes % WORD) == 0);
}

static void inspect(const struct block *block)
{
  bool contents_are_intact = holds_contents(block->at, block->usable, block);
  must(contents_are_intact);
  must(malloc_usable_size(block->at) == block->usable);
  must(os_usable_size(block->at) == block->usable);
}

/* ---- one step --------------------------------------------------------------------------------------------------------- */

static void learn(struct party *me, struct block *block, void *at, size_t asked, size_t alignment)
{
  must(is_aligned(at, alignment));
  size_t usable = os_usable_size(at);
  must(usable >= asked && usable % WORD == 0);
  *block = (struct block){at, asked, usable, alignment, (uint64_t)me->number << 56 | ++me->serial << 24};
  enrol(me, block);
  write_contents(block);
}

static void forget(struct party *me, struct block *block)
{
  strike_off(me, block);
  block->at = NULL;
}

static void release(struct party *me, struct block *block, unsigned form)
{
  if (!block->at && form >= FREE_RESIZES) return;
  struct block old = *block;
  if (old.at) {
    inspect(&old);
    forget(me, block);
  }
  errno = UNTOUCHED;
  free_by(form, &old);
  must(errno == UNTOUCHED);
}

static bool acts_alone(void)
{
  return model.setting.threads == 1 || model.setting.turns;
}

/* Small sizes are rounded up to a class; blocks from a cache and mappings may be an eighth too large. */
static bool not_much_more_than(size_t usable, size_t asked)
{
  return usable <= asked + asked / 8 + (asked + 64 < MMAP_THRESHOLD ? 64 : 2 * page_of_heap());
}

static bool affordable(const struct party *me, const struct request *request)
{
  return request->bytes > ASKED_MAX || me->live_bytes + request->bytes <= LIVE_MAX;
}

static bool is_foul(void) { return weather_is_foul && weather_is_foul(); }

/* What is asked before a call and after it: was the weather foul meanwhile? Other threads change it, too: the events are looked at first,
 * and a change counts as one only when it is done, so that none slips between. */
struct sky {
  size_t events;
  bool foul;
};

static struct sky sky_now(void)
{
  size_t events = weather_events ? weather_events() : 0;
  return (struct sky){events, is_foul()};
}

static bool was_foul_since(struct sky before)
{
  return before.foul || is_foul() || sky_now().events != before.events;
}

/* The answer to a call; `foul`: the weather was, meanwhile. Then no memory is an answer, too. */
static void judge(const void *at, int error, bool owes_null, bool foul)
{
  if (foul && !at && !owes_null) error = ENOMEM;
  must(errno == (error ? error : UNTOUCHED));
  must((at == NULL) == owes_null || (foul && !at));
}

/* Others can make the weather foul at any moment: who must be served does not ask then. */
static bool is_risky(const struct call *call)
{
  return call->rules & MUST_SUCCEED && (is_foul() || (weather_change && !acts_alone()));
}

static void allocate(struct party *me, struct block *block, const struct op *op)
{
  const struct call *call = call_of(op);
  struct request request = request_of(op, block->asked);
  release(me, block, free_form(op));
  int error = owed_error(call, &request);
  if (!affordable(me, &request) || (error && call->rules & MUST_SUCCEED) || is_risky(call)) return;
  struct sky before = sky_now();
  errno = UNTOUCHED;
  void *at = call->by(NULL, &request);
  bool foul = was_foul_since(before);
  judge(at, error, error || (call->rules & NULL_FOR_NOTHING && request.bytes == 0), foul);
  if (!at) return;
  if (call->rules & ZEROED) must(all_zero(at, request.bytes));
  learn(me, block, at, request.bytes, owed_alignment(call, &request));
  if (!foul && call->shape != ALIGNED && !(call->rules & WHOLE_PAGES)) must(not_much_more_than(block->usable, request.bytes));
}

static void resize(struct party *me, struct block *block, const struct op *op)
{
  const struct call *call = call_of(op);
  struct request request = request_of(op, block->asked);
  struct block old = *block;
  int error = owed_error(call, &request);
  if (!affordable(me, &request)) return;
  if (old.at) {
    inspect(&old);
    forget(me, block);
  }
  bool is_null = request.bytes == 0 && call->rules & NULL_FOR_NOTHING;
  bool frees = old.at && (is_null || (request.bytes == 0 && REALLOC_TO_NOTHING_FREES)), owes_null = error || frees || is_null;
  struct sky before = sky_now();
  errno = UNTOUCHED;
  void *at = call->by(old.at, &request);
  judge(at, error, owes_null, was_foul_since(before));
  if (!at && old.at && (error || !frees)) {
    *block = old;
    enrol(me, block);
    inspect(block);
  }
  if (!at) return;
  size_t kept = request.bytes < old.usable ? request.bytes : old.usable;
  bool contents_are_kept = !old.at || holds_contents(at, kept, &old);
  must(contents_are_kept);
  learn(me, block, at, request.bytes, ALIGNMENT);
}

/* Exchange what the place holds with what a cell holds: another thread will free or resize it. */
static void pass(struct party *me, struct block **place, const struct op *op)
{
  if ((*place)->at) strike_off(me, *place);
  *place = __atomic_exchange_n(&cells[op->amount % CELLS], *place, __ATOMIC_ACQ_REL);
  if ((*place)->at) enrol(me, *place);
}

/* ---- validation ------------------------------------------------------------------------------------------------------- */

static void get_live(const struct os_stats *stats, struct tally *live)
{
  live[SMALL] = (struct tally){stats->small_live_count, stats->small_live_bytes};
  live[MEDIUM] = (struct tally){stats->medium_live_count, stats->medium_live_bytes};
  live[LARGE] = (struct tally){stats->large_live_count, stats->mapped_bytes};
}

static void expect_live(struct tally *expected)
{
  memcpy(expected, model.base, sizeof model.base);
  for (unsigned i = 0; i < model.setting.threads; i++)
    for (enum tier tier = 0; tier < TIERS; tier++) {
      expected[tier].count += parties[i].tally[tier].count;
      expected[tier].bytes += parties[i].tally[tier].bytes;
    }
  for (size_t i = 0; i < CELLS; i++)
    if (cells[i]->at) count(expected, cells[i], 1);
}

static bool same(struct tally a, struct tally b)
{
  return a.count == b.count && a.bytes == b.bytes;
}

/* `trimmed`: by all threads, just now. */
static void check_live(const struct os_stats *stats, bool trimmed)
{
  struct tally live[TIERS], wanted[TIERS];
  get_live(stats, live);
  expect_live(wanted);
  must(same(live[LARGE], wanted[LARGE]));
  must(live[SMALL].count >= wanted[SMALL].count && live[SMALL].bytes >= wanted[SMALL].bytes);
  must(live[MEDIUM].count >= wanted[MEDIUM].count && live[MEDIUM].bytes >= wanted[MEDIUM].bytes);
  must(live[MEDIUM].bytes - wanted[MEDIUM].bytes <= model.setting.threads * (size_t)CACHE_BYTES_MAX);
  if (trimmed || model.setting.threads == 1) must(same(live[SMALL], wanted[SMALL]));
  if (trimmed) must(same(live[MEDIUM], wanted[MEDIUM]));
}

/* A sample is a block whatever its size, and has as much room as it stands for: the sum alone can be told. */
static void check_live_sampled(const struct os_stats *stats, bool trimmed)
{
  struct tally live[TIERS], wanted[TIERS];
  get_live(stats, live);
  expect_live(wanted);
  size_t count = 0, count_wanted = 0;
  for (enum tier tier = 0; tier < TIERS; tier++) {
    count += live[tier].count;
    count_wanted += wanted[tier].count;
  }
  ptrdiff_t more = (ptrdiff_t)(count - count_wanted), uncounted = model.setting.guarded ? GUARD_SLOTS : 0;
  must(more >= -uncounted && (!trimmed || more <= uncounted)); /* what was there before the model may have been in the pool, too */
}

static void check_stats(bool trimmed)
{
  struct os_stats stats;
  os_get_stats(&stats, sizeof stats);
  (model.setting.sampled ? check_live_sampled : check_live)(&stats, trimmed);
  must(stats.small_live_bytes <= stats.slab_bytes);
  must(stats.slab_bytes + stats.medium_live_bytes <= stats.heap_bytes);
  must(weather_change || stats.heap_bytes + stats.mapped_bytes + stats.cached_bytes <= stats.peak_bytes); /* others' memory in the heap */
  must(!trimmed || stats.cached_bytes == 0);
  must(stats.thread_heaps <= PARTIES_MAX + 1);
  if (stats.peak_bytes > model.progress->peak_bytes) model.progress->peak_bytes = stats.peak_bytes;
}

static void report(void)
{
  struct os_stats stats;
  os_get_stats(&stats, sizeof stats);
  struct mallinfo2 info = mallinfo2();
  if (model.setting.threads > 1 && !model.setting.turns) return;
  must(info.arena == stats.heap_bytes + stats.cached_bytes && info.hblks == stats.large_live_count && info.hblkhd == stats.mapped_bytes);
  must(info.uordblks <= stats.small_live_bytes + stats.medium_live_bytes); /* less what the caller's cache keeps */
  must(info.uordblks + info.fordblks == info.arena && info.keepcost <= info.fordblks);
}

/* Live blocks of one thread do not overlap, see enrol(); nor may those of two. */
static void check_overlap(void)
{
  size_t next[PARTIES_MAX] = {0};
  uintptr_t end = 0;
  for (;;) {
    unsigned first = PARTIES_MAX;
    for (unsigned i = 0; i < model.setting.threads; i++) {
      bool left = next[i] < parties[i].span_count;
      if (left && (first == PARTIES_MAX || parties[i].spans[next[i]].from < parties[first].spans[next[first]].from)) first = i;
    }
    if (first == PARTIES_MAX) return;
    struct span span = parties[first].spans[next[first]++];
    must(end <= span.from);
    end = span.to;
  }
}

static void validate(bool trimmed)
{
  must(os_check());
  if (weather_look) weather_look();
  check_stats(trimmed);
  for (unsigned i = 0; i < model.setting.threads; i++)
    for (unsigned place = 0; place < model.setting.places; place++)
      if (parties[i].places[place]->at) inspect(parties[i].places[place]);
  if (model.setting.threads > 1) check_overlap();
}

static void trim(const struct op *op)
{
  struct sky before = sky_now();
  if (op->shape % 2)
    os_trim(trim_pad(op));
  else
    malloc_trim(trim_pad(op));
  if (model.setting.threads == 1) check_stats(!was_foul_since(before));
}

static void step(struct party *me, const struct op *op, uint64_t number)
{
  struct block **place = &me->places[op->place % model.setting.places];
  me->op = op;
  __atomic_store_n(&model.progress->of[me->number].step, number, __ATOMIC_RELAXED);
  switch (model_verb(op)) {
    case ALLOCATE: allocate(me, *place, op); break;
    case RESIZE: resize(me, *place, op); break;
    case RELEASE: release(me, *place, free_form(op)); break;
    case PASS: pass(me, place, op); break;
    case REPORT: report(); break;
    case TRIM: trim(op); break;
    case WEATHER:
      if (weather_change) weather_change(op);
      break;
    case MEET: break;
  }
  if (acts_alone() && number % model.setting.validate_at == 0) validate(false);
}

/* ---- rounds ----------------------------------------------------------------------------------------------------------- */

static unsigned owner_of(size_t i)
{
  return model.ops[i].thread % model.setting.threads;
}

/* My share of the round. By turns: whoever ends a run of steps wakes the owner of the next. */
static void act(struct party *me)
{
  for (size_t i = model.from; i < model.to; i++) {
    if (owner_of(i) != me->number) continue;
    bool first = i == model.from || owner_of(i - 1) != me->number, last = i + 1 == model.to || owner_of(i + 1) != me->number;
    while (model.setting.turns && first && sem_wait(&me->turn) != 0) continue; /* libFuzzer's clock interrupts it, each 601 s */
    step(me, &model.ops[i], model.steps_before + i + 1);
    if (model.setting.turns && last && i + 1 < model.to) sem_post(&parties[owner_of(i + 1)].turn);
  }
  me->op = NULL;
}

static void meet_all(void)
{
  pthread_barrier_wait(&model.barrier);
}

/* The next round: up to a meeting or the end of the batch. */
static void next_round(void)
{
  if (model.to == model.count) {
    model.steps_before += model.count;
    model.ops = model.source->more(model.source, &model.count);
    if (!model.ops) model.count = 0;
    model.to = 0;
  }
  model.from = model.to;
  model.over = model.from == model.count;
  model.meeting = 0;
  while (model.to < model.count && model_verb(&model.ops[model.to++]) != MEET) {
  }
  if (model.to > 0 && model_verb(&model.ops[model.to - 1]) == MEET) model.meeting = model.ops[model.to - 1].amount;
  if (model.setting.turns && !model.over) sem_post(&parties[owner_of(model.from)].turn);
}

/* What a thread does in one round, beside the first; false: no further one. */
static bool attend(struct party *me)
{
  meet_all();
  if (model.over) return false;
  act(me);
  meet_all();
  unsigned meeting = model.meeting; /* from the last barrier on the first thread may be at the next round */
  if (meeting & MEET_TRIMS) os_trim(0);
  meet_all();
  return !(meeting & MEET_NEW_THREADS);
}

static void *attends(void *number)
{
  acting = &parties[(uintptr_t)number];
  free(malloc(1));
  os_trim(0);
  meet_all();
  while (attend(acting)) {
  }
  meet_all();
  return NULL;
}

/* Threads begin. What they and their births hold in the heap beside the model's blocks is measured, with all caches empty. */
static void begin_threads(void)
{
  if (weather_clear) weather_clear();
  for (unsigned i = 1; i < model.setting.threads; i++)
    parties[i].thread = spawn(attends, (void *)(uintptr_t)i);
  meet_all();
  os_trim(0);
  struct os_stats stats;
  os_get_stats(&stats, sizeof stats);
  memset(model.base, 0, sizeof model.base);
  struct tally live[TIERS], ours[TIERS];
  get_live(&stats, live);
  expect_live(ours);
  for (enum tier tier = 0; tier < TIERS; tier++)
    model.base[tier] = (struct tally){live[tier].count - ours[tier].count, live[tier].bytes - ours[tier].bytes};
}

/* Until here they stand still. (On a thread's way out libc frees NULL, and any free gives back what is due, such as slabs of threads that ended before: in one run of 75
 * while os_check() counted them.) */
static void end_threads(void)
{
  for (unsigned i = 1; i < model.setting.threads; i++) must(pthread_tryjoin_np(parties[i].thread, NULL) == EBUSY);
  meet_all();
  for (unsigned i = 1; i < model.setting.threads; i++) join(parties[i].thread);
}

/* A thread that only frees, and so has no heap: every second block of those that ended. */
static void *undertakes(void *unused)
{
  for (unsigned i = 1; i < model.setting.threads; i++)
    for (size_t place = i % 2; place < PLACES_MAX; place += 2) release(&parties[i], parties[i].places[place], 0);
  return unused;
}

/* The first thread leads: it fetches the rounds and validates after each. */
static void lead(void)
{
  begin_threads();
  for (;;) {
    next_round();
    bool go_on = attend(&parties[0]);
    if (model.over) break;
    model.progress->meetings++;
    if (weather_clear && model.meeting & MEET_TRIMS) {
      weather_clear();
      os_trim(0); /* again: it may have been refused */
    }
    validate(model.meeting & MEET_TRIMS);
    if (go_on) continue;
    end_threads();
    run_thread(undertakes, NULL);
    begin_threads();
  }
  end_threads();
}

static void start_empty(const struct setting *setting, struct source *source, struct progress *progress)
{
  model = (struct model){.setting = *setting, .source = source, .progress = progress};
  struct block *block = blocks;
  for (unsigned i = 0; i < PARTIES_MAX; i++) {
    parties[i].number = i;
    parties[i].op = NULL;
    sem_init(&parties[i].turn, 0, 0);
    for (size_t place = 0; place < PLACES_MAX; place++) parties[i].places[place] = block++;
  }
  for (size_t i = 0; i < CELLS; i++) cells[i] = block++;
  for (size_t i = 0; i < COUNT(blocks); i++) blocks[i].asked = 0;
  pthread_barrier_init(&model.barrier, NULL, setting->threads);
  free(malloc(1));
}

/* Everything goes: the first thread frees it all. */
static void leave_empty(void)
{
  if (weather_clear) weather_clear();
  for (unsigned i = 0; i < model.setting.threads; i++)
    for (size_t place = 0; place < PLACES_MAX; place++) release(&parties[i], parties[i].places[place], 0);
  for (size_t i = 0; i < CELLS; i++) {
    if (!cells[i]->at) continue;
    enrol(&parties[0], cells[i]);
    release(&parties[0], cells[i], 0);
  }
  os_trim(0);
  validate(true);
}

void model_run(const struct setting *setting, struct source *source, struct progress *progress)
{
  acting = &parties[0];
  start_empty(setting, source, progress);
  lead();
  leave_empty();
}
