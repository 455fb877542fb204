/* SPDX-License-Identifier: MIT */
/* The model test: the same random operations on two cores, compared answer by answer.
 *
 *   cc -std=gnu11 -O2 tests/textbook/model.c -o model -ldl
 *   ./model ./libosmem-textbook.so ./libosmem.so [operations [seed]]
 *
 * 100,000 operations unless told; the seed is printed, and taken from the clock unless told. Exit 0: agreed.
 *
 * Both cores move the break, and each believes that what it got is its own, so each runs in a forked
 * process, loaded there by dlopen. The operations follow from the seed alone, never from an address, and so are
 * the same in both. After each the process sends a record of what can be seen of it:
 *
 *             seed                                  seed
 *              |                                     |
 *     process: core A --records, pipe-->  compare  <--pipe, records-- process: core B
 *
 * A record is compared with the other core's and, in the process, with the contract (`wrong`), so that
 * two cores that err alike are found as well. What is seen: NULL or not, errno, a hash of the bytes that
 * have to be kept (all of a block before it is freed or resized, the common prefix after), zeroes after
 * os_calloc, and alignment to 8. The address is not: the cores differ there on purpose, and the one rule about it
 * (a block resized to the size it was allocated with stays) is checked for itself.
 *
 * Not tried, as the cores differ on purpose: misuse (osmem aborts, the textbook obeys or answers NULL) and
 * sizes up to PTRDIFF_MAX that no memory can hold (osmem says ENOMEM, the textbook ends the process). */
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 256, RECORDS_PER_WRITE = 64 };

/* ---- a core ----------------------------------------------------------------------------------- */

struct core {
  void *(*malloc)(size_t size);
  void *(*calloc)(size_t nmemb, size_t size);
  void *(*realloc)(void *ptr, size_t size);
  void (*free)(void *ptr);
};

static void *symbol(void *library, const char *name)
{
  void *address = dlsym(library, name);
  if (address == NULL) {
    fprintf(stderr, "model: %s\n", dlerror());
    exit(2);
  }
  return address;
}

static struct core load_core(const char *path)
{
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    fprintf(stderr, "model: %s\n", dlerror());
    exit(2);
  }
  struct core core;
  *(void **)&core.malloc = symbol(library, "os_malloc");
  *(void **)&core.calloc = symbol(library, "os_calloc");
  *(void **)&core.realloc = symbol(library, "os_realloc");
  *(void **)&core.free = symbol(library, "os_free");
  return core;
}

/* ---- chance ----------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

static uint64_t next_random(uint64_t *state)
{
  *state += UINT64_C(0x9e3779b97f4a7c15);
  return mix(*state);
}

static size_t below(uint64_t *state, size_t limit)
{
  return (size_t)(next_random(state) % limit);
}

/* Sizes where some rule of some core changes, missed or hit by a few bytes. */
static size_t size_near_a_threshold(uint64_t *state, bool large)
{
  static const size_t small_edges[] = {8,   16,  24,   32,   40,   48,   64,       128,
                                       256, 512, 1024, 2048, 4064, 4096, 8192 - 32, 8192};
  static const size_t large_edges[] = {16384, 32768, 65536, 131072 - 32, 131072, 131072 + 32, 262144};
  size_t edge = large ? large_edges[below(state, sizeof large_edges / sizeof *large_edges)]
                      : small_edges[below(state, sizeof small_edges / sizeof *small_edges)];
  return edge - 8 + below(state, 17);
}

/* Mostly small: a large block costs as much time as a thousand of them. */
static size_t random_size(uint64_t *state)
{
  size_t dice = below(state, 1000);
  if (dice < 600)
    return below(state, 257);
  if (dice < 850)
    return below(state, 2048);
  if (dice < 970)
    return size_near_a_threshold(state, false);
  if (dice < 995)
    return below(state, 20000);
  return size_near_a_threshold(state, true);
}

static size_t impossible_size(uint64_t *state)
{
  return below(state, 2) ? SIZE_MAX - below(state, 100) : (size_t)PTRDIFF_MAX + 1 + below(state, 100);
}

/* ---- contents --------------------------------------------------------------------------------- */

struct slot {
  unsigned char *ptr; /* NULL: no block */
  size_t size;
  uint64_t tag; /* the block's bytes follow from it */
  bool resized; /* since it was allocated */
};

static uint64_t pattern_word(uint64_t tag, size_t index)
{
  return (tag + index) * UINT64_C(0x9e3779b97f4a7c15);
}

static void fill(const struct slot *slot)
{
  size_t words = slot->size / 8;
  for (size_t i = 0; i < words; i++) {
    uint64_t word = pattern_word(slot->tag, i);
    memcpy(slot->ptr + i * 8, &word, 8);
  }
  uint64_t word = pattern_word(slot->tag, words);
  memcpy(slot->ptr + words * 8, &word, slot->size % 8);
}

/* A hash of the first `bytes` bytes of a block; `*intact` becomes false where they are not the slot's pattern, or
 * not zero if `zero`. */
static uint64_t hash_contents(const struct slot *slot, size_t bytes, bool zero, bool *intact)
{
  uint64_t hash = bytes, difference = 0, mask = zero ? 0 : UINT64_MAX;
  for (size_t i = 0; i * 8 < bytes; i++) {
    size_t length = bytes - i * 8 < 8 ? bytes - i * 8 : 8;
    uint64_t word = 0, wanted = 0, pattern = pattern_word(slot->tag, i) & mask;
    if (length == 8) {
      memcpy(&word, slot->ptr + i * 8, 8);
      wanted = pattern;
    } else {
      memcpy(&word, slot->ptr + i * 8, length);
      memcpy(&wanted, &pattern, length);
    }
    difference |= word ^ wanted;
    hash = (hash ^ word) * UINT64_C(0x100000001b3);
  }
  if (difference != 0)
    *intact = false;
  return mix(hash);
}

/* ---- the operations, in the process of one core ----------------------------------------------- */

enum operation { MALLOC, CALLOC, REALLOC, FREE, OPERATIONS };

static const char *const operation_names[OPERATIONS] = {"os_malloc", "os_calloc", "os_realloc", "os_free"};

struct record {
  uint64_t operation; /* enum operation */
  uint64_t old_size;  /* of the block freed or resized; 0: it was NULL */
  uint64_t size;      /* asked for, in os_calloc the product */
  uint64_t hash;      /* of bytes that had to be kept or zero */
  uint64_t is_null;   /* the answer */
  int64_t error;      /* errno, 0 before the call */
  uint64_t wrong;     /* which of the rules below is broken, 0: none */
};

enum wrong {
  WRONG_NULL = 1,
  WRONG_ERRNO = 2,
  WRONG_CONTENTS = 4,
  WRONG_ZERO = 8,
  WRONG_ALIGNMENT = 16,
  WRONG_MOVE = 32
};

static const char *const wrong_names[] = {"NULL or not", "errno",     "contents not kept",
                                          "not zeroed",  "alignment", "moved needlessly"};

struct run {
  struct core core;
  uint64_t random;
  uint64_t tags;
  struct slot slots[SLOTS];
};

/* What every answer owes: NULL exactly when wanted, errno to match, alignment. */
static void check_answer(struct record *record, const void *answer, bool wants_null, int wanted_errno)
{
  record->error = errno;
  record->is_null = answer == NULL;
  if ((answer == NULL) != wants_null)
    record->wrong |= WRONG_NULL;
  if (record->error != wanted_errno)
    record->wrong |= WRONG_ERRNO;
  if ((uintptr_t)answer % 8 != 0)
    record->wrong |= WRONG_ALIGNMENT;
}

/* Write the block's own pattern, if there is a block. */
static void settle(struct run *run, struct slot *slot, void *answer, size_t size, bool resized)
{
  slot->ptr = answer;
  slot->size = answer == NULL ? 0 : size;
  slot->tag = mix(++run->tags);
  slot->resized = resized;
  if (answer != NULL)
    fill(slot);
}

static void hash_before(struct slot *slot, struct record *record)
{
  bool intact = true;
  record->old_size = slot->size;
  record->hash = hash_contents(slot, slot->size, false, &intact);
  if (!intact)
    record->wrong |= WRONG_CONTENTS;
}

static void do_malloc(struct run *run, struct slot *slot, struct record *record)
{
  bool impossible = below(&run->random, 500) == 0;
  record->size = impossible ? impossible_size(&run->random) : random_size(&run->random);
  errno = 0;
  void *answer = run->core.malloc(record->size);
  check_answer(record, answer, impossible || record->size == 0, impossible ? ENOMEM : 0);
  settle(run, slot, answer, record->size, false);
}

static void do_calloc(struct run *run, struct slot *slot, struct record *record)
{
  static const size_t factors[] = {1, 1, 2, 3, 7, 8, 16, 24};
  bool extreme = below(&run->random, 500) == 0;
  size_t nmemb = factors[below(&run->random, sizeof factors / sizeof *factors)];
  size_t size = extreme ? SIZE_MAX / nmemb + below(&run->random, 9) : random_size(&run->random) / nmemb;
  if (below(&run->random, 100) == 0)
    nmemb = 0;
  bool impossible = nmemb != 0 && size > PTRDIFF_MAX / nmemb; /* not each extreme one: SIZE_MAX + 5 is 4 */
  record->size = nmemb * size;

  errno = 0;
  struct slot fresh = {0};
  fresh.ptr = below(&run->random, 2) ? run->core.calloc(nmemb, size) : run->core.calloc(size, nmemb);
  check_answer(record, fresh.ptr, impossible || nmemb == 0 || size == 0, impossible ? ENOMEM : 0);
  if (fresh.ptr != NULL && !impossible) {
    bool zeroed = true;
    record->hash = hash_contents(&fresh, record->size, true, &zeroed);
    if (!zeroed)
      record->wrong |= WRONG_ZERO;
  }
  settle(run, slot, fresh.ptr, record->size, false);
}

/* A size near the old one is likely, for growing and shrinking in place. */
static size_t next_size(uint64_t *random, size_t old_size)
{
  switch (below(random, 4)) {
  case 0:
    return old_size + below(random, 200);
  case 1:
    return below(random, old_size + 1);
  default:
    return random_size(random);
  }
}

static void do_realloc(struct run *run, struct slot *slot, struct record *record)
{
  hash_before(slot, record);
  size_t dice = below(&run->random, 200);
  bool impossible = dice == 0, same = dice >= 190 && slot->ptr != NULL;
  record->size = impossible  ? impossible_size(&run->random)
                 : same      ? slot->size
                 : dice < 10 ? 0
                             : next_size(&run->random, slot->size);
  if (record->size > 300000 && !impossible)
    record->size = 300000;

  errno = 0;
  void *answer = run->core.realloc(slot->ptr, record->size);
  check_answer(record, answer, impossible || record->size == 0, impossible ? ENOMEM : 0);
  if (same && !slot->resized && answer != slot->ptr)
    record->wrong |= WRONG_MOVE;

  struct slot kept = *slot;
  if (answer != NULL)
    kept.ptr = answer;
  if (record->size != 0 && kept.ptr != NULL) {
    bool intact = true;
    size_t bytes = record->size < slot->size ? record->size : slot->size;
    record->hash = mix(record->hash + hash_contents(&kept, bytes, false, &intact));
    if (!intact)
      record->wrong |= WRONG_CONTENTS;
  }
  if (!impossible)
    settle(run, slot, answer, record->size, slot->ptr != NULL);
}

static void do_free(struct run *run, struct slot *slot, struct record *record)
{
  hash_before(slot, record);
  errno = 0;
  run->core.free(slot->ptr);
  check_answer(record, NULL, true, 0);
  settle(run, slot, NULL, 0, false);
}

/* An empty slot is filled, or NULL is tried; a full one is resized or freed. */
static enum operation choose(struct run *run, const struct slot *slot)
{
  size_t dice = below(&run->random, 100);
  if (slot->ptr == NULL)
    return dice < 60 ? MALLOC : dice < 85 ? CALLOC : dice < 98 ? REALLOC : FREE;
  return dice < 45 ? REALLOC : FREE;
}

static void step(struct run *run, struct slot *slot, enum operation operation, struct record *record)
{
  static void (*const verbs[OPERATIONS])(struct run *, struct slot *, struct record *) = {
      do_malloc, do_calloc, do_realloc, do_free};
  memset(record, 0, sizeof *record);
  record->operation = operation;
  verbs[operation](run, slot, record);
}

static void write_all(int fd, const void *from, size_t bytes)
{
  for (const char *at = from; bytes > 0;) {
    ssize_t done = write(fd, at, bytes);
    if (done <= 0)
      exit(3); /* the comparison ended at a difference */
    at += done;
    bytes -= (size_t)done;
  }
}

/* `count` random operations, then a free of every slot. */
static void run_core(const char *path, uint64_t count, uint64_t seed, int fd)
{
  static struct run run; /* zeroed: no blocks */
  run.core = load_core(path);
  run.random = seed;

  struct record records[RECORDS_PER_WRITE];
  size_t filled = 0;
  for (uint64_t i = 0; i < count + SLOTS; i++) {
    struct slot *slot = i < count ? &run.slots[below(&run.random, SLOTS)] : &run.slots[i - count];
    step(&run, slot, i < count ? choose(&run, slot) : FREE, &records[filled]);
    if (++filled == RECORDS_PER_WRITE || records[filled - 1].wrong != 0) {
      write_all(fd, records, filled * sizeof *records);
      filled = 0;
    }
  }
  write_all(fd, records, filled * sizeof *records);
}

/* ---- the comparison --------------------------------------------------------------------------- */

struct peer {
  const char *path;
  pid_t child;
  FILE *records;
};

static struct peer start(const char *path, uint64_t count, uint64_t seed)
{
  int ends[2];
  struct peer peer = {path, -1, NULL};
  fflush(NULL);
  if (pipe(ends) == 0)
    peer.child = fork();
  if (peer.child == 0) {
    close(ends[0]);
    run_core(path, count, seed, ends[1]);
    _exit(0);
  }
  if (peer.child > 0) {
    close(ends[1]);
    peer.records = fdopen(ends[0], "r");
  }
  if (peer.records == NULL) {
    perror("model");
    exit(2);
  }
  return peer;
}

/* True if the process ended well. A core that dies has its reason on stderr already. */
static bool finish(struct peer *peer)
{
  int status = 0;
  waitpid(peer->child, &status, 0);
  if (WIFSIGNALED(status) && WTERMSIG(status) != SIGPIPE)
    printf("# %s: ended by signal %d\n", peer->path, WTERMSIG(status));
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void print_record(const struct peer *peer, const struct record *record)
{
  printf("#   %s(old size %" PRIu64 ", size %" PRIu64 "): %s, errno %" PRId64 ", contents %016" PRIx64,
         operation_names[record->operation], record->old_size, record->size,
         record->is_null ? "NULL" : "a block", record->error, record->hash);
  for (size_t i = 0; i < sizeof wrong_names / sizeof *wrong_names; i++)
    if (record->wrong >> i & 1)
      printf(", WRONG: %s", wrong_names[i]);
  printf(" (%s)\n", peer->path);
}

/* Read both streams to the end; true if they are complete, equal and right. */
static bool compare(struct peer peers[2], uint64_t total)
{
  for (uint64_t i = 0; i < total; i++) {
    struct record records[2];
    for (size_t k = 0; k < 2; k++) {
      if (fread(&records[k], sizeof records[k], 1, peers[k].records) != 1) {
        printf("# operation %" PRIu64 ": no answer from %s (or from one up to %d before)\n", i, peers[k].path,
               RECORDS_PER_WRITE - 1);
        return false;
      }
    }
    bool equal = memcmp(&records[0], &records[1], sizeof records[0]) == 0;
    if (equal && records[0].wrong == 0)
      continue;
    printf("# operation %" PRIu64 ": %s\n", i, equal ? "both are wrong" : "they differ");
    print_record(&peers[0], &records[0]);
    print_record(&peers[1], &records[1]);
    return false;
  }
  return true;
}

static uint64_t number(const char *text)
{
  char *end;
  uint64_t value = strtoull(text, &end, 0);
  if (*text == '\0' || *end != '\0') {
    fprintf(stderr, "model: '%s' is no number\n", text);
    exit(2);
  }
  return value;
}

int main(int argc, char **argv)
{
  if (argc < 3 || argc > 5) {
    fprintf(stderr, "usage: %s LIBRARY LIBRARY [OPERATIONS [SEED]]\n", argv[0]);
    return 2;
  }
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  uint64_t count = argc > 3 ? number(argv[3]) : 100000;
  uint64_t seed = argc > 4 ? number(argv[4]) : mix((uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);

  printf("1..1\n# seed %" PRIu64 ", %" PRIu64 " operations\n", seed, count);
  struct peer peers[2] = {start(argv[1], count, seed), start(argv[2], count, seed)};
  bool agreed = compare(peers, count + SLOTS);
  for (size_t k = 0; k < 2; k++) /* both before any wait: the second process holds a copy of the first one's */
    fclose(peers[k].records);
  for (size_t k = 0; k < 2; k++)
    agreed = finish(&peers[k]) && agreed;
  printf("%s 1 - %s and %s agree\n", agreed ? "ok" : "not ok", argv[1], argv[2]);
  return agreed ? 0 : 1;
}
