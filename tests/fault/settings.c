/* SPDX-License-Identifier: MIT */
/* OSMEM_OPTIONS, in a kernel of the test's own: what threads that are on their way to the kernel ask for counts below the limit; and what is
 * stderr when the table is to be written. */
#include "kernel.h"

#include <semaphore.h>

/* ---- the limit ---- */

static void option_limit_64_mb(void) { setenv("OSMEM_OPTIONS", "limit=64M", 1); }

/* The next mmap that is large enough waits on the way to the kernel, and may be refused there. */
static struct {
  size_t from_bytes; /* 0: none waits */
  bool refused;
  sem_t arrived, may_go;
} gate;

static void passes_the_gate(enum kind kind)
{
  if (kind != MMAP || !gate.from_bytes || map_asked < gate.from_bytes) return;
  gate.from_bytes = 0;
  sem_post(&gate.arrived);
  while (sem_wait(&gate.may_go) != 0) {
  }
  kernel.refuse = gate.refused ? 1 << MMAP : 0;
  kernel.from = kernel.to = kernel.counted + 1; /* this one */
}

static void *takes(void *bytes) { return malloc((size_t)bytes); }

/* A thread that asks for `bytes` and waits in the middle of it. */
static pthread_t spawn_taker(size_t bytes, bool refused)
{
  free(malloc(bytes / 2)); /* the heap has begun */
  malloc_trim(0);
  sem_init(&gate.arrived, 0, 0);
  sem_init(&gate.may_go, 0, 0);
  gate.refused = refused;
  gate.from_bytes = bytes;
  kernel.visit = passes_the_gate;
  pthread_t taker = spawn(takes, (void *)bytes);
  while (sem_wait(&gate.arrived) != 0) {
  }
  return taker;
}

static void *taken_by(pthread_t taker)
{
  void *block;
  sem_post(&gate.may_go);
  require(pthread_join(taker, &block) == 0);
  return block;
}

/* What another thread is being given counts, whether by mapping or by the heap, and the peak knows nothing of what was refused. */
static void what_is_asked_for_is_reserved(void)
{
  pthread_t taker = spawn_taker(40 * MB, false);
  errno = 0;
  require(malloc(40 * MB) == NULL && errno == ENOMEM);
  size_t count;
  struct link *rest = exhaust(50000, &count);
  require(count * 50000 <= 24 * MB && count * 50000 > 20 * MB);
  char *grows = (char *)rest, *same = grows;
  rest = rest->next;
  require(realloc(grows, 30 * MB) == NULL);
  free(same);
  void *block = taken_by(taker);
  require(block);
  require(library_stats().peak_bytes <= 64 * MB);
  release_links(rest);
  free(block);
  require((block = malloc(39 * MB)));
  free(block);
}

/* The kernel refuses what was reserved: others can have it, again and again. */
static void what_is_refused_is_reserved_no_more(void)
{
  size_t peak = library_stats().peak_bytes;
  for (int i = 0; i < 20; i++) {
    pthread_t taker = spawn_taker(40 * MB, true);
    void *other = malloc(20 * MB);
    require(other);
    free(taken_by(taker)); /* it tries again after the refusal, and may get it */
    free(other);
  }
  malloc_trim(0);
  require(library_stats().peak_bytes <= 64 * MB && library_stats().peak_bytes >= peak);
  require(malloc(60 * MB));
}

/* Only the thread that forks goes on in the child; what another was asking for is not held against it. */
static void a_child_does_not_inherit_what_others_ask_for(void)
{
  pthread_t taker = spawn_taker(40 * MB, false);
  require(malloc(50 * MB) == NULL); /* nor what was refused */
  pid_t pid = fork();
  if (pid == 0) {
    void *first = malloc(40 * MB), *second = malloc(40 * MB);
    _exit(first && !second ? 0 : 1);
  }
  require(wait_for(pid) == 0);
  require(taken_by(taker));
}

/* ---- the table at exit ---- */

/* Stderr as a file of which the test keeps a descriptor. */
enum { FILE_OF_STDERR = 60 };
static void option_stats_into_a_file(void)
{
  setenv("OSMEM_OPTIONS", "stats=1", 1);
  require(dup2(memfd_create("stderr", 0), FILE_OF_STDERR) >= 0 && dup2(FILE_OF_STDERR, STDERR_FILENO) >= 0);
}

static size_t bytes_written_at_exit(void)
{
  require(ftruncate(FILE_OF_STDERR, 0) == 0);
  pid_t pid = fork();
  if (pid == 0) exit(0);
  require(wait_for(pid) == 0);
  struct stat file;
  require(fstat(FILE_OF_STDERR, &file) == 0);
  return (size_t)file.st_size;
}

static void a_file_with_the_number_of_stderr_is_another(void)
{
  require(bytes_written_at_exit() > 100);
  kernel.reborn = true;
  require(bytes_written_at_exit() == 0);
}

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST_AFTER(option_limit_64_mb, what_is_asked_for_is_reserved),
      TEST_AFTER(option_limit_64_mb, what_is_refused_is_reserved_no_more),
      TEST_AFTER(option_limit_64_mb, a_child_does_not_inherit_what_others_ask_for),
      TEST_AFTER(option_stats_into_a_file, a_file_with_the_number_of_stderr_is_another),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
