/* Giving back: nothing is lost when system calls are wrapped by a program that allocates and frees in there. */
#include "kernel.h"

#include "osmem.h"

static char *blocks[4000];

static void fill_with_blocks(size_t bytes)
{
  for (size_t i = 0; i < COUNT(blocks); i++) touch(blocks[i] = os_malloc(bytes), bytes);
}

/* ---- wrapped calls ---- */

enum { OBJECTS = 2000, KEPT = 60, EACH = 512 };
static char *objects[OBJECTS];
static size_t visits, free_at;
static char *during[64];

/* What keeps the slabs alive goes, all of it; their granules are wanted for something else. */
static void free_what_is_left(enum kind kind)
{
  if (kind != MADVISE || ++visits != free_at) return;
  for (size_t i = 0; i < OBJECTS; i += KEPT) os_free(objects[i]);
  for (size_t i = 0; i < COUNT(during); i++) fill(during[i] = os_malloc(i % 2 ? 30000 : EACH), i % 2 ? 30000 : EACH, i);
}

static void a_purge_is_interrupted(void)
{
  for (size_t i = 0; i < OBJECTS; i++) require((objects[i] = os_malloc(EACH)));
  for (size_t i = 0; i < OBJECTS; i++)
    if (i % KEPT) os_free(objects[i]);
  visits = 0;
  kernel.visit = free_what_is_left;
  os_trim(0);
  kernel.visit = NULL;
  if (visits < free_at) return;
  require(os_check());
  for (size_t i = 0; i < OBJECTS; i++) fill(objects[i] = os_malloc(EACH), EACH, i);
  for (size_t i = 0; i < COUNT(during); i++) require(holds(during[i], i % 2 ? 30000 : EACH, i));
  for (size_t i = 0; i < OBJECTS; i++) require(holds(objects[i], EACH, i));
  require(os_check());
}

static void a_purge_is_interrupted_at_every_call(void)
{
  do {
    free_at++;
    require(fate_of(a_purge_is_interrupted) == 0);
    visits = free_at > 40 ? 0 : free_at;
  } while (visits);
}

/* While the break goes down the heap says no more that it has what goes. */
static size_t shrunk;

static void is_not_claimed(enum kind kind)
{
  static uintptr_t end, bytes;
  struct os_stats stats;
  if (kind != BRK) return;
  os_get_stats(&stats, sizeof stats);
  if (kernel.break_asked && kernel.break_asked < end) {
    require(stats.heap_bytes <= bytes - (end - kernel.break_asked));
    shrunk++;
  }
  end = (uintptr_t)__real_syscall(SYS_brk, 0);
  bytes = stats.heap_bytes;
}

static void what_goes_is_not_claimed(void)
{
  for (int round = 0; round < 2; round++) {
    fill_with_blocks(20000);
    for (size_t i = 0; i < COUNT(blocks); i++) os_free(blocks[i]);
    kernel.visit = is_not_claimed;
    os_trim(0);
    kernel.visit = NULL;
    require(shrunk > 5 && os_check());
  }
}

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST(a_purge_is_interrupted_at_every_call),
      TEST(what_goes_is_not_claimed),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
