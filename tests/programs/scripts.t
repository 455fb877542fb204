#!/bin/sh
# SPDX-License-Identifier: MIT
# The scripts and the install as users meet them: through links, with wrong arguments, interrupted, under any umask.
. "$(dirname "$0")/../tap.sh"

unset MAKEFLAGS MAKELEVEL MFLAGS

# answer CMD...: its status, and all that it says, in one line.
answer() {
  "$@" >"$tmp/out" 2>&1 </dev/null
  echo "$? $(tr '\n' ' ' <"$tmp/out")"
}

# ---- arguments, the same for each ----

for script in run.sh record.sh strace-compare.sh; do
  case $script in strace-compare.sh) failed=2 unknown=2 forbidden=2 ;; *) failed=125 unknown=127 forbidden=126 ;; esac
  like "$script --help" "$(answer "$top/scripts/$script" --help)" "^0 $script .*CMD"
  like "$script without a command" "$(answer "$top/scripts/$script")" "^$failed $script: which command"
  like "$script with an unknown option" "$(answer "$top/scripts/$script" --nonsense true)" "^$failed $script: --nonsense: no option"
  like "$script and no such command" "$(answer "$top/scripts/$script" no-such-command)" "^$unknown $script: no-such-command: no such command $"
  like "$script and a shell's builtin" "$(answer "$top/scripts/$script" cd /)" "^$unknown $script: cd: only the shell"
  like "$script and what is no program" "$(answer "$top/scripts/$script" -- /etc/passwd)" "^$forbidden $script: /etc/passwd: not a program"
  [ "$script" = record.sh ] ||
    like "$script without a library" "$(OSMEM_LIB=$tmp/none.so answer "$top/scripts/$script" false)" "^$failed $script: no library at $tmp/none.so"
done
for script in scripts/setup.sh scripts/demo.sh tests/run.sh scripts/bench.py build/record/replay; do
  case $script in tests/run.sh | *.py | */replay) failed=2 ;; *) failed=125 ;; esac
  like "$script --help" "$(answer "$top/$script" --help)" "^0 .*${script##*/} "
  like "$script with an unknown option" "$(answer "$top/$script" --nonsense)" "^$failed .*--nonsense"
done
like 'run.sh --verify wants a number' "$(answer "$top/scripts/run.sh" --verify)" '^2 run.sh: --verify wants'
like 'run.sh --verify of nobody' "$(answer "$top/scripts/run.sh" --verify 0)" '^2 osmem: no process 0 '
like 'run.sh --verify of what is no number' "$(answer "$top/scripts/run.sh" --verify self)" '^2 osmem: self: not the number'
is 'run.sh hands the status on' "$(answer "$top/scripts/run.sh" -- sh -c 'exit 7')" '7 '

# ---- from anywhere ----

mkdir bin other
ln -s "$top/scripts/run.sh" bin/osmem-run
ln -s "$top/scripts/strace-compare.sh" bin/compare
like 'through a symbolic link' "$(cd other && answer ../bin/osmem-run cat /proc/self/maps)" '^0 .*libosmem'
like 'with CDPATH' "$(cd "$top" && CDPATH=$tmp answer scripts/run.sh cat /proc/self/maps)" '^0 .*libosmem'
if can 'a comparison through a symbolic link' strace -qq -o /dev/null true; then
  like 'a comparison through a symbolic link' "$(OSMEM_LIB='' answer bin/compare true)" '^[01] call .*total'
fi

# ---- whose malloc is it ----

# who WHAT STATUS WHOSE CMD...: of a process that has begun to wait, run.sh --verify says so.
cat >waits.c <<'C'
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
int main(int count, char **name)
{
  void *volatile block = malloc(10);
  if (count > 1) mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, open(name[1], O_RDONLY), 0);
  free(block);
  fclose(fopen("waits", "w"));
  return pause();
}
C
who() {
  what=$1 wanted=$2
  shift 2
  rm -f waits
  start "$@"
  until [ -e waits ] || ! kill -0 $! 2>/dev/null; do sleep 0.05; done
  held=$(ps -o pid= --ppid $! || echo $!)
  like "verify: $what" "$(answer "$top/scripts/run.sh" --verify $held)" "$wanted"
  kill $!
}
cat >other.c <<'C'
#include <stddef.h>
static char pool[1 << 20];
static size_t used;
void *malloc(size_t size) { return pool + (used += (size + 15) & ~15ul); }
void free(void *block) { (void)block; }
C
cc -O1 waits.c -o waiting && cc -O1 -fno-builtin -shared -fPIC other.c -o other.so
yes='^0 process [0-9]+: osmem is active $'
who 'preloaded' "$yes" env LD_PRELOAD="$lib" ./waiting
who "the C library's" '^1 .*not active: malloc is that of /[^ ]*libc' ./waiting
who "somebody's who stands before us" "^1 .*: malloc is that of $tmp/other.so" env LD_PRELOAD="$tmp/other.so:$lib" ./waiting
who 'a program that has the file mapped, and no more' '^1 .*: malloc is that of /[^ ]*libc' ./waiting "$lib"
if [ -f "$top/libosmem.a" ]; then
  cc -O1 waits.c -o archived "$top/libosmem.a"
  who 'linked from the archive' "$yes" ./archived
  for static in -static -static-pie; do
    can "verify: linked with $static" cc "$static" -O1 waits.c -o whole "$top/libosmem.a" && who "linked with $static" "$yes" ./whole
  done
fi

# ---- record.sh ----

record() { "$top/scripts/record.sh" "$@"; }
mkdir -p sub '%p'
is 'record.sh: children in other folders record where they were told' "$(record -o %p.trace sh -c 'cd sub && perl -e 1' 2>&1 | grep -c '^[0-9]*.trace: .*perl, [1-9]')" 1
is 'and nowhere else' "$(ls sub)" ''
is 'record.sh: %p in the name of a folder' "$(record -o %p/x%p perl -e 1 2>&1 | grep -c '^%p/x[0-9]*: .*perl, [1-9]')" 1
like 'record.sh: no such folder, told before the run' "$(answer record -o none/x sh -c 'echo it ran')" '^125 record.sh: .*/none: no folder that you may write to $'
like 'record.sh: a folder that takes no file, though it is writable' "$(answer record -o /proc/x sh -c 'echo it ran')" '^125 record.sh: /proc: no folder that you may write to $'
like 'record.sh: -o alone' "$(answer record -o)" '^125 record.sh: -o wants'
is 'record.sh hands standard input on' "$(echo text | record -o in%p cat 2>/dev/null)" text
like 'record.sh: python is told of its own pool' "$(PYTHONMALLOC='' record -o py "$python" -c 1 2>&1 | tr '\n' ' ')" 'with PYTHONMALLOC=malloc'
printf 'int main(void) { return 0; }\n' | cc -static -x c -o static - 2>ok.out
if can 'a static program' ./static; then
  like 'record.sh: what cannot be recorded is told' "$(answer record -o st ./static)" '^0 record.sh: nothing was recorded: is ./static static'
fi

like 'record.sh: a folder for a name' "$(answer record -o sub/ true)" '^125 record.sh: .*/sub/: a folder'
like 'osmem record' "$(answer "$top/scripts/osmem" record -o by-osmem perl -e 1)" '^0 by-osmem: .*perl, [1-9]'
like 'osmem replay' "$(answer "$top/scripts/osmem" replay --stats by-osmem)" '^0 .*ops [1-9]'
is 'record.sh without standard input' "$(record -o closed sh -c 'exit 3' <&- 2>/dev/null; echo $?)" 3

# interrupted SIGNAL PERL: a signal to record.sh alone, or for INT one to all as a terminal sends it, once perl runs; the command ends, the list comes.
interrupted() {
  env --default-signal=INT setsid "$top/scripts/record.sh" -o "by$1-%p" perl -e "$2"' open F, ">child"; print F $$; close F; sleep 60' >list 2>&1 &
  leader=$!
  started="$started $leader"
  until [ -s child ] || ! kill -0 "$leader" 2>/dev/null; do sleep 0.05; done
  case $1 in TERM) kill -s TERM "$leader" ;; INT) kill -s INT -- "-$leader" ;; esac
  ended "$leader"
  interrupted="$status $(tr '\n' ' ' <list)$(kill -0 "$(cat child)" 2>/dev/null && echo 'still runs')"
  rm -f child
}
interrupted TERM ''
like 'record.sh and SIGTERM' "$interrupted" '^143 byTERM-[0-9]*: .*perl, [1-9][0-9]* calls $'
interrupted INT ''
like 'record.sh and ^C' "$interrupted" '^130 byINT-[0-9]*: .*perl, [1-9][0-9]* calls $'
interrupted TERM 'use POSIX; $SIG{TERM} = sub { POSIX::_exit(4) };'
like 'record.sh and a command that ends by itself when told to' "$interrupted" '^4 byTERM-[0-9]*: .*perl, '

# ---- replay ----

replay() { "$top/build/record/replay" "$@"; }
for wrong in '--rounds 0' '--rounds -1' '--window 0' '--window 99999999999999999999' '--rounds 2x'; do
  like "replay $wrong" "$(answer replay $wrong py)" "^2 replay: $wrong: wants a number from 1 to [0-9]+ $"
done

ok 'osmem run: its output is closed' sh -c '"$0" run true >&-' "$top/scripts/osmem"
is 'osmem with its output closed: no traceback' "$("$top/scripts/osmem" stats "$PPID" 2>&1 >&- | grep -c Traceback)" 0

# ---- bench.py ----

bench() { "$top/scripts/bench.py" "$@"; }
for wrong in '--runs 0' '--runs x' '--json /none/x' '--html /none/x' '--only (' '--allocators none' '--allocators x=/none' '--env none:A=b'; do
  like "bench.py $wrong: told before anything is measured" "$(answer bench --set patterns $wrong)" "^2 .*error: (argument )?${wrong%% *}:? "
done
like 'bench.py: no such compiler' "$(CC=no-such-cc answer bench --set memory --only trivial)" '^1 .*CC=no-such-cc: no such compiler $'
like 'bench.py: a compiler that fails' "$(CC=false answer bench --allocators osmem --set memory --only trivial)" '^1 false does not compile [^ ]*/launch.c in '
like 'bench.py: a trace that is none' "$(answer bench --allocators osmem --set traces --trace py /etc/passwd)" '^1 replay: /etc/passwd: not a trace'
like 'bench.py through a symbolic link' "$(ln -s "$top/scripts/bench.py" bin/bench && answer bin/bench --set traces --trace py --runs 1 --allocators "ours=$lib" --html page.html)" \
  '^0 .* py +[0-9.]+ +[0-9.]+ '
like 'its page says when, where and how often' "$(cat page.html)" "<h1>.*<p>$(date +%Y)-[0-9-]+ .* [0-9]+ processors, Linux [^ ]+, .* Medians of 1 interleaved runs[.]"
is 'bench.py: ^C in the midst of the turns loses none' "$(PYTHONPATH=$top/scripts "$python" -c '
import bench, itertools
turns = itertools.chain([{"cpu": 1}, {"cpu": 2}, {"cpu": 3}], itertools.repeat(None))
class Interrupted:
    def run(self, *_):
        sample = next(turns)
        if not sample:
            raise KeyboardInterrupt
        return sample
print(bench.measure(Interrupted(), None, {"a": "", "b": ""}, 5, False))')" "{'a': [{'cpu': 1}, {'cpu': 3}], 'b': [{'cpu': 2}]}"
setsid "$top/scripts/bench.py" --set memory --runs 1 --only 'trivial|5 s after bursts, large, 100 ' --allocators glibc,"ours=$lib" >table 2>list &
leader=$!
started="$started $leader"
until grep -q ' 2/2 ' list || ! kill -0 "$leader" 2>/dev/null; do sleep 0.1; done
sleep 0.5
kill -s TERM "$leader" # a shell has what it starts in the background ignore SIGINT
ended "$leader"
is 'bench.py and SIGTERM, as ^C: its status' "$?" 130
like 'what was measured is shown' "$(tr '\n' ' ' <table)" ' trivial process, dirty +[1-9][0-9]+ +[1-9][0-9]+ '
is 'and no more' "$(grep -c 'bursts' table)" 0

# ---- the tests themselves ----

"$top/tests/run.sh" programs/suites & # start's timeout would kill it after 5 s, before the tests have cleaned up where all is slow
runner=$!
started="$started $runner"
session() { # of the prove among the runner's descendants
  ps -eo pid=,ppid=,sid=,args= --sort=pid | awk -v runner=$runner 'BEGIN { ours[runner] } $2 in ours { ours[$1]; if (/prove --jobs/) { print $3; exit } }'
}
until [ -n "$(session)" ] || ! kill -0 $runner 2>/dev/null; do sleep 0.05; done
sleep 1 # some way into it
session=$(session)
kill $runner
ended $runner
is 'tests/run.sh and SIGTERM: its status' "$status" 130
is 'and nothing goes on' "$(ps -o args= -s "${session:-none}")" ''

# ---- install ----

(umask 077 && make -s -C "$top" install PREFIX="$tmp/inst") >ok.out 2>&1
is 'what is installed is for all, whatever the umask' "$(find inst -type f ! -perm -444 -o -type d ! -perm -555)" ''
like 'a relative PREFIX is refused' "$(answer make -s -C "$top" install PREFIX=inst2)" '^2 .*must be absolute'
like 'a PREFIX with a space is refused' "$(answer make -s -C "$top" install PREFIX="$tmp/a b")" '^2 .*must have no spaces'
is 'and nothing is installed by halves' "$(ls -d "$tmp/a" "$tmp/a b" "$top/inst2" 2>/dev/null)" ''
cat >lines.cc <<'CC'
#include <cstdio>
#include <fstream>
#include <string>
int main() {
  std::ifstream maps("/proc/self/maps");
  std::string line;
  while (std::getline(maps, line))
    if (line.find("libosmem") != line.npos) return puts("ours"), 0;
  return puts("not ours"), 0;
}
CC
libs=$(sed -n "s/^Libs: //p" inst/lib/pkgconfig/osmem.pc | sed "s|\${libdir}|$tmp/inst/lib|")
c++ -Wl,--as-needed lines.cc -o lines $libs >ok.out 2>&1
is 'a program that names no function of ours has the library, by the words of osmem.pc' "$(LD_LIBRARY_PATH=$tmp/inst/lib ./lines)" ours
rm -f inst/lib/libosmem.so
if can 'and the archive' c++ -static lines.cc -o lines -ldl; then
  c++ -static lines.cc -o lines $libs >ok.out 2>&1
  is 'and the archive' "$(nm -C lines | grep -c ' T os_malloc$')" 1
fi
like 'the command that is installed runs what is installed' "$(unset OSMEM_LIB; answer inst/bin/osmem run cat /proc/self/maps)" "^0 .* $tmp/inst/lib/libosmem.so"
is 'and records, and makes the calls again' "$(inst/bin/osmem record -o inst.trace perl -e 1 2>&1 | grep -c '^inst.trace: .*perl, [1-9]') $(inst/bin/osmem replay --stats inst.trace | grep -c '^ops [1-9]')" '1 1'
like 'and looks for leaks' "$(unset OSMEM_LIB; answer inst/bin/osmem leaks perl -e 1)" '^[01] osmem leaks: perl -e 1: [0-9,]+ bytes in [1-9]'
if can "gdb's commands where they are installed" command -v gdb; then
  like "gdb's commands where they are installed" "$(gdb -nx -batch -ex "source $(find inst -name '*-gdb.py')" -ex 'osmem heap' 2>&1)" 'no process and no core'
fi
(unset OSMEM_LIB; exec inst/bin/osmem run sleep 60) &
for attempt in 1 2 3 4 5 6 7 8 9; do inst/bin/osmem verify $! >/dev/null 2>&1 && break; sleep 0.2; done
like 'and draws with what is installed' "$(answer inst/bin/osmem map --html page.html $!)" '^0 page.html: '
kill $!
make -s -C "$top" install PREFIX="$tmp/inst" && make -s -C "$top" uninstall PREFIX="$tmp/inst"
is 'make uninstall leaves nothing' "$(find inst ! -type d)" ''

# ---- man pages ----

names() { sed -n "$1" "$2" | sort; }
is 'osmem(3) has each function of osmem.h' "$(names 's/^\.Fn \(os_[a-z_]*\).*/\1/p' "$top/scripts/man/osmem.3" | sort -u)" \
  "$(grep -v '^ \*' "$top/include/osmem.h" | grep -o '\bos_[a-z_]*(' | tr -d '(' | sort -u)"
is 'osmem(7) has each option' "$(names 's/^\.It Cm \([a-z_]*\) Ns.*/\1/p' "$top/scripts/man/osmem.7" | sort -u)" \
  "$(names 's/^ *{"\([a-z_]*\)", .*parse_.*/\1/p' "$top/src/options.c")"
if can 'man pages' command -v mandoc; then
  is 'the man pages are well-formed' "$(mandoc -T lint -W warning "$top"/scripts/man/* 2>&1)" ''
fi
if can 'man shows them' command -v man; then
  same 'man shows them on osmem' "man -l '$top/scripts/man/osmem.3'; man -l '$top/scripts/man/osmem.7'"
fi

# ---- make ----

mkdir tree && cp -r "$top/Makefile" "$top/src" "$top/include" "$top/scripts" tree/ && mkdir tree/tests && cp "$top"/tests/*.h "$top"/tests/*.mk tree/tests/ &&
  (cd "$top/tests" && cp --parents ./*/*.mk "$tmp/tree/tests")
compiles() { make -C tree "$@" build/kernel.o | grep -c 'kernel\.c'; }
is 'make compiles once, and again for other flags' "$(compiles) $(compiles CFLAGS=-O1) $(compiles CFLAGS=-O1) $(compiles) $(compiles "CFLAGS=-O1 -DX='a b'")" '1 1 0 0 1'
# What it is not made for is told in a sentence, before a header that is missing.
refuses() { like "make CFLAGS=$1" "$(make -C tree CFLAGS="$1" libosmem.so 2>&1 | grep -m 1 error:)" "target[.]h:[0-9:]+ error: #error \"osmem is $2"; }
refuses -m32 'for 64-bit Linux'
refuses -std=c99 'C11'
make -s -C tree CFLAGS='-O2 -flto' LDFLAGS=-flto libosmem.so >ok.out 2>&1
is 'the library works if link-time optimisation was asked for' "$(LD_PRELOAD=$tmp/tree/libosmem.so sh -c 'echo it runs')" 'it runs'
is 'and has its names' "$(nm -D tree/libosmem.so | grep -c 'cfree@GLIBC')" 1
finish
