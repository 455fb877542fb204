#!/bin/sh
# SPDX-License-Identifier: MIT
# Processes that are left alone: by OSMEM_OPTIONS=off=1, by a line of /etc/osmem/exempt.conf under /etc/ld.so.preload, or since there can be no
# heap. They do as without the library, and whoever looks from outside is told so.
. "$(dirname "$0")/../tap.sh"
. "$top/tests/fixtures.sh"
needs python3 strace g++
osmem="$top/scripts/osmem"

off() { env LD_PRELOAD="$lib" OSMEM_OPTIONS=off=1 "$@"; }

# ---- all that is asked of malloc ---------------------------------------------------------------------------------------

# What it prints tells one malloc from another: usable sizes, what is free in all, which library a function is from.
cat >works.cc <<'CC'
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <initializer_list>
#include <new>

static size_t sum;
static void *passed[8][1000];

static void note(const char *what, void *block) { printf("%s %zu\n", what, malloc_usable_size(block)); }

/* Each frees what the one before it allocated. */
static void *work(void *which)
{
  size_t me = (size_t)which;
  for (int i = 0; i < 1000; i++) {
    free(passed[(me + 7) % 8][i] ? __atomic_exchange_n(&passed[(me + 7) % 8][i], nullptr, __ATOMIC_ACQ_REL) : nullptr);
    char *block = (char *)malloc((i * 37 + me) % 3000);
    block = (char *)realloc(block, i * 100 + 1);
    block[i * 100] = 'x';
    free(__atomic_exchange_n(&passed[me][i], block, __ATOMIC_ACQ_REL));
    delete[] new int[i + 1];
  }
  return nullptr;
}

static void in_threads()
{
  pthread_t threads[8];
  for (size_t i = 0; i < 8; i++) pthread_create(&threads[i], nullptr, work, (void *)i);
  for (int i = 0; i < 20; i++)
    if (fork() == 0) {
      pthread_atfork([] {}, [] {}, [] {});
      free(malloc(100000));
      _exit(0);
    }
  for (auto thread : threads) pthread_join(thread, nullptr);
  int ended_well = 0;
  for (int i = 0, status; i < 20; i++) ended_well += wait(&status) > 0 && status == 0;
  printf("children %d\n", ended_well);
}

struct alignas(256) Wide { char bytes[300]; };

static void in_cxx()
{
  struct { void *made; void (*unmake)(void *); } made[] = {
      {new char, [](void *p) { delete (char *)p; }},
      {new char[100], [](void *p) { delete[] (char *)p; }},
      {new (std::nothrow) int, [](void *p) { operator delete(p, std::nothrow); }},
      {new Wide, [](void *p) { delete (Wide *)p; }},
      {new Wide[3], [](void *p) { delete[] (Wide *)p; }},
      {operator new(0), [](void *p) { operator delete(p, (size_t)0); }},
  };
  for (auto &each : made) note("new", each.made), each.unmake(each.made);
  try {
    note("never", operator new((size_t)1 << 62));
  } catch (std::bad_alloc &) {
    puts("bad_alloc");
  }
  printf("nothrow %d\n", operator new((size_t)1 << 62, std::nothrow) == nullptr);
}

static void note_aligned(const char *what, void *block, size_t alignment)
{
  printf("%s %zu %d\n", what, malloc_usable_size(block), (size_t)block % alignment == 0);
  free(realloc(block, 5000));
}

static const char *from(void *address)
{
  Dl_info info;
  if (!address || !dladdr(address, &info)) return "?";
  return strrchr(info.dli_fname, '/') ? strrchr(info.dli_fname, '/') + 1 : info.dli_fname;
}

int main()
{
  for (size_t bytes : {0, 1, 24, 25, 100, 1000, 1024, 1025, 5000, 100000, 200000, 3000000}) {
    void *block = malloc(bytes), *zero = calloc(bytes, 1);
    note("malloc", block), note("calloc", zero);
    for (size_t i = 0; i < bytes; i++) sum += ((char *)zero)[i];
    for (size_t to : {10, 1000, 200000, 2000, 1, 300000}) note("realloc", block = realloc(block, to));
    printf("freed %d\n", realloc(zero, 0) == nullptr), free(block);
  }
  void *block = nullptr;
  for (size_t alignment = 16; alignment <= 1 << 16; alignment *= 4) {
    printf("answer %d\n", posix_memalign(&block, alignment, 100)), note_aligned("posix_memalign", block, alignment);
    note_aligned("memalign", memalign(alignment, 3000), alignment);
    note_aligned("aligned_alloc", aligned_alloc(alignment, alignment * 2), alignment);
  }
  note_aligned("valloc", valloc(100), 4096), note_aligned("pvalloc", pvalloc(5000), 4096);
  errno = 0;
  void *none = malloc((size_t)1 << 62), *many = reallocarray(nullptr, (size_t)1 << 40, sum + (1 << 30));
  printf("%d %d errno %d, EINVAL %d\n", none == nullptr, many == nullptr, errno, posix_memalign(&block, 24, 1));
  free(nullptr), note("nothing", nullptr);
  in_cxx();
  void *held = malloc(50000);
  printf("mallinfo2 %d\n", mallinfo2().uordblks >= 50000), printf("mallinfo %d\n", mallinfo().uordblks >= 50000);
  void *large = malloc(5000000);
  printf("large %zu of %d\n", mallinfo2().hblks, mallinfo2().hblkhd >= 5000000), free(large);
  free(held);
  printf("mallopt %d\n", mallopt(M_MMAP_THRESHOLD, 1000)), note("as told", held = malloc(2000)), free(held);
  char *text;
  size_t length;
  FILE *file = open_memstream(&text, &length);
  printf("malloc_info %d", malloc_info(1, file)), printf(" %d", malloc_info(0, file)), fclose(file);
  printf(" %d\n", strstr(text, "<size from=") != nullptr || strstr(text, "<unsorted") != nullptr), free(text);
  fflush(stdout), dup2(1, 2), malloc_stats();
  in_threads();
  printf("malloc_trim %d\n", malloc_trim(0) >= 0);
  void *libc = dlopen("libc.so.6", RTLD_LAZY);
  printf("libc's malloc is of %s\n", from(dlsym(libc, "malloc")));
  printf("sum %zu\n", sum);
}
CC
# What malloc_stats() counts is how much stdio and ld.so have, which is what differs.
unsteady='s/\(bytes *=\).*/\1/'
g++ -std=gnu++17 -O1 -Wno-deprecated-declarations -fno-builtin works.cc -o works -lpthread -ldl || fail 'the program compiles'
same_off() { # WHAT CMD...: the same as without the library, and not the same as with it
  what=$1
  shift
  "$@" >plain 2>&1 && sed -i "$unsteady" plain
  off "$@" >got 2>&1 && sed -i "$unsteady" got
  is "$what" "$(cat got)" "$(cat plain)"
}
same_off 'off=1: each function of malloc answers as without us' ./works
is 'which is not how ours does' "$(preloaded ./works 2>&1 | sed "$unsteady" | cmp -s - plain; echo $?)" 1
like 'stats=1 says so at exit' "$(env LD_PRELOAD="$lib" OSMEM_OPTIONS=stats=1,off=1 true 2>&1)" "^osmem: process [0-9]+ is left alone \(OSMEM_OPTIONS=off=1\)$"
is 'no word on stderr without' "$(off true 2>&1)" ''
is 'off=0 is none' "$(preloaded env OSMEM_OPTIONS=off=1,off=0,stats=1 true 2>&1 | head -n 1 | tr -d 0-9)" 'osmem: statistics of process '
is 'no profile is written' "$(env LD_PRELOAD="$lib" OSMEM_OPTIONS=off=1,profile=left ./works >/dev/null 2>&1; ls left* 2>/dev/null)" ''

make_text text 100000
for script in 'ls -lR /usr/share/doc | head -n 3000 | cksum' 'sort -k2,3 -S 1M text | cksum' "bash -c 'for i in {1..200}; do list[i]=\$(echo \$i); done; echo \${list[@]}'" \
  "perl -e 'my %h; \$h{\$_ % 977} .= \$_ for 1 .. 100000; print length(\$h{\$_}), \"\\n\" for sort keys %h' | cksum" \
  "$python -c 'import json; print(len(json.dumps({str(i): [i] * (i % 50) for i in range(20000)})))'"; do
  run plain '' "$script"
  run with "$lib" "export OSMEM_OPTIONS=off=1; $script"
  is "off=1: ${script%% *}" "$(cat with.out with.err with.status)" "$(cat plain.out plain.err plain.status)"
done

# Another malloc that the program is linked with is the next one, not libc's.
cat >usable.c <<'C'
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
  void *aligned = aligned_alloc(64, 64), *moved = realloc(malloc(1), 9);
  printf("%zu %zu %zu\n", malloc_usable_size(malloc(1)), malloc_usable_size(moved), malloc_usable_size(aligned));
  free(aligned), free(moved);
  return 0;
}
C
if can 'with jemalloc' cc -fno-builtin usable.c -o with-jemalloc -Wl,--no-as-needed -l:libjemalloc.so.2; then
  cc -fno-builtin usable.c -o usable
  is 'off=1: jemalloc serves who is linked with it' "$(off ./with-jemalloc)" "$(./with-jemalloc)"
  ./with-jemalloc >jemalloc.out
  is 'which libc does not' "$(./usable | cmp -s - jemalloc.out; echo $?)" 1
  is 'off=1: and who is preloaded behind us' "$(off env LD_PRELOAD="$lib libjemalloc.so.2" ./usable)" "$(cat jemalloc.out)"
  is 'off=1: and before us' "$(off env LD_PRELOAD="libjemalloc.so.2 $lib" ./usable)" "$(cat jemalloc.out)"
fi

# The functions of osmem.h, too.
cat >own.c <<'C'
#include <stdio.h>
#include <malloc.h>
#include <string.h>
#include "osmem.h"
int main(void)
{
  struct os_stats stats, none = {0};
  char *block = os_realloc(os_calloc(10, 10), 500000), *aligned = os_aligned_alloc(4096, 100);
  os_free(os_reallocarray(os_malloc(1), 30, 30));
  printf("%d %d %d\n", os_usable_size(block) == malloc_usable_size(block) && mallinfo2().hblkhd + mallinfo2().uordblks > 500000, block[99], (unsigned long)aligned % 4096 == 0);
  os_get_stats(&stats, sizeof stats);
  stats.arenas--; /* the first is there without anything in it */
  printf("%d %d %d\n", memcmp(&stats, &none, sizeof stats), os_check(), os_trim(0));
  os_free(os_realloc(block, 0)), os_free(aligned);
  return 0;
}
C
cp "$lib" libosmem.so.0 && cc -fno-builtin -I"$top/include" own.c -o own -L. -l:libosmem.so.0 -Wl,-rpath,"$tmp"
is 'off=1: os_malloc and its kin; there are no statistics' "$(OSMEM_OPTIONS=off=1 ./own)" '1 0 1
0 1 0'

# The first request of all may come before our constructor.
cat >first.c <<'C'
#include <stdlib.h>
static void *early;
__attribute__((constructor)) static void take(void) { early = realloc(malloc(10), 1000); }
void give(void) { free(early); }
C
cat >second.c <<'C'
void give(void);
int main(void) { give(); return 0; }
C
cc -shared -fPIC -Wl,-z,initfirst first.c -o libfirst.so && cc second.c -o second -L. -lfirst -Wl,-rpath,"$tmp"
like 'a library whose constructor is before ours has libc'"'"'s, too' "$(env LD_PRELOAD="$lib" OSMEM_OPTIONS=off=1,stats=1 ./second 2>&1)" 'is left alone'
like 'and ours otherwise' "$(preloaded env OSMEM_OPTIONS=stats=1 ./second 2>&1)" 'statistics'
if can 'with libosmem.a' test -f "$top/libosmem.a"; then
  cc -fno-builtin usable.c "$top/libosmem.a" -o archive -lpthread && cc -static -fno-builtin usable.c "$top/libosmem.a" -o static -lpthread
  is 'off=1: the archive in a program' "$(OSMEM_OPTIONS=off=1 ./archive)" "$(./usable)"
  like 'a wholly static program has no other malloc, and says so' "$(OSMEM_OPTIONS=off=1 ./static 2>&1)" '^osmem: off=1: this program has no other malloc'
  is 'and goes on' "$(OSMEM_OPTIONS=off=1 ./static 2>/dev/null)" "$(./static)"
fi

# ---- where there can be no heap ---------------------------------------------------------------------------------------

# A kernel with pages of 12 KiB, of 128 KiB, or none that are known. (Real ones have a power of two up to 64 KiB.)
cat >pages.c <<'C'
#define _GNU_SOURCE
#include <stdlib.h>
#include "real_kernel.h"
long kernel_call(long number, const uintptr_t arguments[6]) { return real_kernel_call(number, arguments); }
extern char **environ;
unsigned long kernel_auxval(unsigned long type)
{
  const char *page = type == AT_PAGESZ ? getenv("PAGE") : NULL;
  return page ? strtoul(page, NULL, 10) : real_kernel_auxval(type);
}
#include "usable.c"
C
if can 'pages of other sizes' test -f "$top/build/unity.o"; then
  for how in '' -static; do cc $how -O1 -fno-builtin -I"$top/tests" -I. pages.c "$top/build/unity.o" -o pages$how -lpthread -ldl || fail "pages$how compiles"; done
  for page in 12288 131072; do
    is "pages of $page bytes: told, and libc's malloc serves" "$(PAGE=$page ./pages 2>&1)" \
      "osmem: pages of a size that it does not know: the C library's own malloc serves this process
$(./usable)"
    PAGE=$page run ended '' ./pages-static
    is "a wholly static program ends" "$(grep osmem ended.err; kill -l "$(cat ended.status)")" \
      "osmem: pages of a size that it does not know: and this program has no other malloc
ABRT"
  done
  for page in 4096 65536; do is "pages of $page bytes are known" "$(PAGE=$page ./pages 2>&1)" "$(./static)"; done
fi

# ---- told to who looks ------------------------------------------------------------------------------------------------

answer() { "$@" 2>&1; echo "status $?"; }
env LD_PRELOAD="$lib" OSMEM_OPTIONS=off=1 sleep 60 &
pid=$! started="$started $!"
until "$osmem" verify "$pid" 2>&1 | grep -q 'left alone'; do kill -0 "$pid" || break; sleep 0.1; done
seen="process $pid is left alone by osmem (OSMEM_OPTIONS=off=1): another malloc serves it"
is 'osmem verify' "$(answer "$osmem" verify "$pid")" "$seen
status 1"
is 'run.sh --verify' "$(answer "$top/scripts/run.sh" --verify "$pid")" "$seen
status 1"
for verb in stats leaks map profile; do is "osmem $verb" "$(answer "$osmem" $verb "$pid")" "osmem: $seen
status 2"; done
like 'osmem top does not list it' "$(answer "$osmem" top --rounds 1 "$pid")" 'none of them is on osmem'
can 'gdb' command -v gdb && like 'osmem heap in gdb' "$(gdb -nx -batch -x "$top/scripts/osmem-gdb.py" -p "$pid" -ex 'osmem heap' 2>&1)" "$(echo "$seen" | sed 's/[()]/./g')"
kill "$pid"

# ---- /etc/osmem/exempt.conf -------------------------------------------------------------------------------------------

# in_etc CMD...: in a mount namespace where /etc is ours, with the library in /etc/ld.so.preload.
in_etc() { unshare -m sh -c 'mount --bind "$0" /etc && exec "$@"' "$tmp/etc" "$@"; }
conf=etc/osmem/exempt.conf
cp -a /etc etc 2>/dev/null && rm -f etc/ld.so.preload && mkdir -p etc/osmem && install -m 755 "$lib" etc/osmem/libosmem.so && rm -f $conf
can 'a file of exempt programs' in_etc true || finish
echo /etc/osmem/libosmem.so >etc/ld.so.preload
chmod 755 etc etc/osmem && ln -s /bin/true etc/osmem/a-link && cp /bin/true etc/osmem/tried && cp /bin/sleep etc/osmem/sleeps
tried=/etc/osmem/tried

# exempt LINES [CMD...]: what the process says at its end, with these lines in the file.
exempt() {
  printf %b "$1" >$conf
  shift
  OSMEM_OPTIONS=stats=1 in_etc "${@:-$tried}" 2>&1 | grep -o -e 'is left alone.*' -e 'statistics' -e 'osmem: /etc.*' | tail -n "${last:-1}"
}
alone='is left alone (named in /etc/osmem/exempt.conf)'
is 'no such file: served' "$(rm -f $conf; OSMEM_OPTIONS=stats=1 in_etc $tried 2>&1 | grep -c 'osmem: statistics')" 1
is 'and it is not spoken of' "$(in_etc $tried 2>&1)" ''
is 'an empty one' "$(exempt '')" statistics
is 'a path' "$(exempt "$tried\n")" "$alone"
is 'nobody is told' "$(in_etc $tried 2>&1)" ''
is 'a name' "$(exempt 'tried\n')" "$alone"
is 'the last line has no end' "$(exempt 'other\n/no/such\n\n# tried\n  tried')" "$alone"
is 'lines of another system, and spaces' "$(exempt ' \t# a word\r\n\t tried \r\n')" "$alone"
is 'a path that is a link' "$(exempt '/etc/osmem/a-link\n' /bin/true)" "$alone"
is 'the name of a link is not that of the file' "$(exempt 'a-link\n' /etc/osmem/a-link)" statistics
for line in '#tried' trie tried2 riedtried './tried' osmem/tried '/etc/osmem' '/etc/osmem/tried/' '/etc/osmem/tried2' 'tried # why' '*'; do is "not: $line" "$(exempt "$line\n")" statistics; done
printf '#!%s/run-by\n' "/etc/osmem" >etc/osmem/script && chmod 755 etc/osmem/script && cp "$(command -v perl)" etc/osmem/run-by
is 'a script: its interpreter counts' "$(exempt 'run-by\n' /etc/osmem/script)" "$alone"
is 'and its own name does not' "$(exempt 'script\n/etc/osmem/script\n' /etc/osmem/script)" statistics
is 'children of a program that is left alone are not' "$(last=2 exempt 'run-by\n' /etc/osmem/run-by -e "system(qw($tried))")" "statistics
$alone"

# 1 MB of lines, what it names last; and a line that is longer than any path.
{ seq -f 'no-such-program-as-number-%.0f' 40000; echo tried; } >$conf
is 'a file of 1 MB' "$(OSMEM_OPTIONS=stats=1 in_etc $tried 2>&1 | grep -c 'left alone'; [ "$(wc -c <$conf)" -gt 1000000 ] && echo large)" "1
large"
{ printf %05000d 0; echo; printf %01000000d 0; printf '\ntried\n'; } >$conf
is 'and long lines' "$(OSMEM_OPTIONS=stats=1 in_etc $tried 2>&1 | grep -c 'left alone')" 1
head -c 1000000 /dev/urandom >$conf
is 'and noise' "$(OSMEM_OPTIONS=stats=1 in_etc $tried 2>&1 | grep -c 'osmem: statistics')" 1

# What is not root's own does not count, and a line says so; the program runs on, served.
refused() { # WHAT MESSAGE [CMD...]
  what=$1 message=$2
  shift 2
  is "$what: told" "$(in_etc "${@:-$tried}" 2>&1)" "osmem: /etc/osmem/exempt.conf: $message, nobody is left alone"
  is "$what: served" "$(OSMEM_OPTIONS=stats=1 in_etc "${@:-$tried}" 2>&1 | grep -c 'osmem: statistics')" 1
}
not_roots='not a file of root'"'"'s that only root can write'
echo tried >$conf
for mode in 666 646 664; do chmod $mode $conf && refused "mode $mode" "$not_roots"; done
chmod 644 $conf && chown 65534 $conf && refused "somebody else's" "$not_roots"
rm $conf && mkdir $conf && refused 'a folder' "$not_roots"
rmdir $conf && mkfifo $conf && refused 'a pipe that nobody writes' "$not_roots"
rm $conf && ln -s exempt.conf $conf && refused 'a link to itself' 'cannot be opened (errno 40)'
rm $conf && ln -s /no/such $conf && is 'a link to nothing is no file' "$(in_etc $tried 2>&1)" ''
rm $conf && echo tried >etc/osmem/elsewhere && ln -s elsewhere $conf
is 'a link to one of root'"'"'s' "$(OSMEM_OPTIONS=stats=1 in_etc $tried 2>&1 | grep -c 'left alone')" 1
rm $conf
nobody='setpriv --reuid=65534 --regid=65534 --clear-groups'
if can 'another user' in_etc $nobody true; then
  echo tried >$conf && chmod 644 $conf
  is 'another user: left alone' "$(OSMEM_OPTIONS=stats=1 in_etc $nobody $tried 2>&1 | grep -c 'left alone')" 1
  chmod 600 $conf
  refused 'a file that a user may not read' 'cannot be opened (errno 13)' $nobody $tried
fi

# Setuid: the environment does not count, the file does. Looked at from outside.
setuid_is() { # WHAT LINES WANTED
  printf %b "$2" >$conf && chmod 644 $conf
  # The namespace's shell becomes setpriv, and that the program: one process.
  unshare -m sh -c 'mount --bind "$0" /etc && exec "$@"' "$tmp/etc" env OSMEM_OPTIONS=off=1 LD_PRELOAD=/etc/osmem/libosmem.so \
    $nobody /etc/osmem/sleeps 60 >/dev/null 2>&1 &
  pid=$! started="$started $!"
  until [ "$(awk '/^Name|^State/ { printf $2 }' /proc/$pid/status 2>/dev/null)" = sleepsS ]; do kill -0 $pid || break; sleep 0.1; done
  is "$1: it runs as root for another user" "$(awk '/^Uid/ { print $2, $3 }' /proc/$pid/status)" '65534 0'
  like "$1" "$("$osmem" verify $pid)" "$3"
  kill $pid
}
chmod 4755 etc/osmem/sleeps
if can 'setuid programs' in_etc sh -c "$nobody true && ! grep ' /etc .*nosuid' /proc/self/mounts"; then
  setuid_is 'a setuid program that the file names' 'sleeps\n' 'left alone by osmem \(named in /etc/osmem/exempt.conf\)'
  setuid_is 'one that the environment would leave alone' '' 'osmem is active'
fi
chmod 755 etc/osmem/sleeps

# Without /proc: what exec was given. By a relative path, too.
no_proc() { in_etc sh -c 'mount -t tmpfs none /proc && cd /etc && exec "$@"' sh "$@"; }
if can 'no /proc' no_proc true; then
  for line in tried /etc/osmem/tried; do
    echo $line >$conf
    is "no /proc: $line" "$(no_proc env OSMEM_OPTIONS=stats=1 osmem/tried 2>&1 | grep -c 'left alone')" 1
  done
  echo other >$conf
  is 'no /proc: another' "$(no_proc env OSMEM_OPTIONS=stats=1 osmem/tried 2>&1 | grep -c 'osmem: statistics')" 1
fi

# The file is for that way alone.
opened() { strace -f -qq -e trace=openat "$@" 2>&1 | grep -c '"/etc/osmem/exempt.conf"'; }
echo tried >$conf
rm -f etc/ld.so.preload
is 'LD_PRELOAD: nothing is opened' "$(opened "$(command -v unshare)" -m sh -c 'mount --bind "$0" /etc && LD_PRELOAD=$1 exec /etc/osmem/tried' "$tmp/etc" "$lib")" 0
is 'and the program is served' "$(OSMEM_OPTIONS=stats=1 in_etc env LD_PRELOAD=libc.so.6:/etc/osmem/libosmem.so $tried 2>&1 | grep -c 'osmem: statistics')" 1
cc -fno-builtin usable.c -o linked -L. -l:libosmem.so.0 -Wl,-rpath,"$tmp"
cp linked etc/osmem/tried
is 'linked: nothing is opened' "$(in_etc strace -qq -e trace=openat $tried 2>&1 | grep -c 'exempt.conf')" 0
is 'and the program is served, too' "$(OSMEM_OPTIONS=stats=1 in_etc $tried 2>&1 | grep -c 'osmem: statistics')" 1
echo /etc/osmem/libosmem.so >etc/ld.so.preload && cp /bin/true etc/osmem/tried
is 'LD_PRELOAD names it, too: who asks for it has it' "$(OSMEM_OPTIONS=stats=1 in_etc env LD_PRELOAD=/etc/osmem/libosmem.so $tried 2>&1 | grep -c 'osmem: statistics')" 1
is 'another preload is no such wish' "$(OSMEM_OPTIONS=stats=1 in_etc env LD_PRELOAD=libm.so.6 $tried 2>&1 | grep -c 'left alone')" 1
rm $conf
is '/etc/ld.so.preload, and no file: one look for it' "$(in_etc strace -qq -e trace=openat $tried 2>&1 | grep -c 'exempt.conf.*ENOENT')" 1
echo tried >$conf
is 'one that is there: opened, and nothing left open' "$(in_etc strace -qq -e trace=openat,newfstatat,readlinkat,close $tried 2>&1 | sed -n '/exempt.conf/,$p' | grep -c -e 'exempt.conf' -e '^close')" 2

# Everyday commands, all of which but the shell are left alone.
printf '%s\n' ls sort perl "$(basename "$(readlink -f "$python")")" cksum works >$conf
cp works etc/osmem/works
for script in 'ls -l /usr/lib | sort -r | cksum' "perl -e 'print length(join \",\", 1 .. 50000)'" "$python -c 'print(sum(len(str(i)) for i in range(100000)))'" '/etc/osmem/works | sed "s/\(bytes *=\).*/\1/"'; do
  is "under /etc/ld.so.preload: ${script%% *}" "$(in_etc sh -c "$script" 2>&1)" "$(printf '%s' "$script" | sed 's|/etc/osmem/works|./works|' >script; sh script 2>&1)"
done
finish
