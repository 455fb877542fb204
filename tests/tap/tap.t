#!/bin/sh
# SPDX-License-Identifier: MIT
# The verbs of tap.sh: each of them can fail, and does when it should.
. "$(dirname "$0")/../tap.sh"

# A test of its own in a process of its own: gives its TAP. $0 leads it to tap.sh.
trial() { ${within-} sh -c '. "$(dirname "$0")/../tap.sh"
  '"$1" "$top/tests/tap/tap.t" 2>/dev/null; }
refuses() { like "refuses $1" "$(trial "$2; finish")" '^not ok 1 '; }
accepts() { like "accepts $1" "$(trial "$2; finish")" '^ok 1 - x$'; }

accepts 'equal runs' "same x 'echo a'"
refuses 'another output' "same x 'echo \${LD_PRELOAD-}'"
refuses 'another status' "same x 'echo a; test -z \"\${LD_PRELOAD-}\"'"
refuses 'a crash under the library' "same x 'echo a; test -z \"\${LD_PRELOAD-}\" || kill -SEGV \$\$'"
refuses 'a script that fails in both runs' "same x 'echo a; false'"
refuses 'a script that prints nothing' "same x true"
refuses 'a script that hangs' "patience=1; same x 'echo a; sleep 100'"
refuses 'a library that ld.so cannot preload' "same x 'echo a' /no/library.so"
refuses 'a program that runs without the library' 'active x env -u LD_PRELOAD cat /proc/self/maps'
accepts 'a command that succeeds' 'ok x true'
refuses 'a command that fails' 'ok x false'
refuses 'a wrong value' 'is x 1 2'
refuses 'a wrong text' 'like x abc ^b'
like 'an impossible case is a visible skip' "$(trial 'can x false; finish')" '^ok 1 - x # SKIP not possible here: false$'
is 'an aborted test has no plan' "$(trial 'pass x; exit' | grep -c '^1\.\.')" 0
is 'a failure shows in the exit status' "$(trial 'fail x; finish' >/dev/null; echo $?)" 1
pid=$(trial 'start sleep 100 >/dev/null; echo $!')
ok 'processes end with their test' sh -c "! kill -0 $pid"
folder=$(trial 'pwd')
ok 'folders too' test ! -e "$folder"

# A test can run what it builds, wherever TMPDIR leads.
mkdir 'a space' noexec
built() { TMPDIR=$1 trial 'printf "#!/bin/sh\necho built\n" >it; chmod +x it; ./it; pwd' | tr '\n' ' '; }
for folder in "$tmp/a space" "$tmp/none"; do like "with TMPDIR=$folder" "$(built "$folder")" "^built $top/build/tmp/"; done
noexec() { unshare -m sh -c 'mount -t tmpfs -o noexec,size=1m none noexec && "$@"' sh "$@"; }
can 'where TMPDIR forbids that' noexec true && like 'where TMPDIR forbids that' "$(within=noexec built "$tmp/noexec")" "^built $top/build/tmp/"
like 'no library, no run' "$(OSMEM_LIB=/no/library.so trial finish)" '^Bail out!'
finish
