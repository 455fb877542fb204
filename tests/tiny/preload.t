#!/bin/sh
# SPDX-License-Identifier: MIT
# The tiny heap under programs: threads, forks, signals, the meaning of each call.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/tiny/tiny.sh"

# Left out: it reads whole granules of 32 KiB.
all_of preload/start.c nothing_leads_to_the_canary
all_of preload/meaning.c
all_of preload/align.c
all_of preload/cxx.cc
all_of preload/contents.c
all_of preload/signals.c
# Left out: three arenas are all there are; a child takes over two slabs at a time, seldom of the class it wants; forks that wait, as most do
# here, for a thread that was halted while it has a lock; two unused heaps are few enough, and eight are born at once.
all_of preload/fork.c a_long_line_of_forks_beside_sleepers a_child_makes_block_heaps a_child_uses_what_was_free_in_other_threads a_fork_at_many_instructions_of_another_thread
# Left out: heaps of the dead are found in a table of sixteen places; a mail is read by two slabs at a time, so no malloc reads for long; two that fill mappings thousands of times, of which this heap keeps next to none (a minute each).
all_of preload/threads.c malloc_in_destructors_of_several_rounds what_the_last_destructor_leaves_is_freed_by_others \
  orphaned_memory_serves_other_sizes no_malloc_posts_a_long_mail births_beside_idle_threads_at_other_places
finish
