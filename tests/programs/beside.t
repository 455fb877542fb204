#!/bin/sh
# SPDX-License-Identifier: MIT
# What else is loaded, linked or preloaded beside the library: auditors, wrappers, other allocators, emulators; and the library linked in.
. "$(dirname "$0")/../tap.sh"
needs python3
plugins=$top/build/tests/plugin

# All tiers, threads and children, in a page of C that knows nothing of us.
cat >work.c <<'C'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void *work(void *seed)
{
  static __thread char *held[100];
  unsigned long dice = (unsigned long)seed, sum = 0;
  for (int i = 0; i < 8000; i++) {
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    unsigned place = dice >> 33, bytes = place % 64 ? place % 3000 : place % 400000;
    char **p = &held[place % 100];
    *p = place % 2 ? realloc(*p, bytes + 1) : reallocarray(*p, bytes + 1, 1);
    memset(*p, place, bytes + 1);
    sum += (*p)[bytes / 2];
    if (place % 3 == 0) free(*p), *p = calloc(1, bytes + 1), sum += (*p)[bytes];
  }
  for (int i = 0; i < 100; i++) free(held[i]), held[i] = NULL;
  return (void *)sum;
}

int main(void)
{
  pthread_t threads[2];
  void *sum;
  for (long i = 0; i < 2; i++) pthread_create(&threads[i], NULL, work, (void *)(i + 1));
  for (int i = 0; i < 2; i++) pthread_join(threads[i], &sum), printf("%lu\n", (unsigned long)sum);
  fflush(stdout);
  if (fork() == 0) _exit(work((void *)7) == work((void *)8));
  int status;
  wait(&status);
  printf("%d %lu\n", status, (unsigned long)work((void *)9));
  return status != 0;
}
C
cc -O1 -o work work.c -lpthread || { echo 'Bail out! no C compiler'; exit 1; }
python_work="$python -c '
import threading
def work():
    held = [bytearray(i * 37 % 400000) for i in range(600)]
threads = [threading.Thread(target=work) for i in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sum(len(bytearray(i * 300)) for i in range(1000)))'"

# seen WHAT FILE: the file with what a plugin has counted says more than 0 in each of its lines.
seen() { is "$1" "$(awk '$1 > 0 { n++ } END { print (NR > 0 && n == NR) }' "$2" 2>/dev/null)" 1; }

# An auditor's own allocations, and the reverse: one that is linked with the library.
cc -shared -fPIC -o audits-ours.so "$top/tests/plugin/audits.c" "$lib" -Wl,-rpath,"$(dirname "$lib")"
export OSMEM_TEST_AUDIT="$tmp/audited"
for auditor in "$plugins/audits.so" "$tmp/audits-ours.so"; do
  rm -f audited
  name=$(basename "$auditor")
  same "LD_AUDIT=$name: a program with threads and a child" "LD_AUDIT=$auditor ./work"
  same "LD_AUDIT=$name: ls, python3" "export LD_AUDIT=$auditor; ls /usr; $python_work"
  seen "LD_AUDIT=$name: it was there" audited
done
like 'the library is active under LD_AUDIT' "$(LD_AUDIT="$plugins/audits.so" preloaded cat /proc/self/maps)" "$lib"

# Wrappers before us and behind us.
export OSMEM_TEST_WRAPS="$tmp/wrapped"
for order in "$plugins/wraps.so:$lib" "$lib:$plugins/wraps.so"; do
  rm -f wrapped
  what=$(echo "$order" | sed 's|[^:]*/||g')
  same "preloaded $what: python3" "$python_work" "$order"
  seen "preloaded $what: the wrapper was called" wrapped
  rm -f wrapped
  same "preloaded $what: a program with threads and a child" './work' "$order"
done
is 'the library calls nothing that is wrapped behind it' "$(cat wrapped)" '0 calls'

# Other allocators: the program's own, preloaded before, preloaded behind.
if can 'a program linked to libjemalloc' cc -O1 -o work-jemalloc work.c -Wl,--no-as-needed -l:libjemalloc.so.2 -lpthread; then
  same 'a program linked to libjemalloc' './work-jemalloc'
  like 'and osmem serves it' "$(preloaded env OSMEM_OPTIONS=stats=1 ./work-jemalloc 2>&1)" 'from 128 KiB .* [1-9][0-9]* were handed out'
  jemalloc=$(ldd work-jemalloc | awk '/jemalloc/ { print $3 }')
  same 'jemalloc preloaded behind' "./work; $python_work" "$lib:$jemalloc"
  same 'jemalloc preloaded before' "./work; $python_work" "$jemalloc:$lib"
fi
memusage=$(echo /lib*/*/libmemusage.so | cut -d' ' -f1)
if can 'memusage (glibc) preloaded before' test -f "$memusage"; then
  same 'memusage (glibc) preloaded before' './work; ls /usr' "$memusage:$lib"
fi

# A program with a malloc, free, calloc and realloc of its own: glibc's manual asks for no more. What else there is goes by these.
cat >own.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
  char *p = reallocarray(malloc(40), 100, 4), *q = reallocarray(NULL, 100, 4);
  p[399] = q[399] = 1;
  free(p);
  free(q);
  void (*free_sized)(void *, size_t) = (void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
  if (free_sized) free_sized(malloc(40), 40);
  puts("each block went where it came from");
}
C
cc -fno-builtin -o own own.c "$top/tests/operators/mallocs.c" -ldl
same 'a program with a malloc of its own' ./own

# One over glibc's, as leak checkers have it: what it leaves out is glibc's, too.
cat >counts.c <<'C'
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void __libc_free(void *);
static int calls;
void *malloc(size_t bytes) { return calls++, __libc_malloc(bytes); }
void *calloc(size_t count, size_t bytes) { return calls++, __libc_calloc(count, bytes); }
void *realloc(void *block, size_t bytes) { return calls++, __libc_realloc(block, bytes); }
void free(void *block) { calls++, __libc_free(block); }
int main(void)
{
  void *block = NULL;
  if (posix_memalign(&block, 64, 1000) == 0 && malloc_usable_size(block) >= 1000) free(block);
  free(aligned_alloc(64, 128));
  free(memalign(64, 1000));
  free(valloc(1000));
  free(pvalloc(1000));
  puts(calls >= 5 ? "all freed" : "its free was not called");
}
C
cc -fno-builtin -o counts counts.c
same "a program with a malloc of its own over glibc's, and no posix_memalign" ./counts

# Tools that stand before dlsym(): who is asked before his own start must not be asked, and RTLD_NEXT is seen from where he is.
cat >finds.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
static int started;
__attribute__((constructor)) static void start(void) { started = 1; }
void *dlsym(void *handle, const char *name)
{
  static void *(*real)(void *, const char *);
  if (!started) abort();
  if (!real) real = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", LIBC_VERSION);
  void *symbol = real(handle, name);
  return symbol;
}
C
cat >plugged.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
static int prepared;
static void prepares(void) { prepared++; }
static void nothing(void) { }
int main(void)
{
  void *libm = dlopen("libm.so.6", RTLD_NOW);
  printf("%d %d %d %d\n", libm != NULL, dlmopen(LM_ID_BASE, "libm.so.6", RTLD_NOW) == libm, dlsym(libm, "cos") != NULL,
         dlvsym(libm, "cos", LIBC_VERSION) == dlsym(libm, "cos"));
  printf("%d\n", pthread_atfork(prepares, nothing, nothing));
  fflush(stdout);
  if (fork() == 0) _exit(0);
  printf("%d %d\n", wait(NULL) > 0, prepared);
}
C
# And before the loader's other functions: fakechroot, heaptrack and ThreadSanitizer's library do so, wherever they are loaded.
cat >loads.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#define REAL(type, name) static __typeof__(type) real; if (!real && !(real = (type)dlsym(RTLD_NEXT, name))) abort()
typedef void handler(void);
void *dlopen(const char *file, int mode)
{
  REAL(void *(*)(const char *, int), "dlopen");
  void *opened = real(file, mode);
  return opened;
}
void *dlmopen(Lmid_t space, const char *file, int mode)
{
  REAL(void *(*)(Lmid_t, const char *, int), "dlmopen");
  void *opened = real(space, file, mode);
  return opened;
}
void *dlvsym(void *handle, const char *name, const char *version)
{
  REAL(void *(*)(void *, const char *, const char *), "dlvsym");
  void *symbol = real(handle, name, version);
  return symbol;
}
int __register_atfork(handler *prepare, handler *parent, handler *child, void *library)
{
  REAL(int (*)(handler *, handler *, handler *, void *), "__register_atfork");
  return real(prepare, parent, child, library);
}
C
cc -w -O0 -fPIC -shared -I"$top/src" -D_GNU_SOURCE -include libc.h -o finds.so finds.c
cc -w -O0 -fPIC -shared -o loads.so loads.c
cc -w -O0 -fPIC -shared -Wl,--hash-style=sysv -o loads-sysv.so loads.c # a table of names of the older form alone
cc -w -I"$top/src" -D_GNU_SOURCE -include libc.h -o plugged plugged.c
for order in "$tmp/finds.so:$lib" "$lib:$tmp/finds.so" "$tmp/loads.so:$lib" "$lib:$tmp/loads.so" "$lib:$tmp/loads-sysv.so"; do
  same "preloaded $(echo "$order" | sed 's|[^:]*/||g'): a program that opens a library and registers handlers" ./plugged "$order"
  same "preloaded $(echo "$order" | sed 's|[^:]*/||g'): python3" "$python_work" "$order"
done
cc -w -I"$top/src" -D_GNU_SOURCE -include libc.h -o plugged-linked plugged.c loads.so -Wl,-rpath,"$tmp"
same 'linked with loads.so: a program that opens a library and registers handlers' ./plugged-linked
if can "a program with ThreadSanitizer that opens a library" cc -w -fsanitize=thread -I"$top/src" -D_GNU_SOURCE -include libc.h -o plugged-tsan plugged.c; then
  same 'a program with ThreadSanitizer that opens a library' ./plugged-tsan
fi

# Opened later, for os_malloc: the break stays glibc's, which may move it at the same moment.
cat >later.c <<'C'
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv)
{
  void *library = dlopen(argv[1], RTLD_NOW);
  void *(*os_malloc)(size_t) = (void *(*)(size_t))dlsym(library, "os_malloc");
  char *before = sbrk(0);
  for (int i = 0; i < 10000; i++) *(char *)os_malloc(1 + i % 5000) = 1;
  puts(sbrk(0) == before ? "the break is where it was" : "the break was moved");
  return 0;
}
C
cc -o later later.c
is 'opened by a program that is on another malloc' "$(./later "$lib")" 'the break is where it was'

# Functions of our names that are no malloc's: glibc has cfree for old programs alone, and whoever else has one means that.
cat >pool.c <<'C'
int cfree(int *taken) { return --*taken; }
int pool(void) { int taken = 3; return cfree(&taken); }
C
cat >uses-pool.c <<'C'
#include <stdio.h>
int pool(void);
int main(void) { printf("%d taken\n", pool()); }
C
cc -fPIC -shared -o libpool.so pool.c
cc -o uses-pool uses-pool.c -L. -lpool -Wl,-rpath,"$tmp"
same 'a library with a function cfree of its own' ./uses-pool
cat >old.c <<'C'
#include <stdio.h>
#include <stdlib.h>
#include "libc.h"
void cfree(void *);
__asm__(".symver cfree, cfree@" LIBC_VERSION);
int main(void)
{
  cfree(malloc(100));
  puts("freed");
}
C
cc -w -fno-builtin -I"$top/src" -o old old.c
same 'a program linked before 2017, with cfree' ./old

# Blocks of libc's own malloc, and somebody behind us who has libc's names, too.
cat >behind.c <<'C'
#include <malloc.h>
#include <stdlib.h>
size_t malloc_usable_size(void *block) { abort(); }
struct mallinfo2 mallinfo2(void) { abort(); }
C
cat >foreign.c <<'C'
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
void *__libc_malloc(size_t);
int main(void)
{
  void *block = __libc_malloc(1000);
  printf("%zu\n", malloc_usable_size(block));
  free(block);
}
C
cc -w -fno-builtin -fPIC -shared -o behind.so behind.c
cc -fno-builtin -o foreign foreign.c
same "blocks of libc's, another mallinfo2 and malloc_usable_size behind" ./foreign "$lib:$tmp/behind.so"


# The library linked in, statically and wholly so.
./work >wanted
archive=$(dirname "$lib")/libosmem.a
if can 'an archive beside the library' test -e "$archive"; then
  cc -O1 -o work-a work.c "$archive" -lpthread
  is 'linked with libosmem.a' "$(./work-a)" "$(cat wanted)"
  for how in -static -static-pie; do
    cc -O1 $how -o work-static work.c "$archive" -lpthread
    is "a program linked with $how" "$(./work-static)" "$(cat wanted)"
  done
  same 'a statically linked program takes no notice of the preload' ./work-static
fi

# And into a shared library, which takes its handlers for fork along when the process ends, whatever the other threads are at.
cat >part.c <<'C'
#include <stdlib.h>
void use(void) { for (size_t bytes = 10; bytes < 1000000; bytes *= 10) free(calloc(1, bytes)); }
C
cat >ends.c <<'C'
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
void use(void);
static void *fork_for_ever(void *unused)
{
  for (;;) {
    pid_t child = fork();
    if (child == 0) _exit(0);
    if (child > 0) waitpid(child, NULL, 0);
  }
  return unused;
}
static void end_beside_forks(unsigned when)
{
  pthread_t thread;
  alarm(8);
  use();
  for (int i = 0; i < 4; i++) pthread_create(&thread, NULL, fork_for_ever, NULL);
  usleep(when);
  exit(7);
}
int main(void)
{
  for (unsigned i = 0; i < 100; i++) {
    pid_t process = fork();
    if (process == 0) end_beside_forks(2000 + i * 37 % 1000);
    int status;
    if (waitpid(process, &status, 0) != process || !WIFEXITED(status) || WEXITSTATUS(status) != 7) return 1;
  }
  return 0;
}
C
if can 'an archive beside the library, for one that it is a part of' test -e "$archive"; then
  cc -fPIC -shared -o libpart.so part.c "$archive" -lpthread
  cc -o ends ends.c ./libpart.so -lpthread
  ok 'linked into a library: a process ends while its threads fork' ./ends
fi

# Another processor's view of Linux: MADV_DONTNEED may not zero there, and robust futexes are not known.
emulator=qemu-$(uname -m)
if can "under $emulator (user mode)" command -v "$emulator"; then
  is "$emulator: a program with threads and a child" "$("$emulator" -E LD_PRELOAD="$lib" ./work)" "$(cat wanted)"
  like "$emulator: the library is active" "$("$emulator" -E LD_PRELOAD="$lib" -E OSMEM_OPTIONS=stats=1 ./work 2>&1)" '^osmem: statistics'
  for case in calloc_is_zero_after_reuse calloc_is_zero_after_split_and_merge usable_bytes_are_writable_stable_and_copied; do
    ok "$emulator: $case" "$emulator" -E LD_PRELOAD="$lib" "$top/build/tests/preload/meaning" "$case"
  done
fi

# Tools that bring their own malloc: the program runs on theirs, or says why not.
# An image is where it is: its tables lie nearer to where they would be if they were relocated twice, or it was moved to below the address it is linked for.
cat >large.c <<'end'
#include <stdio.h>
#include <stdlib.h>
const char much[4 << 20] = {[0 ... (4 << 20) - 1] = 1};
int main(void) { return printf("%d\n", much[atoi("0")] + (malloc(1) == NULL)) != 2; }
end
cc -fPIE -pie -o large large.c
if can 'valgrind' command -v valgrind; then
  is 'valgrind: steps in front' "$(preloaded valgrind -q ./work 2>&1)" "$(cat wanted)"
  is 'an executable larger than the address it is loaded at' "$(preloaded valgrind -q --tool=none ./large 2>&1)" 1
fi
if can 'images linked for other addresses' cc -fPIE -pie -Wl,-Ttext-segment=0x7e0000000000 -o moved large.c; then
  is 'an executable far below the address it is linked for' "$(preloaded ./moved 2>&1)" 1
fi
if can 'ThreadSanitizer of clang' sh -c 'clang -fsanitize=thread -g -o tsan work.c -lpthread && ./tsan'; then
  is 'a program built with ThreadSanitizer by clang' "$(preloaded ./tsan 2>&1)" "$(cat wanted)"
  is 'with options' "$(preloaded env OSMEM_OPTIONS=limit=8G,soft=4g,soft=cgroup,thp=0,stats=0,profile_rate=4K ./tsan 2>&1)" "$(cat wanted)"
fi
if can 'AddressSanitizer' cc -fsanitize=address -o asan work.c -lpthread; then
  like 'a program built with AddressSanitizer says that it will not start' "$(preloaded ./asan 2>&1)" 'ASan runtime does not come first'
fi
finish
