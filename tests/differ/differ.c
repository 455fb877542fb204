/* SPDX-License-Identifier: MIT */
/* See differ.h. What is touched of a block is bounded: both ends, and a little behind each power of two. */
#include "differ.h"

#include "../verbs.h"

#include <sys/mman.h>

static const size_t LIVE_MAX = (size_t)64 << 20; /* bytes asked for, of each heap, the one huge block beside them */

/* ---- slots ------------------------------------------------------------------------------------------------------------ */

struct block {
  unsigned char *at; /* NULL: none */
  size_t usable;
};

static struct slot {
  struct block of[ENGINES];
  size_t asked, reach; /* of the pair; `asked` stays when it goes */
  unsigned tag;        /* the contents follow from it */
} slots[SLOTS];

static bool is_huge(size_t reach) { return reach >= HUGE_FROM; }

/* One huge block at a time. What nobody can give costs nothing. */
static bool affordable(const struct ask *ask)
{
  size_t reach = reach_of(ask), live = 0;
  if (reach > HUGE_TO) return true;
  for (size_t i = 0; i < SLOTS; i++) {
    if (i == ask->slot || !slots[i].of[OSMEM].at) continue;
    if (is_huge(reach) && is_huge(slots[i].reach)) return false;
    live += is_huge(slots[i].reach) ? 0 : slots[i].reach;
  }
  return is_huge(reach) || live + reach <= LIVE_MAX;
}

/* ---- contents --------------------------------------------------------------------------------------------------------- */

enum { WHOLE_MAX = 8 * KB, END = 1 * KB, SAMPLE = 64 };

typedef bool visit(unsigned char *at, size_t offset, size_t bytes, unsigned tag);

/* The parts of a block of `bytes` that are looked at, as far as `limit`. The same for each block of that size. */
static bool each_part(unsigned char *at, size_t bytes, size_t limit, unsigned tag, visit *visit)
{
  size_t head = bytes <= WHOLE_MAX ? bytes : END;
  if (!visit(at, 0, head < limit ? head : limit, tag)) return false;
  if (head == bytes) return true;
  for (size_t offset = PAGE; offset <= limit / 2; offset *= 2)
    if (!visit(at, offset, SAMPLE, tag)) return false;
  size_t tail = bytes - END;
  return tail >= limit || visit(at, tail, limit - tail, tag);
}

static bool write_part(unsigned char *at, size_t offset, size_t bytes, unsigned tag)
{
  for (size_t i = offset; i < offset + bytes; i++) at[i] = pattern(i, tag);
  return true;
}

static bool part_holds(unsigned char *at, size_t offset, size_t bytes, unsigned tag)
{
  for (size_t i = offset; i < offset + bytes; i++)
    if (at[i] != pattern(i, tag)) return false;
  return true;
}

static bool part_is_zero(unsigned char *at, size_t offset, size_t bytes, unsigned tag)
{
  (void)tag;
  return all_zero(at + offset, bytes);
}

/* ---- one call, on one heap -------------------------------------------------------------------------------------------- */

enum aspect { ANSWER, ERRNO, RETURNED, ALIGNED_SO, ZERO, KEPT, LARGE_ENOUGH, STABLE, ASPECTS };
#define BIT(aspect) (1u << (aspect))

static const char *const ASPECT_NAMES[ASPECTS] = {
    "NULL or not", "errno", "returned", "alignment", "zeroed", "contents", "usable size", "usable size changed"};

/* Is a live block as it was? */
static unsigned inspect(const struct engine *engine, const struct block *block, unsigned tag)
{
  if (engine->malloc_usable_size(block->at) != block->usable) return BIT(STABLE);
  return each_part(block->at, block->usable, block->usable, tag, part_holds) ? 0 : BIT(KEPT);
}

/* A block that was just given, in the place of `old` if that had one: its flaws. */
static unsigned learn(const struct engine *engine, const struct ask *ask, struct block *block, unsigned char *at, unsigned tag)
{
  struct block old = *block;
  size_t owed = ask->call->rules & ROUNDED_PAGES ? (ask->bytes + PAGE - 1) / PAGE * PAGE : ask->bytes;
  size_t kept = old.usable < ask->bytes ? old.usable : ask->bytes;
  *block = (struct block){at, engine->malloc_usable_size(at)};
  unsigned flaws = 0;
  if (!is_aligned(at, owed_alignment(ask))) flaws |= BIT(ALIGNED_SO);
  if (block->usable < owed) flaws |= BIT(LARGE_ENOUGH);
  if (flaws) return flaws;
  if (old.at && !each_part(at, old.usable, kept, tag, part_holds)) flaws |= BIT(KEPT);
  if (ask->call->rules & ZEROED && !each_part(at, ask->bytes, ask->bytes, 0, part_is_zero)) flaws |= BIT(ZERO);
  return flaws;
}

/* Call, and judge what can be judged without the other heap. */
static struct outcome perform(const struct engine *engine, const struct ask *ask, struct block *block, unsigned tag)
{
  enum verb verb = ask->call->verb;
  struct outcome outcome = {.null = true};
  if (block->at) outcome.flaws |= inspect(engine, block, tag);
  errno = ask->preset;
  unsigned char *at = ask->call->by(engine, ask, block->at, &outcome);
  outcome.error = errno;
  outcome.null = !at;
  if (at)
    outcome.flaws |= learn(engine, ask, block, at, tag);
  else if (verb == RELEASE || (verb == RESIZE && ask->bytes == 0))
    *block = (struct block){0};
  else if (block->at)
    outcome.flaws |= inspect(engine, block, tag);
  return outcome;
}

/* glibc 2.30 and later add alignment and size without a look at the sum, and past SIZE_MAX give a small block (distributions mend it):
 * there the answer is known without the call. */
static bool glibc_may_wrap(const struct ask *ask)
{
  size_t alignment = owed_alignment(ask);
  return ask->call->shape == ALIGNED && ask->call->verb == ALLOCATE && alignment && ask->bytes <= PTRDIFF_MAX &&
         alignment > SIZE_MAX - PAGE - ask->bytes;
}

/* From 2.38 on aligned_alloc() refuses an odd alignment, and none: it is asked as before, for the next power of two. */
static struct ask rounded_up(const struct ask *ask)
{
  struct ask even = *ask;
  if (strcmp(ask->call->name, "aligned_alloc") == 0 && owed_alignment(ask)) even.alignment = owed_alignment(ask);
  return even;
}

static struct outcome perform_on_glibc(const struct ask *ask, struct block *block, unsigned tag)
{
  bool by_number = strcmp(ask->call->name, "posix_memalign") == 0;
  struct ask even = rounded_up(ask);
  if (!glibc_may_wrap(ask) || (by_number && ask->alignment != owed_alignment(ask))) return perform(&engines[GLIBC], &even, block, tag);
  return (struct outcome){.null = true, .error = ENOMEM, .returned = by_number ? ENOMEM : 0};
}

/* ---- what may differ -------------------------------------------------------------------------------------------------- */

static bool always(const struct ask *ask, const struct outcome *outcomes)
{
  (void)ask;
  (void)outcomes;
  return true;
}

/* The kernel has not got that much, and yet one had it: valloc(32 GiB) grew a mapping of 16 that osmem had kept, of which the kernel
 * counts the difference only; aligned_alloc(32 GiB, 128 KiB) found its multiple in a kept one; and realloc() grew the 4 GiB that glibc leaves around a
 * block at a multiple of 4 GiB. */
static bool one_had_it_ready(const struct ask *ask, const struct outcome *outcomes)
{
  size_t reach = reach_of(ask);
  const struct outcome *without = &outcomes[outcomes[GLIBC].null ? GLIBC : OSMEM], *with = &outcomes[outcomes[GLIBC].null ? OSMEM : GLIBC];
  if (!without->null || with->null || without->error != ENOMEM || with->error != ask->preset) return false;
  if (!is_huge(reach) || reach > HUGE_TO) return false;
  size_t bytes = reach + ask->alignment + MB;
  void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map != MAP_FAILED) munmap(map, bytes);
  return map == MAP_FAILED;
}

/* glibc's sbrk failed and its mmap did not. */
static bool glibc_went_another_way(const struct ask *ask, const struct outcome *outcomes)
{
  return !outcomes[GLIBC].null && !outcomes[OSMEM].null && outcomes[GLIBC].error == ENOMEM && outcomes[OSMEM].error == ask->preset;
}

struct wanted wanted[] = {
    {.name = "mallopt answers", .call = "mallopt", .aspects = BIT(RETURNED), .applies = always, .by_chance = true /* glibc 2.43 refuses nothing */},
    {.name = "malloc_trim answers", .call = "malloc_trim", .aspects = BIT(RETURNED), .applies = always},
    {.name = "errno of a success", .aspects = BIT(ERRNO), .applies = glibc_went_another_way, .by_chance = true},
    {.name = "more than the kernel has", .aspects = BIT(ANSWER) | BIT(ERRNO) | BIT(RETURNED), .applies = one_had_it_ready, .by_chance = true},
};
const size_t wanted_count = COUNT(wanted);

static unsigned without_wanted(const struct ask *ask, const struct outcome *outcomes, unsigned aspects)
{
  for (size_t i = 0; i < wanted_count && aspects; i++) {
    bool concerns = aspects & wanted[i].aspects && (!wanted[i].call || strcmp(wanted[i].call, ask->call->name) == 0);
    if (!concerns || !wanted[i].applies(ask, outcomes)) continue;
    wanted[i].met++;
    aspects &= ~wanted[i].aspects;
  }
  return aspects;
}

/* ---- one call, on both ------------------------------------------------------------------------------------------------ */

static void describe_outcome(const struct outcome *outcome, char *text, size_t bytes)
{
  int done = snprintf(text, bytes, "%s, errno %d, returned %ld", outcome->null ? "NULL" : "a block", outcome->error, outcome->returned);
  for (unsigned aspect = 0; aspect < ASPECTS; aspect++)
    if (outcome->flaws & BIT(aspect)) done += snprintf(text + done, bytes - (size_t)done, ", wrong %s", ASPECT_NAMES[aspect]);
}

typedef void found(const struct difference *difference);

static void tell(const struct ask *ask, const struct outcome *outcomes, unsigned aspects, size_t step, found *found)
{
  char call[140], answers[ENGINES][160];
  struct difference difference = {.call = ask->call->name, .step = step};
  describe(ask, call, sizeof call);
  for (enum which which = 0; which < ENGINES; which++) describe_outcome(&outcomes[which], answers[which], sizeof answers[which]);
  snprintf(difference.line, sizeof difference.line, "%s glibc: %s; osmem: %s", call, answers[GLIBC], answers[OSMEM]);
  for (unsigned aspect = 0; aspect < ASPECTS; aspect++) {
    if (!(aspects & BIT(aspect))) continue;
    difference.aspect = ASPECT_NAMES[aspect];
    found(&difference);
  }
}

/* Unlike pairs are given up: what follows is not to differ for what was told already. */
static void part(struct slot *slot)
{
  for (enum which which = 0; which < ENGINES; which++) {
    engines[which].free(slot->of[which].at);
    slot->of[which] = (struct block){0};
  }
}

/* Either both have a block there, with contents of its own, or neither. */
static void settle(struct slot *slot, const struct ask *ask)
{
  static unsigned tag;
  slot->tag = ++tag;
  slot->asked = ask->bytes;
  slot->reach = reach_of(ask);
  for (enum which which = 0; which < ENGINES; which++)
    if (slot->of[which].at) each_part(slot->of[which].at, slot->of[which].usable, slot->of[which].usable, slot->tag, write_part);
}

/* Aspects in which a call differs. */
static void both(const struct ask *ask, size_t step, found *found)
{
  struct slot *slot = &slots[ask->slot];
  struct outcome outcomes[ENGINES] = {
      [GLIBC] = perform_on_glibc(ask, &slot->of[GLIBC], slot->tag),
      [OSMEM] = perform(&engines[OSMEM], ask, &slot->of[OSMEM], slot->tag),
  };
  const struct outcome *theirs = &outcomes[GLIBC], *ours = &outcomes[OSMEM];
  unsigned flaws = theirs->flaws | ours->flaws, aspects = flaws;
  if (theirs->null != ours->null) aspects |= BIT(ANSWER);
  if (theirs->error != ours->error) aspects |= BIT(ERRNO);
  if (theirs->returned != ours->returned) aspects |= BIT(RETURNED);
  aspects = without_wanted(ask, outcomes, aspects);
  if (aspects) tell(ask, outcomes, aspects, step, found);
  if (flaws || theirs->null != ours->null)
    part(slot);
  else if (!ours->null)
    settle(slot, ask);
}

/* A call that allocates frees first what its slot holds. */
static void step(const struct op *op, size_t number, found *found)
{
  struct slot *slot = &slots[op->place % SLOTS];
  struct ask ask = ask_of(op, slot->asked), release = release_of(&ask);
  enum verb verb = ask.call->verb;
  if ((verb == ALLOCATE || verb == RESIZE) && !affordable(&ask)) return;
  if (verb == ALLOCATE && slot->of[OSMEM].at) both(&release, number, found);
  both(&ask, number, found);
}

void differ_run(const struct op *ops, size_t count, found *found)
{
  for (size_t i = 0; i < count; i++) step(&ops[i], i, found);
  for (unsigned i = 0; i < SLOTS; i++) {
    struct ask ask = release_of(&(struct ask){.slot = i});
    both(&ask, count, found);
    slots[i] = (struct slot){0};
  }
}
