/* Random operations against a model: the contents of every block are known, and the whole heap is validated after every
 * step while it is small, every few hundred steps when it is large. */
#include "verbs.h"

#include "osmem.h"

enum { MOST = 4000 };
struct model {
  uint32_t dice;
  size_t places;   /* blocks alive at most */
  int validate_at; /* every so many steps; 0: never, other threads run */
  struct {
    char *at;
    size_t bytes, seed;
  } live[MOST];
};

static void forget(struct model *model, size_t place)
{
  require(holds(model->live[place].at, model->live[place].bytes, model->live[place].seed));
  if (next_random(&model->dice) % 8) os_free(model->live[place].at);
  else require(os_realloc(model->live[place].at, 0) == NULL);
  model->live[place].at = NULL;
}

static void learn(struct model *model, size_t place, char *p, size_t bytes)
{
  require(p && os_usable_size(p) >= bytes);
  model->live[place].at = p;
  model->live[place].bytes = bytes;
  model->live[place].seed = next_random(&model->dice) % 250;
  fill(p, bytes, model->live[place].seed);
}

static void make(struct model *model, size_t place)
{
  size_t bytes = random_size(&model->dice);
  uint32_t way = next_random(&model->dice) % 16;
  char *p;
  if (way == 0) {
    size_t alignment = (size_t)1 << next_random(&model->dice) % 16;
    p = os_aligned_alloc(alignment, bytes);
    require(is_aligned(p, alignment));
  } else if (way < 4) {
    p = os_calloc(1, bytes);
    require(p && all_zero(p, bytes));
  } else {
    p = os_malloc(bytes);
  }
  learn(model, place, p, bytes);
}

static void resize(struct model *model, size_t place)
{
  size_t old = model->live[place].bytes, bytes = random_size(&model->dice);
  if (next_random(&model->dice) % 2) bytes = old + bytes / 8; /* a little growth, as strings have */
  char *p = os_realloc(model->live[place].at, bytes);
  require(p && holds(p, bytes < old ? bytes : old, model->live[place].seed));
  learn(model, place, p, bytes);
}

static void step(struct model *model)
{
  size_t place = next_random(&model->dice) % model->places;
  if (!model->live[place].at) make(model, place);
  else if (next_random(&model->dice) % 3 == 0) resize(model, place);
  else forget(model, place);
  if (next_random(&model->dice) % 2000 == 0) os_trim(next_random(&model->dice) % 1000000);
}

static void run(struct model *model, int steps)
{
  for (int i = 1; i <= steps; i++) {
    step(model);
    if (model->validate_at && i % model->validate_at == 0) require(os_check());
  }
  for (size_t place = 0; place < model->places; place++)
    if (model->live[place].at) forget(model, place);
}

static void small_heap_validated_at_every_step(void)
{
  static struct model model = {.places = 100, .validate_at = 1};
  for (uint32_t seed = 1; seed <= 5; seed++) {
    model.dice = seed * 2654435761u;
    run(&model, 4000);
  }
}

static void large_heap(void)
{
  static struct model model = {.dice = 99, .places = MOST, .validate_at = 500};
  run(&model, 60000);
  require(os_check());
}

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

static void *runs_alone(void *seed)
{
  struct model *model = calloc(1, sizeof *model);
  model->dice = (uint32_t)(size_t)seed;
  model->places = 500;
  run(model, 40000);
  free(model);
  return NULL;
}

static void threads_then_a_validation(void)
{
  for (size_t round = 1; round <= 3; round++) {
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT(threads); i++) threads[i] = spawn(runs_alone, (void *)(round * 17 + i));
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
      TEST(small_heap_validated_at_every_step),
      TEST(large_heap),
      TEST(waves),
      TEST(threads_then_a_validation),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
