/* See budget.h.
 *
 * A fiftieth of the time that passes is earned. Releasing a page costs what the kernel takes for it (100 ns); if fresh pages are wanted
 * afterwards, the fault (1450 ns) is charged too, and nothing more is released until the debt is paid off. So a burst that is over
 * goes back at once, and a tight allocate/free loop pays for one round of faults and then keeps its pages. No thread,
 * no timer, no signal: the clock is looked at when there is something to release. Costs measured on a virtual machine. */
#include "budget.h"

#include "os.h"

enum {
  EARN_SHARE = 50,
  RELEASE_NS = 100,
  FAULT_NS = 1450,
  CREDIT_START_NS = 5 * 1000 * 1000, /* 200 MB */
  CREDIT_MAX_NS = 200 * 1000 * 1000,
  DEBT_MAX_NS = 500 * 1000 * 1000
};

static int64_t credit_ns = CREDIT_START_NS;
static uint64_t seen_ns;
static size_t released_pages; /* and not yet asked for again */

static int64_t cost_of(size_t pages, int64_t each_ns) { return (int64_t)(pages * (page_bytes / 4096)) * each_ns; }

static void earn(void) {
  uint64_t now = sys_coarse_time();
  if (seen_ns) credit_ns += (int64_t)((now - seen_ns) / EARN_SHARE);
  if (credit_ns > CREDIT_MAX_NS) credit_ns = CREDIT_MAX_NS;
  seen_ns = now;
}

bool budget_spend(size_t pages) {
  earn();
  int64_t cost = cost_of(pages, RELEASE_NS);
  if (cost > credit_ns) return false;
  credit_ns -= cost;
  released_pages += pages;
  return true;
}

void budget_regret(size_t pages) {
  size_t regretted = min_size(pages, released_pages);
  released_pages -= regretted;
  credit_ns -= cost_of(regretted, FAULT_NS);
  if (credit_ns < -DEBT_MAX_NS) credit_ns = -DEBT_MAX_NS;
}
