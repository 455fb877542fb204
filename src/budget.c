/* See budget.h.
 *
 * A hundredth of the time that passes is earned, up to half a second of it; a page costs what the kernel takes to drop it (100 ns)
 * and to fault it in again (1450 ns, both measured on a virtual machine). So a process that frees much after long work gives it
 * back at once, and a tight allocate/free loop spends 1 % at most and keeps its pages. No thread, no timer, no
 * signal: the clock is looked at when there is something to release. */
#include "budget.h"

#include "os.h"

enum { EARN_SHARE = 100, PAGE_COST_NS = 1550, CREDIT_MAX_NS = 500 * 1000 * 1000 };

static uint64_t credit_ns, seen_ns; /* atomic */

bool budget_spend(size_t pages) {
  uint64_t now = sys_coarse_time();
  uint64_t seen = __atomic_exchange_n(&seen_ns, now, __ATOMIC_RELAXED);
  uint64_t credit = __atomic_load_n(&credit_ns, __ATOMIC_RELAXED);
  if (seen && now > seen) credit = min_size(credit + (now - seen) / EARN_SHARE, CREDIT_MAX_NS);
  uint64_t cost = (uint64_t)pages * (page_bytes / 4096) * PAGE_COST_NS;
  bool afford = cost <= credit;
  __atomic_store_n(&credit_ns, afford ? credit - cost : credit, __ATOMIC_RELAXED);
  return afford;
}
