/* SPDX-License-Identifier: MIT */
/* One tiny crime each: `crimes NAME` writes the line that the library must say on stderr to stdout, then does the deed.
 * Without a name it lists what it knows, one "NAME KIND" per line; crimes.t holds each to its kind:
 *   must-die    SIGABRT, and exactly that line
 *   must-notice SIGABRT, and that line or another about the same pointer: damage to a header, or an object not used yet, may
 *               look like any of them
 *   innocent    looks like a crime and is none: exit status 0, nothing on stderr
 *   unseen      is a crime, and the release build cannot see it: the same. `crimes table` says why; if one of them is seen
 *               one day, it fails here and leaves the table */
#include "../verbs.h"

#include <sys/mman.h>

#include "osmem.h"

/* Announce the line to come, without a stream: its buffer could be the very memory just freed. */
static void confess(const char *call, const char *what, const void *ptr)
{
  char line[128];
  int length = snprintf(line, sizeof line, "osmem: %s(): %s %p\n", call, what, ptr);
  require(write(STDOUT_FILENO, line, (size_t)length) == length);
}

static void free_and_confess(const char *what, void *ptr)
{
  confess("free", what, ptr);
  free(ptr);
}

/* Blocks of one size with neighbours, all alive. */
enum { BLOCKS = 60, MIDDLE = 30 };
static char *blocks[BLOCKS];

static void allocate(size_t bytes)
{
  for (size_t i = 0; i < BLOCKS; i++) require((blocks[i] = malloc(bytes)));
}

static char *one_of(size_t bytes)
{
  allocate(bytes);
  return blocks[MIDDLE];
}

/* ---- double free ---- */

static void at_once(size_t bytes)
{
  char *p = one_of(bytes);
  free(p);
  free_and_confess("double free of", p);
}

/* Other frees and allocations of other sizes lie between; p's memory is not handed out again. */
static void delayed(size_t bytes)
{
  char *p = one_of(bytes);
  free(p);
  for (size_t i = 0; i < 5; i++) free(blocks[i]);
  for (size_t other = 40; other < 300; other += 16) free(malloc(bytes > 1000 ? other : other + 1100));
  free_and_confess("double free of", p);
}

static void interleaved(size_t bytes)
{
  char *p = one_of(bytes), *q = blocks[MIDDLE + 7];
  free(p);
  free(q);
  free_and_confess("double free of", p);
}

/* p melted into its neighbours before it is freed again. */
static void coalesced(size_t bytes)
{
  char *p = one_of(bytes);
  free(blocks[MIDDLE - 1]);
  free(p);
  free(blocks[MIDDLE + 1]);
  free_and_confess("double free of", p);
}

static void all_freed_before(size_t bytes)
{
  char *p = one_of(bytes);
  for (size_t i = 0; i < BLOCKS; i++) free(blocks[i]);
  free_and_confess("double free of", p);
}

/* An object on a page that was given back holds no mark any more. */
static void after_a_trim(size_t bytes)
{
  enum { OBJECTS = 2000 };
  static char *objects[OBJECTS];
  for (size_t i = 0; i < OBJECTS; i++) objects[i] = one_of(bytes);
  for (size_t i = 0; i < OBJECTS; i++)
    if (i % 100) free(objects[i]);
  malloc_trim(0);
  free_and_confess("double free of", objects[OBJECTS / 2 + 50]);
}

/* Two threads that wait for work: to start one now would allocate, perhaps the very block just freed. */
enum { HELPERS = 2 };
static struct helper {
  pthread_barrier_t begin, end;
  void (*deed)(void *);
  void *ptr;
} helpers[HELPERS];

static void *help(void *self)
{
  struct helper *helper = self;
  for (;;) {
    pthread_barrier_wait(&helper->begin);
    helper->deed(helper->ptr);
    pthread_barrier_wait(&helper->end);
  }
  return NULL;
}

static void start_helpers(void)
{
  for (size_t i = 0; i < HELPERS; i++) {
    pthread_barrier_init(&helpers[i].begin, NULL, 2);
    pthread_barrier_init(&helpers[i].end, NULL, 2);
    spawn(help, &helpers[i]);
  }
}

static void let(struct helper *helper, void (*deed)(void *), void *ptr)
{
  helper->deed = deed;
  helper->ptr = ptr;
  pthread_barrier_wait(&helper->begin);
  pthread_barrier_wait(&helper->end);
}

static void free_again(void *ptr)
{
  free_and_confess("double free of", ptr);
}

static void second_in_a_thread(size_t bytes)
{
  start_helpers();
  char *p = one_of(bytes);
  free(p);
  let(&helpers[0], free_again, p);
}

static void first_in_a_thread(size_t bytes)
{
  start_helpers();
  char *p = one_of(bytes);
  let(&helpers[0], free, p);
  free_again(p);
}

static void both_in_one_thread(size_t bytes)
{
  start_helpers();
  char *p = one_of(bytes);
  let(&helpers[0], free, p);
  let(&helpers[0], free_again, p);
}

static void both_in_threads(size_t bytes)
{
  start_helpers();
  char *p = one_of(bytes);
  let(&helpers[0], free, p);
  let(&helpers[1], free_again, p);
}

/* The heap that the block came from has an owner no more. */
static void *allocates_and_dies(void *bytes)
{
  allocate((size_t)bytes);
  return NULL;
}

static void of_a_dead_thread(size_t bytes)
{
  run_thread(allocates_and_dies, (void *)bytes);
  free(blocks[MIDDLE]);
  free_again(blocks[MIDDLE]);
}

static void realloc_after_free(size_t bytes)
{
  char *p = one_of(bytes);
  free(p);
  confess("realloc", "double free of", p);
  p = realloc(p, bytes + 100);
}

static void realloc_to_zero_twice(size_t bytes)
{
  char *p = one_of(bytes);
  require(is_left_of_nothing(realloc(p, 0)));
  confess("realloc", "double free of", p);
  p = realloc(p, 0);
}

static void reallocarray_after_free(size_t bytes)
{
  char *p = one_of(bytes);
  free(p);
  confess("realloc", "double free of", p); /* it calls that */
  p = reallocarray(p, 2, bytes);
}

static void usable_size_after_free(size_t bytes)
{
  char *p = one_of(bytes);
  free(p);
  confess("malloc_usable_size", "double free of", p);
  malloc_usable_size(p);
}

/* The program is not linked with the library: its own names are found at run time. */
static void *ours(const char *name)
{
  void *function = dlsym(RTLD_DEFAULT, name);
  require(function);
  return function;
}

static void os_names_after_free(size_t bytes, const char *call)
{
  void *(*resize)(void *, size_t) = (void *(*)(void *, size_t))ours("os_realloc");
  size_t (*usable)(const void *) = (size_t(*)(const void *))ours("os_usable_size");
  char *p = one_of(bytes);
  free(p);
  confess(call, "double free of", p);
  if (strcmp(call, "os_realloc") == 0) p = resize(p, bytes * 2);
  else usable(p);
}

static void os_realloc_after_free(size_t bytes) { os_names_after_free(bytes, "os_realloc"); }
static void os_usable_size_after_free(size_t bytes) { os_names_after_free(bytes, "os_usable_size"); }

static void os_free_after_free(size_t bytes)
{
  void (*release)(void *) = (void (*)(void *))ours("os_free");
  char *p = one_of(bytes);
  release(p);
  confess("free", "double free of", p);
  release(p);
}

static void of_an_aligned_block(size_t bytes)
{
  char *p = aligned_alloc(4096, bytes);
  require(p);
  free(p);
  free_and_confess("double free of", p);
}

static void after_realloc_moved_it(size_t bytes)
{
  char *p = one_of(bytes), *moved = realloc(p, bytes * 8 + 500000);
  require(moved && moved != p);
  free_and_confess("double free of", p);
}

/* The memory went back to the kernel in between. */
static void freed_and_trimmed(size_t bytes)
{
  char *p = one_of(bytes);
  for (size_t i = 0; i < BLOCKS; i++) free(blocks[i]);
  malloc_trim(0);
  free_and_confess("double free of", p);
}

#ifdef __GLIBC__
/* Memory of glibc's own malloc is glibc's to judge. */
extern void *__libc_malloc(size_t);
static void of_libcs_memory(size_t bytes)
{
  char *p = __libc_malloc(bytes);
  static const char LINE[] = "free(): double free detected in tcache 2\n";
  free(p);
  require(write(STDOUT_FILENO, LINE, sizeof LINE - 1) == sizeof LINE - 1);
  free(p);
}
#endif

/* ---- pointers that are none ---- */

static void inside_by_16(size_t bytes) { free_and_confess("invalid pointer", one_of(bytes) + 16); }
static void inside_by_8(size_t bytes) { free_and_confess("misaligned pointer", one_of(bytes) + 8); }
static void inside_by_1(size_t bytes) { free_and_confess("misaligned pointer", one_of(bytes) + 1); }
static void in_the_middle(size_t bytes) { free_and_confess("invalid pointer", one_of(bytes) + bytes / 2 / 16 * 16 + 16); }

static void realloc_inside(size_t bytes)
{
  char *p = one_of(bytes) + 16;
  confess("realloc", "invalid pointer", p);
  p = realloc(p, bytes);
}

static void usable_size_inside(size_t bytes)
{
  char *p = one_of(bytes) + 16;
  confess("malloc_usable_size", "invalid pointer", p);
  malloc_usable_size(p);
}

static void inside_by_a_page(size_t bytes) { free_and_confess("invalid pointer", one_of(bytes) + 4096); }

/* Stale contents of the block look like a header, if one believes what stands there. */
static void inside_over_a_copied_header(size_t bytes)
{
  char *p = one_of(bytes);
  memcpy(p + 16, p - 16, 16);
  free_and_confess("invalid pointer", p + 32);
}

static void never_used_object(size_t bytes)
{
  for (int i = 0; i < 10; i++) allocate(bytes); /* far enough for the class to have a slab */
  free_and_confess("invalid pointer", blocks[BLOCKS - 1] + (bytes + 15) / 16 * 16);
}

static void behind_the_newest(size_t bytes) { allocate(bytes), free_and_confess("invalid pointer", blocks[BLOCKS - 1] + 8000); }

static void at_the_end_of_the_heap(size_t bytes)
{
  allocate(bytes);
  free_and_confess("invalid pointer", (char *)sbrk(0) - 4096);
}

static void on_the_stack(size_t bytes)
{
  char *volatile local[4] = {0};
  (void)bytes;
  free_and_confess("invalid pointer", (void *)((uintptr_t)local & ~(uintptr_t)15));
}

static void realloc_on_the_stack(size_t bytes)
{
  char *volatile local[4] = {0};
  void *p = (void *)((uintptr_t)local & ~(uintptr_t)15);
  confess("realloc", "invalid pointer", p);
  p = realloc(p, bytes);
}

/* The first block of a heap has its chunk's records 32 KiB before it. */
static void in_the_records(size_t bytes)
{
  free_and_confess("invalid pointer", (void *)(((uintptr_t)malloc(bytes) & ~(uintptr_t)32767) - 32768 + 4096));
}

static void in_the_library(size_t bytes)
{
  (void)bytes;
  free_and_confess("invalid pointer", (void *)((uintptr_t)ours("os_version") & ~(uintptr_t)15));
}

static void a_literal(size_t bytes)
{
  static const char *volatile text = "sixteen bytes or more of text";
  (void)bytes;
  free_and_confess("invalid pointer", (void *)(((uintptr_t)text + 15) & ~(uintptr_t)15));
}

static void an_argument(size_t bytes)
{
  (void)bytes;
  free_and_confess("invalid pointer", (void *)((uintptr_t)program_invocation_name & ~(uintptr_t)15));
}

static char static_data[256] __attribute__((aligned(16)));

static void static_memory(size_t bytes)
{
  allocate(bytes);
  free_and_confess("invalid pointer", static_data + 64);
}

static void a_foreign_mapping(size_t bytes)
{
  char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  require(p != MAP_FAILED);
  free_and_confess("invalid pointer", p + 64);
}

static void a_small_number(size_t bytes) { free_and_confess("invalid pointer", (void *)(bytes & ~(size_t)15)); }
static void a_high_address(size_t bytes) { free_and_confess("invalid pointer", (void *)(((size_t)1 << 63) + (bytes & ~(size_t)15))); }

static void code(size_t bytes)
{
  (void)bytes;
  free_and_confess("invalid pointer", (void *)((uintptr_t)code & ~(uintptr_t)15));
}

/* ---- damage ---- */

static void written_before_the_payload(size_t bytes)
{
  char *p = one_of(bytes);
  memset(p - 8, 'A', 8);
  free_and_confess("corrupted block", p);
}

static void overflow_into_the_next_header(size_t bytes)
{
  char *p = one_of(bytes), *next = blocks[MIDDLE + 1];
  require(next > p);
  memset(p, 'A', (size_t)(next - p));
  free_and_confess("corrupted block", next);
}

static void off_by_one_zero(size_t bytes)
{
  char *p = one_of(bytes), *next = blocks[MIDDLE + 1];
  require(next > p);
  p[malloc_usable_size(p)] ^= 1; /* the lowest byte of the next header */
  free_and_confess("corrupted block", next);
}

static void realloc_of_a_smashed_header(size_t bytes)
{
  char *p = one_of(bytes);
  memset(p - 8, 'A', 8);
  confess("realloc", "corrupted block", p);
  p = realloc(p, bytes * 2);
}

/* ---- writing to what was freed: found when it is handed out again, before anybody gets it ---- */

static void allocate_and_confess(void *ptr, size_t bytes)
{
  confess("malloc", "write after free, or overflow, into", ptr);
  for (size_t i = 0; i < 10 * BLOCKS; i++) touch(malloc(bytes), bytes);
}

static void *freed_block(size_t bytes)
{
  char *p = one_of(bytes);
  for (size_t i = 1; i < MIDDLE; i++) free(blocks[i]); /* not all: a full cache would yield p */
  free(p);
  return p;
}

static void link_led_astray(size_t bytes)
{
  void **p = freed_block(bytes);
  *(void *volatile *)p = &blocks[5];
  allocate_and_confess(p, bytes);
}

static void link_cut_off(size_t bytes)
{
  void **p = freed_block(bytes);
  *(void *volatile *)p = NULL;
  allocate_and_confess(p, bytes);
}

static void second_word_written(size_t bytes)
{
  size_t *p = freed_block(bytes);
  ((volatile size_t *)p)[1] = 5;
  allocate_and_confess(p, bytes);
}

static void wiped_after_free(size_t bytes)
{
  void *p = freed_block(bytes);
  memset(p, 0, 16);
  __asm__ volatile("" ::: "memory");
  allocate_and_confess(p, bytes);
}

static void overflow_by_a_byte_into_the_freed(size_t bytes)
{
  char *p = freed_block(bytes), *end = p - (bytes > 1024 ? 8 : 0); /* of the usable bytes before it */
  *(volatile char *)end ^= 0x40;
  allocate_and_confess(p, bytes);
}

/* ---- what cannot be seen ---- */

static void read_after_free(size_t bytes)
{
  char *p = one_of(bytes);
  memset(p, 'A', bytes);
  free(p);
  for (size_t i = 0; i < bytes; i += 500) (void)*(volatile char *)(p + i);
}

/* The first two words of freed memory are link and seal; behind them nothing is looked at. */
static void write_after_free(size_t bytes)
{
  char *p = one_of(bytes);
  free(p);
  memset(p + 16, 'A', bytes - 16);
  allocate(bytes);
}

static void double_free_after_reuse(size_t bytes)
{
  char *p = one_of(bytes);
  free(p);
  char *volatile reused = malloc(bytes);
  require(reused == p);
  free(p);
}

static void double_free_after_wiping(size_t bytes)
{
  char *p = one_of(bytes);
  free(p);
  memset(p, 0, bytes);
  free(p);
}

static void overflow_between_objects(size_t bytes)
{
  char *p = one_of(bytes);
  memset(p, 'A', bytes + 8);
}

static void overflow_into_what_was_rounded_up(size_t bytes)
{
  char *p = one_of(bytes);
  memset(p, 'A', malloc_usable_size(p));
  free(p);
}

/* It is damage, but no header's; what lies behind the last page is another mapping or none. */
static void overflow_into_the_next_mapping(size_t bytes)
{
  char *p = one_of(bytes);
  for (size_t i = 0; i < BLOCKS; i++)
    if (blocks[i] == p + malloc_usable_size(p)) memset(p, 'A', malloc_usable_size(p) + 8);
}

/* Until a neighbour is freed: then it is. */
static void overflow_never_looked_at(size_t bytes)
{
  char *p = one_of(bytes);
  memset(p, 'A', malloc_usable_size(p) + 8);
}

static void reading_what_was_never_written(size_t bytes)
{
  char *p = one_of(bytes);
  for (size_t i = 0; i < bytes; i += 500) (void)*(volatile char *)(p + i);
}

static void free_of_somebody_elses_block(size_t bytes)
{
  allocate(bytes);
  free(blocks[MIDDLE + 1]); /* MIDDLE was meant */
}

static void a_leak(size_t bytes) { allocate(bytes); }

static void a_wrong_size(size_t bytes)
{
  void (*free_sized)(void *, size_t) = (void (*)(void *, size_t))ours("free_sized");
  free_sized(one_of(bytes), bytes / 2);
}

static void unmapped_by_hand(size_t bytes)
{
  char *p = one_of(bytes);
  require(munmap(p, malloc_usable_size(p)) == 0);
}

/* ---- the innocent ---- */

/* Values that look like marks of the allocator's own: addresses of neighbours, of the slab, of the block itself. */
static void arbitrary_words(size_t bytes)
{
  for (size_t word = 0; word * 8 + 8 <= bytes && word < 4; word++)
    for (uintptr_t back = 0; back < 70000; back += 64) {
      uintptr_t *p = malloc(bytes);
      require(p);
      p[word] = ((uintptr_t)p & ~(uintptr_t)15) - back;
      free(p);
    }
}

/* What fresh memory happens to hold is copied into every live block: no mark of an earlier free may be in it. */
static void the_contents_of_fresh_memory(size_t bytes)
{
  char copy[64];
  size_t looked = bytes < sizeof copy ? bytes : sizeof copy;
  allocate(bytes);
  for (size_t i = 0; i < 20; i++) {
    free(blocks[i + 20]);
    free(blocks[i]);
    blocks[i] = malloc(bytes);
    blocks[i + 20] = malloc(bytes);
    memcpy(copy, *(char *volatile *)&blocks[i], looked);
    for (size_t j = 0; j < BLOCKS; j++) memcpy(blocks[j], copy, looked);
  }
  start_helpers();
  for (size_t i = 0; i < BLOCKS; i++) let(&helpers[i % HELPERS], free, blocks[i]);
}

/* Words of earlier lives, at the very places where they stood: a program may carry them there and back. */
static void the_contents_of_earlier_lives(size_t bytes)
{
  enum { OBJECTS = 4000, CHUNK = 100000 };
  static char *objects[OBJECTS], *buffers[64], saved[64][CHUNK];
  start_helpers();
  for (int life = 0; life < 3; life++) {
    for (size_t i = 0; i < OBJECTS; i++) require((objects[i] = malloc(bytes)));
    for (size_t i = 0; i < OBJECTS; i++)
      for (size_t b = 0; life && b < COUNT(buffers); b++)
        if (objects[i] >= buffers[b] && objects[i] + bytes <= buffers[b] + CHUNK) memcpy(objects[i], saved[b] + (objects[i] - buffers[b]), bytes);
    for (size_t i = 0; i < OBJECTS; i++) let(&helpers[i % HELPERS], free, objects[i]);
    malloc(bytes); /* their owner collects them; the slabs become blocks */
    malloc_trim(life ? 0 : (size_t)1 << 40);
    for (size_t b = 0; b < COUNT(buffers); b++) {
      require((buffers[b] = malloc(CHUNK)));
      memcpy(saved[b], *(char *volatile *)&buffers[b], CHUNK);
    }
    for (size_t b = 0; b < COUNT(buffers); b++) free(buffers[b]);
  }
}

static void freed_once_by_many(size_t bytes)
{
  start_helpers();
  for (int round = 0; round < 20; round++) {
    allocate(bytes);
    for (size_t i = 0; i < BLOCKS; i += 3) free(blocks[i]);
    for (size_t i = 1; i < BLOCKS; i += 3) let(&helpers[0], free, blocks[i]);
    for (size_t i = 2; i < BLOCKS; i += 3) let(&helpers[1], free, blocks[i]);
  }
}

static void freed_and_reused_and_freed(size_t bytes)
{
  allocate(bytes);
  for (int round = 0; round < 1000; round++) {
    size_t i = (size_t)round * 7 % BLOCKS;
    free(blocks[i]);
    blocks[i] = malloc(bytes);
    memset(blocks[i], round, bytes);
  }
}

static void all_of_the_usable_size(size_t bytes)
{
  allocate(bytes);
  for (size_t i = 0; i < BLOCKS; i++) memset(blocks[i], 0xFF, malloc_usable_size(blocks[i]));
  for (size_t i = 0; i < BLOCKS; i++) free(blocks[i * 7 % BLOCKS]);
}

/* ---- in C++ ---- */

static void new_without_cxx(size_t bytes)
{
  static const char LINE[] = "osmem: operator new: out of memory, and no C++ library to throw bad_alloc\n";
  void *(*operator_new)(size_t) = (void *(*)(size_t))dlsym(RTLD_DEFAULT, "_Znwm");
  require(operator_new && write(STDOUT_FILENO, LINE, sizeof LINE - 1) > 0);
  operator_new(SIZE_MAX - bytes);
}

/* ---- the table ---- */

enum { SMALL = 1, MEDIUM = 2, LARGE = 4, OBJECTS = 8, ONCE = 16, EVERY_SIZE = SMALL | MEDIUM | LARGE };
static const struct {
  size_t bytes;
  unsigned tier;
} CASES[] = {
    {24, SMALL | OBJECTS | ONCE}, {500, SMALL | OBJECTS}, {5000, MEDIUM}, {60000, MEDIUM}, {200000, LARGE}, {10 * MB, LARGE},
};

#define CRIME(kind, tiers, deed) {#deed, kind, tiers, deed, NULL}
#define UNSEEN(tiers, deed, why) {#deed, "unseen", tiers, deed, why}
static const struct {
  const char *name, *kind;
  unsigned tiers;
  void (*deed)(size_t bytes);
  const char *why;
} CRIMES[] = {
    CRIME("must-die", EVERY_SIZE, at_once),
    CRIME("must-die", EVERY_SIZE, delayed),
    CRIME("must-die", EVERY_SIZE, interleaved),
    CRIME("must-die", EVERY_SIZE, coalesced),
    CRIME("must-die", SMALL | LARGE, all_freed_before),
    CRIME("must-notice", MEDIUM, all_freed_before), /* the header may be gone: pages of free runs go back to the kernel */
    CRIME("must-die", OBJECTS, after_a_trim),
    CRIME("must-die", SMALL | MEDIUM, link_led_astray),
    CRIME("must-die", SMALL | MEDIUM, link_cut_off),
    CRIME("must-die", SMALL | MEDIUM, second_word_written),
    CRIME("must-die", SMALL | MEDIUM, wiped_after_free),
    CRIME("must-die", SMALL | MEDIUM, overflow_by_a_byte_into_the_freed),
    CRIME("must-die", EVERY_SIZE, second_in_a_thread),
    CRIME("must-die", EVERY_SIZE, first_in_a_thread),
    CRIME("must-die", EVERY_SIZE, both_in_one_thread),
    CRIME("must-die", EVERY_SIZE, both_in_threads),
    CRIME("must-die", EVERY_SIZE, of_a_dead_thread),
    CRIME("must-die", EVERY_SIZE, realloc_after_free),
    CRIME("must-die", EVERY_SIZE, realloc_to_zero_twice),
    CRIME("must-die", EVERY_SIZE, reallocarray_after_free),
    CRIME("must-die", EVERY_SIZE, usable_size_after_free),
    CRIME("must-die", EVERY_SIZE, os_realloc_after_free),
    CRIME("must-die", EVERY_SIZE, os_usable_size_after_free),
    CRIME("must-die", EVERY_SIZE, os_free_after_free),
    CRIME("must-die", EVERY_SIZE, of_an_aligned_block),
    CRIME("must-die", EVERY_SIZE, after_realloc_moved_it),
    CRIME("must-notice", EVERY_SIZE, freed_and_trimmed),
#ifdef __GLIBC__
    CRIME("must-die", ONCE, of_libcs_memory),
#endif
    CRIME("must-die", EVERY_SIZE, inside_by_16),
    CRIME("must-die", EVERY_SIZE, inside_by_8),
    CRIME("must-die", EVERY_SIZE, inside_by_1),
    CRIME("must-die", EVERY_SIZE, in_the_middle),
    CRIME("must-die", EVERY_SIZE, realloc_inside),
    CRIME("must-die", EVERY_SIZE, usable_size_inside),
    CRIME("must-die", LARGE, inside_by_a_page),
    CRIME("must-die", MEDIUM, inside_over_a_copied_header),
    CRIME("must-notice", OBJECTS, never_used_object),
    CRIME("must-die", MEDIUM, behind_the_newest),
    CRIME("must-die", MEDIUM, at_the_end_of_the_heap),
    CRIME("must-die", ONCE, on_the_stack),
    CRIME("must-die", ONCE, realloc_on_the_stack),
    CRIME("must-die", ONCE, in_the_records),
    CRIME("must-die", ONCE, in_the_library),
    CRIME("must-die", ONCE, a_literal),
    CRIME("must-die", ONCE, an_argument),
    CRIME("must-die", ONCE, static_memory),
    CRIME("must-die", LARGE, a_foreign_mapping),
    CRIME("must-die", ONCE, a_small_number),
    CRIME("must-die", ONCE, a_high_address),
    CRIME("must-die", ONCE, code),
    CRIME("must-notice", MEDIUM, written_before_the_payload),
    CRIME("must-notice", MEDIUM, overflow_into_the_next_header),
    CRIME("must-notice", MEDIUM, off_by_one_zero),
    CRIME("must-notice", MEDIUM, realloc_of_a_smashed_header),
    CRIME("must-die", ONCE, new_without_cxx),
    UNSEEN(EVERY_SIZE, read_after_free, "no code of ours runs when memory is read"),
    UNSEEN(EVERY_SIZE, write_after_free, "the same; only the first two words, link and seal, are looked at when it is handed out again"),
    UNSEEN(OBJECTS | MEDIUM, double_free_after_reuse, "the block is live again: it is its new owner's memory that goes"),
    UNSEEN(OBJECTS, double_free_after_wiping, "the seal that says \"freed\" stood in the memory that was written to"),
    UNSEEN(OBJECTS, overflow_between_objects, "objects have no headers that could suffer; a freed one has its seal"),
    UNSEEN(EVERY_SIZE, overflow_into_what_was_rounded_up, "harmless: up to malloc_usable_size() it is the block's own memory"),
    UNSEEN(LARGE, overflow_into_the_next_mapping, "mappings have no headers; where no mapping follows the kernel ends the process"),
    UNSEEN(MEDIUM, overflow_never_looked_at, "a header that was overwritten is found when it is next needed, not before"),
    UNSEEN(EVERY_SIZE, reading_what_was_never_written, "no code of ours runs when memory is read"),
    UNSEEN(EVERY_SIZE, free_of_somebody_elses_block, "it is a live block, and blocks have no owner"),
    UNSEEN(EVERY_SIZE, a_leak, "what is still live at exit may be meant to be (stats=1 shows how much)"),
    UNSEEN(EVERY_SIZE, a_wrong_size, "sizes given to free_sized and delete are only hints: many C++ programs err"),
    UNSEEN(LARGE, unmapped_by_hand, "the kernel does not tell us"),
    CRIME("innocent", EVERY_SIZE, arbitrary_words),
    CRIME("innocent", EVERY_SIZE, the_contents_of_fresh_memory),
    CRIME("innocent", SMALL, the_contents_of_earlier_lives),
    CRIME("innocent", EVERY_SIZE, freed_once_by_many),
    CRIME("innocent", SMALL | MEDIUM, freed_and_reused_and_freed),
    CRIME("innocent", EVERY_SIZE, all_of_the_usable_size),
};

static void print_table(void)
{
  puts("| misuse | why the release build cannot see it |\n|---|---|");
  for (size_t c = 0; c < COUNT(CRIMES); c++)
    if (CRIMES[c].why) printf("| `%s` | %s |\n", CRIMES[c].name, CRIMES[c].why);
}

int main(int argc, char **argv)
{
  alarm(PATIENCE_S);
  if (argc > 1 && strcmp(argv[1], "table") == 0) return print_table(), 0;
  for (size_t c = 0; c < COUNT(CRIMES); c++)
    for (size_t s = 0; s < COUNT(CASES); s++) {
      if (!(CRIMES[c].tiers & CASES[s].tier)) continue;
      char name[100];
      snprintf(name, sizeof name, "%s-%zu", CRIMES[c].name, CASES[s].bytes);
      if (argc < 2) {
        printf("%s %s\n", name, CRIMES[c].kind);
      } else if (strcmp(argv[1], name) == 0) {
        CRIMES[c].deed(CASES[s].bytes);
        return 0;
      }
    }
  return argc < 2 ? 0 : 2;
}
