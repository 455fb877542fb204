/* SPDX-License-Identifier: MIT */
/* Whatever stands in a live object or block, it is live: no content of it is taken for what the library writes into what is free. The contents
 * are those that come nearest to that in correct programs: what was found in fresh memory, which may be links, keys and headers; addresses of
 * itself and its neighbours, as they are and combined; small integers, which the difference of two near addresses is; zero. Who frees it: its
 * maker, another thread, one that comes after the maker's end, a forked child. Each free of a live block must be silent, and must have worked. */
#include "../verbs.h"

enum { COUNT_OF_BLOCKS = 600, WORDS_KEPT = 1024, ROUNDS = 800, FORKS = 60 };

static const size_t EACH[] = {16, 24, 40, 48, 64, 100, 250, 512, 600, 1000, 1500, 5000, 20000};

static struct crowd {
  uint64_t *at[COUNT_OF_BLOCKS];
  uint64_t kept[WORDS_KEPT]; /* words found in memory that nobody had written to since it was handed out */
  uint32_t seed;
} crowd;

static uint64_t any_word(size_t i)
{
  uint32_t dice = next_random(&crowd.seed), other = next_random(&crowd.seed);
  uint64_t own = (uintptr_t)crowd.at[i], near = (uintptr_t)crowd.at[other % COUNT_OF_BLOCKS];
  switch (dice % 8) {
    case 0: return 0;
    case 1: return crowd.kept[other % WORDS_KEPT];
    case 2: return crowd.kept[other % WORDS_KEPT] ^ own ^ near;
    case 3: return near;
    case 4: return own ^ near;
    default: return own - other % 4096 * 16;
  }
}

/* A message: often no link, and a length. */
static uint64_t small_number(void)
{
  uint32_t dice = next_random(&crowd.seed);
  return dice % 2 ? 0 : (uint64_t)(dice / 4 % (dice / 2 % 2 ? 8 * KB : 512 * KB)) * 16;
}

/* Made by one thread: the first words and the last of each block are such words. */
static void *makes(void *unused)
{
  for (size_t i = 0; i < COUNT_OF_BLOCKS; i++) {
    size_t bytes = EACH[next_random(&crowd.seed) % COUNT(EACH)];
    require((crowd.at[i] = malloc(bytes)));
    for (size_t word = 0; word < 2; word++) crowd.kept[next_random(&crowd.seed) % WORDS_KEPT] = crowd.at[i][word];
  }
  for (size_t i = 0; i < COUNT_OF_BLOCKS; i++) {
    size_t words = malloc_usable_size(crowd.at[i]) / sizeof(uint64_t);
    bool is_message = next_random(&crowd.seed) % 2;
    for (size_t word = 0; word < 4 && word < words; word++) crowd.at[i][word] = is_message ? small_number() : any_word(i);
    crowd.at[i][words - 1] = any_word(i);
  }
  return unused;
}

/* A third goes by realloc: it looks at what it resizes as free does. */
static void *frees(void *unused)
{
  for (size_t i = 0; i < COUNT_OF_BLOCKS; i++) {
    uint64_t *block = crowd.at[i], first = block[0], second = block[1];
    if (i % 3 == 0) {
      require((block = realloc(block, EACH[i % COUNT(EACH)])));
      require(block[0] == first && block[1] == second);
    }
    free(block);
  }
  return unused;
}

static void in_rounds(int rounds, void (*round)(void))
{
  crowd.seed = 1;
  for (int i = 0; i < rounds; i++) round();
  require(heap_is_sound());
}

static void own_round(void)
{
  makes(NULL);
  frees(NULL);
}

static void strange_round(void)
{
  makes(NULL);
  run_thread(frees, NULL);
}

static void heir_round(void)
{
  run_thread(makes, NULL);
  run_thread(frees, NULL);
}

static void child_frees(void) { frees(NULL); }

static void forked_round(void)
{
  makes(NULL);
  require(fate_of(child_frees) == 0);
  frees(NULL);
}

static void the_maker_frees_any_content(void) { in_rounds(ROUNDS, own_round); }
static void a_stranger_frees_any_content(void) { in_rounds(ROUNDS, strange_round); }
static void an_heir_frees_any_content(void) { in_rounds(ROUNDS, heir_round); }
static void a_child_frees_any_content(void) { in_rounds(FORKS, forked_round); }

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST(the_maker_frees_any_content),
      TEST(a_stranger_frees_any_content),
      TEST(an_heir_frees_any_content),
      TEST(a_child_frees_any_content),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
