/* SPDX-License-Identifier: MIT */
/* All sequences of operations up to a length, from some starting states, on the tiny heap with the kernel of world.h under it.
 *
 *   exhaustive [--steps N] [SCENARIO...]   each scenario to its depth, or deeper and deeper until N operations were carried out;
 *                                          speaks TAP
 *
 * The search is depth first, of length 1, 2, 3 ..., so what is found first is as short as it can be; it is printed as lines of C. Before each
 * choice the whole state is copied, and copied back after it: the library's variables (the linker gathers them, see tiny.mk), its memory, the
 * thread's, the shadow's. A state that was seen before with as many steps to go is not gone into again. Two states are the same if every byte is,
 * what lies unused in free memory included: it is exactly what decides nothing that a faulty heap decides by. For that to happen often, live
 * blocks are filled with words that follow from the address, are overwritten with one byte before they go, and what only counts is reset.
 *
 * After each step: os_check(); no live block overlaps another, each has its contents; alignment, usable size, zeroes. */
#include "state.h"

#include "../verbs.h"

#include <sys/mman.h>

#include "../../src/arena.h"
#include "../../src/thread.h"

enum {
  DEPTH_MAX = 12,
  LAST = 99, /* the name of the block at the end of a chunk */
  LIVE_MAX = 48,
  STATES_LOG = 22, /* remembered at most; the rest are gone into again */
  STATES_MAX = 1 << STATES_LOG,
  GONE = 0x5A /* what a block is overwritten with before it is freed */
};

/* ---- the shadow ------------------------------------------------------------------------------------------------------- */

struct live {
  uintptr_t at;
  size_t usable;
  unsigned name; /* number of the step that it came by; of the starting state: LAST or, if it stays for good, 0 */
};

struct mind {
  struct theap *self;
  uint32_t number, locks;
};

/* Beside the library's: what the search itself has to put back. */
static struct shadow {
  struct live live[LIVE_MAX]; /* by address */
  size_t count;
  struct mind other; /* the thread whose turn it is not */
} shadow;

static unsigned now; /* number of this step */

static _Noreturn void not_so(const char *what)
{
  say("# not so: %s (errno %d)\n", what, errno);
  abort();
}
#define must(truth) ((truth) ? (void)0 : not_so(#truth))

/* The word of a live block at an address. */
static uint64_t word_at(uintptr_t address) { return address * 0x9e3779b97f4a7c15u; }

static void write_words(uintptr_t at, size_t bytes)
{
  for (uintptr_t word = at; word < at + bytes; word += 8) *(uint64_t *)word = word_at(word);
}

/* The first `bytes` at `at` hold what was written to a block at `from`. */
static bool hold_words(uintptr_t at, size_t bytes, uintptr_t from)
{
  uint64_t difference = 0;
  for (size_t i = 0; i + 8 <= bytes; i += 8) difference |= *(uint64_t *)(at + i) ^ word_at(from + i);
  return difference == 0;
}

static void enrol(void *block, size_t bytes, size_t alignment, unsigned name)
{
  uintptr_t at = (uintptr_t)block;
  size_t usable = os_usable_size(block), i = shadow.count;
  must(at % alignment == 0 && usable >= bytes && usable % 8 == 0);
  for (; i > 0 && shadow.live[i - 1].at > at; i--) shadow.live[i] = shadow.live[i - 1];
  shadow.live[i] = (struct live){at, usable, name};
  shadow.count++;
  must(i == 0 || shadow.live[i - 1].at + shadow.live[i - 1].usable <= at);
  must(i + 1 == shadow.count || at + usable <= shadow.live[i + 1].at);
  write_words(at, usable);
}

static struct live strike_off(size_t i)
{
  struct live gone = shadow.live[i];
  must(hold_words(gone.at, gone.usable, gone.at));
  shadow.count--;
  memmove(&shadow.live[i], &shadow.live[i + 1], (shadow.count - i) * sizeof gone);
  return gone;
}

static void look(void)
{
  must(os_check());
  world_look();
  for (size_t i = 0; i < shadow.count; i++) {
    bool contents_are_intact = hold_words(shadow.live[i].at, shadow.live[i].usable, shadow.live[i].at);
    must(contents_are_intact);
  }
}

/* ---- steps ------------------------------------------------------------------------------------------------------------ */

enum what { MALLOC, CALLOC, ALIGNED, FREE, REALLOC, TRIM, SWITCH, DIE_AND_SWITCH, STRANGER, STRANGER_GOES, STRANGER_LOWERS };

struct step {
  enum what what;
  unsigned name; /* of the block that is freed or resized */
  size_t bytes, alignment;
};

static size_t index_of(unsigned name)
{
  size_t i = 0;
  while (i < shadow.count && shadow.live[i].name != name) i++;
  must(i < shadow.count);
  return i;
}

static bool may_fail(void) { return world.refuse && world.refusals; }

static void learn(void *block, size_t bytes, size_t alignment)
{
  must(block || may_fail());
  if (block) enrol(block, bytes, alignment, now);
}

static void free_block(unsigned name)
{
  struct live gone = strike_off(index_of(name));
  memset((void *)gone.at, GONE, gone.usable);
  os_free((void *)gone.at);
}

static void resize(unsigned name, size_t bytes)
{
  struct live old = strike_off(index_of(name));
  void *block = os_realloc((void *)old.at, bytes);
  must(block || may_fail());
  size_t kept = !block || old.usable < bytes ? old.usable : bytes;
  must(hold_words(block ? (uintptr_t)block : old.at, kept, old.at));
  enrol(block ? block : (void *)old.at, block ? bytes : 0, 16, block ? now : old.name);
}

static void switch_threads(bool die)
{
  struct mind mine = {self, thread_number, thread_locks};
  if (die) {
    must(pthread_mutex_unlock(&self->alive) == 0); /* as one that nobody took since, see adopt() */
    mine.self = world_unborn();
  }
  self = shadow.other.self;
  thread_number = shadow.other.number;
  thread_locks = shadow.other.locks;
  shadow.other = mine;
}

static void take(const struct step *step)
{
  void *block;
  switch (step->what) {
    case MALLOC: learn(os_malloc(step->bytes), step->bytes, 16); break;
    case CALLOC:
      block = os_calloc(1, step->bytes);
      must(!block || all_zero(block, step->bytes));
      learn(block, step->bytes, 16);
      break;
    case ALIGNED: learn(os_aligned_alloc(step->alignment, step->bytes), step->bytes, step->alignment); break;
    case FREE: free_block(step->name); break;
    case REALLOC: resize(step->name, step->bytes); break;
    case TRIM: os_trim(step->bytes); break;
    case SWITCH: switch_threads(false); break;
    case DIE_AND_SWITCH: switch_threads(true); break;
    case STRANGER: world_stranger_comes(step->bytes); break;
    case STRANGER_GOES: world_stranger_goes(); break;
    case STRANGER_LOWERS: world_stranger_lowers(step->bytes); break;
  }
}

static void print_step(const struct step *step, unsigned number)
{
  switch (step->what) {
    case MALLOC: say("#   p%u = malloc(%zu);\n", number, step->bytes); break;
    case CALLOC: say("#   p%u = calloc(1, %zu);\n", number, step->bytes); break;
    case ALIGNED: say("#   p%u = aligned_alloc(%zu, %zu);\n", number, step->alignment, step->bytes); break;
    case FREE: say("#   free(p%u);\n", step->name); break;
    case REALLOC: say("#   p%u = realloc(p%u, %zu);\n", number, step->name, step->bytes); break;
    case TRIM: say("#   malloc_trim(%zu);\n", step->bytes); break;
    case SWITCH: say("#   /* the other thread */\n"); break;
    case DIE_AND_SWITCH: say("#   /* the thread ends; the other one */\n"); break;
    case STRANGER: say("#   /* sbrk(%zu) by a stranger */\n", step->bytes); break;
    case STRANGER_GOES: say("#   /* and back */\n"); break;
    case STRANGER_LOWERS: say("#   /* sbrk(-%zu) by a stranger */\n", step->bytes); break;
  }
}

/* ---- scenarios -------------------------------------------------------------------------------------------------------- */

enum { LEFT = 3008, BIG = MMAP_THRESHOLD - 1, PAD = CHUNK_BYTES / 2 /* of a trim: the top stays, but for chunks that are empty */ };

/* Bytes of block space that the newest chunk of the first arena still has. */
static size_t space_left(void)
{
  const struct arena *arena = arena_at(0);
  return arena->chunks ? (uintptr_t)arena->chunks + arena->chunks->info.cap_bytes - HEADER_BYTES - arena->top : 0;
}

static void keep(size_t bytes, unsigned name)
{
  void *block = os_malloc(bytes);
  require(block);
  enrol(block, bytes, 16, name);
}

/* So that `left` bytes are left in the chunk, which has all its memory: larger blocks first, then LAST, then one that goes again. */
static void nearly_full(size_t left)
{
  enum { EACH = 7000 }; /* the last of them, of up to two and what is left, is no mapping */
  keep(BLOCK_MIN, 0);      /* there is a chunk */
  while (space_left() > left + 2 * EACH) keep(EACH, 0);
  if (space_left() > left) keep(space_left() - left - 8, LAST);
  void *last = left > SMALL_MAX ? os_malloc(left - 8) : NULL;
  os_free(last);
  os_trim(PAD);
  require(space_left() == left);
}

static void empty(void) {}
static void full(void) { nearly_full(0); }
static void left_16(void) { nearly_full(16); }
static void left_32(void) { nearly_full(32); }
static void left_48(void) { nearly_full(48); }
static void left_some(void) { nearly_full(LEFT); }

static void two_chunks(void)
{
  left_48();
  keep(5000, 0);
}

/* A chunk that a second one follows, with holes of several sizes between blocks. */
static void retired(void)
{
  static const size_t HOLES[] = {32, 1200, 4080, 5000};
  void *holes[4];
  for (size_t i = 0; i < 4; i++) {
    require((holes[i] = os_malloc(HOLES[i])));
    keep(1100, 0);
  }
  nearly_full(LEFT);
  keep(5000, 0);
  for (size_t i = 0; i < 4; i++) os_free(holes[i]);
  os_trim(0);
}

static void without_brk(void)
{
  left_48();
  world.refuse = REFUSE_BRK;
  world.refusals = SIZE_MAX;
}

static void without_anything(void)
{
  nearly_full(LEFT);
  world.refuse = REFUSE_ALL;
  world.refusals = SIZE_MAX;
}

/* An arena for each thread, and no mapping: large blocks are on the heap. */
static void two_arenas(void)
{
  keep(1100, 0);
  switch_threads(false);
  os_free(os_malloc(1));
  arena_move_out(self);
  require(arena_count() == 2);
  switch_threads(false);
  world.refuse = REFUSE_MMAP;
  world.refusals = SIZE_MAX;
}

/* The other thread has the end of the heap; and what is dirty goes at each free, of whatever age. */
static void two_tops(void)
{
  two_arenas();
  switch_threads(false);
  keep(BLOCK_MAX / 2, LAST);
  switch_threads(false);
  sys_limits.soft = 1;
}

static void keeps_contents(void)
{
  nearly_full(LEFT);
  world.keeps = true;
}

static const size_t EVERY_SIZE[] = {16, 1024, 1040, 4072, 5000, BIG, MMAP_THRESHOLD, 0};
static const size_t FEW_SIZES[] = {24, 1040, 5000, BIG, 0};
static const size_t BLOCK_SIZES[] = {1040, BIG, 0};
static const size_t BIG_ONLY[] = {BIG, 0};
static const size_t LARGE_SIZES[] = {1040, BLOCK_MAX / 2, 0};
static const size_t SMALL_SIZES[] = {1000, 0};
static const size_t RESIZES[] = {24, 1040, 6000, MMAP_THRESHOLD, 0};
static const size_t BLOCK_RESIZES[] = {1040, 6000, 0};
static const size_t NONE[] = {0};

/* What may be done, from where, how far. */
static const struct scenario {
  const char *name;
  void (*start)(void);
  const size_t *sizes, *resizes;
  bool edges;   /* blocks that end 0, 16, 32 and 48 bytes before the chunk's end */
  bool calls;   /* calloc and aligned_alloc, too */
  bool threads; /* two, by turns */
  bool strangers;
  unsigned depth;
} SCENARIOS[] = {
    {"every size", empty, EVERY_SIZE, RESIZES, false, true, false, false, 4},
    {"threads and small objects", empty, SMALL_SIZES, NONE, false, false, true, false, 9},
    {"two threads", empty, FEW_SIZES, NONE, false, false, true, false, 6},
    {"the end of a chunk", left_some, BIG_ONLY, NONE, true, false, false, false, 9},
    {"the end of a chunk, every call", left_some, FEW_SIZES, RESIZES, true, true, false, false, 3},
    {"the end of a chunk, strangers", left_some, BIG_ONLY, NONE, true, false, false, true, 7},
    {"strangers", empty, BLOCK_SIZES, BLOCK_RESIZES, false, false, false, true, 5},
    {"a full chunk", full, BLOCK_SIZES, BLOCK_RESIZES, true, false, false, false, 6},
    {"16 bytes left", left_16, BLOCK_SIZES, BLOCK_RESIZES, true, false, false, false, 5},
    {"32 bytes left", left_32, BLOCK_SIZES, BLOCK_RESIZES, true, false, false, false, 5},
    {"48 bytes left", left_48, BLOCK_SIZES, BLOCK_RESIZES, true, false, false, false, 5},
    {"two chunks", two_chunks, BLOCK_SIZES, BLOCK_RESIZES, true, true, false, false, 4},
    {"a retired chunk", retired, FEW_SIZES, BLOCK_RESIZES, true, false, true, false, 4},
    {"brk is refused", without_brk, BLOCK_SIZES, BLOCK_RESIZES, true, true, false, false, 4},
    {"every call is refused", without_anything, FEW_SIZES, RESIZES, true, true, false, false, 4},
    {"two arenas", two_arenas, LARGE_SIZES, NONE, false, false, true, true, 6},
    {"two tops", two_tops, LARGE_SIZES, NONE, false, false, true, true, 5},
    {"discarding keeps contents", keeps_contents, BIG_ONLY, BLOCK_RESIZES, true, true, false, false, 4},
};

enum { STEPS_MAX = 128 };

struct choices {
  struct step of[STEPS_MAX];
  size_t count;
};

static void offer(struct choices *choices, struct step step)
{
  must(choices->count < STEPS_MAX);
  choices->of[choices->count++] = step;
}

/* Where the chunk ends, and the same for a slab's granule: only in blocks that are neither small nor mappings. */
static void offer_edges(struct choices *choices)
{
  for (size_t distance = 0; distance <= 48; distance += 16) {
    size_t bytes = space_left() - distance - 8;
    if (space_left() > distance + 8 && bytes > SMALL_MAX && bytes < MMAP_THRESHOLD) offer(choices, (struct step){MALLOC, 0, bytes, 0});
  }
}

static void choose(const struct scenario *scenario, struct choices *choices)
{
  choices->count = 0;
  for (const size_t *size = scenario->sizes; *size; size++) offer(choices, (struct step){MALLOC, 0, *size, 0});
  if (scenario->edges) offer_edges(choices);
  if (scenario->calls) {
    offer(choices, (struct step){CALLOC, 0, 5000, 0});
    offer(choices, (struct step){CALLOC, 0, MMAP_THRESHOLD, 0});
    offer(choices, (struct step){ALIGNED, 0, 100, 64});
    offer(choices, (struct step){ALIGNED, 0, 1500, 2048});
    offer(choices, (struct step){ALIGNED, 0, 100, MMAP_THRESHOLD});
  }
  for (size_t i = 0; i < shadow.count; i++) {
    if (shadow.live[i].name == 0) continue;
    offer(choices, (struct step){FREE, shadow.live[i].name, 0, 0});
    for (const size_t *size = scenario->resizes; *size; size++) offer(choices, (struct step){REALLOC, shadow.live[i].name, *size, 0});
  }
  offer(choices, (struct step){TRIM, 0, 0, 0});
  if (scenario->edges) offer(choices, (struct step){TRIM, 0, PAD, 0});
  if (scenario->threads) offer(choices, (struct step){SWITCH, 0, 0, 0});
  if (scenario->threads && theap_is_born(self) && self->next) offer(choices, (struct step){DIE_AND_SWITCH, 0, 0, 0});
  if (!scenario->strangers) return;
  offer(choices, (struct step){STRANGER, 0, 3000, 0});
  offer(choices, (struct step){STRANGER_GOES, 0, 0, 0});
  offer(choices, (struct step){STRANGER_LOWERS, 0, 100, 0});
}

/* ---- seen before ------------------------------------------------------------------------------------------------------ */

/* Names are not part of it: which step a block came by makes no difference. */
static uint64_t hash(void)
{
  struct live named[LIVE_MAX];
  memcpy(named, shadow.live, sizeof named);
  for (size_t i = 0; i < LIVE_MAX; i++)
    if (i >= shadow.count) shadow.live[i] = (struct live){0};
    else shadow.live[i].name = named[i].name != 0;
  uint64_t hash = state_hash();
  memcpy(shadow.live, named, sizeof named);
  return hash;
}

/* How many sequences of so many more steps begin at a state. */
struct seen {
  uint64_t key; /* state and steps to go; 0: none */
  double sequences;
};

static struct seen *table;

static struct seen *find(uint64_t key)
{
  size_t i = key % STATES_MAX;
  while (table[i].key && table[i].key != key) i = (i + 1) % STATES_MAX;
  return &table[i];
}

/* ---- the search ------------------------------------------------------------------------------------------------------- */

/* What a child tells its parent, which outlives it. */
static struct report {
  struct step path[DEPTH_MAX];
  unsigned length, depth; /* of the path; finished */
  size_t steps, states, known;
  double sequences;
} *report;

static struct state_copy copies[DEPTH_MAX + 1]; /* by the steps that are left; and of the start */
static size_t steps_max;
static bool is_over;

/* All sequences of `left` steps from here on; how many. */
static double explore(const struct scenario *scenario, unsigned left)
{
  if (left == 0) return 1;
  uint64_t key = hash() ^ left * 0x94d049bb133111ebu;
  const struct seen *seen = find(key);
  if (seen->key) return report->known++, seen->sequences;
  struct choices choices;
  double sequences = 0;
  choose(scenario, &choices);
  state_save(&copies[left]);
  for (size_t i = 0; i < choices.count && !is_over; i++) {
    if (i > 0) state_restore(&copies[left]);
    unsigned depth = report->length++;
    report->path[depth] = choices.of[i];
    now = report->length;
    take(&choices.of[i]);
    look();
    world_forget_history();
    is_over = ++report->steps >= steps_max;
    sequences += explore(scenario, left - 1);
    report->length--;
  }
  if (!is_over && report->states < STATES_MAX / 4 * 3) {
    report->states++;
    *find(key) = (struct seen){key, sequences};
  }
  return sequences;
}

/* In a child: length after length. */
static const struct scenario *current;

static void search(void)
{
  signal(SIGALRM, SIG_DFL);
  alarm(0); /* as long as it takes: the number of steps is bounded */
  state_begin((struct state_part){&shadow, sizeof shadow});
  os_free(os_malloc(1));
  table = state_reserve(STATES_MAX * sizeof *table);
  struct state_copy *beginning = &copies[DEPTH_MAX];
  thread_number = 1;
  shadow.other = (struct mind){world_unborn(), 2, 0};
  current->start();
  world_forget_history();
  state_save(beginning);
  unsigned depth_max = steps_max == SIZE_MAX ? current->depth : DEPTH_MAX - 1;
  for (unsigned depth = 1; depth <= depth_max && !is_over; depth++) {
    madvise(table, STATES_MAX * sizeof *table, MADV_DONTNEED);
    report->states = 0;
    state_restore(beginning);
    double sequences = explore(current, depth);
    if (is_over) break;
    report->sequences = sequences;
    report->depth = depth;
  }
  _exit(0);
}

static bool holds_up(const struct scenario *scenario)
{
  memset(report, 0, sizeof *report);
  current = scenario;
  int status = fate_of(search);
  say("# %s: %.0f sequences of %u steps, by %zu steps; %zu times at a state known\n", scenario->name, report->sequences, report->depth,
      report->steps, report->known);
  if (status == 0) return true;
  say("# ended by %s after\n", WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "itself");
  for (unsigned i = 0; i < report->length; i++) print_step(&report->path[i], i + 1);
  return false;
}

static bool is_wanted(const char *name, int argc, char **argv)
{
  bool named = false;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--steps") == 0) i++;
    else if (strcmp(argv[i], name) == 0) return true;
    else named = true;
  }
  return !named;
}

int main(int argc, char **argv)
{
  steps_max = SIZE_MAX;
  for (int i = 1; i + 1 < argc; i++)
    if (strcmp(argv[i], "--steps") == 0) steps_max = strtoul(argv[i + 1], NULL, 10);
  report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  require(report != MAP_FAILED);
  unsigned count = 0, failed = 0;
  double sequences = 0;
  size_t steps = 0;
  for (size_t i = 0; i < COUNT(SCENARIOS); i++) {
    if (!is_wanted(SCENARIOS[i].name, argc, argv)) continue;
    bool well = holds_up(&SCENARIOS[i]);
    printf("%s %u - exhaustive: %s\n", well ? "ok" : "not ok", ++count, SCENARIOS[i].name);
    fflush(stdout);
    failed += !well;
    sequences += report->sequences;
    steps += report->steps;
  }
  printf("1..%u\n", count);
  say("# all: %.0f sequences, by %zu steps\n", sequences, steps);
  return failed > 0;
}
