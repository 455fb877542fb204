/* SPDX-License-Identifier: MIT */
/* See kernel.h. */
#include "target.h"

#include "kernel.h"

#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/auxv.h>

#include "libc.h"
#include "symbols.h"

/* It reads what ld.so has kept, and has no state, but that it sets errno where there is no such entry: emulators have no vDSO. */
unsigned long kernel_auxval(unsigned long type) {
  int saved = errno;
  unsigned long value = LIBC_GETAUXVAL(type);
  errno = saved;
  return value;
}

/* The arguments come one by one: a load from memory between the registers' assignments would be a call in an instrumented build, which has its own use
 * for them (under ThreadSanitizer a futex lost its time limit so). */
#if defined __x86_64__ && defined __LP64__
static long enter_kernel(long number, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f) {
  long answer;
  register uintptr_t r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
  __asm__ volatile("syscall" : "=a"(answer) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return answer;
}
#elif defined __aarch64__ && defined __LP64__
static long enter_kernel(long number, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f) {
  register long x8 __asm__("x8") = number;
  register uintptr_t x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c, x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return (long)x0;
}
#elif defined __riscv && defined __LP64__
static long enter_kernel(long number, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f) {
  register long a7 __asm__("a7") = number;
  register uintptr_t a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c, a3 __asm__("a3") = d, a4 __asm__("a4") = e, a5 __asm__("a5") = f;
  __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5) : "memory");
  return (long)a0;
}
#else
extern long syscall(long number, ...);

static long enter_kernel(long number, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f) {
  int saved = errno;
  long answer = syscall(number, a, b, c, d, e, f);
  if (answer == -1) answer = -errno;
  errno = saved;
  return answer;
}
#endif

/* ---- the vDSO: functions that the kernel maps into each process and that answer without entering it ------------------- */

/* Not only for speed (9 ns by 190 on a virtual machine): a program may have shut itself off (seccomp) from calls
 * that never reach the kernel. */
#ifdef __aarch64__
#define VDSO_NAME(call) "__kernel_" call
#else
#define VDSO_NAME(call) "__vdso_" call
#endif

typedef int vdso_function(uintptr_t, uintptr_t, uintptr_t);

/* The image's symbols end where their names begin: so the kernel's linker script has it, and no table says how many there are in all kernels. */
static void *find_symbol(uintptr_t bias, const ElfW(Dyn) *dynamic, const char *name) {
  const ElfW(Sym) *symbol = NULL;
  const char *names = NULL;
  for (; dynamic->d_tag != DT_NULL; dynamic++) {
    if (dynamic->d_tag == DT_SYMTAB) symbol = (const ElfW(Sym) *)(bias + dynamic->d_un.d_ptr);
    if (dynamic->d_tag == DT_STRTAB) names = (const char *)(bias + dynamic->d_un.d_ptr);
  }
  for (; symbol && (const char *)(symbol + 1) <= names; symbol++)
    if (symbol->st_shndx != SHN_UNDEF && same_name(names + symbol->st_name, name)) return (void *)(bias + symbol->st_value);
  return NULL;
}

static void *find_in_vdso(const char *name) {
  uintptr_t image = kernel_auxval(AT_SYSINFO_EHDR), bias = image;
  if (!image) return NULL; /* an emulator, valgrind */
  const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)image;
  const ElfW(Phdr) *segment = (const ElfW(Phdr) *)(image + header->e_phoff);
  const ElfW(Dyn) *dynamic = NULL;
  for (size_t i = 0; i < header->e_phnum; i++) {
    if (segment[i].p_type == PT_LOAD) bias = image + segment[i].p_offset - segment[i].p_vaddr;
    if (segment[i].p_type == PT_DYNAMIC) dynamic = (const ElfW(Dyn) *)(image + segment[i].p_offset);
  }
  return dynamic ? find_symbol(bias, dynamic, name) : NULL;
}

/* ---- libc's own functions, for calls that take memory away ------------------------------------------------------------ */

/* Who registers memory with a device (UCX, Open MPI, for RDMA) writes a jump over their first bytes, to hear of it: without that pages that went
 * back count as pinned, and the device goes on writing to them. Taken from libc's own table: who has these names for himself, or stands before
 * them, is not called. */
typedef int libc_function(uintptr_t, uintptr_t, uintptr_t);
typedef void *remap_function(void *, size_t, size_t, int, ...);

static long enter_by_libc(void *function, long number, const uintptr_t a[6]) {
  int saved = errno;
  long answer;
  if (number == SYS_mremap)
    answer = (long)((remap_function *)function)((void *)a[0], a[1], a[2], (int)a[3], (void *)a[4]);
  else
    answer = ((libc_function *)function)(a[0], a[1], a[2]);
  if (answer == -1) answer = -errno;
  errno = saved;
  return number == SYS_brk && answer == 0 ? (long)a[0] : answer; /* where the break is now, as the kernel says */
}

/* ---- the gate ------------------------------------------------------------------------------------------------------- */

struct shortcut {
  const long number;
  const char *const name;
  void *function; /* atomic; NULL: not looked for yet */
};

static struct shortcut in_vdso[] = {{SYS_clock_gettime, VDSO_NAME("clock_gettime"), NULL}, {SYS_getcpu, VDSO_NAME("getcpu"), NULL}},
                       in_libc[] = {{SYS_munmap, "munmap", NULL}, {SYS_mremap, "mremap", NULL}, {SYS_madvise, "madvise", NULL}, {SYS_brk, "brk", NULL}};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* What stands in for a call, looked for once; or NULL. */
static void *function_for(long number, struct shortcut *table, size_t count, void *(*find)(const char *name)) {
  static char missing;
  for (struct shortcut *at = table; at < table + count; at++) {
    if (at->number != number) continue;
    void *function = __atomic_load_n(&at->function, __ATOMIC_RELAXED);
    if (!function && !(function = find(at->name))) function = &missing;
    __atomic_store_n(&at->function, function, __ATOMIC_RELAXED);
    return function == &missing ? NULL : function;
  }
  return NULL;
}

long kernel_call(long number, const uintptr_t a[6]) {
  void *function = function_for(number, in_vdso, COUNT(in_vdso), find_in_vdso);
  if (function) {
    int answer = ((vdso_function *)function)(a[0], a[1], a[2]);
    if (answer != -ENOSYS) return answer;
  }
  bool takes_away = LIBC_IS_WRITTEN_OVER && !(number == SYS_brk && a[0] == 0);
  if (takes_away && (function = function_for(number, in_libc, COUNT(in_libc), symbol_of_libc))) return enter_by_libc(function, number, a);
  return enter_kernel(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
