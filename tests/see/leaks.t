#!/bin/sh
# SPDX-License-Identifier: MIT
# `osmem leaks` and `osmem explain`: what is lost of programs that lose or keep memory in one way each, beside what LeakSanitizer and valgrind say of the same.
. "$(dirname "$0")/../tap.sh"
needs python3
osmem=$top/scripts/osmem
cc=${CC:-cc}

build() { $cc -O0 -g -pthread "$top/tests/see/leaky.c" -o "$@"; }
build leaky || { echo 'Bail out! no fixture'; exit 1; }

# lost FILE: blocks definitely and indirectly lost, as the report in it says.
lost() { sed -n 's/.* bytes in \([0-9,]*\) blocks [di][a-z]* lost$/\1/p' "$1" | tr '\n' ' '; }

# What each of them loses: definitely, indirectly. LeakSanitizer calls all of a ring indirect, and knows no roots in mappings of the program's own. Of a thread that
# ended the others see what is lost; to us its stack, which libc keeps for the next thread, is a mapping like another.
ways='small_blocks 20 0
medium_blocks 5 0
mappings 3 0
a_list 1 9
a_ring 1 6
a_tree 1 30
points_to_itself 1 0
of_a_thread_that_ended 0 0
only_its_end_is_known 1 0
only_unaligned 1 0
by_realloc 1 0
aligned 1 0
a_freed_block_leads_to_it 1 0
all_freed 0 0
by_a_variable 0 0
by_its_inside 0 0
by_a_table 0 0
by_a_key 0 0
by_thread_local 0 0
by_a_stack 0 0
by_stacks_side_by_side 0 0
moved 0 0
freed_at_exit 0 0
lost_in_a_child 0 0
by_a_mapping 0 0'
is 'each way has its line' "$(echo "$ways" | cut -d ' ' -f 1)" "$(./leaky)"

by_osmem() { # at its end; the status says whether anything is lost
  "$osmem" leaks ./leaky "$1" 2>report </dev/null
  status=$?
  echo "$(lost report)$status"
}
by_lsan() { # in all: it has its own idea of what is indirect
  ./sanitized "$1" 2>&1 </dev/null | awk '/^(Direct|Indirect) leak/ { n += $7 } END { print n + 0 }'
}
by_valgrind() { # what only the inside is known of is "possibly lost" to it
  valgrind --leak-check=full --child-silent-after-fork=yes ./leaky "$1" 2>report </dev/null
  sed -n 's/.*\(definitely\|indirectly\) lost: .* bytes in \([0-9,]*\) blocks/\2/p; s/.*no leaks are possible/0 0/p' report | tr '\n' ' '
}

can 'LeakSanitizer' build sanitized -fsanitize=leak && sanitizer=1
can 'valgrind' command -v valgrind && valgrind=1
echo "$ways" >list
while read -r name definite indirect <&3; do
  is "$name" "$(by_osmem "$name")" "$definite $indirect $((definite > 0))"
  case $name in
    by_a_mapping | of_a_thread_that_ended) ;; # to LeakSanitizer it is lost
    *) [ -z "${sanitizer-}" ] || is "$name: as LeakSanitizer says" "$((definite + indirect))" "$(by_lsan "$name")" ;;
  esac
  case $name in
    of_a_thread_that_ended) ;;
    *) [ -z "${valgrind-}" ] || is "$name: as valgrind says" "$definite $indirect " "$(by_valgrind "$name")" ;;
  esac
done 3<list

# The same programs while they run, and as cores.
mkfifo hold
while read -r name definite indirect <&3; do
  rm -f ready
  LD_PRELOAD="$lib" ./leaky "$name" wait <hold >ready &
  pid=$!
  exec 9>hold
  until [ -s ready ]; do sleep 0.05; done
  "$osmem" leaks --every 0.05 "$pid" >report
  is "$name, while it runs" "$(lost report)" "$definite $indirect "
  case $name in
    a_tree | by_a_stack | mappings)
      if can 'a core' command -v gcore; then
        gcore -o core "$pid" >/dev/null 2>&1
        "$osmem" leaks "core.$pid" >report
        is "$name, in a core" "$(lost report)" "$definite $indirect "
      fi ;;
  esac
  exec 9>&-
  wait "$pid"
done 3<list

# Threads that go on, and move what they have: nothing of it is lost.
$cc -O1 -I"$top/include" -pthread "$top/tests/see/holds.c" -o holds "$lib" -Wl,-rpath,"$(dirname "$lib")"
rm -f ready
./holds on <hold >ready &
pid=$!
exec 9>hold
until [ -s ready ]; do sleep 0.05; done
for number in 1 2 3; do
  "$osmem" leaks "$pid" >report
  is "while threads allocate, look $number" "$(lost report)" '0 0 '
done
exec 9>&-
wait "$pid"

# Threads in all kinds of calls: whoever reads their registers interrupts them, and nothing of them changes.
$cc -O2 -D_GNU_SOURCE -pthread "$top/tests/see/waits.c" -o waits
rm -f ready
LD_PRELOAD="$lib" ./waits <hold >ready 2>&1 &
pid=$!
exec 9>hold
until [ -s ready ]; do sleep 0.05; done
for number in 1 2 3 4 5; do
  "$osmem" leaks "$pid" >report
  is "of threads in all kinds of calls, look $number" "$(lost report)" '0 0 '
done
for number in 1 2 3 4 5 6 7 8; do # and whoever ends a look does no harm either
  "$osmem" leaks "$pid" >/dev/null 2>&1 &
  sleep 0.$((number * 4))
  kill -s KILL $!
  wait $! 2>/dev/null
done
exec 9>&-
wait "$pid"
is 'and they went on as if nobody had looked' "$(cat ready)" "$(printf 'ready\nfine')"

# A worker of io_uring, which the kernel lists among the threads: it has no stack, and registers of zeros.
cat >ring.c <<'C'
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
static char *map(int ring, size_t bytes, off_t what) { return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring, what); }
int main(void) {
  static char text[1];
  struct io_uring_params how = {0};
  int ends[2], ring = (int)syscall(SYS_io_uring_setup, 1, &how);
  if (ring < 0 || pipe(ends)) return 77;
  char *queue = map(ring, how.sq_off.array + 64, IORING_OFF_SQ_RING);
  struct io_uring_sqe *entry = (void *)map(ring, sizeof *entry, IORING_OFF_SQES);
  *entry = (struct io_uring_sqe){.opcode = IORING_OP_READ, .flags = IOSQE_ASYNC, .fd = ends[0], .addr = (size_t)text, .len = 1};
  *(unsigned *)(queue + how.sq_off.array) = 0;
  atomic_fetch_add((_Atomic unsigned *)(queue + how.sq_off.tail), 1);
  if (syscall(SYS_io_uring_enter, ring, 1, 0, 0, NULL, 0) != 1) return 77;
  for (int i = 0; i < 9; i++) memset(malloc(1000), 1, 1000);
  puts("ready");
  fflush(stdout);
  return getchar() != EOF;
}
C
$cc -O1 -Wno-unused-result ring.c -o ring
if can 'io_uring' sh -c './ring </dev/null'; then
  rm -f ready
  LD_PRELOAD="$lib" ./ring <hold >ready &
  pid=$!
  exec 9>hold
  until [ -s ready ]; do sleep 0.05; done
  for attempt in 1 2 3 4 5 6 7 8 9; do grep -q '^iou-wrk' /proc/$pid/task/*/comm && break; sleep 0.1; done
  like 'a worker of io_uring is there' "$(cat /proc/$pid/task/*/comm)" '^iou-wrk'
  "$osmem" leaks --every 0.05 "$pid" >report 2>&1
  like 'and stands in no way' "$(cat report)" ' in [89] blocks definitely lost' # the last may still be in a register
  exec 9>&-
  wait "$pid"
fi

# Ends of all kinds.
cat >ends.c <<'C'
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static void *waits(void *unused) { pause(); return unused; }
static void *kept;
static int goes;
static void lose(void) { memset(malloc(1000), 1, 1000), kept = memset(malloc(1000), 2, 1000); } /* registers and frames have the second */
static void *loses_at_last(void *unused) { /* pthread_join() may return before the first thread has ended */
  char text[400] = "";
  while (!strstr(text, ") Z ")) {
    int file = open("/proc/self/stat", O_RDONLY);
    text[read(file, text, sizeof text - 1)] = 0;
    close(file);
  }
  lose();
  return unused;
}
static void *loses_and_ends_all(void *unused) { lose(); while (!__atomic_load_n(&goes, __ATOMIC_ACQUIRE)) {} _exit(5); return unused; }
static void *is_killed_alone(void *unused) {
  struct sock_filter kill_thread = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_THREAD);
  struct sock_fprog any_call = {1, &kill_thread};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &any_call), _exit(6);
  return unused;
}
static void no_thread(void) { /* a process that is made as threads are, and killed before it does anything */
  pid_t made = (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
  if (!made) for (;;) pause();
  kill(made, SIGKILL), waitpid(made, NULL, __WALL);
}
int main(int argc, char **argv) {
  pthread_t thread;
  (void)argc;
  free(malloc(9));
  if (!strcmp(argv[1], "exec")) pthread_create(&thread, NULL, waits, NULL), usleep(50000), execlp("sh", "sh", "-c", "exit 4", NULL);
  if (!strcmp(argv[1], "first")) pthread_create(&thread, NULL, loses_at_last, NULL), pthread_exit(NULL);
  if (!strcmp(argv[1], "both")) pthread_create(&thread, NULL, loses_and_ends_all, NULL), usleep(1000), __atomic_store_n(&goes, 1, __ATOMIC_RELEASE), syscall(SYS_exit, 0);
  if (!strcmp(argv[1], "alone")) pthread_create(&thread, NULL, is_killed_alone, NULL), pthread_join(thread, NULL), lose();
  if (!strcmp(argv[1], "made")) for (int i = 0; i < 3000; i++) no_thread();
  if (!strcmp(argv[1], "abort")) abort();
  if (!strcmp(argv[1], "dump")) { /* whoever writes the core waits for the others */
    setrlimit(RLIMIT_CORE, &(struct rlimit){1 << 20, 1 << 20});
    for (int i = 0; i < 20; i++) pthread_create(&thread, NULL, waits, NULL);
    abort();
  }
  if (!strcmp(argv[1], "told")) pause();
  _exit(5);
}
C
$cc -O0 -pthread ends.c -o ends
ended_by() {
  timeout 60 "$osmem" leaks ./ends "$1" 2>report </dev/null
  status=$?
  echo "$(lost report)$status"
}
is 'a program with threads becomes another' "$(ended_by exec)" '0 0 4'
is 'the first thread ends, another goes on' "$(ended_by first)" '1 0 1'
is 'the first thread ends in the moment in which another ends all, each time' "$(for attempt in 1 2 3 4 5 6 7 8; do ended_by both; done | uniq -c | xargs)" '8 1 0 1'
is 'by _exit' "$(ended_by leaves)" '0 0 5'
can 'seccomp' sh -c './ends alone; [ $? = 5 ]' && is 'one thread is killed, the others go on' "$(ended_by alone)" '1 0 1'
is 'processes that are made as threads are' "$(ended_by made)" '0 0 5'
is 'by a signal' "$(ended_by abort)" '0 0 134'
is 'by a signal, with a core, and threads' "$(ended_by dump)" '0 0 134'
"$osmem" leaks ./ends told 2>report &
for attempt in 1 2 3 4 5 6 7 8 9; do [ "$(ps -o comm= --ppid $!)" = ends ] && break; sleep 0.5; done
kill $!
wait $!
is 'the tool is told to end: so is the command, and the report comes' "$? $(lost report)" '143 0 0 '
is 'no looks' "$("$osmem" leaks --looks 0 $$ 2>&1 | tail -n 1)" "osmem leaks: error: argument --looks: '0' is not a number from 1 on"
finish
