#!/bin/sh
# SPDX-License-Identifier: MIT
# Who asks for memory before libc, libpthread or another's runtime is ready, who is in a namespace of his own, and what is there after we are gone. Much of it is trouble before
# glibc 2.34 alone, where libpthread is a library with a constructor that all of its own threads need.
. "$(dirname "$0")/../tap.sh"
needs cc
archive=$(dirname "$lib")/libosmem.a
cp "$lib" libosmem.so.0

cat >allocates.c <<'C'
#include <stdlib.h>
#include <string.h>
static char *early;
__attribute__((constructor)) static void begin(void) { memset(early = malloc(1000), 1, 1000); }
int works(void) { free(early); return early != NULL; }
C
cat >threads.c <<'C'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
int works(void);
static void *lives(void *unused) { free(malloc(100)); return unused; }
int main(void)
{
  pthread_t thread;
  if (pthread_create(&thread, NULL, lives, NULL) || pthread_join(thread, NULL)) return 1;
  return !printf("works %d, variable %s\n", works(), getenv("VARIABLE"));
}
C
export VARIABLE=heard
# shared NAME [FLAG...]: NAME.so of NAME.c
shared() {
  name=$1
  shift
  cc -w -O1 -fno-builtin -shared -fPIC "$name.c" -o "$name.so" "$@" || fail "$name.c compiles"
}
shared allocates
echo 'int nothing;' >first.c
shared first -Wl,-z,initfirst
program() { # NAME LIBRARY...: the program, linked with these in this order
  name=$1
  shift
  cc -w -O1 -fno-builtin threads.c -o "$name" -Wl,--no-as-needed "$@" -L. -Wl,-rpath,"$tmp" || fail "$name is linked"
}
program plain -lpthread -l:allocates.so
program behind -lpthread -l:libosmem.so.0 -l:allocates.so
program before -l:libosmem.so.0 -l:allocates.so -lpthread
program beside -l:libosmem.so.0 -l:allocates.so -lpthread -l:first.so
works='works 1, variable heard'
for each in plain behind before beside; do is "a constructor allocates: $each" "$(./$each 2>&1)" "$works"; done
is 'and the library preloaded' "$(preloaded ./plain 2>&1)" "$works"
is 'before another whose constructors run first' "$(LD_PRELOAD="$lib $tmp/first.so" ./plain 2>&1)" "$works"
pthread=$(ldconfig -p | sed -n 's/.*libpthread\.so\.0.*=> //p' | while read -r file; do LD_PRELOAD=$file true 2>/dev/null && echo "$file"; done | head -n 1)
if can 'behind libpthread' test -n "$pthread"; then is 'behind libpthread' "$(LD_PRELOAD="$pthread $lib" ./plain 2>&1)" "$works"; fi
if can 'the archive' test -f "$archive"; then
  program archive "$archive" -lpthread -ldl -l:allocates.so -l:first.so
  is 'a constructor allocates: archive' "$(./archive 2>&1)" "$works"
fi

# An auditor: ld.so asks for memory while it is at work.
cat >auditor.c <<'C'
#define _GNU_SOURCE
#include <link.h>
unsigned la_version(unsigned version) { return version; }
unsigned la_objopen(struct link_map *map, Lmid_t namespace, uintptr_t *cookie) { return LA_FLG_BINDTO | LA_FLG_BINDFROM; }
C
shared auditor
for each in behind before; do is "under an auditor: $each" "$(LD_AUDIT=./auditor.so ./$each 2>&1)" "$works"; done
is 'under an auditor: preloaded' "$(LD_AUDIT=./auditor.so preloaded ./plain 2>&1)" "$works"

# ld.so as a command, with options: it may move its stack up over them.
loader=$(for each in /lib64/ld-linux*.so.* /lib/ld-linux*.so.*; do "$each" /bin/true 2>/dev/null && echo "$each" && break; done)
if can 'through ld.so, with options' test -n "$loader"; then
  for options in '--inhibit-cache' '--inhibit-rpath x' '--inhibit-cache --inhibit-rpath x' '--inhibit-rpath x --inhibit-rpath x --inhibit-rpath x'; do
    is "through ld.so $options" "$(LD_LIBRARY_PATH=. preloaded "$loader" $options ./plain 2>&1)" "$works"
    like "through ld.so $options: our options are heard" "$(LD_LIBRARY_PATH=. preloaded env OSMEM_OPTIONS=stats=1 "$loader" $options ./plain 2>&1)" 'osmem: .* process'
  done
fi

# A namespace of its own has another libc, which does not hear of our break, nor we of its.
cat >uses.c <<'C'
#include <stdlib.h>
#include <string.h>
static char *kept[1000];
void use(int from, int to) { for (int i = from; i < to; i++) memset(kept[i] = malloc(2000 + i * 50), i, 2000 + i * 50); }
int damaged(void)
{
  int count = 0;
  for (int i = 0; i < 1000; i++)
    for (int at = 0; kept[i] && at < 2000 + i * 50; at++) count += kept[i][at] != (char)i;
  return count;
}
C
cat >namespaces.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static char *kept[2000];
int main(int argc, char **argv)
{
  void *plugin = dlmopen(LM_ID_NEWLM, argv[1], RTLD_NOW);
  if (!plugin) return !puts(dlerror());
  void (*use)(int, int) = (void (*)(int, int))dlsym(plugin, "use");
  int (*damaged)(void) = (int (*)(void))dlsym(plugin, "damaged"), own = 0;
  use(0, 500);
  for (int i = 0; i < 2000; i++) memset(kept[i] = malloc(3000), 7, 3000);
  use(500, 1000);
  for (int i = 0; i < 2000; i++)
    for (int at = 0; at < 3000; at++) own += kept[i][at] != 7;
  return !printf("damaged %d %d\n", damaged(), own);
}
C
cc -w -O1 -fno-builtin namespaces.c -o namespaces -ldl
shared uses
if can 'a namespace of its own' sh -c './namespaces ./uses.so | grep "damaged 0 0"' && [ -f "$archive" ]; then
  shared uses -Wl,--no-as-needed -L. -l:libosmem.so.0 -Wl,-rpath,"$tmp"
  is 'the library in a namespace of its own' "$(./namespaces ./uses.so 2>&1)" 'damaged 0 0'
  shared uses "$archive" -lpthread -ldl
  is 'libosmem.a in a namespace of its own' "$(./namespaces ./uses.so 2>&1)" 'damaged 0 0'
  is 'and the library in that of the program' "$(preloaded ./namespaces ./uses.so 2>&1)" 'damaged 0 0'
fi

# Who stands before dl_iterate_phdr() has to ask for libc's, and may not be asked before its start.
cat >iterates.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
int dl_iterate_phdr(int (*callback)(struct dl_phdr_info *, size_t, void *), void *data)
{
  static int (*next)(int (*)(struct dl_phdr_info *, size_t, void *), void *);
  if (!next) next = (int (*)(int (*)(struct dl_phdr_info *, size_t, void *), void *))dlsym(RTLD_NEXT, "dl_iterate_phdr");
  return next(callback, data);
}
static int counts(struct dl_phdr_info *info, size_t size, void *count) { return ++*(int *)count, 0; }
int main(void)
{
  int count = 0;
  free(malloc(100));
  dl_iterate_phdr(counts, &count);
  return !printf("%d\n", count > 1);
}
C
cc -w -O1 -fno-builtin iterates.c -o iterates -rdynamic -ldl
same 'a dl_iterate_phdr() of its own' ./iterates
echo 'int works(void) { return 1; }' >works.c
if can 'ThreadSanitizer' sh -c 'cc -w -fno-builtin -fsanitize=thread threads.c works.c -o watched -lpthread && ./watched'; then same 'ThreadSanitizer' ./watched; fi

# A malloc before ours, in a library that is linked for another address than it gets: all that it has not goes to libc then.
cat >before.c <<'C'
#include <stddef.h>
void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), __libc_free(void *);
void *malloc(size_t bytes) { return __libc_malloc(bytes); }
void *calloc(size_t count, size_t bytes) { return __libc_calloc(count, bytes); }
void *realloc(void *block, size_t bytes) { return __libc_realloc(block, bytes); }
void free(void *block) { __libc_free(block); }
C
cat >aligns.c <<'C'
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
  void *block;
  if (posix_memalign(&block, 64, 1000)) return 1;
  free(block);
  return !puts("freed");
}
C
cc -w -O1 -fno-builtin aligns.c -o aligns
shared before -Wl,-Ttext-segment=0x400000
if can 'a malloc before ours' env LD_PRELOAD=./before.so ./aligns; then is 'a malloc before ours, linked for another address' "$(LD_PRELOAD="./before.so $lib" ./aligns 2>&1)" freed; fi

# A handler forks while stdio's lock of all streams is held by what it interrupted; the child goes on in that, and has a thread that opens a file.
cat >flushes.c <<'C'
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
static int ends[2];
static volatile pid_t child = -1;
static char block[1 << 16];
static void forks(int number)
{
  child = fork();
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  while (read(ends[0], block, sizeof block) > 0) continue;
}
static void *opens(void *unused)
{
  FILE *file = fopen("/dev/null", "w");
  return file ? fclose(file), unused : unused;
}
int main(void)
{
  pthread_t thread;
  int status;
  FILE *file = pipe(ends) ? NULL : fdopen(ends[1], "w");
  fcntl(ends[1], F_SETFL, O_NONBLOCK);
  while (write(ends[1], block, sizeof block) > 0) continue;
  fcntl(ends[1], F_SETFL, 0);
  sigaction(SIGALRM, &(struct sigaction){.sa_handler = forks, .sa_flags = SA_RESTART}, NULL);
  fputs("hello", file);
  alarm(1);
  fflush(NULL);
  if (child == 0) {
    signal(SIGALRM, SIG_DFL);
    alarm(20);
    return pthread_create(&thread, NULL, opens, NULL) || pthread_join(thread, NULL);
  }
  waitpid(child, &status, 0);
  return !printf("child %#x\n", (unsigned)status);
}
C
cc -w -O1 -fno-builtin flushes.c -o flushes -lpthread
same 'a fork out of a handler, on top of a flush of all streams' ./flushes

# A wholly static program without threads: libstdc++ knows by weak names whether there are any.
cat >shared_mutex.cc <<'C'
#include <cstdio>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <string>
static std::shared_mutex guard;
static std::map<int, std::string> table;
int main()
{
  { std::unique_lock<std::shared_mutex> held(guard); table[1] = "one"; }
  std::shared_lock<std::shared_mutex> held(guard);
  return !std::puts(table[1].c_str());
}
C
static() { c++ -std=c++17 -w "$@" shared_mutex.cc; }
if can 'a wholly static C++ program' static -static -o static && [ -f "$archive" ]; then
  c++ -std=c++17 -w -static shared_mutex.cc -Wl,-u,malloc "$archive" -lpthread -o static || fail 'it is linked'
  is 'a wholly static C++ program' "$(./static 2>&1)" one
fi

# A plugin that has the archive in it, and goes: the threads that came to it go on.
cat >plugin.c <<'C'
#include <stdlib.h>
void use(void) { free(malloc(100)); }
C
cat >unloads.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
static void *uses(void *plugin) { return ((void (*)(void))dlsym(plugin, "use"))(), NULL; }
int main(void)
{
  for (int i = 0; i < 3; i++) {
    void *plugin = dlopen("./plugin.so", RTLD_NOW);
    pthread_t thread;
    if (!plugin) return !puts(dlerror());
    uses(plugin);
    pthread_create(&thread, NULL, uses, plugin);
    pthread_join(thread, NULL);
    dlclose(plugin);
    pthread_mutexattr_t robust;
    pthread_mutex_t mutex;
    pthread_mutexattr_init(&robust);
    pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&mutex, &robust);
    if (pthread_mutex_lock(&mutex) || pthread_mutex_unlock(&mutex)) return 1;
  }
  return !puts("goes on");
}
C
cc -w -O1 -fno-builtin unloads.c -o unloads -lpthread -ldl
if can 'the archive in a plugin' test -f "$archive"; then
  shared plugin "$archive" -Wl,-Bsymbolic -lpthread -ldl
  is 'a plugin with the archive goes, and robust mutexes of its threads go on' "$(./unloads 2>&1)" 'goes on'
fi
finish
