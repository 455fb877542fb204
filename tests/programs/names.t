#!/bin/sh
# SPDX-License-Identifier: MIT
# Which names the libraries define for others: the public ones and no more; and which of others they use. A program may have any other for itself.
. "$(dirname "$0")/../tap.sh"
needs nm
archive=$(dirname "$lib")/libosmem.a
family='aligned_alloc calloc free free_aligned_sized free_sized mallinfo mallinfo2 malloc malloc_info malloc_stats malloc_trim
  malloc_usable_size mallopt memalign posix_memalign pvalloc realloc reallocarray valloc'
functions=$(grep -o '\bos_[a-z_]*(' "$top/include/osmem.h" | tr -d '(' | sort -u)
forms='nwm nam nwmRKSt9nothrow_t namRKSt9nothrow_t nwmSt11align_val_t namSt11align_val_t nwmSt11align_val_tRKSt9nothrow_t
  namSt11align_val_tRKSt9nothrow_t dlPv daPv dlPvm daPvm dlPvRKSt9nothrow_t daPvRKSt9nothrow_t dlPvSt11align_val_t daPvSt11align_val_t
  dlPvmSt11align_val_t daPvmSt11align_val_t dlPvSt11align_val_tRKSt9nothrow_t daPvSt11align_val_tRKSt9nothrow_t'

names() { printf '%s\n' "$@" | LC_ALL=C sort | tr '\n' ' '; }
defined() { names $(nm "$@" | awk 'NF == 3 { print $3 }'); }

is 'the shared library defines malloc and its family, os_*, the C++ operators, dlopen, dlmopen, dlsym, dlvsym, an old cfree, and what pthread_atfork calls' \
  "$(defined -D --defined-only "$lib" | tr ' ' '\n' | grep -v -e ^GLIBC_ -e ^OSMEM_ | tr '\n' ' ' | sed 's/@GLIBC_2[.0-9]* /@OLD /')" \
  "$(names $family $functions $(printf '_Z%s ' $forms) dlopen dlmopen dlsym dlvsym __register_atfork cfree@OLD)"
[ -f "$archive" ] || { skip 'libosmem.a' 'no archive beside this build'; finish; }
is 'libosmem.a defines malloc and its family and os_*' "$(defined -g --defined-only "$archive")" "$(names $family $functions)"

# Whatever a file of ours calls its own, a program can call its own, too.
nm -g --defined-only "$top/build/unity.o" "$top/build/kernel.o" | awk 'NF == 3 { print $3 }' | sort -u >ours
defined -g --defined-only "$archive" | tr ' ' '\n' | sort -u >public
comm -23 ours public >private
{ sed "/[.]/d; s/.*/int own_& __asm__(\"&\");/" private; echo '#include <stdlib.h>'; echo 'int main(void) { free(malloc(10)); return 0; }'; } >own.c
like 'private names are many' "$(wc -l <private)" '^[1-9][0-9]'
for how in '' -static -static-pie; do
  ok "a program with functions of the same names links with libosmem.a $how" sh -c "cc $how -w own.c '$archive' -pthread -o own && ./own"
done

# Where no function of libc's is found by name, sbrk() hears of our growth all the same.
cat >behind.c <<'C'
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void)
{
  for (int i = 0; i < 64; i++)
    if (!malloc(100000) || (long)(intptr_t)sbrk(0) != syscall(SYS_brk, 0)) return 1;
  return 0;
}
C
ok 'sbrk() goes on behind our growth in a wholly static program' sh -c "cc -static -w behind.c '$archive' -pthread -o behind && ./behind"

# What is used of libc has names that are reserved (C11, 7.1.3: _*, str*, mem*, what the standard defines), but for these: no other way leads there.
# (dl_iterate_phdr only where there is no _dl_find_object: in wholly static programs, and before glibc 2.35. Of libc's age no reserved name tells to the version.)
unreserved='dl_iterate_phdr dladdr dlclose gnu_get_libc_version'
used() { nm -u "$@" | awk 'NF == 2 { sub("@.*", "", $2); print $2 }' | grep -vE '^(_|str|mem|abort$|fprintf$)' | sort -u; }
is 'the shared library uses no other name that a program may have for itself' "$(names $(used -D "$lib"))" "$(names $unreserved)"
is 'nor does libosmem.a, but for pthread_mutex_*, that wholly static programs have under no other name' \
  "$(used "$archive" | grep -vxF "$(printf '%s\n' $unreserved)" | tr '\n' ' ')" 'pthread_mutex_trylock pthread_mutex_unlock '

# A program that has the kernel's functions for something else, all of them, and asks the heap for all that leads to the kernel.
strangers='brk sbrk mmap mmap64 munmap mremap madvise mprotect syscall futex clock_gettime clock gettimeofday getauxval sched_getcpu getcpu
  sched_yield write writev read pread open open64 openat close fcntl fcntl64 poll ppoll stat fstat statx getpid gettid'
{
  cat <<'C'
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
static int is_called(const char *name) { fprintf(stderr, "%s() of the program was called\n", name); _Exit(3); }
C
  for name in $strangers; do echo "int own_$name(void) __asm__(\"$name\"); int own_$name(void) { return is_called(\"$name\"); }"; done
  cat <<'C'
static void *work(void *none)
{
  static __thread char *held[400];
  for (int i = 0; i < 40000; i++) {
    size_t bytes = i % 40 == 0 ? 3000000 : i % 9 == 0 ? 200000 + i : 20 + i % 6000;
    char **p = &held[i * 7919u % 400];
    free(*p);
    if (!(*p = i % 3 ? malloc(bytes) : calloc(1, bytes))) return NULL;
    memset(*p, 1, bytes / 2);
    if (i % 5 == 0) *p = realloc(*p, bytes + bytes / 2);
  }
  for (int i = 0; i < 400; i++) free(held[i]);
  return "done";
}
int main(void)
{
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, work, NULL);
  void *result = work(NULL);
  for (int i = 0; i < 4 && result; i++) pthread_join(threads[i], &result);
  malloc_trim(0);
  malloc_stats();
  puts(result ? result : "no memory");
  return 0;
}
C
} >strangers.c
export OSMEM_OPTIONS=stats=1,soft=cgroup,nonsense=1
if can 'a program that has libc'"'"'s names for itself' sh -c 'cc -w -O1 strangers.c -o strangers -lpthread && ./strangers'; then
  is 'preloaded: a program that has the names of the kernel'"'"'s functions for itself' "$(preloaded ./strangers 2>err; grep called err)" done
  cc -w -O1 strangers.c "$archive" -o strangers -lpthread
  is 'with libosmem.a' "$(./strangers 2>err; grep called err)" done
fi
finish
