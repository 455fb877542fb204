/* SPDX-License-Identifier: MIT */
/* What the model test (tests/model) does not look at: heaps in waves, and how little is left afterwards. */
#include "verbs.h"

#include "osmem.h"

/* Phases of growth and of release, between which nothing remains. */
static void waves(void)
{
  static void *blocks[3000];
  uint32_t dice = 77;
  for (int wave = 0; wave < 20; wave++) {
    size_t bytes = random_size(&dice);
    for (size_t i = 0; i < COUNT(blocks); i++) require((blocks[i] = os_malloc(1 + (bytes + i % 300) % 30000)));
    require(os_check());
    for (size_t i = 0; i < COUNT(blocks); i++) {
      size_t other = next_random(&dice) % COUNT(blocks);
      void *p = blocks[i];
      blocks[i] = blocks[other];
      blocks[other] = p;
    }
    for (size_t i = 0; i < COUNT(blocks); i++) os_free(blocks[i]);
    require(os_check());
    if (wave % 3 == 0) os_trim(0);
  }
}

static void *churns(void *seed)
{
  churn((uint32_t)(size_t)seed, 40000);
  return NULL;
}

static void threads_then_a_validation(void)
{
  for (size_t round = 1; round <= 3; round++) {
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT(threads); i++) threads[i] = spawn(churns, (void *)(round * 17 + i));
    for (size_t i = 0; i < COUNT(threads); i++) join(threads[i]);
    require(os_check());
  }
  struct os_stats stats;
  os_trim(0);
  os_get_stats(&stats, sizeof stats);
  require(stats.large_live_count == 0 && stats.small_live_count < 16 && stats.medium_live_count < 64);
  require(resident_bytes() < 8 * MB);
}

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST(waves),
      TEST(threads_then_a_validation),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
