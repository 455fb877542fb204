/* SPDX-License-Identifier: MIT */
/* System calls, one function each, results checked; all of them through kernel.h. The bottom layer: knows nothing of heaps.
 *
 * Promise: failure is NULL or false, never a crash; errno is not touched. What cannot happen
 * (unaligned arguments of our own making) ends in die(). Each call is counted for the statistics.
 * Sizes are bytes and multiples of page_bytes unless said otherwise. */
#ifndef OSMEM_OS_H
#define OSMEM_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sys_call { SYS_CALL_BRK, SYS_CALL_MMAP, SYS_CALL_MUNMAP, SYS_CALL_MREMAP, SYS_CALL_MADVISE, SYS_CALLS };

/* Relaxed atomics: written rarely, read by the statistics. */
struct sys_counters {
  size_t calls[SYS_CALLS];
  size_t bytes_in;  /* address space asked for */
  size_t bytes_out; /* address space or residency given back */
  size_t bytes_held, bytes_peak; /* address space, now and at most */
  size_t bytes_back; /* of what is held: pages of block heaps that were given back and not wanted again since, these at least */
  size_t bytes_reserved; /* the rest of it, and what the kernel is being asked for right now: this is what the hard limit bounds */
};

extern struct sys_counters sys_counters;

/* Bounds on bytes_reserved and on bytes_held; 0: none. Beyond the hard one growth is refused as if by the kernel, whoever grows at the same
 * moment; near the soft one free memory is given back without regard to its cost. Set once, at the start. */
struct sys_limits {
  size_t hard, soft;
};

extern struct sys_limits sys_limits;

/* May `bytes` more be had of the kernel? (For a look: sys_map() and the others book them first.) */
static inline bool sys_admits(size_t bytes) {
  size_t reserved = __atomic_load_n(&sys_counters.bytes_reserved, __ATOMIC_RELAXED);
  return !sys_limits.hard || (bytes <= sys_limits.hard && reserved <= sys_limits.hard - bytes);
}

/* So many bytes more (or, negative, fewer) of block heaps were given back: a heap in whose middle something lives cannot give back address
 * space, but memory. */
void sys_count_back(size_t bytes);
/* `bytes` of that are about to be used again. False: they do not fit below the limit. */
bool sys_take_back(size_t bytes);

/* With `bytes` more, would less than an eighth of the soft limit be left? */
static inline bool sys_near_soft_limit(size_t bytes) {
  size_t held = __atomic_load_n(&sys_counters.bytes_held, __ATOMIC_RELAXED);
  return sys_limits.soft && held + bytes > sys_limits.soft / 8 * 7;
}

extern size_t page_bytes; /* set by sys_init(); 4 KiB to 64 KiB */

void sys_init(void);
/* Are malloc and free, as the program finds them? False before that. Then so is the break. */
extern bool sys_malloc_is_ours;

/* By how much `bytes` more of address space would exceed the most we ever held. */
size_t sys_bytes_over_peak(size_t bytes);

/* In the child of a fork: nobody else asks the kernel for anything. */
void sys_forget_other_threads(void);

/* Nanoseconds since some start, to about 4 ms; no system call (vDSO). */
uint64_t sys_coarse_time(void);

/* The number of the one that this thread is on; no system call either where the vDSO has it (x86-64). */
unsigned sys_processor(void);

/* The break, as the kernel says: others may have moved it, by libc's sbrk() or behind its back. 0 when refused. */
uintptr_t sys_break(void);
/* Where libc believes that it is, which every call of its own and of ours tells it: no system call. */
extern void *__curbrk __attribute__((weak));
static inline uintptr_t sys_known_break(void) { return &__curbrk ? (uintptr_t)__atomic_load_n(&__curbrk, __ATOMIC_RELAXED) : UINTPTR_MAX; }

/* Move the break from `now`, where it was found, to `end`. libc is told, so that its sbrk() goes on from there. */
bool sys_move_break(uintptr_t now, uintptr_t end);

/* Whether what is had from now on may be of huge pages: 0 no, 1 please, from HUGE_FROM on, else as the system has it. (On two virtual machines a huge page took 170 us and 220
 * where 512 small ones took 800 to 890; but 4,300, where the host had to find the memory first. In a trial of two calls real programs 0.908 -> 0.890 of glibc's time, the best 0.82 -> 0.69, and 1.63 with such a
 * host; RSS 1.012 -> 1.023, a server's 1.07 -> 1.33. So it is the user's choice.) */
enum { SYS_HUGE_NO, SYS_HUGE_PLEASE, SYS_HUGE_AS_IT_IS };
extern size_t sys_huge_pages;

/* Where the break is to stop that has to come to `end`: a huge page that is touched before all of it is there is none. */
uintptr_t sys_break_edge(uintptr_t end);

/* Fresh zeroed private memory, page-aligned, or NULL. */
void *sys_map(size_t bytes);
/* False: the kernel refused (splitting a mapping needs a free slot below vm.max_map_count) and the memory is still there. */
bool sys_unmap(void *base, size_t bytes);
/* Would a mapping of so many bytes be refused now, and for its size (one of a page is not)? Tried out; *stays: NULL, or what munmap refused
 * to take back, `bytes` or for true a page. */
bool sys_refuses_size(size_t bytes, void **stays);
/* Resize a mapping, moving it if need be; NULL: refused, nothing changed. */
void *sys_remap(void *base, size_t old_bytes, size_t new_bytes);
/* Bring fresh pages into memory, all at once. False: the kernel cannot (before 5.14) or will not, or it is not to be asked. */
bool sys_populate(void *base, size_t bytes);
extern size_t sys_populates; /* atomic; 0: it has refused for good, or the user will not have it */
/* Drop the pages' contents and residency. True only if the memory now reads as zero. */
bool sys_discard(void *base, size_t bytes);
/* Locked pages (mlock, mlockall), too, from Linux 5.18 on. Where they are asked back, or would be unmapped next: who locks what it has touched and freed does so to meet
 * no fault when it takes it again. */
bool sys_discard_locked(void *base, size_t bytes);

/* Sleep while the word has that value, for so long (below a second) or less. */
void sys_wait(uint32_t *word, uint32_t while_value, uint32_t at_most_ns);
/* For so long, or less. */
void sys_sleep(uint32_t ns);
void sys_wake(uint32_t *word);
void sys_write(int fd, const char *text, size_t bytes);

/* The random bits that the kernel gave this process at exec; no system call. */
void sys_random(uint64_t bits[2]);

/* One line on stderr, then abort(): for states that only a bug of ours can reach. */
#define DIE(what) die(__FILE__, __LINE__, what)
__attribute__((noreturn)) void die(const char *file, int line, const char *what);

static inline size_t round_up(size_t n, size_t power_of_two) {
  return (n + power_of_two - 1) & ~(power_of_two - 1);
}

static inline size_t round_down(size_t n, size_t power_of_two) { return n & ~(power_of_two - 1); }

static inline size_t min_size(size_t a, size_t b) { return a < b ? a : b; }

static inline size_t max_size(size_t a, size_t b) { return a > b ? a : b; }

/* A high-water mark: written under the lock of what it measures, read and set back by anybody. */
static inline void raise_to(size_t *mark, size_t level) {
  if (level > __atomic_load_n(mark, __ATOMIC_RELAXED)) __atomic_store_n(mark, level, __ATOMIC_RELAXED);
}
static inline void set_back_to(size_t *mark, size_t level) { __atomic_store_n(mark, level, __ATOMIC_RELAXED); }

#endif
