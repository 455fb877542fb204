/* SPDX-License-Identifier: MIT */
/* See budget.h.
 *
 * A fiftieth of the time that passes is earned. Releasing a page costs what the kernel takes for it (100 ns); if fresh pages are wanted
 * afterwards, the fault (1450 ns) is charged too. A page that came from the kernel may go back once for nothing: that is a fourteenth of
 * what its coming took. What goes is what nobody wanted for an age, half a second at first. When a quarter of what was released was wanted again, that was a mistake: the
 * age doubles, up to four seconds, if there had been another within 32 ages. So a program whose bursts come again keeps its pages, and one whose bursts are over has them back in seconds. (Given back at once, and on hold
 * after mistakes: faults of real programs 1.17 of glibc's, of a pool of processes 3.3.) No thread, no timer, no signal: the clock is
 * looked at when there is something to release. Costs measured on a virtual machine.
 *
 * Relaxed atomics throughout: when threads meet here, the account is off by what one of them spent, and nobody minds. */
#include "budget.h"

#include "geometry.h"
#include "os.h"

enum {
  CALL_NS = 1000,
  RELEASE_NS = 100,
  FAULT_NS = 1450,
  CREDIT_START_NS = 2 * 1000 * 1000, /* 80 MB */
  CREDIT_MAX_NS = 200 * 1000 * 1000,
  DEBT_MAX_NS = 20 * 1000 * 1000, /* a second earns as much: after a mistake it is the age that keeps the next away */
  MISTAKE_SHARE = 4
};

static const uint64_t AGE_MIN_NS = AGE_MIN_MS * 1000000ull, AGE_MAX_NS = AGE_MAX_MS * 1000000ull;

static struct account {
  int64_t credit_ns;
  uint64_t seen_ns;      /* by sys_coarse_time(); 0: not yet. (At the start of every process that cost 0.6 us, most of it for the clock's page.) */
  uint64_t mistake_ns;   /* when the last mistake was seen; 0: never */
  uint64_t age_ns;       /* since then */
  size_t free_pages;     /* as many of all that came from the kernel went back for nothing */
  size_t released_pages; /* since then, */
  size_t wanted_pages;   /* and of these wanted again */
} account = {.credit_ns = CREDIT_START_NS};

size_t budget_outstanding_pages;

#define GET(field) __atomic_load_n(&account.field, __ATOMIC_RELAXED)
#define SET(field, value) __atomic_store_n(&account.field, value, __ATOMIC_RELAXED)

static int64_t cost_of(size_t pages, int64_t each_ns) { return (int64_t)(pages * (page_bytes / 4096)) * each_ns; }

static void book(int64_t ns) {
  int64_t sum = GET(credit_ns) + ns;
  SET(credit_ns, sum > CREDIT_MAX_NS ? CREDIT_MAX_NS : sum < -DEBT_MAX_NS ? -DEBT_MAX_NS : sum);
}

static void earn(uint64_t now) {
  uint64_t before = GET(seen_ns);
  SET(seen_ns, now);
  if (before && now > before) book((int64_t)((now - before) / EARN_SHARE));
}

/* Not paid for: what came from the kernel, and went back to it never yet. */
static bool is_free(size_t pages) {
  size_t came = __atomic_load_n(&sys_counters.bytes_in, __ATOMIC_RELAXED) / page_bytes, sum = GET(free_pages) + pages;
  if (GET(credit_ns) < 0 || sum > came) return false;
  SET(free_pages, sum);
  return true;
}

bool budget_spend(size_t pages) {
  if (sys_near_soft_limit(0)) return true; /* whatever it costs */
  uint64_t now = sys_coarse_time();
  earn(now);
  int64_t cost = is_free(pages) ? 0 : CALL_NS + cost_of(pages, RELEASE_NS);
  if (cost && cost > GET(credit_ns)) return false;
  book(-cost);
  __atomic_fetch_add(&budget_outstanding_pages, pages, __ATOMIC_RELAXED);
  SET(released_pages, GET(released_pages) + pages);
  return true;
}

void budget_pay_for_looks(size_t objects) {
  enum { LOOK_NS = 10 };
  book(-(int64_t)(objects * LOOK_NS));
}

uint64_t budget_age(void) { return max_size(GET(age_ns), AGE_MIN_NS); }

struct budget_due budget_due;

void budget_note_due_slow(enum due which, bool some) {
  if (some)
    __atomic_fetch_or(&budget_due.what, which, __ATOMIC_RELAXED);
  else
    __atomic_fetch_and(&budget_due.what, ~(uint32_t)which, __ATOMIC_RELAXED);
}

static bool mistake_was_within(uint64_t ages) { return GET(mistake_ns) && sys_coarse_time() - GET(mistake_ns) < ages * budget_age(); }

bool budget_waits(void) { return mistake_was_within(AGES_IN_MEMORY); }

bool budget_is_rich(void) {
  earn(sys_coarse_time());
  return GET(credit_ns) > CREDIT_MAX_NS / 2 && !budget_waits();
}

/* The age doubles, unless the mistake before was forgotten for as long again as it was remembered. */
static void note_mistake(void) {
  SET(age_ns, mistake_was_within(2 * AGES_IN_MEMORY) ? min_size(2 * budget_age(), AGE_MAX_NS) : AGE_MIN_NS);
  SET(mistake_ns, sys_coarse_time());
  SET(released_pages, 0);
  SET(wanted_pages, 0);
}

void budget_regret_slow(size_t pages) {
  size_t outstanding = __atomic_load_n(&budget_outstanding_pages, __ATOMIC_RELAXED), wanted = min_size(pages, outstanding);
  __atomic_store_n(&budget_outstanding_pages, outstanding - wanted, __ATOMIC_RELAXED);
  book(-cost_of(wanted, FAULT_NS));
  SET(wanted_pages, GET(wanted_pages) + wanted);
  if (wanted && GET(released_pages) && MISTAKE_SHARE * GET(wanted_pages) >= GET(released_pages)) note_mistake();
}

void budget_start_over(void) {
  SET(credit_ns, 0);
  SET(seen_ns, 0);
  sys_forget_other_threads(); /* here, since what they were asking for is part of the same accounts */
  __atomic_store_n(&budget_outstanding_pages, 0, __ATOMIC_RELAXED);
}
