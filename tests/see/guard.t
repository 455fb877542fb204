#!/bin/sh
# SPDX-License-Identifier: MIT
# The guard pool: each misuse told, with where it happened, who asked for the block and who freed it; and nothing told, or hurt, of what is right.
. "$(dirname "$0")/../tap.sh"
needs python3
osmem=$top/scripts/osmem
${CC:-cc} -O1 -g -pthread "$top/tests/see/guarded.c" -o guarded || { echo 'Bail out! no fixture'; exit 1; }
ulimit -c 0

# guarded WAY: what the program says; its status in $status.
guarded() {
  preloaded env OSMEM_OPTIONS=guard=1,profile_rate=200 ./guarded "$1" >said 2>&1
  status=$?
}

# told WAY ERE STACKS: the first line, and who of the program is in the stacks.
told() {
  guarded "$1"
  is "$1: ends" "$status" 134
  like "$1: in one line" "$(head -n 1 said)" "^osmem: $2 of 100 bytes at 0x[0-9a-f]+\$"
  "$osmem" explain said >named
  is "$1: stacks" "$(awk '/^  [a-z]/ { sub(/ by.*/, ":"); print $0 } /guarded\.c/ && $1 != "main" { print $1 }' named | xargs)" "$3"
}

told use_after_free 'guard: use after free: 0x[0-9a-f]+ is 40 bytes inside a block' \
  'here: use_after_free asked for: asks from_pool use_after_free freed: frees use_after_free'
told late_use_after_free 'guard: use after free: 0x[0-9a-f]+ is 40 bytes inside a block' \
  'here: late_use_after_free asked for: asks from_pool late_use_after_free freed: frees late_use_after_free'
told overflow 'guard: overflow: 0x[0-9a-f]+ is 28 bytes behind a block' 'here: overflow asked for: asks from_pool overflow'
told underflow 'guard: underflow: 0x[0-9a-f]+ is 1 bytes before a block' 'here: underflow asked for: asks from_pool underflow'
told small_overflow 'free: overflow, seen late: 0x[0-9a-f]+ is 5 bytes behind a block' 'here: frees small_overflow asked for: asks from_pool small_overflow'
told double_free 'free: double free: 0x[0-9a-f]+ is 0 bytes inside a block' \
  'here: frees double_free asked for: asks from_pool double_free freed: frees double_free'
told invalid_free 'free: invalid pointer: 0x[0-9a-f]+ is 16 bytes inside a block' 'here: frees invalid_free asked for: asks from_pool invalid_free'
told use_after_free_elsewhere 'guard: use after free: 0x[0-9a-f]+ is 0 bytes inside a block' \
  'here: use_after_free_elsewhere asked for: asks from_pool use_after_free_elsewhere freed: frees frees_and_ends'
like 'and by which thread' "$(cat said)" '^  freed by thread 2:$'
guarded use_in_child
like 'in a child' "$(cat said)" '^osmem: guard: use after free: 0x[0-9a-f]+ is 0 bytes inside a block of 100 bytes'

# ---- a program's own handler -------------------------------------------------------------

guarded own_handler
is 'what is its own reaches it' "$(cat said), $status" "the program's own handler: 11 1, 5"
guarded own_handler_and_use_after_free
is 'so does a use after free' "$(cat said), $status" "the program's own handler: 11 0, 5"
guarded calls_and_use_after_free
like 'who calls what was there before has it told' "$(cat said)" '^osmem: guard: use after free'
is 'once' "$(grep -c 'first' said), $status" '1, 134'
for way in calls_at_a_fault_of_its_own puts_back_what_was_there puts_back_by_signal no_handler sent; do
  guarded $way
  is "$way: ends as it would have" "$status" 139
done
"$python" -c 'import signal, subprocess, sys; signal.signal(signal.SIGSEGV, signal.SIG_IGN); subprocess.run(sys.argv[1:])' \
  env LD_PRELOAD="$lib" OSMEM_OPTIONS=guard=1,profile_rate=1K "$python" -c 'import signal; print(signal.getsignal(signal.SIGSEGV) == signal.SIG_IGN)' >said
is 'a signal that is ignored from the start stays so' "$(cat said)" True
preloaded env OSMEM_OPTIONS=guard=1,profile_rate=1K "$python" -c 'import faulthandler, ctypes; faulthandler.enable(); ctypes.string_at(16)' >said 2>&1
is 'faulthandler: one traceback' "$?, $(grep -c 'Fatal Python error' said)" '139, 1'
guarded ignored
is 'a signal that is ignored' "$(cat said), $status" 'done, 0'

# ---- what is right -----------------------------------------------------------------------

guarded all_is_well
is 'nothing is told of what is right' "$(cat said), $status" 'done, 0'
can 'pages that mprotect() closes' strace -qq -e trace=madvise -e inject=madvise:error=EINVAL true && {
  strace -f -qq -o calls -e trace=mprotect,madvise -e inject=madvise:error=EINVAL -E LD_PRELOAD="$lib" -E OSMEM_OPTIONS=guard=1,profile_rate=200 ./guarded all_is_well >said 2>&1
  is 'a kernel without MADV_GUARD_INSTALL: nothing is told of what is right' "$(cat said)" done
  like 'pages are closed by mprotect()' "$(cat calls)" 'mprotect\(0x[0-9a-f]+, 4096, PROT_NONE\) += 0'
  strace -f -qq -o calls -e trace=mprotect,madvise -e inject=madvise:error=EINVAL -E LD_PRELOAD="$lib" -E OSMEM_OPTIONS=guard=1,profile_rate=200 ./guarded use_after_free >said 2>&1
  like 'and what is wrong is' "$(cat said)" '^osmem: guard: use after free: 0x[0-9a-f]+ is 40 bytes inside a block of 100 bytes'
}
same 'a program under it' 'perl -e "my %h; \$h{\$_} = \"x\" x (\$_ % 300) for 1 .. 50000; delete \$h{\$_ * 3} for 1 .. 10000; print scalar(keys %h), qq(\n)"'
is 'the same with guard=1' "$(preloaded env OSMEM_OPTIONS=guard=1,profile_rate=1K perl -e 'my %h; $h{$_} = "x" x ($_ % 300) for 1 .. 50000; delete $h{$_ * 3} for 1 .. 10000; print scalar(keys %h), "\n"')" "$(cat plain.out)"
finish
