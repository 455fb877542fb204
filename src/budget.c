/* See budget.h.
 *
 * A fiftieth of the time that passes is earned. Releasing a page costs what the kernel takes for it (100 ns); if fresh pages are wanted
 * afterwards, the fault (1450 ns) is charged too. A page that came from the kernel may go back once for nothing: that is a fourteenth of
 * what its coming took. When a quarter of what the heap released was wanted again, releasing was a mistake: the
 * heap releases nothing for four seconds, after the next mistake for eight, and so on up to a minute. So a burst that is over goes back at once, and a program
 * whose bursts come again and again pays for a few rounds of faults in all and then keeps its pages. (With the account alone a
 * loop of bursts of 57 MB cost 25 % more CPU time, buffers of 1 to 64 KiB 10 %. On hold with the heap, spare mappings cost jq, z3 and ghostscript 3 % of RSS.) No thread, no timer, no signal: the clock is
 * looked at when there is something to release. Costs measured on a virtual machine.
 *
 * Relaxed atomics throughout: when threads meet here, the account is off by what one of them spent, and nobody minds. */
#include "budget.h"

#include "geometry.h"
#include "os.h"

enum {
  RELEASE_NS = 100,
  FAULT_NS = 1450,
  CREDIT_START_NS = 2 * 1000 * 1000, /* 80 MB */
  CREDIT_MAX_NS = 200 * 1000 * 1000,
  DEBT_MAX_NS = 500 * 1000 * 1000,
  MISTAKE_SHARE = 4
};

static struct account {
  int64_t credit_ns;
  uint64_t seen_ns;      /* by sys_coarse_time() */
  uint64_t mistake_ns;   /* when the last mistake was seen; 0: never */
  uint64_t hold_ns;      /* so long after it nothing is released */
  size_t free_pages;     /* as many of all that came from the kernel went back for nothing */
  size_t released_pages; /* of the heap, since then, */
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
  if (now > before) book((int64_t)((now - before) / EARN_SHARE));
}

static bool on_hold(uint64_t now) { return GET(mistake_ns) && now - GET(mistake_ns) < GET(hold_ns); }

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
  int64_t cost = is_free(pages) ? 0 : cost_of(pages, RELEASE_NS);
  if (cost && cost > GET(credit_ns)) return false;
  book(-cost);
  __atomic_fetch_add(&budget_outstanding_pages, pages, __ATOMIC_RELAXED);
  return true;
}

bool budget_spend_on_idle(size_t pages) {
  if (!budget_spend(pages)) return false;
  SET(released_pages, GET(released_pages) + pages);
  return true;
}

bool budget_spend_on_heap(size_t pages) {
  return (sys_near_soft_limit(0) || !on_hold(sys_coarse_time())) && budget_spend_on_idle(pages);
}

uint64_t budget_age(void) { return max_size(GET(hold_ns) / AGE_SHARE, AGE_MIN_MS * 1000000ull); }

struct budget_due budget_due;

void budget_note_due_slow(enum due which, bool some) {
  if (some)
    __atomic_fetch_or(&budget_due.what, which, __ATOMIC_RELAXED);
  else
    __atomic_fetch_and(&budget_due.what, ~(uint32_t)which, __ATOMIC_RELAXED);
}

/* The hold doubles, unless it was over for as long again. */
static void note_mistake(void) {
  uint64_t now = sys_coarse_time(), hold = GET(hold_ns), least = HOLD_MIN_S * 1000000000ull;
  bool again = GET(mistake_ns) && now - GET(mistake_ns) < 2 * hold;
  hold = again ? 2 * hold : least;
  SET(hold_ns, min_size(hold, HOLD_MAX_S * 1000000000ull));
  SET(mistake_ns, now);
  SET(released_pages, 0);
  SET(wanted_pages, 0);
}

static size_t regret(size_t pages) {
  size_t outstanding = __atomic_load_n(&budget_outstanding_pages, __ATOMIC_RELAXED), wanted = min_size(pages, outstanding);
  __atomic_store_n(&budget_outstanding_pages, outstanding - wanted, __ATOMIC_RELAXED);
  book(-cost_of(wanted, FAULT_NS));
  return wanted;
}

void budget_regret_slow(size_t pages) { regret(pages); }

void budget_regret_on_heap_slow(size_t pages) {
  SET(wanted_pages, GET(wanted_pages) + regret(pages));
  if (GET(released_pages) && GET(wanted_pages) >= GET(released_pages) / MISTAKE_SHARE) note_mistake();
}

void budget_start(void) { SET(seen_ns, sys_coarse_time()); }

void budget_start_over(void) {
  SET(credit_ns, 0);
  budget_start();
  sys_forget_other_threads(); /* here, since what they were asking for is part of the same accounts */
  __atomic_store_n(&budget_outstanding_pages, 0, __ATOMIC_RELAXED);
}
