/* See stats.h. Reads what the tiers count anyway on their slow paths; nothing here costs a fast path an instruction. */
#include "stats.h"

#include <fcntl.h>
#include <unistd.h>

#include "arena.h"
#include "large.h"
#include "options.h"
#include "printf.h"
#include "region.h"
#include "slab.h"
#include "thread.h"

static int stats_fd = -1;

static void add_slabs(struct chunk *chunk, struct os_stats *out) {
  for (size_t i = 1; i < CHUNK_GRANULES; i++) {
    const struct slab *slab = slab_of_granule(chunk, i);
    if ((uintptr_t)chunk + i * GRANULE_BYTES >= chunk->info.limit) break;
    if (!slab_owner(slab)) continue;
    out->small_live_count += slab_used(slab);
    out->small_live_bytes += slab_used(slab) * slab_object_bytes(slab);
    out->slab_bytes += GRANULE_BYTES;
  }
}

static void add_arena(struct arena *arena, struct os_stats *out) {
  if (!arena_enter_this(arena)) return;
  out->medium_live_bytes += arena->live_bytes;
  out->medium_live_count += arena->live_count;
  out->medium_allocations += arena->allocations;
  for (struct chunk *chunk = arena->chunks; chunk; chunk = chunk->info.next) add_slabs(chunk, out);
  arena_leave(arena);
}

static size_t count_of(const size_t *counter) { return __atomic_load_n(counter, __ATOMIC_RELAXED); }

static size_t calls(enum sys_call call) { return count_of(&sys_counters.calls[call]); }

COLD void stats_collect(struct os_stats *out) {
  struct large_stats large;
  large_get_stats(&large);
  *out = (struct os_stats){
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
  for (const struct theap *heap = theap_list(); heap; heap = heap->next) out->thread_heaps++;
}

void stats_open(void) { stats_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 100); }

COLD void stats_print(int fd) {
  struct os_stats s;
  stats_collect(&s);
  print(fd,
        "osmem: statistics of process %u\n"
        "  tier      live blocks    live bytes   from the tier below\n"
        "  small    %12zu  %12zu   %zu bytes in slabs\n"
        "  medium   %12zu  %12zu   %zu blocks, %zu bytes of heap\n"
        "  large    %12zu  %12zu   %zu mappings, %zu bytes cached\n"
        "  peak     %zu bytes\n"
        "  calls    brk %zu, mmap %zu, munmap %zu, mremap %zu, madvise %zu\n"
        "  pages    %zu from the kernel, %zu back\n"
        "  threads  %zu heaps, %zu arenas\n",
        (unsigned)getpid(), s.small_live_count, s.small_live_bytes, s.slab_bytes, s.medium_live_count, s.medium_live_bytes,
        s.medium_allocations, s.heap_bytes, s.large_live_count, s.mapped_bytes, s.large_allocations, s.cached_bytes,
        s.peak_bytes, s.calls_brk, s.calls_mmap, s.calls_munmap, s.calls_mremap, s.calls_madvise, s.pages_from_kernel,
        s.pages_to_kernel, s.thread_heaps, s.arenas);
}

__attribute__((destructor)) static void print_at_exit(void) {
  if (stats_fd >= 0) stats_print(stats_fd);
}
