/* SPDX-License-Identifier: MIT */
/* Under ThreadSanitizer, linked with build/tsan/libosmem.so: whatever one thread writes into a block or into the heap's own records must be
 * ordered before another's use of the same memory. TSan's own malloc serves everybody else in this process, so
 * it takes our memory for plain memory, and a block that comes back without an order between its two users is a report.
 *
 * The numbers of operations are fixed; a report ends the process (tsan.t sets halt_on_error), as does a wrong content. */
#include "verbs.h"

#include "osmem.h"

/* ---- death, as the kernel orders it ---- */

/* That a thread is dead the heir of its heap learns from the kernel, which unlocks the robust mutex after the thread's last
 * instruction. TSan does not see that release, so here it is: the last thing a thread does, and the first of its heir. */
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>

static char deaths;

int __interceptor_pthread_mutex_trylock(pthread_mutex_t *mutex);

int pthread_mutex_trylock(pthread_mutex_t *mutex)
{
  int taken = __interceptor_pthread_mutex_trylock(mutex);
  if (taken == EOWNERDEAD) __tsan_acquire(&deaths);
  return taken;
}

static void die(void) { __tsan_release(&deaths); }
#else
static void die(void) {} /* at full speed: tests/arm64 */
#endif

struct life {
  void *(*body)(void *);
  void *arg;
};

static void *lives(void *life_of)
{
  struct life life = *(struct life *)life_of;
  free(life_of);
  void *result = life.body(life.arg);
  die();
  return result;
}

static pthread_t spawn_mortal(void *(*body)(void *), void *arg)
{
  struct life *life = malloc(sizeof *life);
  *life = (struct life){body, arg};
  return spawn(lives, life);
}

/* ---- blocks of every tier, handed around ---- */

enum { PLACES = 64, WORKERS = 4, MARKED = 600 /* bytes of a block that are written and checked */ };

struct item {
  size_t bytes, seed;
  unsigned char contents[];
};
static struct item *market[PLACES];

static size_t marked(const struct item *item)
{
  return item->bytes < MARKED ? item->bytes : MARKED;
}

static struct item *make_item(uint32_t *dice)
{
  static const size_t ALIGNMENTS[] = {16, 64, 256, 4096};
  size_t bytes = random_size(dice), sum = sizeof(struct item) + bytes;
  struct item *item = NULL;
  switch (next_random(dice) % 4) {
    case 0: item = os_calloc(1, sum); break;
    case 1: item = os_aligned_alloc(ALIGNMENTS[next_random(dice) % COUNT(ALIGNMENTS)], sum); break;
    default: item = os_malloc(sum);
  }
  require(item);
  *item = (struct item){bytes, next_random(dice) % 251};
  fill(item->contents, marked(item), item->seed);
  return item;
}

static void end_item(struct item *item)
{
  if (!item) return;
  require(os_usable_size(item) >= sizeof *item + item->bytes);
  require(holds(item->contents, marked(item), item->seed));
  os_free(item);
}

/* A block that another thread allocated changes its size. */
static struct item *resize_item(struct item *item, uint32_t *dice)
{
  size_t bytes = random_size(dice);
  struct item *moved = os_realloc(item, sizeof *item + bytes);
  require(moved);
  require(holds(moved->contents, marked(moved) < bytes ? marked(moved) : bytes, moved->seed));
  moved->bytes = bytes;
  fill(moved->contents, marked(moved), moved->seed);
  return moved;
}

static struct item *swap(uint32_t *dice, struct item *item)
{
  return __atomic_exchange_n(&market[next_random(dice) % PLACES], item, __ATOMIC_ACQ_REL);
}

static void trade(uint32_t *dice, int times)
{
  for (int i = 0; i < times; i++) {
    struct item *item = swap(dice, next_random(dice) % 4 ? make_item(dice) : NULL);
    if (item && next_random(dice) % 4 == 0) item = swap(dice, resize_item(item, dice));
    end_item(item);
  }
}

static void *trader(void *seed)
{
  uint32_t dice = (uint32_t)(size_t)seed;
  trade(&dice, 6000);
  return NULL;
}

static void clear_market(void)
{
  for (size_t i = 0; i < PLACES; i++) end_item(__atomic_exchange_n(&market[i], NULL, __ATOMIC_ACQ_REL));
}

static void start_traders(pthread_t *threads, void *(*body)(void *))
{
  for (size_t i = 0; i < WORKERS; i++) threads[i] = spawn_mortal(body, (void *)(i + 1));
}

static void end_traders(pthread_t *threads)
{
  for (size_t i = 0; i < WORKERS; i++) join(threads[i]);
}

static void blocks_change_hands(void)
{
  pthread_t threads[WORKERS];
  start_traders(threads, trader);
  end_traders(threads);
  clear_market();
  require(os_check());
}

/* ---- small objects only, one way: the remote lists and the mail at their busiest ---- */

enum { BELT = 256, CARRIED = 60000 };
static void *belt[BELT];
static bool all_made;

static void *makes(void *unused)
{
  for (size_t i = 0; i < CARRIED; i++) {
    size_t bytes = (size_t)16 << i % 3;
    void *object = os_malloc(bytes);
    memset(object, (int)i, bytes);
    os_free(__atomic_exchange_n(&belt[i % BELT], object, __ATOMIC_ACQ_REL));
  }
  __atomic_store_n(&all_made, true, __ATOMIC_RELAXED);
  return unused;
}

static void *eats(void *unused)
{
  while (!__atomic_load_n(&all_made, __ATOMIC_RELAXED))
    for (size_t i = 0; i < BELT; i++) {
      char *object = __atomic_exchange_n(&belt[i], NULL, __ATOMIC_ACQUIRE);
      if (object) memset(object, 0, 16);
      os_free(object);
    }
  return unused;
}

static void objects_go_one_way(void)
{
  pthread_t maker = spawn_mortal(makes, NULL), one = spawn_mortal(eats, NULL), two = spawn_mortal(eats, NULL);
  join(maker);
  join(one);
  join(two);
  for (size_t i = 0; i < BELT; i++) os_free(belt[i]);
  require(os_check());
}

/* ---- short lives: heaps are left with live blocks in them, and adopted ---- */

static void *short_life(void *seed)
{
  uint32_t dice = (uint32_t)(size_t)seed;
  trade(&dice, 40);
  return NULL;
}

static void *has_children(void *seed)
{
  for (size_t i = 1; i <= 25; i++) {
    pthread_t one = spawn_mortal(short_life, (void *)((size_t)seed * 100 + i)),
              two = spawn_mortal(short_life, (void *)((size_t)seed * 200 + i));
    join(one);
    join(two);
  }
  return NULL;
}

static void heaps_of_the_dead_are_adopted(void)
{
  pthread_t threads[WORKERS];
  start_traders(threads, has_children);
  end_traders(threads);
  clear_market();
  struct os_stats stats;
  os_get_stats(&stats, sizeof stats);
  require(stats.thread_heaps <= 4 * WORKERS);
  require(os_check());
}

/* ---- those who look at the whole heap, beside those who work ---- */

static bool stop;

static void *trims_and_counts(void *unused)
{
  while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
    struct os_stats stats;
    os_get_stats(&stats, sizeof stats);
    os_trim(0);
    usleep(500);
  }
  return unused;
}

static void trim_and_statistics_beside_traders(void)
{
  pthread_t threads[WORKERS], looker = spawn_mortal(trims_and_counts, NULL);
  start_traders(threads, trader);
  end_traders(threads);
  __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
  join(looker);
  clear_market();
  require(os_check());
}

/* os_check() wants a moment when nobody allocates: between two barriers. The threads live on with what they hold. */
static pthread_barrier_t gathered, checked;

static void *works_in_rounds(void *seed)
{
  uint32_t dice = (uint32_t)(size_t)seed;
  for (int i = 0; i < 8; i++) {
    trade(&dice, 300);
    pthread_barrier_wait(&gathered);
    pthread_barrier_wait(&checked);
  }
  return NULL;
}

static void the_heap_is_sound_in_every_pause(void)
{
  pthread_t threads[WORKERS];
  pthread_barrier_init(&gathered, NULL, WORKERS + 1);
  pthread_barrier_init(&checked, NULL, WORKERS + 1);
  start_traders(threads, works_in_rounds);
  for (int i = 0; i < 8; i++) {
    pthread_barrier_wait(&gathered);
    require(os_check());
    pthread_barrier_wait(&checked);
  }
  end_traders(threads);
}

/* ---- fork ---- */

static void child_lives(uint32_t dice)
{
  alarm(PATIENCE_S);
  trade(&dice, 50);
  clear_market();
  _exit(0);
}

static void *forks(void *seed)
{
  for (size_t i = 1; i <= 15; i++) {
    pid_t pid = fork();
    if (pid == 0) child_lives((uint32_t)((size_t)seed * 100 + i));
    require(wait_for(pid) == 0);
  }
  return NULL;
}

static void forks_beside_traders(void)
{
  pthread_t threads[WORKERS], one = spawn_mortal(forks, (void *)1), two = spawn_mortal(forks, (void *)2);
  start_traders(threads, trader);
  join(one);
  join(two);
  end_traders(threads);
  clear_market();
  require(os_check());
}

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST(blocks_change_hands),
      TEST(objects_go_one_way),
      TEST(heaps_of_the_dead_are_adopted),
      TEST(trim_and_statistics_beside_traders),
      TEST(the_heap_is_sound_in_every_pause),
      TEST(forks_beside_traders),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
