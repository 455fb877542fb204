/* SPDX-License-Identifier: MIT */
/* leaky NAME [wait]: one way to lose memory, or to keep it; as many blocks as its line says. At its end it ends by exit(), or says so and waits. Compiled without
 * optimisation: what it keeps in a variable stays there, and what it has forgotten is in none. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct node {
  struct node *left, *right;
  char payload[24];
};

static void *kept, *inside, **table;
static __thread void *of_thread;
static pthread_key_t key;
static char *unaligned_home;
static int ready[2], never[2];

static void *block(size_t bytes)
{
  void *made = malloc(bytes);
  if (!made) abort();
  return memset(made, 'x', bytes);
}

static struct node *node(struct node *left, struct node *right)
{
  struct node *made = block(sizeof *made);
  *made = (struct node){.left = left, .right = right, .payload = "node"};
  return made;
}

static struct node *tree(int depth) { return depth ? node(tree(depth - 1), tree(depth - 1)) : NULL; }

static struct node *list(int length)
{
  struct node *first = NULL;
  while (length--) first = node(first, NULL);
  return first;
}

/* ---- lost ---- */

static void small_blocks(void) { for (int i = 0; i < 20; i++) block(40); }
static void medium_blocks(void) { for (int i = 0; i < 5; i++) block(5000); }
static void mappings(void) { for (int i = 0; i < 3; i++) block(300000); }
static void a_list(void) { list(10); }
static void a_ring(void)
{
  struct node *last = node(NULL, NULL);
  struct node *first = last;
  for (int i = 0; i < 6; i++) first = node(first, NULL);
  last->left = first;
}
static void a_tree(void) { tree(5); }
static void points_to_itself(void)
{
  struct node *self = node(NULL, NULL);
  self->left = self;
}
static void *forgets(void *unused)
{
  of_thread = block(64);
  return unused;
}
static void of_a_thread_that_ended(void)
{
  pthread_t thread;
  if (pthread_create(&thread, NULL, forgets, NULL)) abort();
  pthread_join(thread, NULL);
}
static void only_its_end_is_known(void) { kept = (char *)block(4096) + 4096 + 8; } /* malloc may give up to eight bytes more */
static void only_unaligned(void)
{
  char *lost = block(100);
  memcpy(unaligned_home + 3, &lost, sizeof lost);
}
static void by_realloc(void)
{
  kept = block(100);
  kept = realloc(kept, 4000);
  kept = block(10);
}
static void aligned(void)
{
  if (posix_memalign(&kept, 4096, 100) || posix_memalign(&kept, 64, 100)) abort();
}
static void a_freed_block_leads_to_it(void)
{
  struct node *gone = node(NULL, node(NULL, NULL));
  kept = gone;
  free(gone);
}

/* ---- kept ---- */

static void all_freed(void) { free(block(10)), free(block(10000)), free(block(1000000)); }
static void by_a_variable(void) { kept = tree(6); }
static void by_its_inside(void) { inside = (char *)block(100000) + 777; }
static void by_a_table(void)
{
  table = calloc(1000, sizeof *table);
  for (int i = 0; i < 1000; i++) table[i] = block(16 + (size_t)i);
}
static void by_a_key(void)
{
  if (pthread_key_create(&key, NULL)) abort();
  pthread_setspecific(key, list(3));
}
static void by_thread_local(void) { of_thread = list(3); }
static void *waits(void *unused)
{
  struct node *on_stack = list(4);
  if (write(ready[1], "", 1) != 1 || read(never[0], &on_stack->payload, 1) > 0) abort();
  return unused;
}
static void *waits_deep(void *unused) /* what it keeps is far from its stack's top */
{
  struct node *on_stack = list(4);
  volatile char below[32768];
  below[0] = 1;
  if (write(ready[1], "", 1) != 1 || read(never[0], &on_stack->payload, (size_t)below[0]) > 0) abort();
  return unused;
}
static void by_a_stack(void)
{
  pthread_t thread;
  char byte;
  if (pipe(ready) || pipe(never) || pthread_create(&thread, NULL, waits, NULL) || read(ready[0], &byte, 1) != 1) abort();
}
/* Without a guard, and nothing between: to the kernel they are one mapping. The lower one's frames are no less in use for lying below the other's. */
static void by_stacks_side_by_side(void)
{
  enum { STACK = 256 << 10, STACKS = 4 };
  char *stacks = mmap(NULL, STACKS * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), byte;
  if (stacks == MAP_FAILED || pipe(ready) || pipe(never)) abort();
  for (int i = 0; i < STACKS; i++) {
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stacks + i * STACK, STACK);
    if (pthread_create(&thread, &attributes, waits_deep, NULL) || read(ready[0], &byte, 1) != 1) abort();
  }
}
static void moved(void)
{
  kept = block(200000);
  kept = realloc(kept, 900000);
  inside = realloc(block(20), 2000);
}
static void at_exit(void) { free(kept); }
static void freed_at_exit(void)
{
  kept = block(100);
  atexit(at_exit);
}
static void lost_in_a_child(void)
{
  pid_t child = fork();
  if (child == 0) {
    block(100);
    _exit(0);
  }
  waitpid(child, NULL, 0);
}
/* LeakSanitizer knows no root but data, stacks and registers: to it this is lost. */
static void by_a_mapping(void)
{
  void **mine = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  *mine = block(50);
}

#define CASE(name) {#name, name}
static const struct {
  const char *name;
  void (*run)(void);
} cases[] = {
    CASE(small_blocks), CASE(medium_blocks), CASE(mappings), CASE(a_list), CASE(a_ring), CASE(a_tree), CASE(points_to_itself), CASE(of_a_thread_that_ended),
    CASE(only_its_end_is_known), CASE(only_unaligned), CASE(by_realloc), CASE(aligned), CASE(a_freed_block_leads_to_it), CASE(all_freed), CASE(by_a_variable),
    CASE(by_its_inside), CASE(by_a_table), CASE(by_a_key), CASE(by_thread_local), CASE(by_a_stack), CASE(by_stacks_side_by_side), CASE(moved), CASE(freed_at_exit), CASE(lost_in_a_child),
    CASE(by_a_mapping),
};

/* What calls left on the stack is not on it any more, but still there; and so are their arguments in registers. */
static void fill_registers(long a, long b, long c, long d, long e, long f, long g, long h) { (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h; }
static void fill_vectors(double a, double b, double c, double d, double e, double f, double g, double h) { (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h; }

/* Registers first: who looks memset() up saves them all on the stack. */
static void wipe(void)
{
  volatile char below[16384];
  fill_registers(0, 0, 0, 0, 0, 0, 0, 0);
  fill_vectors(0, 0, 0, 0, 0, 0, 0, 0); /* of a free list's two ends gcc 14 makes one vector */
  memset((void *)below, 0, sizeof below);
}

int main(int argc, char **argv)
{
  unaligned_home = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (size_t i = 0; argc > 1 && i < sizeof cases / sizeof *cases; i++)
    if (!strcmp(argv[1], cases[i].name)) {
      cases[i].run();
      if (argc > 2) {
        puts("ready");
        fclose(stdout);
      }
      wipe(); /* of fclose(), too: the header of stdout's buffer lies in what may be the end of the block before it */
      char byte;
      while (argc > 2 && read(STDIN_FILENO, &byte, 1) > 0) continue;
      exit(0);
    }
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) puts(cases[i].name);
  return argc > 1;
}
