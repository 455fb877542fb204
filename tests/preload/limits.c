/* SPDX-License-Identifier: MIT */
/* What a hostile environment does to the heap: limits, filters, neighbours. vm.overcommit_memory=2 is a setting of
 * the whole machine and has no test of its own: what it does, refusing memory early, the limits here do as well. */
#include "filter.h"
#include <linux/audit.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "../../src/geometry.h"

static void everything_works(void)
{
  use_each_tier();
  churn(11, 20000);
  malloc_trim(0);
  churn(12, 20000);
  for (size_t s = 0; s < COUNT(SIZES); s++) {
    char *dirty = malloc(SIZES[s]);
    require(dirty);
    memset(dirty, 0xEE, SIZES[s]);
    free(dirty);
    malloc_trim(0);
    char *zero = calloc(1, SIZES[s]);
    require(zero && all_zero(zero, SIZES[s]));
    free(zero);
  }
  for (size_t alignment = 16; alignment <= 1 * MB; alignment *= 4) {
    char *p = aligned_alloc(alignment, 3000);
    require(p && is_aligned(p, alignment));
    free(p);
  }
}

static void *thread_works(void *seed)
{
  churn((uint32_t)(size_t)seed, 10000);
  return NULL;
}

static void threads_work(void)
{
  everything_works();
  pthread_t one = spawn(thread_works, (void *)1), two = spawn(thread_works, (void *)2);
  join(one);
  join(two);
}

/* ---- limits ---- */

static void limit(int resource, size_t soft, size_t hard)
{
  struct rlimit bytes = {soft, hard};
  require(setrlimit((__rlimit_resource_t)resource, &bytes) == 0);
}

static void ulimit_v_64_mb(void) { limit(RLIMIT_AS, 64 * MB, 256 * MB); }
static void ulimit_d_16_mb(void) { limit(RLIMIT_DATA, 16 * MB, 256 * MB); }
static void ulimit_s_unlimited(void) { limit(RLIMIT_STACK, RLIM_INFINITY, RLIM_INFINITY); }

/* The library's own. */
static void option_limit_64_mb(void) { setenv("OSMEM_OPTIONS", "limit=64M", 1); }
static void option_limit_16_mb(void) { setenv("OSMEM_OPTIONS", "limit=16384K", 1); }
static void option_soft_32_mb(void) { setenv("OSMEM_OPTIONS", "soft=32M", 1); }
static void option_populate_0(void) { setenv("OSMEM_OPTIONS", "populate=0", 1); }

static void option_thp_0(void) { setenv("OSMEM_OPTIONS", "thp=0", 1); }
static void option_thp_1(void) { setenv("OSMEM_OPTIONS", "thp=1", 1); }

/* Of the mapping that `address` lies in. */
static bool mapping_has_flag(const void *address, const char *flag)
{
  char line[1000];
  bool inside = false, has = false;
  FILE *smaps = fopen("/proc/self/smaps", "r");
  require(smaps);
  while (fgets(line, sizeof line, smaps)) {
    unsigned long from, to;
    if (sscanf(line, "%lx-%lx", &from, &to) == 2) inside = from <= (uintptr_t)address && (uintptr_t)address < to;
    if (inside && strncmp(line, "VmFlags:", 8) == 0) has = strstr(line, flag) != NULL;
  }
  fclose(smaps);
  return has;
}

/* A heap of 64 MB in small objects, and a mapping; neither before there are 8 MB. */
static void pages_are_marked(const char *flag, bool from_the_start)
{
  if (access("/sys/kernel/mm/transparent_hugepage", F_OK) != 0) skip_test("a kernel without transparent huge pages");
  char *first = malloc(1000), *last = first, *mapping = malloc(3 * MB);
  require(mapping_has_flag(first, flag) == from_the_start && mapping_has_flag(mapping, flag) == from_the_start);
  for (size_t i = 0; i < 64 * MB / 1000; i++) touch(last = malloc(1000), 1000);
  touch(mapping = malloc(16 * MB), 16 * MB);
  require(mapping_has_flag(last, flag) && mapping_has_flag(mapping, flag));
  require(heap_is_sound() && areas() < 60);
}

static void no_page_is_huge(void) { pages_are_marked(" nh", true); }
static void pages_are_huge_from_8_mb_on(void) { pages_are_marked(" hg", false); }

/* Each size takes what all others have left behind, forwards and back. At least `enough` bytes, every time. */
static void exhaust_with_each_size(size_t enough)
{
  static const size_t EACH[] = {24, 5000, 200000, 500, 60000, 1 * MB, 24, 100000, 140000, 1000, 24};
  for (size_t i = 0; i < COUNT(EACH); i++) {
    size_t count;
    struct link *all = exhaust(EACH[i], &count);
    require(malloc(EACH[i]) == NULL && errno == ENOMEM);
    require(calloc(1, EACH[i]) == NULL || EACH[i] < 1000);
    if (count * EACH[i] < enough)
      say("# only %zu blocks of %zu bytes in round %zu\n", count, EACH[i], i);
    require(count * EACH[i] >= enough);
    release_links(all);
    use_each_tier();
  }
}

static void half_of_64_mb(void) { exhaust_with_each_size(32 * MB); }
static void half_of_16_mb(void) { exhaust_with_each_size(8 * MB); }

static void half_of_64_mb_and_no_more(void)
{
  size_t before = resident_bytes(), count;
  struct link *all = exhaust(5000, &count);
  require(resident_bytes() < before + 64 * MB);
  release_links(all);
  half_of_64_mb();
  void *grows = malloc(200000), *same = grows;
  errno = 0;
  require((grows = realloc(grows, 100 * MB)) == NULL && errno == ENOMEM);
  free(same);
}

/* What lives on in the middle of the heap keeps its address space, but what was given back does not count, until it is wanted again. */
static void what_was_given_back_counts_no_more(void)
{
  enum { BLOCKS = 2200, EACH = 20000, KEPT = 50 };
  static char *blocks[BLOCKS];
  for (int round = 0; round < 3; round++) {
    size_t before = resident_bytes(), again = 0;
    for (size_t i = 0; i < BLOCKS; i++) {
      if (!blocks[i]) require((blocks[i] = malloc(EACH)));
      fill(blocks[i], EACH, i);
    }
    require(malloc(30 * MB) == NULL && malloc(30 * MB) == NULL);
    for (size_t i = 0; i < BLOCKS - 1; i++)
      if (i % KEPT) free(blocks[i]);
    char *large = malloc(30 * MB);
    require(large);
    fill(large, 30 * MB, 7);
    for (size_t i = 0; i < BLOCKS - 1; i++) {
      if (i % KEPT == 0) continue;
      if ((blocks[i] = malloc(EACH))) fill(blocks[i], EACH, i);
      again += blocks[i] != NULL;
    }
    require(again * EACH > 16 * MB && again * EACH < 34 * MB);
    require(resident_bytes() < (round ? 0 : before) + 68 * MB && holds(large, 30 * MB, 7));
    for (size_t i = 0; i < BLOCKS; i++) require(!blocks[i] || holds(blocks[i], EACH, i));
    require(heap_is_sound());
    free(large);
  }
}

/* It is no limit: what is live may be more, block by block, and is not looked through for each. */
static void a_soft_limit_refuses_nothing(void)
{
  enum { BLOCKS = 600, EACH = 140000 };
  static char *blocks[BLOCKS];
  for (size_t i = 0; i < BLOCKS; i++) {
    require((blocks[i] = malloc(EACH)));
    fill(blocks[i], EACH, i);
  }
  for (size_t i = 0; i < BLOCKS; i++) require(holds(blocks[i], EACH, i));
  for (size_t i = 0; i < BLOCKS; i++) free(blocks[i]);
  require(heap_is_sound() && resident_bytes() < 32 * MB);
}

/* Bursts again and again: the budget for giving back is soon used up, but near the soft limit it does not count. */
static void bursts_go_back(void)
{
  enum { BLOCKS = 6000, EACH = 5000 };
  static void *blocks[BLOCKS];
  size_t before = resident_bytes();
  for (int round = 0; round < 10; round++) {
    for (size_t i = 0; i < BLOCKS; i++) memset(blocks[i] = malloc(EACH), 1, EACH);
    for (size_t i = 0; i < BLOCKS; i++) free(blocks[i]);
    if (resident_bytes() > before + 10 * MB) say("# round %d: %zu bytes more\n", round, resident_bytes() - before);
    require(resident_bytes() < before + 10 * MB);
  }
}

/* Memory is short, then a little is freed, then the limit is raised. */
static void recovers(void)
{
  size_t count, more;
  struct link *all = exhaust(5000, &count);
  char *data = (char *)all;
  all = all->next;
  fill(data, 5000, 1);
  errno = 0;
  require(realloc(data, 50 * MB) == NULL && errno == ENOMEM);
  require(holds(data, 5000, 1));
  free(data);
  require((data = malloc(5000)));
  for (int i = 0; i < 100; i++) {
    struct link *next = all->next;
    free(all);
    all = next;
  }
  for (int i = 0; i < 50; i++) require(malloc(5000));
  limit(RLIMIT_AS, 256 * MB, 256 * MB);
  limit(RLIMIT_DATA, 256 * MB, 256 * MB);
  struct link *others = exhaust(5000, &more);
  require(more * 5000 >= 100 * MB);
  release_links(others);
  require(calloc(1, 50 * MB));
  release_links(all);
}

/* Threads that all meet the end of memory: NULL for each, no crash, no hang, and later all is well. */
static void *meets_the_end(void *bytes)
{
  for (int i = 0; i < 5; i++) {
    struct link *all = NULL, *link;
    while ((link = malloc((size_t)bytes))) {
      link->next = all;
      all = link;
    }
    release_links(all);
  }
  return NULL;
}

static void threads_meet_the_end(void)
{
  pthread_t threads[3];
  static const size_t EACH[] = {5000, 700, 150000};
  for (size_t i = 0; i < COUNT(threads); i++) threads[i] = spawn(meets_the_end, (void *)EACH[i]);
  for (size_t i = 0; i < COUNT(threads); i++) join(threads[i]);
  size_t count;
  release_links(exhaust(5000, &count));
  require(count * 5000 >= 12 * MB);
}

/* Eight threads at once, in many rounds, and by each way of growing: who gets what is luck, but together it is never more than there is. */
enum { RIVALS = 8, RIVAL_ROUNDS = 100 };
static pthread_barrier_t at_once;
static struct rival {
  size_t bytes, got_bytes;
  void *(*get)(size_t);
} rivals[RIVALS];

static void *get_large(size_t bytes) { return malloc(bytes); }

static void *get_by_growing(size_t bytes)
{
  char *p = (char *)malloc(140000), *q = p ? (char *)realloc(p, bytes) : NULL;
  if (!q) free(p);
  return q;
}

static void *get_aligned(size_t bytes) { return aligned_alloc(65536, bytes); }

/* Blocks of the heap, as a list. */
static void *get_in_pieces(size_t bytes)
{
  struct link *all = NULL, *link;
  for (size_t i = 0; i < bytes / 60000 && (link = malloc(60000)); i++) {
    link->next = all;
    all = link;
  }
  return all;
}

static void *competes(void *which)
{
  struct rival *rival = (struct rival *)which;
  bool in_pieces = rival->get == get_in_pieces;
  for (int round = 0; round < RIVAL_ROUNDS; round++) {
    pthread_barrier_wait(&at_once);
    void *got = rival->get(rival->bytes);
    rival->got_bytes = 0;
    for (struct link *piece = got; piece; piece = in_pieces ? piece->next : NULL) rival->got_bytes += malloc_usable_size(piece);
    pthread_barrier_wait(&at_once);
    pthread_barrier_wait(&at_once); /* the sum is taken */
    if (in_pieces) release_links(got);
    else free(got);
    pthread_barrier_wait(&at_once);
  }
  return NULL;
}

/* `least` of the rivals' requests can always be met. */
static void rivals_share(void *(*get)(size_t), size_t bytes, size_t least)
{
  pthread_t threads[RIVALS];
  for (size_t i = 0; i < RIVALS; i++) {
    rivals[i] = (struct rival){bytes, 0, get};
    threads[i] = spawn(competes, &rivals[i]);
  }
  for (int round = 0; round < RIVAL_ROUNDS; round++) {
    pthread_barrier_wait(&at_once);
    pthread_barrier_wait(&at_once);
    size_t sum = 0;
    for (size_t i = 0; i < RIVALS; i++) sum += rivals[i].got_bytes;
    if (sum > 64 * MB || sum < least * bytes) say("# %zu bytes of %zu each in round %d\n", sum, bytes, round);
    require(sum <= 64 * MB && sum >= least * bytes);
    pthread_barrier_wait(&at_once);
    pthread_barrier_wait(&at_once);
    malloc_trim(0); /* what is kept would be handed out without asking the kernel */
  }
  for (size_t i = 0; i < RIVALS; i++) join(threads[i]);
  malloc_trim(0);
}

static void rivals_never_get_more_than_the_limit(void)
{
  pthread_barrier_init(&at_once, NULL, RIVALS + 1);
  rivals_share(get_large, 40 * MB, 1);
  rivals_share(get_large, 9 * MB, 1);
  rivals_share(get_by_growing, 20 * MB, 0);
  rivals_share(get_aligned, 20 * MB, 1);
  require(library_stats().peak_bytes <= 64 * MB);
  rivals_share(get_in_pieces, 20 * MB, 0); /* after which pages that were given back may be more address space than that */
}

/* The limit is above what the kernel has: its refusals are not counted as if they had been met, in no thread. */
static void option_limit_200_mb_ulimit_v_100_mb(void)
{
  setenv("OSMEM_OPTIONS", "limit=200M", 1);
  limit(RLIMIT_AS, 100 * MB, RLIM_INFINITY);
}

static void *is_refused(void *bytes)
{
  for (int i = 0; i < 100; i++) require(malloc((size_t)bytes) == NULL);
  return NULL;
}

static void refusals_of_the_kernel_cost_nothing(void)
{
  pthread_t threads[3];
  for (size_t i = 0; i < COUNT(threads); i++) threads[i] = spawn(is_refused, (void *)(size_t)(150 * MB));
  for (size_t i = 0; i < COUNT(threads); i++) join(threads[i]);
  require(library_stats().peak_bytes < 100 * MB);
  limit(RLIMIT_AS, RLIM_INFINITY, RLIM_INFINITY);
  void *p = malloc(150 * MB);
  require(p && malloc(60 * MB) == NULL);
  free(p);
}

/* ---- options ---- */

static void option_given_twice(void) { setenv("OSMEM_OPTIONS", "limit=64M,limit=,limit=5X,limit=99999999999999999999,soft=none", 1); }
static void option_with_spaces(void) { setenv("OSMEM_OPTIONS", " soft=0 , limit=64MiB ", 1); }
static void option_in_kb(void) { setenv("OSMEM_OPTIONS", "limit=65536k", 1); }

static void the_limit_is_64_mb(void)
{
  require(malloc(65 * MB) == NULL);
  void *p = malloc(60 * MB);
  require(p);
  free(p);
}

static void option_soft_cgroup(void) { setenv("OSMEM_OPTIONS", "soft=cgroup", 1); }
static void option_stats_refused(void)
{
  setenv("OSMEM_OPTIONS", "stats=1", 1);
  limit(RLIMIT_NOFILE, 64, 64); /* no descriptor above 100 */
}
static void option_stats_without_stderr(void)
{
  setenv("OSMEM_OPTIONS", "stats=1,none=1", 1);
  close(STDERR_FILENO);
}

/* Nothing was called since main() but what looked for this test. */
static void errno_is_0_in_main(void) { require(errno == 0); }

/* ---- filters ---- */

static void refuse(uint32_t number, uint32_t error)
{
  struct sock_filter code[] = {LOAD_CALL, IF_CALL(number, SECCOMP_RET_ERRNO | error), OTHERWISE(SECCOMP_RET_ALLOW)};
  install_filter(code, COUNT(code), 0);
}

static void refusing_brk(void) { refuse(SYS_brk, EPERM); }
static void refusing_madvise(void) { refuse(SYS_madvise, EPERM); }
static void refusing_mremap(void) { refuse(SYS_mremap, EPERM); }
static void refusing_getrandom(void) { refuse(SYS_getrandom, ENOSYS); }
static void refusing_membarrier(void) { refuse(SYS_membarrier, ENOSYS); }
static void refusing_munmap(void) { refuse(SYS_munmap, ENOMEM); }

static void refusing_all_that_may_be_missing(void)
{
  refusing_brk();
  refusing_madvise();
  refusing_mremap();
  refusing_getrandom();
  refusing_membarrier();
}

/* The heap has begun when the filter comes. */
static void brk_is_refused_later(void)
{
  use_each_tier();
  char *old = malloc(40000);
  fill(old, 40000, 3);
  refusing_brk();
  threads_work();
  require(holds(old, 40000, 3));
  free(old);
}

static void unlisted_call(int signal_number, siginfo_t *info, void *context)
{
  (void)signal_number;
  (void)context;
  say("# system call %d is not on the list\n", info->si_syscall);
  _exit(1);
}

/* What this program needs itself: to end, to end threads, to fork and wait. */
static const uint32_t OF_THE_PROGRAM[] = {SYS_exit, SYS_exit_group, SYS_rt_sigprocmask, SYS_clone, SYS_set_robust_list, SYS_wait4, SYS_gettid,
#ifdef SYS_fork /* by musl, where there is one */
                                         SYS_fork,
#endif
#ifdef __aarch64__ /* its vDSO has none; the manual says so below its list */
                                         SYS_getcpu,
#endif
};

static uint32_t number_of_call(const char *name)
{
  static const struct {
    const char *name;
    uint32_t number;
  } CALLS[] = {{"brk", SYS_brk},         {"mmap", SYS_mmap},   {"munmap", SYS_munmap}, {"mremap", SYS_mremap},
               {"madvise", SYS_madvise}, {"futex", SYS_futex}, {"write", SYS_write}};
  for (size_t i = 0; i < COUNT(CALLS); i++)
    if (strcmp(CALLS[i].name, name) == 0) return CALLS[i].number;
  say("# osmem(7) lists %s, which this test does not know\n", name);
  _exit(1);
}

/* The manual's own list, so that it cannot say one thing and the library do another: every entry but those that an option brings. */
static size_t listed_calls(uint32_t *numbers)
{
  char path[4096], line[1024], name[32], more;
  ssize_t length = readlink("/proc/self/exe", path, sizeof path - 32);
  require(length > 0);
  path[length] = 0;
  for (int up = 0; up < 4; up++) *strrchr(path, '/') = 0; /* build/tests/preload/limits */
  FILE *manual = fopen(strcat(path, "/scripts/man/osmem.7"), "r");
  require(manual);
  while (fgets(line, sizeof line, manual) && strcmp(line, ".Sh SYSTEM CALLS\n") != 0) {
  }
  size_t count = 0;
  while (fgets(line, sizeof line, manual) && strncmp(line, ".Sh", 3) != 0)
    if (sscanf(line, ".It Li %31[a-z0-9_] %c", name, &more) == 1 && fgets(line, sizeof line, manual) && strncmp(line, "only with", 9) != 0)
      numbers[count++] = number_of_call(name);
  fclose(manual);
  return count;
}

static void only_listed_calls(void)
{
  enum { MOST = 32 };
  struct sock_filter code[2 * MOST + 2] = {LOAD_CALL};
  uint32_t numbers[MOST];
  size_t listed = listed_calls(numbers), filled = 1;
  require(listed >= 5);
  memcpy(numbers + listed, OF_THE_PROGRAM, sizeof OF_THE_PROGRAM);
  for (size_t i = 0; i < listed + COUNT(OF_THE_PROGRAM); i++) {
    struct sock_filter allow[] = {IF_CALL(numbers[i], SECCOMP_RET_ALLOW)};
    memcpy(code + filled, allow, sizeof allow);
    filled += COUNT(allow);
  }
  code[filled++] = (struct sock_filter)OTHERWISE(SECCOMP_RET_TRAP);
  struct sigaction action = {.sa_sigaction = unlisted_call, .sa_flags = SA_SIGINFO};
  require(sigaction(SIGSYS, &action, NULL) == 0);
  install_filter(code, filled, SECCOMP_FILTER_FLAG_TSYNC);
}

static void a_child_works(void)
{
  pid_t pid = fork();
  if (pid == 0) {
    churn(9, 5000);
    malloc_trim(0);
    _exit(0);
  }
  require(wait_for(pid) == 0);
}

static void long_work_then_a_burst(void)
{
  churn(21, 100000);
  static char *blocks[2000];
  for (int round = 0; round < 3; round++) {
    for (size_t i = 0; i < COUNT(blocks); i++) touch(blocks[i] = malloc(20000), 20000);
    for (size_t i = 0; i < COUNT(blocks); i++) free(blocks[i]);
  }
}

static pthread_barrier_t threads_started, filter_in_place;

static void *works_under_the_filter(void *seed)
{
  pthread_barrier_wait(&threads_started);
  pthread_barrier_wait(&filter_in_place);
  churn((uint32_t)(size_t)seed, 50000);
  return NULL;
}

static void only_listed_system_calls_after_the_start(void)
{
  pthread_barrier_init(&threads_started, NULL, 3);
  pthread_barrier_init(&filter_in_place, NULL, 3);
  pthread_t one = spawn(works_under_the_filter, (void *)1), two = spawn(works_under_the_filter, (void *)2);
  pthread_barrier_wait(&threads_started);
  free(malloc(1));
  only_listed_calls();
  everything_works();
  long_work_then_a_burst();
  pthread_barrier_wait(&filter_in_place);
  churn(3, 50000);
  join(one);
  join(two);
  a_child_works();
}

/* The proof that the filter bites. */
static void calls_an_unlisted_one(void)
{
  dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
  only_listed_calls();
  syscall(SYS_getpid);
}

static void the_list_is_enforced(void)
{
  require(fate_of(calls_an_unlisted_one) == 1 << 8);
}

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

/* A filter that knows of one advice only, as glibc's malloc gives no other, and of what glibc 2.42 and later ask for the stacks of threads; what else is asked
 * ends the process. */
static void a_dense_heap_under_a_filter_of_advice(void)
{
  struct sock_filter code[] = {
      LOAD_CALL,
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MADV_DONTNEED, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MADV_GUARD_INSTALL, 0, 1),
      OTHERWISE(SECCOMP_RET_ALLOW),
      OTHERWISE(SECCOMP_RET_TRAP),
  };
  struct sigaction action = {.sa_sigaction = unlisted_call, .sa_flags = SA_SIGINFO};
  require(sigaction(SIGSYS, &action, NULL) == 0);
  install_filter(code, COUNT(code), 0);
  for (size_t i = 0; i < 300000; i++) require(malloc(100));
  threads_work();
}

static void other_advice_is_given_unless_told(void)
{
  dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
  require(fate_of(a_dense_heap_under_a_filter_of_advice) == 1 << 8);
}

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

static void lock(char *memory, size_t bytes)
{
  if (mlock(memory, bytes) != 0) skip_test("not enough memory may be locked");
}

/* Blocks that were locked and freed so go back, where the kernel drops such pages. */
static void locked_pages_go_back(void)
{
  enum { BLOCKS = 40, BYTES = 60000 };
  char *blocks[BLOCKS], *probe = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  lock(probe, BYTES);
  if (madvise(probe, BYTES, MADV_DONTNEED_LOCKED) != 0) skip_test("a kernel before 5.18 keeps locked pages");
  for (size_t i = 0; i < BLOCKS; i++) {
    require((blocks[i] = malloc(BYTES)));
    memset(blocks[i], 0xEE, BYTES);
    lock(blocks[i], BYTES);
  }
  char *above = malloc(BYTES);
  require(above);
  size_t before = resident_bytes();
  for (size_t i = 0; i < BLOCKS; i++) free(blocks[i]);
  malloc_trim(0);
  require(resident_bytes() < before - BLOCKS / 2 * BYTES);
  require(above > blocks[BLOCKS - 1]);
}

/* Where they stay, calloc has to zero all the same. */
static void pages_are_locked(void)
{
  enum { BLOCKS = 40, BYTES = 60000 };
  char *blocks[BLOCKS];
  for (int round = 0; round < 3; round++) {
    for (size_t i = 0; i < BLOCKS; i++) {
      blocks[i] = calloc(1, BYTES);
      require(blocks[i] && all_zero(blocks[i], BYTES));
      memset(blocks[i], 0xEE, BYTES);
      lock(blocks[i], BYTES);
    }
    for (size_t i = 0; i < BLOCKS; i++) free(blocks[i]);
    malloc_trim(0);
  }
  everything_works();
}

static void uses_and_frees(size_t block, size_t most)
{
  void **list = NULL, **next;
  for (size_t sum = 0; sum < most && (next = malloc(block)); sum += block) {
    *next = list;
    list = next;
  }
  for (; list; list = next) {
    next = *list;
    free(list);
  }
}

static void looks_how_much_there_is(void)
{
  size_t served = 0, refused = (size_t)1 << 40;
  while (refused - served > 64 * KB) {
    size_t between = served + (refused - served) / 2;
    void *p = malloc(between);
    *(p ? &served : &refused) = between;
    free(p);
  }
}

/* A request that cannot be had at the limit, for which all was given up; then much is used and freed. That is there for the next one. */
static void what_was_freed_since_a_vain_request_serves(void)
{
  limit(RLIMIT_AS, 1024 * MB, 1024 * MB);
  looks_how_much_there_is();
  uses_and_frees(100, SIZE_MAX);
  require(!malloc(2048 * (size_t)MB));
  uses_and_frees(3000, 600 * MB);
  void *p = malloc(500 * MB);
  require(p);
  free(p);
}

/* Likewise where holes were left, and were filled again meanwhile: as much is in use as before, and as little is kept. */
static void what_was_freed_after_holes_were_filled_serves(void)
{
  enum { BYTES = 60000, MOST = 20000 };
  static void *blocks[MOST];
  limit(RLIMIT_AS, 512 * MB, 512 * MB);
  size_t count = 0, half;
  while (count < MOST && (blocks[count] = malloc(BYTES))) count++;
  half = count / 2;
  for (size_t i = 0; i < half; i += 2) free(blocks[i]);
  require(!malloc(count / 5 * BYTES));
  for (size_t i = 0; i < half; i += 2) require((blocks[i] = malloc(BYTES)));
  for (size_t i = half; i < count; i++) free(blocks[i]);
  void *p = malloc(count / 5 * 2 * BYTES);
  require(p);
  free(p);
  for (size_t i = 0; i < half; i++) free(blocks[i]);
}

/* Objects of a thread that ended, freed by another: they wait in the mail until somebody reads that. */
enum { DEAD_ONES = 1000000 };
static void **of_the_dead; /* no array: it would count where RLIMIT_DATA is tested */

static void *has_many(void *unused)
{
  for (size_t i = 0; i < DEAD_ONES; i++) require((of_the_dead[i] = malloc(300)));
  return unused;
}

static void what_waits_in_the_mail_after_a_vain_request_serves(void)
{
  require((of_the_dead = malloc(DEAD_ONES * sizeof *of_the_dead)));
  static void *holes[15000]; /* so that the trim takes its time, and the pause after it is long */
  for (size_t i = 0; i < COUNT(holes); i++) {
    require((holes[i] = malloc(20000)));
    memset(holes[i], 1, 20000);
  }
  run_thread(has_many, NULL);
  for (size_t i = 0; i < COUNT(holes); i += 2) free(holes[i]);
  limit(RLIMIT_AS, 680 * MB, 680 * MB);
  require(!malloc(300 * MB));
  for (size_t i = 0; i < DEAD_ONES; i++) free(of_the_dead[i]);
  void *p = malloc(100 * MB);
  require(p);
  free(p);
}

/* ---- neighbours of the break ---- */

static void *put_above_the_break(size_t gap)
{
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  void *wanted = (void *)((program_break() + gap + page - 1) / page * page);
  void *neighbour = mmap(wanted, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  require(neighbour == wanted);
  fill(neighbour, page, 77);
  return neighbour;
}

static void works_beside(void *neighbour)
{
  threads_work();
  size_t count = 0;
  struct link *all = NULL;
  for (; count < 20000; count++) {
    struct link *link = malloc(1000);
    require(link);
    link->next = all;
    all = link;
  }
  release_links(all);
  malloc_trim(0);
  require(holds(neighbour, 4096, 77));
}

static void a_mapping_above_the_break_from_the_start(void) { works_beside(put_above_the_break(0)); }
static void a_mapping_a_little_above_the_break(void) { works_beside(put_above_the_break(200 * KB)); }

static void a_mapping_above_the_break_later(void)
{
  churn(1, 1000);
  works_beside(put_above_the_break(0));
}

/* Memory that somebody else took with sbrk, and what it holds. */
static struct {
  char *at;
  size_t bytes;
} foreign[200];
static size_t foreign_count;

static void foreign_sbrk(size_t bytes)
{
  char *at = sbrk((intptr_t)bytes);
  require(at != (char *)-1);
  require(foreign_count < COUNT(foreign));
  fill(at, bytes, foreign_count);
  foreign[foreign_count].at = at;
  foreign[foreign_count++].bytes = bytes;
}

static bool overlaps_foreign(const char *block, size_t bytes)
{
  for (size_t i = 0; i < foreign_count; i++)
    if (block < foreign[i].at + foreign[i].bytes && foreign[i].at < block + bytes) return true;
  return false;
}

static void foreign_is_intact(void)
{
  for (size_t i = 0; i < foreign_count; i++) require(holds(foreign[i].at, foreign[i].bytes, i));
}

/* Grow the heap by `count` blocks of mixed sizes, none of them in foreign memory, and let all of them go again. */
static void grow_and_shrink(size_t count)
{
  uint32_t dice = 5;
  struct link *all = NULL;
  for (size_t i = 0; i < count; i++) {
    size_t bytes = sizeof *all + random_size(&dice);
    struct link *link = malloc(bytes);
    require(link && !overlaps_foreign((char *)link, bytes));
    memset(link, 0xEE, bytes);
    link->next = all;
    all = link;
  }
  foreign_is_intact();
  release_links(all);
}

static void foreign_sbrk_in_between(void)
{
  static const size_t PIECES[] = {4096, 1, 100, 70000, 4095, 64, 1 * MB};
  foreign_sbrk(1000); /* before the heap exists */
  for (size_t i = 0; i < 70; i++) {
    grow_and_shrink(200 + i * 20);
    foreign_sbrk(PIECES[i % COUNT(PIECES)]);
    if (i % 5 == 0) malloc_trim(0);
    require(sbrk(4096) != (void *)-1); /* taken and given back at once */
    require(sbrk(-4096) != (void *)-1);
  }
  churn(4, 20000);
  malloc_trim(0);
  foreign_is_intact();
}

/* The chunk that a stranger's memory has cut short is the last one again, when all behind the stranger was given back: it ends where it did. */
static void a_stranger_stays_when_the_chunk_behind_goes(void)
{
  static char *blocks[200];
  for (int round = 0; round < 2; round++) {
    for (size_t i = 0; i < COUNT(blocks); i++) {
      if (round == 0 && i == 2) foreign_sbrk(4096);
      require((blocks[i] = malloc(100000)));
      fill(blocks[i], 100000, i);
    }
    uintptr_t high = program_break();
    for (size_t i = 0; i < COUNT(blocks); i++) require(holds(blocks[i], 100000, i));
    for (size_t i = 1; i < COUNT(blocks); i++) free(blocks[i]);
    malloc_trim(0);
    require(program_break() < high);
    foreign_is_intact();
  }
}

/* libc trusts what it remembers of the break, once it has looked: its sbrk() must go on where our last growth has put that, and not take
 * away what we have. */
static void sbrk_goes_on_behind_our_growth(void)
{
  char *blocks[64];
  require(sbrk(0) != (void *)-1);
  for (size_t i = 0; i < COUNT(blocks); i++) {
    require((blocks[i] = malloc(100000)));
    fill(blocks[i], 100000, i);
    uintptr_t end = program_break();
    require((uintptr_t)sbrk(0) == end);
    if (i % 8 == 0) require((uintptr_t)sbrk(4096) == end && program_break() == end + 4096);
  }
  for (size_t i = 0; i < COUNT(blocks); i++) require(holds(blocks[i], 100000, i));
  for (size_t i = 0; i < COUNT(blocks); i++) free(blocks[i]);
  malloc_trim(0);
  require((uintptr_t)sbrk(0) == program_break());
}

/* Somebody moves the break down, into what is free at our end, to `by` bytes below it. What is gone is never touched; what comes again
 * reads as zero, though somebody else had it meanwhile. */
static void the_free_end_is_taken(size_t by)
{
  enum { BLOCKS = 60, EACH = 100000 };
  char *blocks[BLOCKS];
  for (size_t i = 0; i < BLOCKS; i++) memset(blocks[i] = malloc(EACH), 0xEE, EACH);
  for (size_t i = BLOCKS / 2; i < BLOCKS; i++) free(blocks[i]);
  for (size_t i = 0; i < BLOCKS / 2; i++) fill(blocks[i], EACH, i);
  malloc_trim(2 * MB); /* the top keeps so much */
  char *theirs = (char *)program_break() - by;
  require(brk(theirs) == 0 && sbrk(10000) == theirs);
  memset(theirs, 0xEE, 10000);
  require(sbrk(-10000) == theirs + 10000);
  for (size_t i = BLOCKS / 2; i < BLOCKS; i++) {
    require((blocks[i] = calloc(1, EACH)) && all_zero(blocks[i], EACH));
    fill(blocks[i], EACH, i);
  }
  require(heap_is_sound());
  for (size_t i = 0; i < BLOCKS; i++) {
    require(holds(blocks[i], EACH, i));
    free(blocks[i]);
  }
  malloc_trim(0);
  everything_works();
  require(heap_is_sound());
}

static void the_free_end_is_taken_by_pages(void) { the_free_end_is_taken(1 * MB); }
static void the_free_end_is_taken_by_bytes(void) { the_free_end_is_taken(1 * MB - 100); }
static void nearly_all_of_the_free_end_is_taken(void) { the_free_end_is_taken(2 * MB - 24); }

/* Foreign memory right behind each of our own steps, before we can look at the break again. A filter hands every
 * brk to a handler that carries it out and then takes a page more. That the stranger comes in between our look and
 * our call nobody can see: brk is absolute, and libc's own sbrk loses that race too. */
enum { PASSWORD = 0x6F736D65 }; /* in the sixth argument, which brk does not have: the handler's own calls */

static uintptr_t real_brk(uintptr_t end)
{
  return (uintptr_t)syscall(SYS_brk, end, 0, 0, 0, 0, PASSWORD);
}

/* Of a call that a handler got: the register with its first argument, and the one for its answer. */
#if defined(__x86_64__)
#define FIRST_ARGUMENT gregs[REG_RDI]
#define ANSWER gregs[REG_RAX]
#elif defined(__aarch64__)
#define FIRST_ARGUMENT regs[0]
#define ANSWER regs[0]
#elif defined(__riscv)
#define FIRST_ARGUMENT __gregs[REG_A0]
#define ANSWER __gregs[REG_A0]
#endif

static void takes_a_page_behind(int signal_number, siginfo_t *info, void *context)
{
  (void)signal_number;
  (void)info;
  mcontext_t *registers = &((ucontext_t *)context)->uc_mcontext;
  uintptr_t wanted = (uintptr_t)registers->FIRST_ARGUMENT, before = real_brk(0);
  uintptr_t newest = foreign_count ? (uintptr_t)foreign[foreign_count - 1].at + foreign[foreign_count - 1].bytes : 0;
  require(wanted == 0 || wanted >= newest); /* never shrink below what is not ours */
  uintptr_t end = real_brk(wanted);
  if (end > before && foreign_count < COUNT(foreign)) {
    require(real_brk(end + 4096) == end + 4096);
    fill((void *)end, 4096, foreign_count);
    foreign[foreign_count].at = (char *)end;
    foreign[foreign_count++].bytes = 4096;
  }
  registers->ANSWER = (__typeof__(registers->ANSWER))end;
}

static void foreign_sbrk_while_we_grow(void)
{
  struct sock_filter code[] = {
      LOAD_CALL,
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_brk, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PASSWORD, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sigaction action = {.sa_sigaction = takes_a_page_behind, .sa_flags = SA_SIGINFO};
  require(sigaction(SIGSYS, &action, NULL) == 0);
  install_filter(code, COUNT(code), 0);
  for (int i = 0; i < 30; i++) {
    grow_and_shrink(2000 + (size_t)i * 100);
    malloc_trim(0);
  }
  foreign_is_intact();
  require(foreign_count > 0);
}

/* ---- more blocks than mappings ---- */

enum { MANY = 90000, THEIR_AREAS = 25000, AREAS_MORE = 200 /* than the blocks have: libraries, stacks */ };

static size_t *many[MANY];

static size_t areas_allowed(void)
{
  char text[32] = {0};
  int fd = open("/proc/sys/vm/max_map_count", O_RDONLY);
  if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) skip_test("no /proc/sys/vm/max_map_count");
  close(fd);
  return strtoul(text, NULL, 10);
}

static void ninety_thousand_large_blocks(void)
{
  enum { BYTES = 140000 };
  if (areas_allowed() >= MANY) skip_test("this machine allows more mappings than the test has blocks");
  for (size_t i = 0; i < MANY; i++) {
    many[i] = malloc(BYTES);
    require(many[i]);
    *many[i] = i;
  }
  use_each_tier();
  for (size_t i = 0; i < MANY; i++) {
    require(*many[i] == i);
    free(many[i]);
  }
  malloc_trim(0);
  require(resident_bytes() < 64 * MB);
  churn(1, 10000);
}

/* We have no more areas than our share, and the program can have those that are left to it: mappings that cannot melt, threads, memory by
 * sbrk. */
static void there_is_room_for_the_program(size_t share)
{
  static char *theirs[THEIR_AREAS];
  size_t ours = areas();
  say("# areas: %zu\n", ours);
  require(ours < share + AREAS_MORE);
  if (areas_allowed() < share + AREAS_MORE + THEIR_AREAS) return;
  for (size_t i = 0; i < THEIR_AREAS; i++) {
    theirs[i] = mmap(NULL, 4096, i % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(theirs[i] != MAP_FAILED);
  }
  run_thread(thread_works, (void *)3);
#ifdef __GLIBC__ /* musl's refuses, always */
  require(sbrk(4096) != (void *)-1);
#endif
  for (size_t i = 0; i < THEIR_AREAS; i++) munmap(theirs[i], 4096);
}

/* Every other block goes, in random order, and no two holes melt. */
static void leave_holes(size_t count)
{
  uint32_t dice = 9;
  for (size_t left = count / 2; left > 0; left--) {
    size_t which = 2 * (next_random(&dice) % left), last = 2 * (left - 1);
    free(many[which]);
    many[which] = many[last];
    many[last] = NULL;
  }
}

static void free_many(size_t count)
{
  for (size_t i = 0; i < count; i++) free(many[i]);
  require(heap_is_sound());
  malloc_trim(0);
}

static void many_small_aligned_blocks(void)
{
  enum { BLOCKS = 40000 };
  for (size_t i = 0; i < BLOCKS; i++) {
    size_t alignment = i % 50 ? 64 * KB : 64 * KB << i / 50 % 7;
    many[i] = aligned_alloc(alignment, 8 + i % 3000);
    require(many[i] && is_aligned(many[i], alignment));
    *many[i] = i;
  }
  for (size_t i = 0; i < BLOCKS; i++) require(*many[i] == i);
  there_is_room_for_the_program(0);
  leave_holes(BLOCKS);
  there_is_room_for_the_program(0);
  free_many(BLOCKS);
}

static void many_large_blocks(void)
{
  enum { BLOCKS = 40000 };
  uint32_t dice = 5;
  for (size_t i = 0; i < BLOCKS; i++) require((many[i] = malloc(128 * KB + next_random(&dice) % (512 * KB))));
  there_is_room_for_the_program(MAPPINGS_SHARE);
  leave_holes(BLOCKS);
  there_is_room_for_the_program(MAPPINGS_SHARE);
  for (size_t i = 0; i < BLOCKS; i += 4) {
    for (size_t j = 0; j < 2; j++) require((many[i + j] = realloc(many[i + j], 128 * KB + next_random(&dice) % MB)));
    *many[i] = i;
  }
  for (size_t i = 0; i < BLOCKS; i += 4) require(*many[i] == i);
  there_is_room_for_the_program(MAPPINGS_SHARE);
  free_many(BLOCKS);
}

/* What fits no chunk is always a mapping: so many that nothing is unmapped until enough of them are gone. */
static void many_huge_blocks(void)
{
  enum { BLOCKS = 70000, EACH = 5 * MB };
  char policy = '0';
  int fd = open("/proc/sys/vm/overcommit_memory", O_RDONLY);
  if (fd < 0 || read(fd, &policy, 1) != 1 || policy == '2') skip_test("this machine promises no more memory than it has");
  close(fd);
  for (size_t i = 0; i < BLOCKS; i++) require((many[i] = malloc(EACH)));
  there_is_room_for_the_program(2 * MAPPINGS_SHARE);
  leave_holes(BLOCKS);
  there_is_room_for_the_program(2 * MAPPINGS_SHARE);
  free_many(BLOCKS);
  require(areas() < AREAS_MORE && library_stats().cached_bytes == 0);
}

/* More than twice our share, of sizes that never match: what is free does not pile up. Measured: 57 MB; 23,600, and more with each round, when nothing was unmapped. */
static void huge_blocks_come_and_go(void)
{
  enum { BLOCKS = MAPPINGS_SHARE * 9 / 4, EACH = 5 * MB, ROUNDS = 3, SPARES = 100 };
  char policy = '0';
  int fd = open("/proc/sys/vm/overcommit_memory", O_RDONLY);
  if (fd < 0 || read(fd, &policy, 1) != 1 || policy == '2') skip_test("this machine promises no more memory than it has");
  close(fd);
  if (areas_allowed() < BLOCKS + AREAS_MORE) skip_test("this machine allows fewer mappings than the test has blocks");
  uint32_t dice = 3;
  for (size_t i = 0; i < BLOCKS; i++) require((many[i] = malloc(EACH + next_random(&dice) % EACH)));
  for (size_t i = 0; i < ROUNDS * (size_t)BLOCKS; i++) {
    size_t which = next_random(&dice) % BLOCKS;
    free(many[which]);
    require((many[which] = malloc(EACH + next_random(&dice) % EACH)));
  }
  struct os_stats now = library_stats();
  say("# %zu MB live, %zu MB kept, %zu areas\n", now.mapped_bytes / MB, now.cached_bytes / MB, areas());
  require(now.cached_bytes <= (size_t)SPARES * 2 * EACH);
  require(areas() <= BLOCKS + AREAS_MORE);
  free_many(BLOCKS);
  require(areas() < AREAS_MORE && library_stats().cached_bytes == 0);
}

/* As above, where address space is short: what cannot be had is NULL, and what was freed can be had again. */
static void ulimit_v_4_gb(void) { limit(RLIMIT_AS, (size_t)4096 * MB, (size_t)4096 * MB); }

static void many_blocks_in_4_gb(void)
{
  for (int round = 0; round < 3; round++) {
    size_t count = 0, aligned = 0;
    while (count < MANY && (many[count] = malloc(132000))) count++;
    require(count > 27000 && heap_is_sound());
    leave_holes(count);
    free_many(count);
    while (aligned < MANY && (many[aligned] = aligned_alloc(64 * KB, 64))) aligned++;
    require(aligned > 50000 && heap_is_sound());
    leave_holes(aligned);
    free_many(aligned);
  }
  threads_work();
}

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST_AFTER(ulimit_v_64_mb, half_of_64_mb),
      TEST_AFTER(ulimit_v_64_mb, recovers),
      TEST(what_was_freed_since_a_vain_request_serves),
      TEST(what_was_freed_after_holes_were_filled_serves),
      TEST(what_waits_in_the_mail_after_a_vain_request_serves),
      TEST_AFTER(ulimit_v_64_mb, threads_meet_the_end),
      TEST_AFTER(option_limit_64_mb, half_of_64_mb_and_no_more),
      TEST_AFTER(option_limit_64_mb, threads_meet_the_end),
      TEST_AFTER(option_limit_16_mb, half_of_16_mb),
      TEST_AFTER(option_limit_64_mb, rivals_never_get_more_than_the_limit),
      TEST_AFTER(option_limit_200_mb_ulimit_v_100_mb, refusals_of_the_kernel_cost_nothing),
      TEST_AFTER(option_given_twice, the_limit_is_64_mb),
      TEST_AFTER(option_with_spaces, the_limit_is_64_mb),
      TEST_AFTER(option_in_kb, the_limit_is_64_mb),
      TEST_AFTER(option_soft_cgroup, errno_is_0_in_main),
      TEST_AFTER(option_stats_refused, errno_is_0_in_main),
      TEST_AFTER(option_stats_without_stderr, errno_is_0_in_main),
      TEST_AFTER(option_limit_64_mb, what_was_given_back_counts_no_more),
      TEST_AFTER(option_soft_32_mb, a_soft_limit_refuses_nothing),
      TEST_AFTER(option_soft_32_mb, bursts_go_back),
      TEST_AFTER(option_soft_32_mb, threads_work),
      TEST_AFTER(ulimit_d_16_mb, half_of_16_mb),
      TEST_AFTER(ulimit_d_16_mb, recovers),
      TEST_AFTER(ulimit_s_unlimited, threads_work),
      TEST_AFTER(refusing_brk, threads_work),
      TEST_AFTER(refusing_madvise, threads_work),
      TEST_AFTER(refusing_mremap, threads_work),
      TEST_AFTER(refusing_getrandom, threads_work),
      TEST_AFTER(refusing_membarrier, threads_work),
      TEST_AFTER(refusing_munmap, threads_work),
      TEST_AFTER(refusing_all_that_may_be_missing, threads_work),
      TEST(brk_is_refused_later),
      TEST(only_listed_system_calls_after_the_start),
      TEST(the_list_is_enforced),
      TEST_AFTER(option_thp_0, no_page_is_huge),
      TEST_AFTER(option_thp_1, pages_are_huge_from_8_mb_on),
      TEST_AFTER(option_populate_0, a_dense_heap_under_a_filter_of_advice),
      TEST(other_advice_is_given_unless_told),
      TEST(locked_pages_go_back),
      TEST(pages_are_locked),
      TEST(a_mapping_above_the_break_from_the_start),
      TEST(a_mapping_a_little_above_the_break),
      TEST(a_mapping_above_the_break_later),
      TEST(foreign_sbrk_in_between),
      TEST(a_stranger_stays_when_the_chunk_behind_goes),
      TEST(sbrk_goes_on_behind_our_growth),
      TEST(foreign_sbrk_while_we_grow),
      TEST(the_free_end_is_taken_by_pages),
      TEST(the_free_end_is_taken_by_bytes),
      TEST(nearly_all_of_the_free_end_is_taken),
      TEST(ninety_thousand_large_blocks),
      TEST(many_small_aligned_blocks),
      TEST(many_large_blocks),
      TEST(many_huge_blocks),
      TEST(huge_blocks_come_and_go),
      TEST_AFTER(ulimit_v_4_gb, many_blocks_in_4_gb),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
