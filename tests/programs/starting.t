#!/bin/sh
# SPDX-License-Identifier: MIT
# How processes are started: short of memory, without a break, without descriptors, through ld.so, preloaded twice.
. "$(dirname "$0")/../tap.sh"
needs python3 strace

maps="$python -c 'print(open(\"/proc/self/maps\").read())'"

active cat cat /proc/self/maps
is 'and not without the preload' "$(grep -c "$lib" /proc/self/maps)" 0

# Address space. The second program asks for more than there is, is refused, frees, and goes on.
cat >refused.py <<'PY'
def hold(bytes_each):
    held = []
    try:
        while len(held) * bytes_each < 4 << 30: held.append(bytearray(bytes_each))
    except MemoryError:
        return "refused" if held else "refused at once"
    return "never refused"

for size in (1 << 20, 20 << 10, 64 << 20):
    print(size, hold(size))
print(len([str(i) for i in range(10000)]))
PY
for megabytes in 64 96 128 256; do
  same "ulimit -v $megabytes MB: ls -l" "ulimit -v $((megabytes << 10)); ls -l /usr"
  same "ulimit -v $megabytes MB: python3" "ulimit -v $((megabytes << 10)); $python -c 'print(len({i: str(i) for i in range(20000)}))'"
done
same 'ulimit -v 256 MB: refused, freed, served again' "ulimit -v 262144; $python refused.py"
same 'ulimit -v raised again by the program itself' "ulimit -S -v 131072; $python -c '
import resource
exec(open(\"refused.py\").read())
resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
print(len(bytearray(300 << 20)))'"

# Data segment. A soft limit of 0 refuses every brk; 16 MB covers private mappings as well.
for limit in '-S -d 0' '-d 16384'; do
  same "ulimit $limit: ls -l" "ulimit $limit; ls -l /usr"
  same "ulimit $limit: python3" "ulimit $limit; $python -c 'print(sum(len(str(i)) for i in range(100000)))'"
  same "ulimit $limit: perl" "ulimit $limit; perl -e 'my %h = map { \$_ => 1 } 1 .. 20000; print scalar(keys %h)'"
done
is 'ulimit -S -d 0: there really is no heap' "$(run heap "$lib" "ulimit -S -d 0; $maps"; cat heap.status; grep -c '\[heap\]' heap.out)" "0
0"
same 'ulimit -S -d 0: 100 MB all the same' "ulimit -S -d 0; $python -c 'print(len([bytearray(3000) for i in range(33000)]))'"

# least -d|-v SCRIPT: the least limit in KB under which SCRIPT ends well without the library, and says nothing (python goes on without what it could not read, at some limits).
least() {
  low=128 high=65536
  while [ $((high - low)) -gt 64 ]; do
    middle=$(((low + high) / 2))
    if said=$( (ulimit "$1" $middle && exec sh -c "exec $2") 2>&1 >/dev/null) && [ -z "$said" ]; then high=$middle; else low=$middle; fi
  done
  echo $high
}
for script in 'ls -l /usr' 'bash -c true' "perl -e 'my %h = map { \$_ => 1 } 1 .. 20000; print scalar(keys %h)'" "$python -c 1"; do
  for option in -d -v; do
    limit=$(least $option "$script")
    ok "ulimit $option $limit KB is enough for glibc, 1 MB more for us: $(basename "${script%% *}")" \
      sh -c "ulimit $option $((limit + 1024)) && export LD_PRELOAD='$lib' && exec $script"
  done
done

# Layout of the address space.
can 'ulimit -s unlimited' sh -c 'ulimit -s unlimited' && {
  same 'ulimit -s unlimited: python3' "ulimit -s unlimited; $python -c 'print(len([bytearray(5000) for i in range(20000)]))'"
  same 'ulimit -s unlimited: ls, sort' 'ulimit -s unlimited; ls -l /usr | sort'
}
can 'setarch -R' setarch -R true && same 'setarch -R: ls, python3' "setarch -R ls -l /usr; setarch -R $python -c 'print(len([bytearray(5000) for i in range(20000)]))'"
can 'setarch -L' setarch -L true && same 'setarch -L: ls, python3' "setarch -L ls -l /usr; setarch -L $python -c 'print(len([bytearray(5000) for i in range(20000)]))'"
loader=$(for each in /lib64/ld-linux*.so.* /lib/ld-linux*.so.*; do "$each" /bin/true 2>/dev/null && echo "$each" && break; done)
if can 'through ld.so' test -n "$loader"; then
  active 'a program started through ld.so' "$loader" /bin/cat /proc/self/maps
  same 'ld.so ls' "$loader /bin/ls -l /usr"
  same 'ld.so python3' "$loader $python -c 'print(len([bytearray(5000) for i in range(20000)]))'"
  is 'ld.so --preload' "$("$loader" --preload "$lib" /bin/cat /proc/self/maps | grep -q "$lib" && echo active)" active
fi

# Descriptors: none kept, none written to.
same 'no descriptor more' 'ls /proc/self/fd'
same 'no thread more' "grep Threads /proc/self/status"
same 'no standard stream open' 'ls -l / >&- 2>&- <&-; echo $?; cat /dev/null >&- 2>&- <&-; echo $?'
same 'the lowest descriptors are free' "$python -c 'import os; os._exit(10 + os.open(\"/\", os.O_RDONLY))' >&- 2>&- <&-; echo \$?"
same 'a program that closes every descriptor' "$python -c '
import os
os.closerange(3, 1000)
data = [bytearray(5000) for i in range(20000)]
print(os.open(\"/\", os.O_RDONLY), len(data))'"

# A program that lets only some system calls through to its children (some allocators make others, and man prints nothing).
if can 'man, under its own filter' command -v man; then
  awk 'BEGIN { print ".TH page 1\n.SH NAME\npage \\- a page"; for (i = 0; i < 3000; i++) print ".PP\nParagraph " i " of \\fBmany\\fR." }' >page.1
  same 'man, under its own filter' 'man -P cat ./page.1 | cksum; man -P cat ./page.1 | grep -c Paragraph'
fi

# The preload itself.
same 'listed twice' 'ls -l /usr; cat /proc/self/status | head -n 1' "$lib $lib"
cp "$lib" twin.so
same 'two copies under two names' "ls -l /usr; $python -c 'print(len([bytearray(5000) for i in range(20000)]))'" "$tmp/twin.so:$lib"

# Options that are none are named in a line each that says what there is, and the others are heard all the same.
forms='off=0|1, stats=0|1, limit=SIZE, soft=SIZE|cgroup, populate=0|1, thp=0|1, deepbind=0|1, profile=PREFIX, profile_rate=SIZE, guard=0|1'
refused() { echo "osmem: OSMEM_OPTIONS: cannot use \"$1\"; there are $forms, with commas between, a SIZE as 64M or 1G, 0 for none; help says more"; }
is 'options that nobody knows' "$(preloaded env 'OSMEM_OPTIONS=stats=1x,none=1,, stats= ,limit=1G,stats' true 2>&1)" \
  "$(for text in stats=1x none=1 stats= stats; do refused $text; done)"
sizes='limit=1g, limit=1GiB ,soft=1gb,limit=1T,limit=0,limit=123456789,limit=18446744073709551615, ,'
is 'sizes as people write them' "$(preloaded env "OSMEM_OPTIONS=$sizes" true 2>&1)" ''
wrong='limit= limit=K limit=B limit=-1 limit=0x10 limit=1.5G limit=18446744073709551616 limit=16777216T limit=1iB limit=1MM soft=none stats=2 stats=on =1 Limit=1G'
is 'and those that are none' "$(preloaded env "OSMEM_OPTIONS=$(echo $wrong | tr ' ' ,)" true 2>&1)" "$(for text in $wrong; do refused $text; done)"
garbage=$(printf 'limit=1\n\033[2J\377')
is 'garbage is one line of plain text' "$(preloaded env "OSMEM_OPTIONS=$garbage" true 2>&1)" "$(refused 'limit=1??[2J?')"
garbage=$(printf %02000d 0)
is 'and a short one' "$(preloaded env "OSMEM_OPTIONS=$garbage" true 2>&1)" "$(refused "$(printf %063d 0)...")"

# Statistics at exit.
stats() { preloaded env OSMEM_OPTIONS=stats=1 "$@"; }
first_line() { "$@" 2>&1 >/dev/null | head -n 1; }
like 'stats=1: a table from python3' "$(first_line stats "$python" -c 1)" '^osmem'
like 'stats=1: from ls, which closes stderr at exit' "$(first_line stats ls)" '^osmem'
is 'stats=1: each line says what it counts' "$(stats true 2>&1 | grep -Ec '^osmem: .* process|blocks of +in use +bytes +held|bytes in slabs|of heap, slabs incl|freed mappings|held at once|calls +brk|asked of the kernel|heaps of their own')" 9
is 'stats=1: the output of the program is as before' "$(stats ls /usr 2>/dev/null)" "$(ls /usr)"
is 'stats=1: the exit status is as before' "$(stats sh -c 'exit 7' 2>/dev/null; echo $?)" 7
is 'no stats, no word on stderr' "$(preloaded ls 2>&1 >/dev/null)" ''
# Limits of our own, and those of a container: a mount namespace with a cgroup file of ours shows that they are found.
like 'limit=100M: python gets a MemoryError and goes on' "$(preloaded env OSMEM_OPTIONS=limit=100M "$python" -c '
blocks = []
try:
    while True: blocks.append(bytearray(1000000))
except MemoryError:
    count = len(blocks)
    blocks = None
    print(count, len(bytearray(50000000)))')" '^(9[0-9]|10[0-4]) 50000000$'
is 'limit=0: none' "$(preloaded env OSMEM_OPTIONS=limit=0 "$python" -c 'print(len(bytearray(200000000)))')" 200000000
in_cgroup() { # COMMAND, with a limit of 32 MB on every hierarchy's root
  unshare -m sh -c 'mount -t tmpfs none /sys/fs/cgroup && mkdir /sys/fs/cgroup/memory && echo 33554432 >/sys/fs/cgroup/memory.max &&
    echo max >/sys/fs/cgroup/memory.high && exec "$@"' sh "$@"
}
bursts="$top/build/tests/preload/limits bursts_go_back_after_option_soft_32_mb"
if can 'soft=cgroup' in_cgroup true; then
  ok 'soft=cgroup: bursts go back near the limit' in_cgroup env LD_PRELOAD="$lib" OSMEM_OPTIONS=soft=cgroup $bursts
  is 'soft=cgroup: without a limit they need not' "$(in_cgroup sh -c 'echo max >/sys/fs/cgroup/memory.max; exec "$@"' sh \
    env LD_PRELOAD="$lib" OSMEM_OPTIONS=soft=cgroup $bursts >/dev/null 2>&1; echo $?)" 1
fi
# cgroup v1 as Kubernetes has it: a dozen hierarchies with the whole path in each, memory's late; and a path longer than any that can be opened.
pod=/kubepods/burstable/pod01234567-89ab-cdef-0123-456789abcdef/$(printf %064d 0)
for name in pids cpuset hugetlb net_cls,net_prio blkio freezer cpu,cpuacct perf_event devices rdma name=systemd; do echo "9:$name:$pod"; done >groups
{ echo "8:long:$(printf %09000d 0):memory:/"; echo "4:memory:$pod"; echo '0::/'; } >>groups
in_pod() { # COMMAND, with a limit of 32 MB on its group
  unshare -m sh -c 'mount -t tmpfs none /sys/fs/cgroup && mkdir -p "/sys/fs/cgroup/memory$0" &&
    echo 33554432 >"/sys/fs/cgroup/memory$0/memory.limit_in_bytes" && mount --bind groups /proc/$$/cgroup && exec "$@"' "$pod" "$@"
}
if can 'soft=cgroup: v1, long paths' in_pod true; then
  ok 'soft=cgroup: v1, long paths' in_pod env LD_PRELOAD="$lib" OSMEM_OPTIONS=soft=cgroup $bursts
fi
is 'no file is opened for limits unless asked' "$(strace -f -qq -e trace=openat env LD_PRELOAD="$lib" true 2>&1 | grep -c cgroup)" 0
ok 'stats=1 with stderr closed from the start' sh -c "LD_PRELOAD='$lib' OSMEM_OPTIONS=stats=1 exec ls >/dev/null 2>&-"
stats "$python" -c 'import os; os.open("mine", os.O_CREAT | os.O_WRONLY); os._exit(0)' 2>&-
is 'stats=1: a file that got descriptor 2 stays empty' "$(wc -c <mine)" 0
like 'stats=1 and no descriptor for it: told, and a table all the same' "$( (ulimit -n 64; stats true 2>&1) | tr '\n' ' ')" \
  '^osmem: stats=1: no descriptor for a copy of stderr.* osmem: statistics'
is 'stats=1 and nobody listens: the exit status is as before' "$("$python" -c '
import os, subprocess, sys
reader, writer = os.pipe()
os.close(reader)
print(subprocess.run(["true"], stderr=writer, env={"LD_PRELOAD": sys.argv[1], "OSMEM_OPTIONS": "stats=1"}).returncode)' "$lib")" 0

# A daemon closes all descriptors, and what it opens then has their numbers. Not a byte of ours goes into what it opened.
cat >daemon.py <<'PY'
import os, random, sys
kind, seed = sys.argv[1], int(sys.argv[2])
choose = random.Random(seed)
def data(i): return os.open("data%d" % i, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
if kind == "above":
    os.closerange(3, 1000)
if kind == "all":
    os.closerange(0, 1000)
if kind == "copy":
    os.dup2(data(0), 100)
if kind == "random":
    os.dup2(2, 50)
    for i in range(30):
        at = choose.choice([0, 1, 2, 2, 50, 100, 100, 101])
        if choose.random() < 0.5: os.dup2(data(i), at)
        elif at != 50: os.close(os.dup2(50, at))
else:
    for i in range(120): data(i)
PY
daemon() { # KIND SEED: "tables on stderr, bytes in data"
  rm -f data* err
  LD_PRELOAD="$lib" OSMEM_OPTIONS=stats=1 "$python" daemon.py "$@" >/dev/null 2>err || echo "status $?"
  echo "$(grep -c '^osmem: statistics' err) tables, $(cat data* | wc -c) bytes"
}
is 'stats=1: a daemon that closes all but the standard streams' "$(daemon above 0)" '1 tables, 0 bytes'
is 'stats=1: one that closes those as well' "$(daemon all 0)" '0 tables, 0 bytes'
is 'stats=1: a file in the place of our copy' "$(daemon copy 0)" '1 tables, 0 bytes'
is 'stats=1: descriptors opened and closed at random' "$(for seed in 1 2 3 4 5 6 7 8 9 10; do daemon random $seed; done | grep -vc ', 0 bytes')" 0
finish
