#!/bin/sh
# SPDX-License-Identifier: MIT
# scripts/strace-compare.sh itself: its verdicts, and that it never takes no answer for a good one.
. "$(dirname "$0")/../tap.sh"
needs python3

compare() { env OSMEM_LIB="$lib" "$top/scripts/strace-compare.sh" "$@" >report 2>&1; }
verdict() { compare "$@"; echo $?; }
# What the shell does only when the library is preloaded.
only_osmem() { echo 'case ${LD_PRELOAD-} in *'"$lib"') '"$1"' ;; esac'; }

is 'usage: no command' "$(verdict)" 2
is 'usage: unknown option' "$(verdict --nonsense true)" 2
if ! can 'comparisons under strace' strace -qq -o /dev/null true; then finish; fi

is 'no such command is no answer' "$(verdict ./no-such-command)" 2
is 'different exit statuses are no answer' "$(verdict sh -c "$(only_osmem 'exit 3')")" 2
ours=$lib lib=$top/tests/tap.sh
is 'an unmapped library is no answer' "$(verdict true)" 2
lib=$ours
compare sh -c 'env -i /bin/true'
like 'programs that did not get the library are named' "$(cat report)" '^strace-compare.sh: ran without the library [(].*[)]: /bin/true$'
like 'more calls are a 1' "$(verdict sh -c "$(only_osmem 'ls; ls; ls; ls')")" '^1$'
like 'fewer calls are a 0' "$(verdict sh -c "case \${LD_PRELOAD-} in *$lib) ;; *) ls; ls; ls; ls ;; esac")" '^0$'

compare --tsv sh -c 'cat /dev/null | cat | cat'
is 'each of four programs maps the library with one open' "$(awk '$1 == "library" && $2 == "openat" { print $4 }' report)" 4
is 'and makes it read-only once at most' "$(awk '$1 == "library" && $2 == "mprotect" && $4 > 4' report)" ''
is 'the total is the sum' "$(awk '$1 == "memory" { g += $3; o += $4 } $1 == "total" { print g - $3, o - $4 }' report)" '0 0'

# A signal to the script alone, while the command runs.
start "$top/scripts/strace-compare.sh" sh -c 'echo $$ >pid; exec sleep 600'
until [ -s pid ]; do sleep 0.05; done
for script in $(ps -o pid= --ppid $!); do kill "$script"; done
ended $!
is 'SIGTERM ends it at once, with no answer' "$status" 2
ok 'and the command' timeout "$patience" sh -c 'while kill -0 "$0"; do sleep 0.1; done 2>/dev/null' "$(cat pid)"

# counts LIBRARY: of `true` plain and with LIBRARY, two numbers each: mmap, the total, ld.so's own mmaps.
counts() {
  (lib=$(readlink -f "$1") && compare --tsv true)
  awk '$1 $2 ~ /^(memorymmap|totaltotal|loadermmap)$/ { print $3, $4 }' report
}
build() { printf '%s\n' "$2" | cc -shared -fPIC -x c -o "$1" -; }

if can "what is ld.so's and what a library's" build empty.so ''; then
  set -- $(counts empty.so)
  is 'an empty library costs the program nothing' "$2 $4" "$1 $3"
  like 'ld.so takes memory for itself in both runs' "$5 $6" '^[1-9][0-9]* [1-9]'
  loader="$5 $6"

  # ld.so keeps copies of a library's name: 3000 bytes do not fit what is left of its page.
  deep=$(for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do printf '%0200d/' 0; done)
  mkdir -p "$deep" && cp empty.so "$deep"
  set -- $(counts "$deep/empty.so")
  ok "a page more for ld.so's lists is ld.so's" test "$6" -gt "$5"
  is "and not the program's" "$2 $4" "$1 $3"

  build taker.so '#include <sys/mman.h>
    __attribute__((constructor)) static void take(void) {
      mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }'
  set -- $(counts taker.so)
  is "an anonymous mmap by a library's constructor is the library's" "$2 $4" "$(($1 + 1)) $(($3 + 1))"
  is "and not ld.so's" "$5 $6" "$loader"
fi

compare -v sh -c 'echo the output of the command'
like '-v shows the output and other calls' "$(tr '\n' ' ' <report)" 'the output of the command.*total .*execve'
finish
