/* SPDX-License-Identifier: MIT */
/* See minimise.h. Delta debugging: parts of the list are left out, large ones first, and stay out if what is left still fails. */
#include "minimise.h"

#include "../verbs.h"

#include <sys/mman.h>
#include <time.h>

enum {
  CANDIDATE_PATIENCE_S = 20,
  TRIES_OF_A_RACE = 6,
  SHORT = 2000 /* operations: few enough for a validation after each */
};

/* ---- runs ------------------------------------------------------------------------------------------------------------- */

static const struct op *whole_list(struct source *source, size_t *count)
{
  struct list *list = (struct list *)source;
  bool given = list->given || list->count == 0;
  list->given = true;
  *count = list->count;
  return given ? NULL : list->ops;
}

void list_begin(struct list *list, const struct op *ops, size_t count)
{
  *list = (struct list){.source.more = whole_list, .ops = ops, .count = count};
}

static void run_here(const struct setting *setting, struct source *source, struct progress *progress, unsigned patience_s, bool quiet)
{
  struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  if (quiet) dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
  alarm(patience_s);
  model_run(setting, source, progress);
  _exit(0);
}

struct outcome run_in_child(const struct setting *setting, struct source *source, unsigned patience_s, bool quiet)
{
  static struct progress *progress;
  if (!progress) progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  require(progress != MAP_FAILED);
  memset(progress, 0, sizeof *progress);
  pid_t pid = fork();
  if (pid == 0) run_here(setting, source, progress, patience_s, quiet);
  struct outcome outcome = {.status = wait_for(pid), .meetings = progress->meetings, .peak_bytes = progress->peak_bytes};
  for (unsigned i = 0; i < PARTIES_MAX; i++)
    if (progress->of[i].step > outcome.steps) outcome.steps = progress->of[i].step;
  return outcome;
}

/* ---- thinning out ----------------------------------------------------------------------------------------------------- */

struct search {
  const struct setting *setting;
  struct op *ops, *candidate;
  size_t count;
  time_t until;
  unsigned tries;
};

static time_t now(void)
{
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec;
}

static bool is_over(const struct search *search)
{
  return now() >= search->until;
}

/* Does the candidate fail? Then it is the list from now on, up to where it failed. */
static bool accept(struct search *search, size_t count)
{
  for (unsigned i = 0; i < search->tries && !is_over(search); i++) {
    struct list list;
    list_begin(&list, search->candidate, count);
    struct outcome outcome = run_in_child(search->setting, &list.source, CANDIDATE_PATIENCE_S, true);
    if (outcome.status == 0) continue;
    if (outcome.steps < count) count = outcome.steps;
    search->count = count ? count : 1;
    memcpy(search->ops, search->candidate, search->count * sizeof *search->ops);
    return true;
  }
  return false;
}

static bool accept_without(struct search *search, size_t from, size_t to)
{
  if (to > search->count) to = search->count;
  memcpy(search->candidate, search->ops, from * sizeof *search->ops);
  memcpy(search->candidate + from, search->ops + to, (search->count - to) * sizeof *search->ops);
  return accept(search, search->count - (to - from));
}

/* Most failures need only what went just before. */
static void cut_beginning(struct search *search)
{
  for (size_t keep = 16; keep < search->count && !is_over(search); keep *= 4)
    if (accept_without(search, 0, search->count - keep)) return;
}

/* What happens to one pointer hardly depends on the others: leave out all operations on half of the places, and half of the rest. */
static bool accept_without_places(struct search *search, unsigned bit, unsigned value)
{
  size_t count = 0;
  for (size_t i = 0; i < search->count; i++)
    if ((search->ops[i].place >> bit & 1) != value) search->candidate[count++] = search->ops[i];
  return count > 0 && count < search->count && accept(search, count);
}

static void thin_out_places(struct search *search)
{
  for (unsigned bit = 0; bit < 10 && !is_over(search); bit++)
    if (!accept_without_places(search, bit, 1)) accept_without_places(search, bit, 0);
}

static bool thin_out(struct search *search, size_t part)
{
  bool shorter = false;
  for (size_t from = 0; from < search->count && !is_over(search);)
    if (accept_without(search, from, from + part))
      shorter = true;
    else
      from += part;
  return shorter;
}

/* Down to single operations, or until no more than `enough` are left. */
static void thin_out_all(struct search *search, size_t enough)
{
  for (size_t part = search->count / 2; part > 0 && search->count > enough && !is_over(search); part /= 2)
    while (thin_out(search, part) && part == 1) {
    }
}

/* Each field of each operation as small as it may be: zero, or a half of what it is. */
static void try_field(struct search *search, size_t i, size_t offset, size_t bytes)
{
  uint16_t value = 0, simpler = 0;
  memcpy(&value, (char *)&search->ops[i] + offset, bytes);
  while (simpler < value && i < search->count && !is_over(search)) {
    memcpy(search->candidate, search->ops, search->count * sizeof *search->ops);
    memcpy((char *)&search->candidate[i] + offset, &simpler, bytes);
    if (accept(search, search->count)) return;
    simpler = (uint16_t)(value - (value - simpler) / 2);
  }
}

static void simplify(struct search *search)
{
  for (size_t i = 0; i < search->count; i++) {
    try_field(search, i, offsetof(struct op, thread), 1);
    try_field(search, i, offsetof(struct op, verb), 1);
    try_field(search, i, offsetof(struct op, kind), 1);
    try_field(search, i, offsetof(struct op, shape), 1);
    try_field(search, i, offsetof(struct op, amount), 2);
    try_field(search, i, offsetof(struct op, place), 2);
  }
}

static bool accept_as_it_is(struct search *search)
{
  memcpy(search->candidate, search->ops, search->count * sizeof *search->ops);
  return accept(search, search->count);
}

/* What fails by turns as well is the same every time. */
static void prefer_turns(struct search *search, struct setting *setting)
{
  if (setting->threads == 1 || setting->turns) return;
  setting->turns = true;
  if (accept_as_it_is(search)) return;
  setting->turns = false;
  search->tries = TRIES_OF_A_RACE;
}

static void validate_often(struct search *search, struct setting *setting)
{
  unsigned as_given = setting->validate_at;
  if (search->count > SHORT) return;
  setting->validate_at = 1;
  if (!accept_as_it_is(search)) setting->validate_at = as_given;
}

size_t minimise(struct setting *setting, struct op *ops, size_t count, unsigned budget_s)
{
  size_t bytes = count * sizeof *ops;
  struct op *candidate = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (candidate == MAP_FAILED) return count;
  struct search search = {
      .setting = setting, .ops = ops, .candidate = candidate, .count = count, .until = now() + budget_s, .tries = 1};
  prefer_turns(&search, setting);
  cut_beginning(&search);
  thin_out_places(&search);
  thin_out_all(&search, SHORT);
  validate_often(&search, setting);
  thin_out_all(&search, 0);
  simplify(&search);
  thin_out_all(&search, 0);
  munmap(candidate, bytes);
  return search.count;
}
