/* Giving back: nothing is lost when system calls are wrapped by a program that allocates and frees in there. */
#include "kernel.h"

#include "osmem.h"

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

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST(a_purge_is_interrupted_at_every_call),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
