# SPDX-License-Identifier: MIT
# Sourced by plants.t: the bugs, by class. The lines of src/ are found by what they say, so a bug whose line has changed is reported as
# one that cannot be planted.

plant 'mail protocol' 'the next slab is read after the list is taken' slab.c \
  '/^bool slab_collect/,/^}/ { /struct slab \*next = remote->mail_next/d; s|^\( *\)collect_slab(slab, take_list.*|&\n\1struct slab *next = remote->mail_next;| }' \
  'data race' build/tests/tsan/stress heaps_of_the_dead_are_adopted
plant 'mail protocol' 'every push posts' slab.c \
  's/  if (listed) return;//' \
  'hangs|not so' $preload/threads.c threads_that_only_free_leave_memory_flat
plant 'mail protocol' 'the count of a list is forgotten' slab.c \
  's/ - (int32_t)remote_count(head));/);/' \
  'not so: (growth_of|resident_bytes)' $preload/threads.c threads_that_only_free_leave_memory_flat
plant 'mail protocol' 'the heap of a living thread is adopted' thread.c \
  's/if (taken != EOWNERDEAD) return taken == 0;/if (taken != EOWNERDEAD) return true;/' \
  'double free|write after free|not so|hangs|ended by' $preload/threads.c contents_survive_when_others_free

plant coalescing 'not with the block behind' bins.c \
  's/if (!(block_header(next) & BLOCK_USED)) {/if (0) {/' \
  'two free neighbours were not coalesced' $model
plant coalescing 'not with the block before' block.c \
  's/coalesce(arena, (uintptr_t)block, bytes, header & BLOCK_PREV_USED ? 0 : block->prev_bytes)/coalesce(arena, (uintptr_t)block, bytes, 0)/' \
  'not so' $unit/strategy.c neighbours_coalesce_in_any_order
plant coalescing 'slabs do not melt into what lies before them' block.c \
  's/coalesce(arena, start, GRANULE_BYTES, slab->prev_free_bytes)/coalesce(arena, start, GRANULE_BYTES, 0)/' \
  'two free neighbours were not coalesced|a block and the one before it disagree' $model
plant splitting 'a block is handed out whole' block.c \
  's/if (end - at - bytes < BLOCK_MIN) bytes = end - at;/bytes = end - at;/' \
  'not so' $unit/strategy.c a_freed_block_serves_two_smaller_ones
plant 'best fit' 'the largest of a bin is taken' bins.c \
  's/if (have >= best_bytes || /if ((best \&\& have <= best_bytes) || /' \
  'failed malloc-best-fit: the trace differs' tests/run-tests.py --core engine malloc-best-fit

plant 'in-place realloc' 'what lies behind is not told' block.c \
  '/^static uintptr_t expand/,/^}/ s/  set_prev_free(arena, end, 0);//' \
  'a block and the one before it disagree' $model
plant 'in-place realloc' 'the free neighbour is not looked at' block.c \
  '/^static uintptr_t expand/,/^}/ s/if (slab_starting(end) || /if (1 || slab_starting(end) || /' \
  'not so' $unit/strategy.c realloc_grows_into_the_free_neighbour
plant 'in-place realloc' 'a shrunk mapping keeps its size in the table' large.c \
  '/^static void cut_off/,/^}/ s/  registry_resize(mapping, bytes);//' \
  'not so|ended by|SIGSEGV|counters of mappings' $model
plant 'in-place realloc' 'a move copies 8 bytes too few' heap.c \
  's/memcpy(moved, payload, kept);/memcpy(moved, payload, kept - 8);/' \
  'not so: contents_are_kept' $model

plant 'calloc zeroing' 'a block from the cache is not cleared' heap.c \
  's/if (block) return memset(block_payload(block), 0, sum);/if (block) return block_payload(block);/' \
  'not so: blocks\[i\] && all_zero' $unit/contract.c calloc_is_zero_after_reuse_and_trim
plant 'calloc zeroing' 'a reused block is not cleared' heap.c \
  's/if (request->zero) clear_until(payload, request->bytes, wish.zero_from);//' \
  'not so: all_zero' $preload/meaning.c calloc_is_zero_after_split_and_merge
plant 'calloc zeroing' 'a kept mapping passes for a fresh one' large.c \
  's/  \*zeroed = false;/  *zeroed = true;/' \
  'not so: all_zero' $model
plant 'calloc zeroing' 'discarded memory passes for zero' top.c \
  's/^  arena->resident = from;/  arena->resident = arena->fresh = from;/' \
  'not so: ' $fault/kernels.c purged_regions_are_not_zero

plant 'fork handler' 'the lock for new arenas stays taken in the child' arena.c \
  '/^void arenas_after_fork/,/^}/ s/lock_leave_after_fork(&making_lock, child);/if (!child) &/' \
  'hangs' $preload/fork.c a_child_makes_block_heaps
plant 'fork handler' 'the growth lock stays taken in the parent' fork.c \
  's/lock_leave_after_fork(&growth_lock, child);/if (child) &/' \
  'hangs' $preload/fork.c a_thousand_forks_among_busy_threads
plant 'fork handler' 'handlers of others find the locks taken' lock.h \
  's/if (!lock_held_by_me(lock) || !lock->forking || lock->nested) return false;/return false;/' \
  'not so|hangs' $fault/fork.c handlers_may_allocate
plant 'fork handler' 'the heap of the forker is not held in the child' thread.c \
  '/^static void take_along/,/^}/ s/hold_alive(heap);//' \
  'not so: thread_heaps' $preload/fork.c a_forker_that_dies_in_the_child_leaves_its_heap
plant 'fork handler' 'a fork within a fork is not counted down' lock.c \
  's/^    lock->forking--;$//' \
  'not so|hangs' $fault/fork.c forks_in_prepare_handlers
plant 'fork handler' 'a list from before the fork counts as posted' slab.c \
  's/  if (listed) return;/  if (remote_list(old) != LIST_END) return;/' \
  'not so: library_stats' $preload/fork.c a_fork_at_every_instruction_of_a_free_to_the_forker

plant 'bin bitmap' 'the bit of an emptied bin stays' bins.c \
  's/arena->bin_map\[bin \/ 64\] &= .*/{}/' \
  'the bin map and a bin disagree' $model
plant 'bin bitmap' 'bits beyond the first word are forgotten' bins.c \
  's/arena->bin_map\[bin \/ 64\] |= .*/if (bin < 128) &/' \
  'the bin map and a bin disagree' $model

plant alignment 'only 16 whatever was asked' heap.c \
  '/^void \*heap_aligned/,/^}/ s/size_t rounded = round_up(bytes ? bytes : 1, alignment);/size_t rounded = round_up(bytes ? bytes : 1, ALIGNMENT);/' \
  'not so: p && is_aligned' $preload/align.c every_alignment_at_every_size
plant alignment 'a rest of 16 bytes is left behind a block' bins.h \
  's/return rest_too_small ? 0 : at;/(void)rest_too_small; return at;/' \
  'a header was overwritten' $model
plant alignment 'what alignment took too much is not given back' large.c \
  's/  unmap_or_keep(base + bytes, fresh + slack - base);//' \
  'not so' $fault/faults.c mmap_fails

plant 'chunk edge' 'the sentinel is looked for at the very end' top.c \
  's/(struct block \*)((uintptr_t)chunk + chunk->info.end_bytes)/(struct block *)(chunk->info.limit - HEADER_BYTES)/' \
  'ended by|corrupted|not so' $unit/strategy.c chunks_reopen_wherever_they_end
plant 'chunk edge' 'the next chunk begins where a stranger is' region.c \
  's/    if (last_chunk) cap(last_chunk, end);//' \
  'not so|ended by' $preload/limits.c a_stranger_stays_when_the_chunk_behind_goes
plant 'chunk edge' 'a chunk grows beyond its end' region.c \
  's/chunk->info.cap_bytes = CHUNK_BYTES;/chunk->info.cap_bytes = 2 * CHUNK_BYTES;/' \
  'not so|ended by' $large_heap
plant 'chunk edge' 'a break that was moved down is not followed' region.c \
  's/    set_limit(last_chunk, min_size(last_chunk->info.limit, now));/    ;/' \
  'not so|ended by' $preload/limits.c the_free_end_is_taken_by_pages
plant 'chunk edge' 'what the last page holds passes for zero' region.c \
  's/  if (UNLIKELY(now < edge)) memset.*//' \
  'disagree|not so|ended by' $fault/kernels.c
plant 'chunk edge' 'libc is not told of the break' os.c \
  's/  if (moved \&\& &__curbrk) .*//' \
  'not ok [0-9]+ - sbrk' tests/programs/names.t
plant errno 'posix_memalign hides that memory is short' shim.c \
  '/^EXPORT int posix_memalign/,/^}/ s/  if (!payload) return ENOMEM;/  if (!payload) return errno = 0, ENOMEM;/' \
  'not so: p == &anchor && errno == ENOMEM' $preload/meaning.c posix_memalign_rules
plant errno 'an overflowing product is not seen' heap.c \
  's/if (__builtin_mul_overflow(count, bytes, &sum)) sum = SIZE_MAX;/sum = count * bytes;/' \
  'not so' $unit/contract.c overflowing_products_give_null_and_enomem
plant errno 'a shrink that cannot move fails' heap.c \
  's/if (resized || bytes > found.usable) return resized;/return resized;/' \
  'not so: large\[i\]' $fault/kernels.c shrinking_needs_no_memory

plant threshold 'one byte later' heap.c \
  's/bool large = request->bytes >= MMAP_THRESHOLD,/bool large = request->bytes > MMAP_THRESHOLD,/' \
  'not so' $unit/strategy.c small_memory_is_brk_and_large_is_mmap
plant threshold 'the cache of blocks takes what it is not for' cache.h \
  's/return bytes - CACHE_BLOCK_MIN < CACHE_BLOCK_MAX - CACHE_BLOCK_MIN;/return bytes < CACHE_BLOCK_MAX;/' \
  'not so|ended by|disagree|SIG' $model
plant preallocation 'the heap grows by the double' geometry.h \
  's/GROWTH_FACTOR = 4,/GROWTH_FACTOR = 2,/' \
  'failed malloc-growth: the trace differs' tests/run-tests.py --core engine malloc-growth

plant purge 'a page too many' block_meta.h \
  's/return round_up(start + sizeof(struct block) + sizeof(clean_part), page_bytes);/return round_down(start, page_bytes);/' \
  'a header was overwritten|corrupted block|not so|SIG' $model
plant purge 'never' purge.h \
  '/^static inline void settle_dirt/,/^}/ s/if (LIKELY(dirty_bytes(arena) <= DIRTY_MIN)) return;/return;/' \
  'not so: dirty_in_all' $fault/giving.c what_bursts_left_goes_when_blocks_are_freed
plant purge 'young spares go' large.c \
  's/if (age >= most) idle/if (1) idle/' \
  'not so: now.*cached_bytes' $fault/mappings.c spares_grow_old
plant purge 'a large spare is young for ever' large.c \
  's/uint32_t since = low->dirty_bytes >= high->dirty_bytes ? low->since : high->since;/uint32_t since = clock_ms;/' \
  'not so: now.*cached_bytes' $fault/mappings.c the_rest_of_a_spare_grows_old
plant purge 'very much of mappings waits, too' large.c \
  's/return flooded = much .*/return false;/' \
  'not so: resident_bytes' $unit/strategy.c freed_mappings_go_back
plant purge 'current slabs are deaf' slab.c \
  's/due_is_some() \&\& !due_is_busy() ? WAKE_ALWAYS : WAKE_NEVER/WAKE_NEVER/' \
  'not so: dirty_in_all' $fault/giving.c what_bursts_left_goes_when_an_object_comes_and_goes
plant purge 'current slabs are deaf after a burst' slab.c \
  '/^static void rest/,/^}/ { s/take_current(.*/set_wake(slab, WAKE_NEVER);/; s/enqueue(slab);// }' \
  'not so: dirty_in_all' $fault/giving.c what_bursts_left_goes_after_a_burst_of_objects
plant purge 'each free of a busy thread is heard' due.c \
  's/new_tick ? 0 : (uint32_t)min_size(2 \* due_look.pause + 1, FREES_MAX)/0/' \
  'not so: looks' $fault/giving.c who_frees_all_the_time_is_left_alone
plant purge 'mappings that are kept too many' large.c \
  '/^static size_t share/ s/max_size(SPARE_FLOOR, /max_size(1024 * SPARE_FLOOR, /' \
  'not so' $memory/churn.c a_burst_of_mappings_goes_back
plant purge 'a slab gives back a page in use' slab.c \
  's/return whole & ~in_use;/(void)in_use; return whole;/' \
  'not so' $unit/strategy.c trim_gives_back_pages_inside_slabs
plant purge 'a slab may end meanwhile' slab.c \
  '/^static size_t sweep_slab/,/^}/ s/  set_wake(slab, WAKE_NEVER);//' \
  'not so|ended by' $fault/giving.c a_purge_is_interrupted_at_every_call
plant purge 'all of a run at once' purge.c \
  's/if (block_dirty_bytes(block) <= PORTION + RUN_MIN) return/return/' \
  'not so: .*MOST_AT_ONCE' $fault/giving.c a_free_gives_back_a_portion
plant purge 'a trim keeps the lock' purge.c \
  's/calls < CALLS_OF_TRIM && portion < PORTION; calls++/calls >= 0;/' \
  'not so: calls_of_the_trim' $fault/giving.c a_trim_lets_others_in
plant purge 'the place of a round is lost' bins.c \
  's/  if (UNLIKELY(arena->sweep == block)) arena->sweep = next;//' \
  'giving back has lost its place' $fault/giving.c a_free_gives_back_a_portion
plant purge 'the top is said to be resident no more' purge.c \
  's/  arena->clean_bytes += bytes - before;/  arena->clean_bytes += bytes;/' \
  'the counters of an arena are off' $model

plant cache 'an aligned request takes what is not' cache.h \
  's/  return alignment <= ALIGNMENT/  return alignment <= PTRDIFF_MAX/' \
  'not so' $preload/align.c
plant cache 'nothing is given up before fresh memory is touched' cache.c \
  's/if (heap->cached_bytes < keep) return false;/return false;/' \
  'not so: .*PEAKED' $memory/churn.c random_sizes_leave_little_in_the_cache
plant cache 'a share for each thread, not each arena' cache.c \
  's|min_size(limit, max_size(all / threads, CACHE_BYTES_LEAST));|all;|' \
  'not so: cached' $memory/threads.c idle_threads_share_what_they_cache
plant cache 'a block too small passes' cache.h \
  's|if (!cached_fits(\*bin, bytes, alignment)) return NULL;|if (!*bin) return NULL;|' \
  'not so|overwritten|ended by' $model
plant cache 'no bin earns that its blocks become alike' cache.h \
  's/if (\*bin && \*misses < CACHE_MISSES_MAX) ++\*misses;/(void)misses;/' \
  'not so: alike' $unit/strategy.c blocks_of_varying_sizes_become_alike
plant cache 'every bin has earned it' cache.h \
  's/if (LIKELY(heap->cache_misses\[cache_bin(bytes)\] < CACHE_MISSES_MAX)) return bytes;/(void)heap;/' \
  'not so: os_usable_size' $unit/strategy.c blocks_of_one_size_are_not_rounded
plant cache 'never full' cache.h \
  's/if (UNLIKELY(heap->cached_bytes >= heap->cache_limit)) cache_evict(heap);//' \
  'failed malloc-cache: the trace differs' tests/run-tests.py --core engine malloc-cache

plant cache 'what it holds lets it hold more' cache.c \
  's/  size_t used = live_bytes - min_size(live_bytes, heap->cached_bytes);/  size_t used = live_bytes;/' \
  'not so: growth_of' $preload/dl.c allocating_plugins_come_and_go

plant 'class table' 'a class too small' size_class.h \
  's|return 24 + (step - 33) / 4;|return 24 + (step - 34) / 4;|' \
  'not so|ended by' $preload/meaning.c every_small_size_is_aligned_and_large_enough
plant 'class table' 'an object more than a slab holds' block_meta.h \
  's/return SLAB_USABLE \/ slab_object_bytes(slab);/return GRANULE_BYTES \/ slab_object_bytes(slab);/' \
  'a header was overwritten|do not add up|not so' $large_heap

plant 'double free' 'of a block in the cache is not seen' heap.c \
  's/ || block_is_sealed(block)) report_misuse/) report_misuse/; s/ \&\& !block_is_sealed(block);/;/' \
  'not ok [0-9]+ - at_once-5000' tests/crimes/crimes.t
plant 'double free' 'of a mapping is not remembered' large.c \
  's/return !mapping ? LARGE_UNKNOWN : mapping->state == MAPPING_LIVE ? LARGE_LIVE : LARGE_FREED;/return mapping \&\& mapping->state == MAPPING_LIVE ? LARGE_LIVE : LARGE_UNKNOWN;/' \
  'not ok [0-9]+ - at_once-200000' tests/crimes/crimes.t

plant 'short memory' 'nothing is tried when there is none' heap.c \
  's/payload ? payload : allocate_when_short(heap, request)/payload/' \
  'not so' $fault/faults.c mmap_fails
plant 'short memory' 'a trim for every refusal' heap.c \
  's/if (thread_locks || !giving_up_may_help(heap, bytes)) /if (thread_locks) /' \
  'not so' $fault/giving.c a_malloc_that_cannot_succeed_trims_nothing
plant 'short memory' 'what was given back counts' arena.c \
  's/  sys_count_back(arena->clean_bytes - arena->told_bytes);//' \
  'not so: large' env OSMEM_OPTIONS=limit=64M tests/run-one.sh $preload/limits.c what_was_given_back_counts_no_more_after_option_limit_64_mb

plant mappings 'what the kernel refuses is forgotten' large.c \
  '/^static size_t release/,/^}/ { s/  if (gone) registry_resize/  registry_resize/; s/stays = !gone ||/stays =/; }' \
  'not so: .*most >= known' $fault/mappings.c munmap_is_refused_for_a_while
plant mappings 'it is offered to the kernel once' large.c \
  's/for (int calls = 0, refusals = 0; spares->oldest \&\& /for (int calls = 0, refusals = 0; spares->oldest \&\& spares->oldest->dirty_bytes \&\& /' \
  'not so: now\(\).cached_bytes < ' $fault/mappings.c what_was_refused_is_offered_again
plant mappings 'a gigabyte goes back under the lock' large.c \
  's/return lock_is_only(&large_lock);/return false;/' \
  'not so: met >= 8' $fault/mappings.c a_large_free_does_not_hold_the_lock
plant mappings 'a child knows nothing of what was being emptied' large.c \
  's/^    keep_what_was_emptied();//' \
  'not so: fate_of|not so: now\(\).cached_bytes == 0' $fault/mappings.c a_child_gives_back_what_was_being_emptied
plant mappings 'no end to them' large.c \
  's/return mapping_count() >= MAPPINGS_SHARE;/return false;/' \
  'not so: large_live_count' $unit/strategy.c beyond_our_share_large_blocks_are_on_the_heap
plant mappings 'more are unmapped than areas may be cut' large.c \
  's/static bool may_unmap(void) { return .*/static bool may_unmap(void) { return true; }/' \
  'not so: ours < share' $preload/limits.c many_huge_blocks
plant mappings 'a small block is one for its alignment' heap.c \
  's/return request->bytes <= BLOCK_MAX \/ 2 \&\& /return request->alignment <= SMALL_MAX \&\& /' \
  'not so: after.large_allocations' $unit/strategy.c aligned_blocks_are_on_the_heap
plant mappings 'a bucket that is split keeps what goes to the other' registry.c \
  's/    from->first\[edge\] = NULL;/    break;/' \
  'not so|ended by|cannot be found' $fault/kernels.c records_of_mappings_come_in_pieces
plant validator 'used blocks may be in bins' check.c \
  's/if (!block_is_tagged(block) || (block_header(block) & BLOCK_USED) || bin_of/if (!block_is_tagged(block) || bin_of/' \
  'live_in_a_bin' $fault/validator.c every_damage_is_named

# What was wrong once, caught by what knows nothing of it: all short sequences on the tiny heap.
plant 'all sequences' 'a chunk ends where it may once have ended' top.c \
  's/(struct block \*)((uintptr_t)chunk + chunk->info.end_bytes)/(struct block *)(chunk->info.limit - HEADER_BYTES)/' \
  'not so|ended by' build/tiny/exhaustive '32 bytes left'
plant 'all sequences' 'what strangers left behind the break stays there' region.c \
  's/^  if (UNLIKELY(now < edge)) memset.*//' \
  'not so: fresh memory reads as zero' build/tiny/exhaustive 'two arenas'
plant 'all sequences' 'a chunk ends where a stranger left the break' top.c \
  's/round_down(arena->limit, ALIGNMENT) - HEADER_BYTES/arena->limit - HEADER_BYTES/' \
  'not so' build/tiny/exhaustive 'the end of a chunk, strangers'
plant 'the tiny heap' 'a slab that a handler made is forgotten' slab.c \
  's/^  if (UNLIKELY(other != NO_SLAB)) queue_again(other, false);//' \
  'a slab with room is in no heap' build/tiny/fault/faults a_handler_at_every_call
plant 'mail protocol' 'the mail is read whole' slab.h \
  's/MAIL_READ = SIZED(64, 2)/MAIL_READ = 1 << 30/' \
  'not so: before - after' $preload/threads.c no_malloc_reads_a_long_mail
plant 'mail protocol' 'the mail of sleepers is not looked through' thread.c \
  's/ ? 0 : look_through(heap);/ || look_through ? 0 : 1;/' \
  'not so: resident_bytes' $preload/threads.c what_sleepers_made_serves_others
plant 'fork handler' 'handlers are registered during a fork' fork.c \
  's/  bool entered = !left_alone .*/  bool entered = false;/' \
  'hangs|ended by' $preload/fork.c handlers_are_registered_while_others_fork
plant start 'in another namespace the break is ours' symbols.c \
  's/ return false; .. another namespace ../;/' \
  'libosmem.a in a namespace of its own' tests/programs/early.t
plant start 'what may be unloaded is in the list of a thread' thread.c \
  's/!theaps \&\& !image_of_ours_may_go()/!theaps/' \
  'a plugin with the archive goes' tests/programs/early.t
plant 'fork handler' 'who registers before our constructor runs is inside of ours' dynamic.c \
  's/^  start();$//' \
  'hangs' $preload/fork.c locks_of_others_may_be_taken_by_who_allocates
plant 'fork handler' 'births look at what is gone when all heaps are used up' thread.c \
  's/  if (few) inherit/  if (heap \&\& !heap->generation) inherit/' \
  'not so: thread_heaps' $preload/fork.c a_long_line_of_forks_beside_sleepers
plant 'fork handler' 'a heap that was just made anew counts as dead' thread.c \
  's/bool taken = !heap->unused \&\& !theap_is_gone(heap) \&\& hold_dead(heap)/bool taken = hold_dead(heap)/' \
  'not so|double free|write after free|ended by' $preload/fork.c a_heap_made_anew_is_one_threads
plant 'fork handler' 'a heap that a frame looks after is left behind' thread.c \
  's/  for (struct theap .heap = looked_after; heap; heap = heap->below) take_along(heap);//' \
  'hangs|not so|double free|write after free|ended by' $preload/fork.c a_handler_forks_out_of_a_trim_and_has_threads
plant 'fork handler' 'what is left of a mail from before is set aside' slab.c \
  '/^static void push/,/^}/ s/    if (UNLIKELY(mark != mark_now())) return;/    mark = mark_now(), marked = (struct marked *)((uintptr_t)slab | mark);/; s/ \&\& mark == mark_now()//' \
  'not so|ended by|hangs' $preload/fork.c a_fork_out_of_a_handler_while_a_long_mail_is_read
plant 'fork handler' 'a fork of one thread holds what its child never leaves' fork.c \
  's/  if (libc_forks_alone() \&\& !interrupted) return;//' \
  'hangs|ended by' $preload/fork.c a_debugger_goes_on_in_a_child
plant purging 'near the soft limit what others have does not serve' heap.c \
  '/ARENA_WARM_ANYWHERE/d' \
  'not so: most_given_back' $fault/giving.c a_malloc_gives_back_a_portion_where_all_have_arenas
plant purging 'each free that one malloc makes gives back' purge.c \
  's/  if (giving == HAS_GIVEN) return;//' \
  'not so' $fault/giving.c a_malloc_gives_back_a_portion_of_what_sleepers_had
plant 'other allocators' 'the break is moved where another malloc is' os.c \
  's/  if (!sys_malloc_is_ours || !LIBC_SHARES_BREAK) return 0;//' \
  'not ok [0-9]+ - opened by a program that is on another malloc' tests/programs/beside.t
plant symbols 'an address is relocated twice' symbols.c \
  's/  if (lies_in(image, as_it_stands)) return as_it_stands;//; s/return lies_in(image, relocated) ? relocated : NULL;/return lies_in(image, relocated) ? relocated : as_it_stands;/' \
  'not ok [0-9]+ - an executable larger than the address it is loaded at' tests/programs/beside.t
plant 'other allocators' 'a freed mapping is never what glibc has now' heap.c \
  's/state == LARGE_FREED \&\& !foreign_has_memory()/state == LARGE_FREED/' \
  'double free' $preload/dl.c blocks_of_libc_where_a_mapping_was
plant 'other allocators' 'who writes over libc hears nothing' kernel.c \
  's/  if (takes_away \&\& .*//' \
  'not so: heard_remap' $preload/dl.c who_writes_over_libc_hears_what_goes
plant 'large blocks' 'records of older segments do not count' registry.c \
  's/  unused_records += bytes/  unused_records = bytes/; s/  while (unused_records + freed < wanted)/  if (unused_records + freed < wanted)/; s/    if (!add_segment()) return false;/    return false;/' \
  'not so: p' build/tiny/fault/mappings many_threads_map_at_once
plant 'large blocks' 'a copy touches what was not touched' heap.c \
  's/if (found.kind == MAPPING \&\& kept > COPY_MAX)/if (0)/' \
  'not so: p ' $fault/mappings.c a_copy_does_not_touch_what_was_not_touched
plant 'large blocks' 'a copy leaves what others wrote' large.c \
  's/ || !is_zero((const uint64_t .)((uintptr_t)to + at))//' \
  'not so: p ' $fault/mappings.c a_copy_is_whole_where_others_wrote
plant 'large blocks' 'a small free releases all that is too much' large.c \
  's/size_t released = release(spare, left);/size_t released = release(spare, SIZE_MAX);/' \
  'not so: gone' $fault/mappings.c a_small_free_gives_back_a_portion
plant 'the tiny heap' 'pages go up to where the break was' top.c \
  '/^size_t discard_top/,/^}/ s/  follow_break(arena);//' \
  'a stranger.s memory is its own' build/tiny/exhaustive 'two tops'
plant 'large blocks' 'a size is tried each time' heap.c \
  's/  if (just_now \&\& bytes >= .*//' \
  'not so: kernel.seen' $fault/mappings.c what_was_refused_just_now_is_not_tried
plant 'other allocators' 'libc by its handle is libc' dynamic.c \
  's/return found \&\& found == symbol_of_libc(name) ? ours : found;/return ours ? found : NULL;/' \
  'not so: function_of|invalid pointer' $preload/dl.c who_asks_libc_by_its_handle_gets_ours
plant 'other allocators' 'behind us libc is next' dynamic.c \
  's/  if (handle == RTLD_DEFAULT || (handle == RTLD_NEXT \&\& .*$/  if (handle == RTLD_DEFAULT || handle == RTLD_NEXT || caller == name) return NULL;/' \
  'not so|invalid pointer' $preload/dl.c the_next_malloc_is_ours
plant 'other allocators' 'what the loader has is ours, too' dynamic.c \
  's/  return false;/  return symbol_of_libc(name);/' \
  'not ok' tests/programs/beside.t
plant 'large blocks' 'only who frees mappings gives them back' heap.c \
  's/  due_give();//' \
  'not so: portions' $fault/giving.c a_kept_buffer_goes_when_blocks_are_freed
plant 'large blocks' 'who only frees objects keeps mappings' slab.c \
  's/  due_give();//' \
  'not so: portions' $fault/giving.c a_kept_buffer_goes_when_objects_are_freed
plant purging 'nobody comes back to what is free too much' purge.c \
  's/  if (dirty > limit) budget_note_due(DUE_BLOCKS, true);//' \
  'not so: dirty_in_all' $fault/giving.c what_bursts_left_goes_when_blocks_are_freed
plant purging 'nobody comes back to what is in the mail' slab.c \
  's/ % MAIL_IS_MUCH == 0) budget_note_due(DUE_MAIL, true);/ == 0) budget_note_due(DUE_MAIL, true);/' \
  'not so: .*slab_bytes' $fault/giving.c what_others_freed_of_the_dead_goes
plant purging 'a trim collects what an emptied heap has, and leaves it there' thread.c \
  '/^size_t theap_trim(/,/^}/s/  let_go(heap);/  flush(heap);/' \
  'not so: .*slab_bytes' $preload/threads.c a_trim_after_a_trim_reaches_an_ended_thread
plant purging 'no page of a slab goes by age' due.c \
  's/  if (due_look.slabs_left > 0) slab_give_idle(self, now);//' \
  'not so: kernel.discarded' $fault/giving.c pages_of_slabs_that_nobody_takes_from_go
plant purging 'a slab is idle as soon as it is sparse' slab.c \
  's/QUEUE_OLD, QUEUE_IDLE);/QUEUE_YOUNG, QUEUE_IDLE);/' \
  'not so: kernel.discarded' $fault/giving.c pages_of_slabs_in_use_stay
plant purging 'a look at slabs ends by their number alone' slab.c \
  's/ \&\& objects < SWEEP_OBJECTS//' \
  'not so: kernel.discarded' $fault/giving.c slabs_of_many_objects_give_back_few_at_a_time
plant purging 'a slab that serves again lacks pages' slab.c \
  's/^    restore_pages(slab);//' \
  'not so: .*purged == 0' $fault/giving.c a_slab_that_serves_again_is_whole
plant purging 'a swept slab with free pages is given to nobody' slab.c \
  's/  slab = first_queued(heap, size_class, QUEUE_SWEPT);/  slab = first_queued(heap, size_class, QUEUE_IDLE);/' \
  'not so' $fault/giving.c pages_of_slabs_that_nobody_takes_from_go
plant purging 'what was swept once is not looked at again' slab.c \
  's/QUEUE_SWEPT, slab, used \/ 2);/QUEUE_SWEPT, slab, WAKE_EMPTY);/' \
  'not so: kernel.discarded' $fault/giving.c pages_that_come_free_bit_by_bit_go
plant purging 'a free in a wrapped call gives back, too' due.c \
  's/ || due_look.gives) return;/) return;/' \
  'not so: .*deepest == 1' $fault/giving.c a_wrapped_call_that_frees_begins_no_other_round
plant purging 'a parent sweeps what its child has' fork.c \
  's/  slab_note_fork(false);//' \
  'not so: given_back_in.550. < MB' $fault/giving.c what_a_fork_shares_is_not_swept
plant purging 'a child sweeps what its parent has' fork.c \
  's/  slab_note_fork(true);//' \
  'not so: .*status == 0' $fault/giving.c what_a_fork_shares_is_not_swept
plant purging 'who is refused asks for the next slab' slab.c \
  's/  if (!discarded) end_looks(slab->owner);//' \
  'not so: kernel.seen' $fault/giving.c slabs_that_are_locked_are_not_swept
plant purging 'who looks after another heap is to look at its slabs' slab.c \
  's/(many) \&\& owner == self/(many)/' \
  'ended by SEGV' $fault/giving.c who_only_frees_has_no_slabs_to_look_at
plant purging 'an empty slab that cannot go is swept again' slab.c \
  's/let_slab_go(slab, swept ? QUEUE_SWEPT : QUEUE_YOUNG);/let_slab_go(slab, QUEUE_YOUNG);/' \
  'hangs|Alarm clock' $fault/giving.c an_empty_slab_that_cannot_go_keeps_no_trim
plant purging 'a heap that is as new has the queues of before' thread.c \
  '/^static void renew(/,/^}/s/  empty_queues(heap);//' \
  'a queue holds a slab' $preload/fork.c a_handler_forks_out_of_a_trim
plant purging 'a slab counts as sparse when it serves again, too' slab.c \
  's/  if (slab->wake == WAKE_EMPTY) uncount_sparse(slab->owner);//' \
  'not so: rounds_with_looks' $fault/giving.c who_has_no_more_of_them_is_left_alone
plant purging 'what is free as a whole later is not counted' slab.c \
  's/if (UNLIKELY(!listed || .*)) count_mail(owner);/if (!listed) count_mail(owner);/' \
  'not so: .*slab_bytes' $fault/giving.c what_others_freed_of_sleepers_in_any_order_goes
plant purging 'not to what is in the mail of those that live' thread.c \
  's/heap == self ? slab_collect(heap) : visit(heap, flush, slab_release_mail)/take_if_dead(heap) ? flush(heap) + (put_back(heap), 0) : 0/' \
  'not so: .*slab_bytes' $fault/giving.c what_others_freed_of_sleepers_goes
plant purging 'not to what is in the mail of who frees' thread.c \
  's/heap == self ? slab_collect(heap) : visit(/visit(/' \
  'not so: .*slab_bytes' $fault/giving.c what_others_freed_of_the_caller_goes
plant purging 'who comes back comes once' arena.c \
  's/    if (give_idle_of(\(.*\))) budget_note_due(DUE_BLOCKS, true);/    give_idle_of(\1);/' \
  'not so: dirty_in_all' $fault/giving.c what_an_ended_thread_left_goes_when_another_frees
plant purging 'what was wanted meanwhile is idle, too' purge.h \
  's/  if (UNLIKELY(dirty < arena->least_dirty)) arena->least_dirty = dirty;/  (void)dirty;/' \
  'not so: kernel.discarded' $fault/giving.c what_bursts_want_again_stays
plant 'large blocks' 'each free looks at the clock' due.h \
  's/  if (due_look.frees_left > 0)/  if (0)/' \
  'not so: .*clock_looks' $fault/giving.c frees_look_at_the_clock_now_and_then
plant 'large blocks' 'a handler in the library releases mappings' due.c \
  's/if (!new_tick || thread_locks || due_look.gives)/if (!new_tick || due_look.gives)/' \
  'not so: kernel.mapped' $fault/giving.c a_handler_leaves_it_to_others
plant purging 'a run is swept from its end again' purge.c \
  's/clean_part_of(bytes, clean_unit(clean.from), /clean_part_of(bytes, clean_unit(clean.to), /' \
  'not so: kernel.discarded' $fault/giving.c blocks_freed_in_reverse_go_back
plant locking 'who finds its block heap taken sleeps' arena.c \
  's/  if ((other = try_others(own))) return other;/  other = NULL;/' \
  'hangs|not so' $fault/giving.c who_finds_its_heap_taken_takes_from_another
plant locking 'free blocks are not counted' bins.c \
  's/arena->free_blocks + blocks, /arena->free_blocks + 0 * blocks, /' \
  'the counters of an arena are off' $model
plant 'fork handler' 'the books of a child go below nothing' os.c \
  '/^static void conclude/,/^}/ { /bytes_reserved, to - from); .. first/d; s/^    counter_add(&sys_counters.bytes_held, to - from);/&\n    counter_add(\&sys_counters.bytes_reserved, to - from);/ }' \
  'not so: block' $preload/fork.c a_handler_forks_while_a_mapping_goes_back
plant 'fork handler' 'who sleeps for a lock sleeps on' lock.c \
  's/  while (lock_will_come(lock)) {/  if (!lock_will_come(lock)) return false;\n  for (;;) {/' \
  'not so: wait_for' $fault/fork.c a_child_waits_for_nobody
plant 'fork handler' 'a fork waits for the heap with the lock of stdio' fork.c \
  's/  if (!interrupted) patience = PATIENCE_MS;//' \
  'hangs' $preload/fork.c forks_out_of_handlers_in_a_storm
plant lock 'who settles a heap takes on all that comes' arena.c \
  's/--batches == 0 || !has_deferred/!has_deferred/' \
  'not so: times_put_off' $fault/giving.c who_wants_a_heap_settled_is_not_kept_for_ever
plant 'large blocks' 'way is made for what cannot be had' large.c \
  's/  if (over > 0 \&\& is_way_in_vain(bytes)) return;//' \
  'not so: kernel.mapped' $fault/mappings.c what_can_never_be_had_costs_no_spare
plant 'large blocks' 'what is kept has no bound' large.c \
  's/ || far_too_much_is_kept();/;/' \
  'not so: now..\.cached_bytes <= 1024' $fault/mappings.c buffers_of_any_size_are_not_kept
plant 'large blocks' 'what was emptied is joined first' large.c \
  's/  if (done) spare->dirty_bytes = min_size(spare->dirty_bytes, kept);/  if (done) spare->dirty_bytes = min_size(spare->dirty_bytes, kept);\n  keep(spare, spare->dirty_bytes);/' \
  'not so|ended by' $fault/mappings.c what_comes_free_beside_what_is_emptied_is_emptied_first
plant 'large blocks' 'locked pages stay' os.c \
  's/  if (answer == -EINVAL) answer = advise(.*$//' \
  'not so: resident_bytes' $preload/limits.c locked_pages_go_back
plant 'large blocks' 'what cannot be emptied is unmapped at once' large.c \
  's/ \&\& !drop_pages(spare, cut)) cut = min_size(cut, HOLD_BYTES);/) drop_pages(spare, cut);/' \
  'not so: met >= 8 .. most_unmapped' $fault/mappings.c a_filter_refuses_madvise
plant 'fork handler' 'at exit the handlers go' fork.c \
  '/^static void .whose_end/,/^}/ s/  return NULL;/  extern void *__dso_handle __attribute__((visibility("hidden"))); return \&__dso_handle;/' \
  'hangs' $preload/fork.c exit_while_another_thread_forks
plant 'short memory' 'after a vain trim nothing counts as freed' heap.c \
  's/    freed = usage.bytes + much <= usage.most;/    freed = false;/' \
  'not so: p' $preload/limits.c what_was_freed_since_a_vain_request_serves
plant 'short memory' 'what holes held is forgotten' heap.c \
  's/usage.most += __atomic_load_n(&arena->most_used, __ATOMIC_RELAXED);/usage.most += arena_used_bytes(arena);/' \
  'not so: p' $preload/limits.c what_was_freed_after_holes_were_filled_serves
plant 'short memory' 'what is freed during a vain trim is forgotten' heap.c \
  's/^  heap_trim(0);$/  heap_trim(0);\n  set_back_most();/' \
  'not so: has_freed_all' $fault/giving.c what_is_freed_during_a_trim_in_vain_counts
plant 'short memory' 'mail is not read for a refused request' heap.c \
  's/ROUNDS = 64/ROUNDS = 1/' \
  'not so: p' $preload/limits.c what_waits_in_the_mail_after_a_vain_request_serves
plant 'fork handler' 'a library that ends leaves a fork half done' fork.c \
  's/^  if (!image_of_ours_may_go()) return;/  return;/' \
  'not ok [0-9]+ - linked into a library: a process ends while its threads fork|hangs' tests/programs/beside.t
plant purging 'short runs go whatever there is to spend' purge.c \
  's/!arena->long_are_gone \&\& budget_is_rich();/!arena->long_are_gone;/' \
  'not so: goes_within.4. == 0' $fault/giving.c short_runs_go_where_the_budget_is_hardly_used
plant purging 'what is not asked for earns nothing' budget.c \
  '/^bool budget_is_rich/,/^}/ s/  earn(sys_coarse_time());//' \
  'not so: goes_within.300' $fault/giving.c short_runs_go_where_the_budget_is_hardly_used
plant purging 'short runs go although they were wanted again' budget.c \
  's/ \&\& !budget_waits();/;/' \
  'not so: goes_within.7. == 0' $fault/giving.c short_runs_that_are_wanted_again_stay_for_a_while
plant purging 'long runs wait until all short ones were looked at' purge.c \
  's/if (more \&\& arena->long_are_gone/if (false \&\& more/' \
  'not so: goes_within.3.' $fault/giving.c long_runs_do_not_wait_for_short_ones
plant purging 'each thread gives in each tick' due.c \
  's/if (is_first_in(now)) give(now);/give(now);/' \
  'not so: kernel.discarded == after' $fault/giving.c in_a_tick_one_thread_gives_for_all
plant purging 'on a machine that has just started, who never forked did so just now' slab.c \
  's/return then \&\& (int64_t)/return (int64_t)/' \
  'not so: kernel.discarded > SURVIVORS' $fault/giving.c a_slab_that_serves_again_is_whole
plant purging 'who comes and goes reads the clock at each free' slab.c \
  's/due_was_busy() \&\& slab_used/due_is_busy() \&\& slab_used/' \
  'not so: looks > 30' $fault/giving.c an_object_that_comes_and_goes_alone_reads_no_clock
plant arenas 'one other is asked when there is no more' arena.c \
  's/growth == ARENA_WARM ? 1 : arena_count());/1);/' \
  'not so: kernel.seen.MADVISE' $fault/giving.c where_no_more_is_to_be_had_all_heaps_are_asked
plant arenas 'all others are asked each time' arena.c \
  's/growth == ARENA_WARM ? 1 : arena_count());/arena_count());/' \
  'not ok 3' $memory/lines.t
plant purging 'what is locked goes at a free' purge.c \
  's/discard_pages(portion.from, portion.to, arena->sweep_trims)/discard_pages(portion.from, portion.to, true)/' \
  'not so: .*kernel.discarded == 0' $fault/giving.c what_is_locked_goes_for_a_trim_only
plant 'fork handler' 'a handler makes a block heap' arena.c \
  's/!making_lock.nested \&\& //' \
  'not so: arena_count' $fault/fork.c a_handler_makes_no_block_heap
plant 'fork handler' 'a fork gives up its own lock before that of stdio' fork.c \
  's/^  leave_stdio();$/  lock_leave_after_fork(\&atfork_lock, false);\n  leave_stdio();/' \
  'hangs' $fault/fork.c a_fork_leaves_while_another_gives_pages_back
plant 'short memory' 'a look in vain near the soft limit is repeated' heap.c \
  's/is_in_pause(&after_vain, began) ? .* : least + step;/least + step;/' \
  'not so: given_back_for' $fault/giving.c a_look_in_vain_near_the_soft_limit_is_not_repeated
plant 'short memory' 'in a pause after it nothing is looked at' heap.c \
  's/__atomic_load_n(&looked_at, __ATOMIC_RELAXED) + all . PAUSE_SHARE/SIZE_MAX/' \
  'not so: second' $fault/giving.c a_look_in_vain_near_the_soft_limit_is_not_repeated
plant 'short memory' 'mappings that go count as a look' heap.c \
  's/__atomic_store_n(&trimmed_at, held = held_now(), __ATOMIC_RELAXED);/&\n  if (held >= least) __atomic_store_n(\&least_held, held, __ATOMIC_RELAXED);/' \
  'not so: (kernel.discarded|given_back_for)' $fault/giving.c mappings_that_come_and_go_near_the_soft_limit_prevent_no_look
plant 'short memory' 'kept mappings go at each growth near the soft limit' heap.c \
  's/  __atomic_store_n(&trimmed_at, held = held_now(), __ATOMIC_RELAXED);/  held = held_now();/' \
  'not so: kernel.seen' $fault/giving.c a_mapping_that_is_wanted_again_near_the_soft_limit_stays
plant slabs 'the first slab of a class is brought in ahead' block.c \
  's/fills \&\& (owner || end - start <= DENSE_BLOCK_MAX)/owner || end - start <= DENSE_BLOCK_MAX/' \
  'not so: growth' $memory/threads.c a_slab_that_is_hardly_used_is_hardly_there
plant slabs 'what a class has earned passes from thread to thread' thread.c \
  's/^    slab_begin_anew(heap);$//' \
  'not so: growth' $memory/threads.c heaps_do_not_collect_slabs_over_generations
plant mappings 'with twice our share of mappings nothing is unmapped' large.c \
  's/return load(&mappings.MAPPING_LIVE..count) <= 3 . (size_t)MAPPINGS_SHARE;/return mapping_count() <= 2 * (size_t)MAPPINGS_SHARE;/' \
  'not so: now.cached_bytes' $preload/limits.c huge_blocks_come_and_go

# Samples and the guard pool.
sampled='env OSMEM_OPTIONS=profile_rate=256 build/tests/model/model --sampled --seed 8 --ops 60000 --validate 1 --places 64'
plant samples 'weights are those of large blocks' samples.c \
  's|^static double share_of.*|static double share_of(const struct sample *sample) { return (double)sample->rate / (double)(sample->chance_bytes + 1); }|' \
  'not ok .* bytes in use as they are' tests/see/samples.t
plant samples 'a change of the size where it was is not another chance' heap.c \
  's/chosen = usable != found.usable && samples_choose(self, anew ? bytes : grown);/chosen = false;/' \
  'not ok .* (grown_in_place|shrunk|breathing): bytes in use as they are' tests/see/samples.t
plant samples 'what moves keeps its sample' heap.c \
  '/^static COLD void free_sample/,/^}/ s/  take_off_record(payload);//' \
  'not ok .*(bytes in use as they are|at the end)' tests/see/samples.t
plant samples 'a sample has no more room than it asked for' heap.c \
  's/const struct request as_object = {class_bytes_for(request->bytes),/const struct request as_object = {request->bytes,/;s/&& block_usable(block_of(payload)) >= class_bytes_for(sample->chance_bytes)//' \
  'not so|overwritten|ended by' $sampled
plant samples 'a sample that is none any more says that it is one' heap.c \
  '/^static COLD void take_off_record/,/^}/ { /mark_as_sample/d; s/  if (.*) samples_forget/  samples_forget/; }' \
  'not ok .* the heap is whole at any time' tests/see/samples.t
plant samples 'what lies before it takes its mark' bins.h \
  's/header & (BLOCK_BYTES_MASK | BLOCK_SAMPLED)/header \& BLOCK_BYTES_MASK/' \
  'not ok .*(bytes in use as they are|at the end)|not so' tests/see/samples.t
plant samples 'a stack forgets what it had at the peak' samples.c \
  's/^  stack->peak = stack->live;//' \
  'not ok .* and its stacks add up to it' tests/see/samples.t
plant samples 'who freed it is who asked' samples.c \
  's/if (sample->thread != thread_number) //' \
  'not ok .* freed by who asked for it' tests/see/samples.t
plant samples 'a fork does not wait for the tables' fork.c \
  's/^  samples_before_fork(&patience);//;s/^  samples_after_fork(child);//' \
  'not ok .* forks beside threads|hangs' tests/see/samples.t
plant samples 'the first look of a thread is not the last' samples.c \
  's/  if (heap->sampler) slab_begin_samples(heap, NULL);//' \
  'not ok .*(off again|switched on and off)|hangs|ended by' tests/see/samples.t
plant 'guard pool' 'what was freed last is used next' guard.c \
  's/slot->freed < found->freed/slot->freed > found->freed/' \
  'not ok .* late_use_after_free' tests/see/guard.t
plant 'guard pool' 'a page stays open' guard.c \
  '/^void guard_give/,/^}/ s/  close_pages(guarded_page(slot), page_bytes);//' \
  'not ok .* use_after_free' tests/see/guard.t
plant 'guard pool' 'what is beside a block is not looked at' guard.c \
  's/  if (written) report.*//' \
  'not ok .* small_overflow' tests/see/guard.t
plant 'guard pool' 'faults that are not its own are told as if they were' guard.c \
  's/  LIBC_SIGACTION(number, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);/  abort();/' \
  'not ok .* ends as it would have' tests/see/guard.t
plant 'guard pool' 'a signal that was ignored is not any more' guard.c \
  's/ || now.sa_handler != SIG_DFL) return;/) return;/' \
  'not ok .* a signal that is ignored from the start stays so' tests/see/guard.t
plant samples 'a child goes on with what was switched on from outside' samples.c \
  's/.*rate_at_start, __ATOMIC_RELEASE.; .. who switched.*//' \
  'not ok .* a child that is forked meanwhile' tests/see/samples.t
plant samples 'where a stack ends nobody asks' unwind.c \
  's/    if (!is_readable(address)) {/    if (0) {/' \
  'not ok .* a coroutine|ended by' tests/see/samples.t

# Processes that are left alone.
exempt=tests/programs/exempt.t
plant 'left alone' 'the file is whose it may be' exempt.c \
  's/ \&\& status.st_uid == 0//' \
  "not ok .* somebody else's: told" $exempt
plant 'left alone' 'every process looks for the file' exempt.c \
  's/  if (!came_by_file()) return false;//' \
  'not ok .* nothing is opened' $exempt
plant 'left alone' 'a path is taken as it is written' exempt.c \
  's/return executable->has_status .*/return same_name(line, executable->path) \&\& !find_status("", \&named);/' \
  'not ok .* a path that is a link' $exempt
plant 'left alone' 'what the next malloc gave is judged like what libc gave' foreign.c \
  's/^  if (left_alone) return;$//' \
  'not ok .* jemalloc serves who is linked with it' $exempt
plant 'left alone' 'who is before our constructor is served' start.c \
  's/^void start(void) { start_with(NULL); }/void start(void) { start_with((char *[]){NULL}); }/' \
  'not ok .* a library whose constructor is before ours' $exempt
plant 'left alone' 'libc by its handle is still ours' dynamic.c \
  's/bool ours = !left_alone \&\& /bool ours = /' \
  'not ok .* each function of malloc answers as without us' $exempt
