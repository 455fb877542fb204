/* SPDX-License-Identifier: MIT */
/* A body of code, instruction by instruction: `each` is called after every one of them, as a signal handler of the thread that runs the body. x86-64;
 * elsewhere the test is skipped. */
#ifndef STEPS_H
#define STEPS_H

#include "verbs.h"

#include <sys/auxv.h>
#include <ucontext.h>

static __thread volatile bool stepping; /* set to false it ends before the body does */

#if defined(__x86_64__)
enum { TRAP_FLAG = 0x100 };

static test_body *after_each;

/* What the kernel maps into every process reads the clock again and again until no tick comes in between, and each of its instructions would take longer. */
static inline bool reads_the_clock(const void *context)
{
  enum { VDSO_BYTES = 8192 };
  return (uintptr_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] - getauxval(AT_SYSINFO_EHDR) < VDSO_BYTES;
}

static inline void trapped(int unused, siginfo_t *info, void *context)
{
  (void)unused, (void)info;
  int saved = errno;
  if (stepping && !reads_the_clock(context)) after_each();
  if (!stepping) ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
  errno = saved;
}

static inline void step(test_body *body, test_body *each)
{
  struct sigaction action = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO | SA_RESTART};
  require(sigaction(SIGTRAP, &action, NULL) == 0);
  after_each = each;
  stepping = true;
  __asm__ volatile("sub $128, %%rsp\n pushf\n orl %0, (%%rsp)\n popf\n add $128, %%rsp" ::"i"(TRAP_FLAG) : "memory", "cc");
  body();
  stepping = false;
}
#else
static inline void step(test_body *body, test_body *each)
{
  (void)body, (void)each;
  skip_test("steps by the trap flag of x86-64");
}
#endif

#endif
