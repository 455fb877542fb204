/* SPDX-License-Identifier: MIT */
/* See guard.h.
 *
 * Pages are closed by MADV_GUARD_INSTALL where the kernel has it (6.13): 7.8 us for a block's life, and no mapping more; else by mprotect(), 23 us. */
#include "guard.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "kernel.h"
#include "libc.h"
#include "lock.h"
#include "os.h"
#include "printf.h"
#include "symbols.h"

#ifndef MADV_GUARD_INSTALL
enum { MADV_GUARD_INSTALL = 102, MADV_GUARD_REMOVE = 103 };
#endif
enum { OVERWRITTEN = 0xa5 }; /* what is in a page beside its block, until somebody writes there */

struct guards guards;
static bool by_advice; /* how pages are closed */
static struct lock guard_lock = {.rank = LOCK_GUARD};

/* ---- pages ---------------------------------------------------------------------------------------------------------- */

static uintptr_t guarded_page(const struct guard_slot *slot) { return guards.base + (size_t)(2 * (slot - guards.slots) + 1) * page_bytes; }

static bool close_pages(uintptr_t from, size_t bytes) {
  if (by_advice) return KERNEL(SYS_madvise, from, bytes, MADV_GUARD_INSTALL) == 0;
  KERNEL(SYS_madvise, from, bytes, MADV_DONTNEED);
  return KERNEL(SYS_mprotect, from, bytes, PROT_NONE) == 0;
}

static bool open_page(uintptr_t page) {
  return (by_advice ? KERNEL(SYS_madvise, page, page_bytes, MADV_GUARD_REMOVE) : KERNEL(SYS_mprotect, page, page_bytes, PROT_READ | PROT_WRITE)) == 0;
}

/* ---- what is told --------------------------------------------------------------------------------------------------- */

/* The program itself is the one without a name. */
static const char *file_of(const struct link_map *map, char *room, size_t bytes) {
  if (*map->l_name) return map->l_name;
  long length = KERNEL(SYS_readlinkat, (uintptr_t)AT_FDCWD, (uintptr_t)"/proc/self/exe", (uintptr_t)room, bytes - 1);
  room[length > 0 ? length : 0] = 0;
  return room;
}

static void tell_frame(uintptr_t frame) {
  char room[512];
  const struct link_map *map = image_of((const void *)(frame - 1)).map;
  if (map)
    print(STDERR_FILENO, "    %p  %s+%p\n", (void *)frame, file_of(map, room, sizeof room), (void *)(frame - map->l_addr));
  else
    print(STDERR_FILENO, "    %p\n", (void *)frame);
}

/* From that frame on, if it is one. */
static void tell_stack(const char *what, uint32_t thread, const struct stack *stack, uintptr_t from) {
  print(STDERR_FILENO, "  %s by thread %u:\n", what, thread);
  size_t first = 0;
  while (stack && first < stack->depth && stack->frames[first] != from) first++;
  for (size_t i = stack && first < stack->depth ? first : 0; stack && i < stack->depth; i++) tell_frame(stack->frames[i]);
}

/* One line that says what it is, then the stacks; `osmem explain` makes names of the addresses. `call`: of ours, or what else was there. */
static _Noreturn void report(const char *call, const char *what, uintptr_t address, const struct guard_slot *slot, uintptr_t pc) {
  ptrdiff_t distance = (ptrdiff_t)(address - slot->payload);
  size_t past = distance < 0 ? (size_t)-distance : (size_t)distance >= slot->asked ? (size_t)distance - slot->asked : (size_t)distance;
  const char *where = distance < 0 ? "before" : (size_t)distance >= slot->asked ? "behind" : "inside";
  print(STDERR_FILENO, "osmem: %s: %s: %p is %zu bytes %s a block of %zu bytes at %p\n", call, what, (void *)address, past, where, slot->asked, (void *)slot->payload);
  struct stack *here = samples_stack_here();
  tell_stack("here", thread_number, here, pc + 1);
  tell_stack("asked for", slot->asked_thread, slot->asked_by, 0);
  if (slot->freed) tell_stack("freed", slot->freed_thread, slot->freed_by, 0);
  abort();
}

/* The slot that an address belongs to: in a closed page between two the nearer one. */
static const struct guard_slot *slot_near(uintptr_t address) {
  size_t half_pages = (address - guards.base) / (page_bytes / 2), nearest = half_pages < 2 ? 0 : (half_pages - 1) / 4;
  return &guards.slots[min_size(nearest, GUARD_SLOTS - 1)];
}

static const char *kind_of(const struct guard_slot *slot, uintptr_t address) {
  if (slot->freed) return "use after free";
  return address < slot->payload ? "underflow" : "overflow";
}

/* ---- faults --------------------------------------------------------------------------------------------------------- */

static uintptr_t pc_of(const void *context) {
#if defined(__x86_64__)
  return (uintptr_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
  return ((const ucontext_t *)context)->uc_mcontext.pc;
#elif defined(__riscv)
  return ((const ucontext_t *)context)->uc_mcontext.__gregs[REG_PC];
#endif
}

/* Set once, before any of the program's own, which gets what there is from then on: it knows what to do with it. (Tried: set again in front of it at each block of the pool. A
 * program that puts back what it found, or calls it, then has ours in a ring: python's faulthandler, which wrote 62 MB.) What is not the pool's ends the process as if there were none: the
 * fault comes again, and what was sent is sent again. */
static void on_fault(int number, siginfo_t *info, void *context) {
  struct sigaction now = {.sa_flags = 0};
  LIBC_SIGACTION(number, NULL, &now);
  bool told = now.sa_flags & SA_SIGINFO; /* not if it was put back by signal(), which keeps no flags */
  uintptr_t address = told && info->si_code > 0 ? (uintptr_t)info->si_addr : 0;
  if (guard_has(address)) {
    const struct guard_slot *slot = slot_near(address);
    if (slot->payload) report("guard", kind_of(slot, address), address, slot, pc_of(context));
  }
  LIBC_SIGACTION(number, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
  if (!told || info->si_code <= 0) KERNEL(SYS_tgkill, (uintptr_t)KERNEL(SYS_getpid), (uintptr_t)KERNEL(SYS_gettid), (uintptr_t)number);
}

/* Not where it is ignored, which what is started by exec inherits. */
static void listen_to_faults(void) {
  struct sigaction now;
  if (LIBC_SIGACTION(SIGSEGV, NULL, &now) != 0 || now.sa_handler != SIG_DFL) return;
  LIBC_SIGACTION(SIGSEGV, &(struct sigaction){.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART}, NULL);
}

/* ---- blocks --------------------------------------------------------------------------------------------------------- */

/* Never used, or freed longest ago; NULL: all are in use. The lock is had. */
static struct guard_slot *slot_to_take(void) {
  struct guard_slot *found = NULL;
  for (struct guard_slot *slot = guards.slots; slot < guards.slots + GUARD_SLOTS; slot++) {
    if (slot->payload && !slot->freed) continue;
    if (!found || slot->freed < found->freed) found = slot;
  }
  return found;
}

/* At the end of the page, or at its beginning. */
static uintptr_t place_in_page(uintptr_t page, size_t bytes, size_t alignment, bool at_end) {
  return at_end ? (page + page_bytes - usable_of_asked(bytes)) & -max_size(alignment, ALIGNMENT) : page;
}

static void fill_around(uintptr_t page, uintptr_t payload, size_t asked) {
  memset((void *)page, OVERWRITTEN, payload - page);
  uintptr_t end = payload + usable_of_asked(asked);
  memset((void *)end, OVERWRITTEN, page + page_bytes - end);
}

/* Where in the page beside its block something wrote, or 0. */
static uintptr_t written_around(const struct guard_slot *slot) {
  uintptr_t page = guarded_page(slot), end = slot->payload + usable_of_asked(slot->asked);
  for (uintptr_t at = page; at < page + page_bytes; at = at + 1 == slot->payload ? end : at + 1)
    if ((at < slot->payload || at >= end) && *(const unsigned char *)at != OVERWRITTEN) return at;
  return 0;
}

void *guard_take(struct theap *heap, size_t bytes, size_t alignment) {
  bool at_end;
  if (!guards.bytes || usable_of_asked(bytes) > page_bytes || alignment > page_bytes || !samples_toss(heap, GUARD_SHARE, &at_end)) return NULL;
  struct stack *by = samples_stack_here();
  if (!lock_enter(&guard_lock)) return NULL;
  struct guard_slot *slot = slot_to_take();
  void *payload = NULL;
  if (slot && open_page(guarded_page(slot))) {
    payload = (void *)place_in_page(guarded_page(slot), bytes, alignment, at_end);
    *slot = (struct guard_slot){.payload = (uintptr_t)payload, .asked = bytes, .asked_by = by, .asked_thread = thread_number};
    memset(payload, 0, usable_of_asked(bytes)); /* where closing did not make it so */
    fill_around(guarded_page(slot), (uintptr_t)payload, bytes);
  }
  lock_leave(&guard_lock);
  return payload;
}

/* Ends the process if that is none. */
static struct guard_slot *slot_in_use(const void *payload, const char *call) {
  struct guard_slot *slot = (struct guard_slot *)slot_near((uintptr_t)payload);
  if (slot->payload == (uintptr_t)payload && !slot->freed) return slot;
  report(call, slot->payload == (uintptr_t)payload ? "double free" : "invalid pointer", (uintptr_t)payload, slot, 0);
}

size_t guard_usable(const void *payload, const char *call) { return usable_of_asked(slot_in_use(payload, call)->asked); }

void guard_give(void *payload, const char *call) {
  struct guard_slot *slot = slot_in_use(payload, call);
  uintptr_t written = written_around(slot);
  if (written) report(call, written < slot->payload ? "underflow, seen late" : "overflow, seen late", written, slot, 0);
  struct stack *by = samples_stack_here();
  if (!lock_enter(&guard_lock)) return; /* it stays in use for good */
  slot->freed_by = by;
  slot->freed_thread = thread_number;
  slot->freed = ++guards.frees;
  close_pages(guarded_page(slot), page_bytes);
  lock_leave(&guard_lock);
}

/* ---- start, fork ---------------------------------------------------------------------------------------------------- */

void guard_start(void) {
  size_t bytes = (2 * GUARD_SLOTS + 1) * page_bytes;
  long base = KERNEL(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, (uintptr_t)-1, 0);
  struct guard_slot *slots = sys_map(GUARD_SLOTS * sizeof *slots);
  if (base < 0 || !slots) return;
  by_advice = true;
  if (!close_pages((uintptr_t)base, bytes)) by_advice = false;
  if (!by_advice && !close_pages((uintptr_t)base, bytes)) return;
  guards = (struct guards){.base = (uintptr_t)base, .slots = slots, .bytes = bytes};
  listen_to_faults();
}

bool guard_is_held_by_me(void) { return lock_held_by_me(&guard_lock); }

void guard_before_fork(uint32_t *patience) { lock_enter_for_fork(&guard_lock, patience); }

void guard_after_fork(bool child) {
  lock_leave_after_fork(&guard_lock, child);
  if (child) lock_abandon_orphan(&guard_lock);
}
