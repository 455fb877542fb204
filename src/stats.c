/* SPDX-License-Identifier: MIT */
/* See stats.h. Reads what the tiers count anyway on their slow paths; nothing here costs a fast path an instruction. */
#include "stats.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"
#include "cache.h"
#include "foreign.h"
#include "kernel.h"
#include "libc.h"
#include "large.h"
#include "options.h"
#include "printf.h"
#include "region.h"
#include "slab.h"
#include "thread.h"

static size_t difference(size_t more, size_t less) { return more > less ? more - less : 0; /* a slab's owner goes on meanwhile */ }

/* Without what others freed and the owner has not taken back yet. */
static size_t live_objects(const struct slab *slab) {
  return difference(slab_used(slab), remote_count(__atomic_load_n(&slab_remote((struct slab *)slab)->head, __ATOMIC_RELAXED)));
}

static size_t free_objects(const struct slab *slab) {
  return difference(__atomic_load_n(&slab->carved, __ATOMIC_RELAXED) / slab_object_bytes(slab), live_objects(slab));
}

static void add_slabs(struct chunk *chunk, struct heap_stats *out) {
  for (size_t i = 1; i < CHUNK_GRANULES; i++) {
    const struct slab *slab = slab_of_granule(chunk, i);
    if ((uintptr_t)chunk + i * GRANULE_BYTES >= chunk->info.limit) break;
    if (!slab_owner(slab)) continue;
    out->shown.small_live_count += live_objects(slab);
    out->shown.small_live_bytes += live_objects(slab) * slab_object_bytes(slab);
    out->shown.slab_bytes += GRANULE_BYTES;
    out->free_objects += free_objects(slab);
  }
}

static void add_arena(struct arena *arena, struct heap_stats *out) {
  if (!arena_enter_settled(arena)) return;
  out->shown.medium_live_bytes += arena->live_bytes;
  out->shown.medium_live_count += arena->live_count;
  out->shown.medium_allocations += arena->allocations;
  if (arena->chunks) {
    out->tops++;
    out->top_bytes += arena->limit - arena->top;
  }
  for (struct chunk *chunk = arena->chunks; chunk; chunk = chunk->info.next) add_slabs(chunk, out);
  arena_leave(arena);
}

static size_t count_of(const size_t *counter) { return __atomic_load_n(counter, __ATOMIC_RELAXED); }

static size_t calls(enum sys_call call) { return count_of(&sys_counters.calls[call]); }

COLD void stats_collect(struct heap_stats *out) {
  struct large_stats large;
  large_get_stats(&large);
  *out = (struct heap_stats){0};
  out->shown = (struct os_stats){
      .heap_bytes = region_bytes(),
      .mapped_bytes = large.live_bytes,
      .cached_bytes = large.cached_bytes,
      .large_live_count = large.live_count,
      .large_allocations = large.allocations,
      .calls_brk = calls(SYS_CALL_BRK),
      .calls_mmap = calls(SYS_CALL_MMAP),
      .calls_munmap = calls(SYS_CALL_MUNMAP),
      .calls_mremap = calls(SYS_CALL_MREMAP),
      .calls_madvise = calls(SYS_CALL_MADVISE),
      .pages_from_kernel = page_bytes ? count_of(&sys_counters.bytes_in) / page_bytes : 0,
      .pages_to_kernel = page_bytes ? count_of(&sys_counters.bytes_out) / page_bytes : 0,
      .peak_bytes = count_of(&sys_counters.bytes_peak),
      .arenas = arena_count(),
  };
  for (size_t i = 0; i < arena_count(); i++) add_arena(arena_at(i), out);
  for (const struct theap *heap = theap_list(); heap; heap = heap->next) out->shown.thread_heaps++;
}

COLD struct free_blocks stats_kept_by_caller(void) {
  struct free_blocks kept = {0, self->cached_bytes};
  for (size_t bin = 0; bin < CACHE_BINS; bin++)
    for (cached_block word = self->cache[bin]; word; word = (cached_block)block_of_cached(word)->next) kept.count++;
  return kept;
}

COLD size_t stats_count_free_blocks(void) {
  size_t sum = 0;
  for (size_t i = 0; i < arena_count(); i++) sum += count_of(&arena_at(i)->free_blocks);
  return sum;
}

COLD void stats_print(int fd) {
  if (left_alone) {
    print(fd, "osmem: process %u is left alone (%s)\n", (unsigned)KERNEL(SYS_getpid, 0), left_alone);
    return;
  }
  struct heap_stats collected;
  stats_collect(&collected);
  struct os_stats s = collected.shown;
  print(fd,
        "osmem: statistics of process %u\n"
        "  blocks of        in use         bytes   held for them\n"
        "  up to 1 KiB  %10zu  %12zu   %zu bytes in slabs\n"
        "  medium       %10zu  %12zu   %zu bytes of heap, slabs included; %zu were handed out in all, but from threads' caches\n"
        "  from 128 KiB %10zu  %12zu   %zu bytes in freed mappings that are kept; %zu were handed out in all\n"
        "  most         %zu bytes of address space held at once: heap, mappings, kept mappings\n"
        "  calls        brk %zu, mmap %zu, munmap %zu, mremap %zu, madvise %zu\n"
        "  pages        %zu of address space asked of the kernel, %zu given back: it need not be touched, so that is not what is resident\n"
        "  threads      %zu heaps of their own, those of ended threads included; %zu heaps of blocks that they share\n",
        (unsigned)KERNEL(SYS_getpid, 0), s.small_live_count, s.small_live_bytes, s.slab_bytes, s.medium_live_count, s.medium_live_bytes,
        s.heap_bytes, s.medium_allocations, s.large_live_count, s.mapped_bytes, s.cached_bytes, s.large_allocations,
        s.peak_bytes, s.calls_brk, s.calls_mmap, s.calls_munmap, s.calls_mremap, s.calls_madvise, s.pages_from_kernel,
        s.pages_to_kernel, s.thread_heaps, s.arenas);
}

/* ---- the table at exit ---------------------------------------------------------------------------------------------- */

/* A descriptor's number is not ours to keep: a daemon closes all that are open, and the next hundred files that it opens have them again. So what
 * stderr led to at the start is remembered, and nothing else is written to. */
static struct statx stderr_file;
static int stats_fd = -1;

/* The birth, because the number of an inode is used again as soon as its file is gone. */
static bool identify(int fd, struct statx *file) {
  return KERNEL(SYS_statx, (uintptr_t)fd, (uintptr_t)"", AT_EMPTY_PATH, STATX_TYPE | STATX_INO | STATX_BTIME, (uintptr_t)file) == 0;
}

static bool is_stderr_of_start(int fd) {
  const struct statx *was = &stderr_file;
  struct statx is;
  if (!identify(fd, &is)) return false;
  bool same_device = is.stx_dev_major == was->stx_dev_major && is.stx_dev_minor == was->stx_dev_minor;
  bool same_node = is.stx_rdev_major == was->stx_rdev_major && is.stx_rdev_minor == was->stx_rdev_minor;
  bool same_birth = is.stx_btime.tv_sec == was->stx_btime.tv_sec && is.stx_btime.tv_nsec == was->stx_btime.tv_nsec;
  return same_device && same_node && same_birth && is.stx_ino == was->stx_ino && (is.stx_mode & S_IFMT) == (was->stx_mode & S_IFMT);
}

COLD void stats_open(void) {
  enum { ABOVE_WHAT_PROGRAMS_COUNT_ON = 100 };
  if (!identify(STDERR_FILENO, &stderr_file)) {
    print(STDERR_FILENO, "osmem: stats=1: cannot see what stderr is: no table at exit\n");
    return;
  }
  stats_fd = (int)KERNEL(SYS_fcntl, STDERR_FILENO, F_DUPFD_CLOEXEC, ABOVE_WHAT_PROGRAMS_COUNT_ON);
  if (stats_fd >= 0) return;
  stats_fd = STDERR_FILENO;
  print(STDERR_FILENO, "osmem: stats=1: no descriptor for a copy of stderr: no table if the program closes it\n");
}

/* Would a write meet nobody? For a pipe it would end the program by SIGPIPE. */
static bool is_deserted(int fd) {
  struct pollfd look = {.fd = fd};
  const struct timespec at_once = {0};
  return KERNEL(SYS_ppoll, (uintptr_t)&look, 1, (uintptr_t)&at_once) > 0 && look.revents & (POLLERR | POLLHUP | POLLNVAL);
}

__attribute__((destructor)) static void print_at_exit(void) {
  if (stats_fd < 0) return;
  int fd = is_stderr_of_start(stats_fd) ? stats_fd : STDERR_FILENO;
  if (is_stderr_of_start(fd) && !is_deserted(fd)) stats_print(fd);
}
