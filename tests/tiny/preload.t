#!/bin/sh
# The tiny heap under programs: threads, forks, signals, the meaning of each call.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/tiny/tiny.sh"

all_of preload/start.c
all_of preload/meaning.c
all_of preload/align.c
all_of preload/cxx.cc
all_of preload/contents.c
all_of preload/signals.c
all_of preload/fork.c a_child_makes_block_heaps
# Left out: two that fill mappings thousands of times, of which this heap keeps next to none (a minute each).
all_of preload/threads.c malloc_in_destructors_of_several_rounds what_the_last_destructor_leaves_is_freed_by_others \
  orphaned_memory_serves_other_sizes
finish
