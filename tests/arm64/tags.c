/* SPDX-License-Identifier: MIT */
/* What an arm64 program may do with the upper bits of its addresses: the processor does not look at the uppermost byte, which programs use for tags of their
 * own; memory may have tags that it does compare (MTE); and with 52 bits of addresses the kernel gives out what is above 48, if it is asked for that. */
#include "verbs.h"

#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>

enum { TAG_SHIFT = 56, PACKED_BITS = 48 };

static void *tagged(void *address, uintptr_t tag) { return (void *)((uintptr_t)address | tag << TAG_SHIFT); }

static void programs_tag_pointers(void)
{
  for (size_t i = 0; i < COUNT(SIZES); i++) {
    char *block = malloc(SIZES[i]);
    fill(tagged(block, 0x5a), SIZES[i], i);
    require(holds(block, SIZES[i], i));
    block = realloc(block, 2 * SIZES[i]);
    require(holds(tagged(block, 0xa5), SIZES[i], i));
    free(block);
  }
}

/* The kernel takes tagged addresses then. */
static void the_kernel_takes_tags(void)
{
  if (prctl(PR_SET_TAGGED_ADDR_CTRL, PR_TAGGED_ADDR_ENABLE, 0, 0, 0)) skip_test("a kernel without tagged addresses");
  char *block = malloc(1000);
  int fd = open("/proc/self/statm", O_RDONLY);
  require(read(fd, tagged(block, 0x33), 1000) > 0 && *block);
  close(fd);
  use_each_tier();
  require(heap_is_sound());
}

static void *volatile given;
static void frees(void) { free(given); }
static void resizes(void) { given = realloc(given, 2000); }

/* A pointer is freed as malloc gave it, here as with glibc: with a tag it is none of ours. */
static void a_tag_that_is_left_is_told(void)
{
  static const size_t OF_EACH_TIER[] = {24, 5000, 200000};
  for (size_t i = 0; i < COUNT(OF_EACH_TIER); i++) {
    given = tagged(malloc(OF_EACH_TIER[i]), 1);
    int freed = fate_of(frees), resized = fate_of(resizes);
    require(WIFSIGNALED(freed) && WTERMSIG(freed) == SIGABRT);
    require(WIFSIGNALED(resized) && WTERMSIG(resized) == SIGABRT);
  }
}

/* ---- MTE ---- */

enum { MTE_SYNC = 1 << 1, MTE_TAGS_SHIFT = 3, WITH_TAGS = 0x20 /* PROT_MTE */, HAS_MTE = 1 << 18 };

static char *with_tag(char *address)
{
  __asm__ volatile(".arch armv8.5-a+memtag\n\tirg %0, %0\n\tstg %0, [%0]" : "+r"(address) : : "memory");
  return address;
}

static char *closed;
static void reads_without_its_tag(void) { *(volatile char *)closed; }

static void *works(void *unused)
{
  for (int i = 0; i < 100; i++) use_each_tier();
  return unused;
}

/* Ours has no tags, and no pointer of ours one: a process in which they are compared sees nothing of it; what it tags itself is compared. */
static void memory_tags_are_compared(void)
{
  if (!(getauxval(AT_HWCAP2) & HAS_MTE)) skip_test("a processor without MTE");
  require(prctl(PR_SET_TAGGED_ADDR_CTRL, PR_TAGGED_ADDR_ENABLE | MTE_SYNC | 0xfffe << MTE_TAGS_SHIFT, 0, 0, 0) == 0);
  works(NULL);
  run_thread(works, NULL);
  require(heap_is_sound());
  closed = mmap(NULL, 4096, PROT_READ | PROT_WRITE | WITH_TAGS, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  require(closed != MAP_FAILED);
  char *open_to_us = with_tag(closed);
  *open_to_us = 1;
  char *copy = malloc(16);
  memcpy(copy, open_to_us, 16);
  require(*copy == 1);
  int fate = fate_of(reads_without_its_tag);
  require(WIFSIGNALED(fate) && WTERMSIG(fate) == SIGSEGV);
}

/* ---- 52 bits ---- */

static void nothing_of_ours_is_above_48_bits(void)
{
  void *wanted = (void *)((uintptr_t)1 << (PACKED_BITS + 2));
  void *high = mmap(wanted, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (high != wanted) skip_test("addresses of 48 bits");
  for (size_t round = 0; round < 100; round++)
    for (size_t i = 0; i < COUNT(SIZES); i++) {
      void *block = malloc(SIZES[i]);
      require((uintptr_t)block >> PACKED_BITS == 0);
      if (round % 2) free(block);
    }
  require(heap_is_sound());
}

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST(programs_tag_pointers),
      TEST(the_kernel_takes_tags),
      TEST(a_tag_that_is_left_is_told),
      TEST(memory_tags_are_compared),
      TEST(nothing_of_ours_is_above_48_bits),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
