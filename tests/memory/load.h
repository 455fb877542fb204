/* SPDX-License-Identifier: MIT */
/* Loads whose memory has to stay bounded, and the one assertion about them.
 *
 * A load is a function that does the same work every time it is called: a round. It holds at most `live` bytes at once. Some rounds let
 * it settle; then, over all rounds that follow,
 *
 *   growth   how far memory rises above the highest it was while settling    at most load.growth
 *   peak     how far it rises above what it was before the first round       at most load.peak
 *
 * Memory is what the kernel says is resident, read where a load says look(). Every load runs twice, each time in a process of its own:
 * as it is, and with one in `leak` frees left out. The second run must break both bounds, or the test fails: it could not have seen
 * a leak.
 *
 * OSMEM_TEST_FACTOR=N makes N times as many rounds (for hours of it): the bounds stay. OSMEM_TEST_ANY=1 runs on any allocator. */
#ifndef LOAD_H
#define LOAD_H

#include "verbs.h"

struct load {
  const char *name;
  void (*round)(void);
  size_t live, growth, peak; /* bytes */
  int settling, rounds;
  unsigned leak; /* the control drops one in so many frees */
};

enum { GREW = 4, PEAKED = 8, LOAD_PATIENCE_S = 120 };

/* ---- verbs for loads ---- */

static unsigned leak_one_of; /* 0: none */
static size_t highest;       /* seen by look() since it was last set to 0 */

static inline void *make(size_t bytes)
{
  void *p = malloc(bytes);
  require(p);
  touch(p, bytes);
  return p;
}

/* Whether the control wants this free to be left out. */
static inline bool planted(void)
{
  static unsigned frees;
  return leak_one_of && __atomic_add_fetch(&frees, 1, __ATOMIC_RELAXED) % leak_one_of == 0;
}

static inline void release(void *p)
{
  if (!planted()) free(p);
}

/* By the main thread, where memory may be at its highest. */
static inline void look(void)
{
  size_t now = resident_bytes();
  if (now > highest) highest = now;
}

/* ---- the assertion ---- */

static inline int test_factor(void)
{
  const char *text = getenv("OSMEM_TEST_FACTOR");
  return text && atoi(text) > 1 ? atoi(text) : 1;
}

/* Against hanging for ever only. */
static inline void be_patient(void)
{
  alarm((unsigned)(LOAD_PATIENCE_S * test_factor()));
}

static inline size_t highest_over(const struct load *load, int rounds)
{
  highest = 0;
  for (int i = 0; i < rounds; i++) {
    load->round();
    look();
  }
  return highest;
}

static const struct load *judged;

/* In a process of its own; the exit status is which bounds broke. */
static void judge(void)
{
  const struct load *load = judged;
  int rounds = load->rounds * test_factor();
  be_patient();
  size_t before = resident_bytes(), settled = highest_over(load, load->settling), top = highest_over(load, rounds);
  size_t growth = top > settled ? top - settled : 0, peak = (top > settled ? top : settled) - before;
  say("# %s%s: %zu KB live at most; growth %zu KB (of %zu), peak %zu KB (of %zu)\n", load->name, leak_one_of ? ", with a leak" : "",
      load->live / KB, growth / KB, load->growth / KB, peak / KB, load->peak / KB);
  exit((growth > load->growth ? GREW : 0) | (peak > load->peak ? PEAKED : 0));
}

static inline int verdict(const struct load *load, unsigned leak)
{
  judged = load;
  leak_one_of = leak;
  int status = fate_of(judge);
  require(WIFEXITED(status));
  return WEXITSTATUS(status);
}

static inline void stays_bounded(const struct load *load)
{
  be_patient();
  int clean = verdict(load, 0);
  be_patient();
  int leaky = verdict(load, load->leak);
  require(!(clean & GREW));
  require(!(clean & PEAKED));
  require(clean == 0);
  require(leaky == (GREW | PEAKED));
}

#endif
