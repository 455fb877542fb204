/* SPDX-License-Identifier: MIT */
/* Objects that come and go, and memory that crosses between allocators: plugins, RTLD_DEEPBIND, libc's own blocks. */
#include "verbs.h"
#include "../../src/libc.h"

#include <sys/mman.h>
#include <sys/socket.h>

static void *open_plugin(const char *name, int flags)
{
  void *plugin = dlopen(plugin_path(name), flags);
  if (!plugin) say("# %s\n", dlerror());
  require(plugin);
  return plugin;
}

static void *function_of(void *plugin, const char *name)
{
  void *function = dlsym(plugin, name);
  require(function);
  return function;
}

/* ---- coming and going ---- */

static void *works_in_plugin(void *plugin)
{
  int (*work)(void) = (int (*)(void))function_of(plugin, "work");
  require(work() == 1);
  return NULL;
}

enum { LOADS = 200, OF_A_PLUGIN = 3000 /* bytes that allocates.so holds while it is loaded */ };

static void load_and_unload(void)
{
  for (int i = 0; i < LOADS; i++) {
    void *plugin = open_plugin("allocates.so", RTLD_NOW | RTLD_LOCAL);
    works_in_plugin(plugin);
    run_thread(works_in_plugin, plugin);
    require(dlclose(plugin) == 0);
    require(dlopen(plugin_path("allocates.so"), RTLD_NOW | RTLD_NOLOAD) == NULL);
  }
}

static size_t live_bytes(void)
{
  malloc_trim(0); /* what is cached counts as live */
  return mallinfo2().uordblks;
}

/* Nothing stays but what ld.so keeps once; the same measure sees a leak of one block for each time. */
static void allocating_plugins_come_and_go(void)
{
  load_and_unload();
  size_t before = live_bytes();
  require(growth_of(load_and_unload) < 1 * MB);
  require(live_bytes() < before + LOADS * OF_A_PLUGIN / 10);
  for (int i = 0; i < LOADS; i++) require(malloc(OF_A_PLUGIN));
  require(live_bytes() >= before + LOADS * OF_A_PLUGIN);
}

/* A namespace of its own has a libc of its own, whose malloc shares the break with us. */
static void a_plugin_in_its_own_namespace(void)
{
  for (int i = 0; i < 10; i++) {
    void *plugin = dlmopen(LM_ID_NEWLM, plugin_path("allocates.so"), RTLD_NOW);
    if (!plugin) say("# %s\n", dlerror());
    require(plugin);
    churn(1, 1000);
    works_in_plugin(plugin);
    churn(2, 1000);
    require(dlclose(plugin) == 0);
  }
}

/* ---- RTLD_DEEPBIND ---- */

static void swap_blocks_with(void *plugin)
{
  char *(*swap)(char *) = (char *(*)(char *))function_of(plugin, "swap");
  for (int i = 0; i < 1000; i++) {
    size_t bytes = SIZES[(size_t)i % (COUNT(SIZES) - 1)] + 8;
    char *ours = calloc(1, bytes);
    memset(ours, 'a', bytes - 1);
    char *theirs = swap(ours);
    require(theirs && strlen(theirs) == bytes - 1 && theirs[bytes - 2] == 'a');
    theirs = realloc(theirs, bytes * 2);
    require(theirs && strlen(theirs) == bytes - 1);
    require(malloc_usable_size(theirs) >= bytes * 2);
    free(theirs);
  }
  require(dlclose(plugin) == 0);
}

static void swap_blocks(int flags) { swap_blocks_with(open_plugin("swaps.so", flags)); }
static void plain_plugins_swap_blocks(void) { swap_blocks(RTLD_NOW | RTLD_LOCAL); }
static void deeply_bound_plugins_swap_blocks(void) { swap_blocks(RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND); }
static void lazy_deeply_bound_plugins_swap_blocks(void) { swap_blocks(RTLD_LAZY | RTLD_DEEPBIND); }

static void deeply_bound_plugins_by_dlmopen_swap_blocks(void)
{
  void *plugin = dlmopen(LM_ID_BASE, plugin_path("swaps.so"), RTLD_NOW | RTLD_DEEPBIND);
  require(plugin);
  swap_blocks_with(plugin);
}

/* Found through $ORIGIN of opens.so. */
static void opens_its_neighbour(const char *how)
{
  void *opener = open_plugin("opens.so", RTLD_NOW);
  void *(*open_neighbour)(const char *) = (void *(*)(const char *))function_of(opener, how);
  require(open_neighbour("allocates.so"));
}

static void dlmopen_keeps_its_caller(void)
{
  opens_its_neighbour("open_neighbour_in_base");
  require(dlmopen(LM_ID_BASE, "allocates-nowhere.so", RTLD_NOW) == NULL && dlerror());
}

static void dlopen_keeps_its_caller(void)
{
  opens_its_neighbour("open_neighbour");
  require(dlopen("allocates-nowhere.so", RTLD_NOW) == NULL && dlerror());
  require(dlopen(NULL, RTLD_NOW)); /* the program itself */
}

/* ---- blocks of libc's own allocator, from before the preload or from an object bound to libc ---- */

extern void *__libc_malloc(size_t);
extern void *__libc_memalign(size_t, size_t);

static void libc_blocks(void)
{
  for (int i = 0; i < 100; i++)
    for (size_t s = 0; s < COUNT(SIZES) - 1; s++) {
      char *p = __libc_malloc(SIZES[s]);
      require(p && malloc_usable_size(p) >= SIZES[s]);
      fill(p, SIZES[s], s);
      p = realloc(p, SIZES[s] * 2 + 1);
      require(p && holds(p, SIZES[s], s) && malloc_usable_size(p) >= SIZES[s] * 2 + 1);
      free(p);
      free(__libc_malloc(SIZES[s]));
      free(__libc_memalign(4096, SIZES[s]));
      require(realloc(__libc_malloc(SIZES[s]), 0) == NULL);
    }
}

static void blocks_of_libc_are_recognised(void)
{
  libc_blocks();
  require(growth_of(libc_blocks) < 4 * MB); /* and freed */
}

static void *frees_a_libc_block(void *block)
{
  free(block);
  return NULL;
}

static void blocks_of_libc_in_other_threads(void)
{
  for (size_t s = 0; s < COUNT(SIZES); s++) run_thread(frees_a_libc_block, __libc_malloc(SIZES[s]));
}

/* Each free asked the loader for libc's mallinfo2, and that for all that libc has free: 100,000 blocks, each with a live one behind it, took
 * minutes. */
static void many_blocks_of_libc(void)
{
  static void *blocks[200000];
  for (size_t i = 0; i < COUNT(blocks); i++) require((blocks[i] = __libc_malloc(1500)));
  for (size_t i = 0; i < COUNT(blocks); i += 2) free(blocks[i]);
  for (size_t i = 1; i < COUNT(blocks); i += 2) free(blocks[i]);
}

/* Free says of a mapping that went back that it was freed before; but libc may have its next one there. */
static void blocks_of_libc_where_a_mapping_was(void)
{
  enum { MAPPINGS = 40 };
  static void *ours[MAPPINGS];
  size_t met = 0;
  for (size_t i = 0; i < MAPPINGS; i++) ours[i] = malloc(1 * MB);
  for (size_t i = 0; i < MAPPINGS; i++) free(ours[i]);
  malloc_trim(0);
  for (size_t i = 0; i < 64; i++) {
    char *block = __libc_memalign(page_size(), 1 * MB - page_size() + 512 * (i % 16));
    for (size_t n = 0; n < MAPPINGS; n++) met += block == ours[n];
    fill(block, 1000, i);
    require(holds(block, 1000, i));
    free(block);
  }
  require(met > 0);
}

static void dlerror_outlives_blocks_of_libc(void)
{
  void *block = __libc_malloc(100);
  require(dlopen("allocates-nowhere.so", RTLD_NOW) == NULL);
  block = realloc(block, malloc_usable_size(block) + 1000);
  free(block);
  require(dlerror());
}

/* ---- libc's functions by its handle ---- */

static const char *const FAMILY[] = {"malloc",  "calloc", "realloc",            "free",        "reallocarray", "aligned_alloc", "memalign", "posix_memalign",
                                     "valloc", "pvalloc", "malloc_usable_size", "malloc_trim", "mallinfo",     "malloc_stats"};

static void *libc_handle(void)
{
  void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
  require(libc);
  return libc;
}

/* Foreign function interfaces do so; what libc itself allocates comes from us. */
static void who_asks_libc_by_its_handle_gets_ours(void)
{
  void *libc = libc_handle();
  for (size_t i = 0; i < COUNT(FAMILY); i++) {
    void *ours = function_of(RTLD_DEFAULT, FAMILY[i]);
    require(function_of(libc, FAMILY[i]) == ours);
  }
  require(dlvsym(libc, "free", LIBC_VERSION) == function_of(libc, "free"));
  require(dlvsym(libc, "free", "NONE") == NULL && strstr(dlerror(), "free"));
  void (*libc_free)(void *) = (void (*)(void *))function_of(libc, "free");
  for (int i = 0; i < 1000; i++) libc_free(strdup("allocated by libc, by our malloc"));
  void *(*libc_malloc)(size_t) = (void *(*)(size_t))function_of(libc, "malloc");
  free(libc_malloc(100));
  require(heap_is_sound());
}

static void all_else_of_libc_is_as_it_was(void)
{
  void *libc = libc_handle();
  char *(*duplicates)(const char *) = (char *(*)(const char *))function_of(libc, "strdup");
  char *copy = duplicates("a copy");
  require(copy && strcmp(copy, "a copy") == 0);
  free(copy);
  require(dlsym(libc, "no such name") == NULL && strstr(dlerror(), "no such name"));
  require(dlsym(libc, "os_malloc") == NULL && strstr(dlerror(), "os_malloc"));
}

/* From the executable on that is us, from a plugin on what would be libc's: ours as well. */
static void the_next_malloc_is_ours(void)
{
  require(dlsym(RTLD_NEXT, "malloc") == (void *)malloc && dlsym(RTLD_NEXT, "free") == (void *)free);
  void *plugin = open_plugin("next.so", RTLD_NOW | RTLD_LOCAL);
  void (*releases)(void *) = (void (*)(void *))function_of(plugin, "releases");
  for (int i = 0; i < 1000; i++) releases(strdup("allocated by libc, by our malloc"));
  void *(*next_of)(const char *) = (void *(*)(const char *))function_of(plugin, "next_of");
  require(next_of("malloc") == (void *)malloc && next_of("strdup") == function_of(RTLD_DEFAULT, "strdup") && !next_of("os_malloc"));
  require(heap_is_sound());
}

/* Where another opens and closes a plugin meanwhile: the loader's list of images is not looked at behind libc, where they come and go. */
static volatile bool enough;

static void *opens_and_closes(void *unused)
{
  for (int i = 0; i < 3000; i++) require(dlclose(open_plugin("allocates.so", RTLD_NOW | RTLD_LOCAL)) == 0);
  enough = true;
  return unused;
}

static void who_asks_for_the_next_while_plugins_come_and_go(void)
{
  void *(*next_of)(const char *) = (void *(*)(const char *))function_of(open_plugin("next.so", RTLD_NOW | RTLD_LOCAL), "next_of");
  void *libc = libc_handle();
  pthread_t thread = spawn(opens_and_closes, NULL);
  while (!enough)
    for (size_t i = 0; i < COUNT(FAMILY); i++) {
      void *ours = dlsym(RTLD_DEFAULT, FAMILY[i]);
      require(next_of(FAMILY[i]) == ours && dlsym(RTLD_NEXT, FAMILY[i]) == ours && dlsym(libc, FAMILY[i]) == ours);
    }
  join(thread);
}

/* A thread that frees one of libc's is waited for by the constructor of a plugin. */
static int waiting[2];

static void *frees_when_told(void *block)
{
  char byte;
  require(read(waiting[0], &byte, 1) == 1);
  free(block);
  require(write(waiting[0], &byte, 1) == 1);
  return NULL;
}

static void a_plugin_waits_for_a_free_of_a_libc_block(void)
{
  char name[16];
  require(socketpair(AF_UNIX, SOCK_STREAM, 0, waiting) == 0);
  snprintf(name, sizeof name, "%d", waiting[1]);
  setenv("OSMEM_TEST_WAITS", name, 1);
  pthread_t thread = spawn(frees_when_told, __libc_malloc(100));
  open_plugin("waits.so", RTLD_NOW);
  join(thread);
}

/* ---- C++ in a C program ---- */

static void uses_cxx(int flags)
{
  void *plugin = open_plugin("throws.so", flags);
  const char *complaint = ((const char *(*)(void))function_of(plugin, "complaint"))();
  if (complaint) say("# %s\n", complaint);
  require(complaint == NULL);
}

/* RTLD_LOCAL: libstdc++ is there, but no weak reference of ours can see it. */
static void cxx_plugin_local(void) { uses_cxx(RTLD_NOW | RTLD_LOCAL); }
static void cxx_plugin_global(void) { uses_cxx(RTLD_NOW | RTLD_GLOBAL); }
static void cxx_plugin_deeply_bound(void) { uses_cxx(RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND); }

/* ---- who writes over libc's functions ---- */

/* As Open MPI and UCX do it, to hear of memory that goes while a device may still write to it. */
#if defined(__x86_64__)
enum { JUMP_BYTES = 13 };
static size_t heard_unmap, heard_remap, heard_advice, heard_break;

static int hears_munmap(void *base, size_t bytes)
{
  heard_unmap++;
  return (int)syscall(SYS_munmap, base, bytes);
}

static void *hears_mremap(void *base, size_t old_bytes, size_t new_bytes, int flags)
{
  heard_remap++;
  return (void *)syscall(SYS_mremap, base, old_bytes, new_bytes, flags);
}

static int hears_madvise(void *base, size_t bytes, int advice)
{
  heard_advice++;
  return (int)syscall(SYS_madvise, base, bytes, advice);
}

static int hears_brk(char *end)
{
  heard_break++;
  return (char *)syscall(SYS_brk, end) == end ? 0 : -1;
}

static void write_over(const char *name, void *instead)
{
  char *function = dlvsym(RTLD_NEXT, name, "GLIBC_2.2.5");
  require(function);
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  require(mprotect((char *)((uintptr_t)function & ~(page - 1)), 2 * page, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
  char jump[JUMP_BYTES] = "\x49\xbb________\x41\xff\xe3"; /* movabs $instead, %r11; jmp *%r11 */
  memcpy(jump + 2, &instead, sizeof instead);
  memcpy(function, jump, sizeof jump);
}

static void who_writes_over_libc_hears_what_goes(void)
{
  enum { BLOCKS = 20000 };
  static char *blocks[BLOCKS];
  write_over("munmap", hears_munmap);
  write_over("mremap", hears_mremap);
  write_over("madvise", hears_madvise);
  write_over("brk", hears_brk);
  char *big = malloc(10 * MB);
  fill(big, 1000, 1);
  require((big = realloc(big, 90 * MB)) && holds(big, 1000, 1));
  free(big);
  for (size_t i = 0; i < BLOCKS; i++) touch(blocks[i] = malloc(3000), 3000);
  for (size_t i = 0; i < BLOCKS; i++)
    if (i % 1000) free(blocks[i]);
  malloc_trim(0);
  require(heard_remap > 0 && heard_unmap > 0 && heard_break > 0 && heard_advice > 0);
  errno = 0;
  require(!malloc(SIZE_MAX / 4) && errno == ENOMEM);
}
#else
static void who_writes_over_libc_hears_what_goes(void) { skip_test("jumps of x86-64"); }
#endif

int main(int argc, char **argv)
{
  static const struct test TESTS[] = {
      TEST(allocating_plugins_come_and_go),
      TEST(a_plugin_in_its_own_namespace),
      TEST(plain_plugins_swap_blocks),
      TEST(deeply_bound_plugins_swap_blocks),
      TEST(lazy_deeply_bound_plugins_swap_blocks),
      TEST(deeply_bound_plugins_by_dlmopen_swap_blocks),
      TEST(dlopen_keeps_its_caller),
      TEST(dlmopen_keeps_its_caller),
      TEST(blocks_of_libc_are_recognised),
      TEST(blocks_of_libc_in_other_threads),
      TEST(many_blocks_of_libc),
      TEST(blocks_of_libc_where_a_mapping_was),
      TEST(dlerror_outlives_blocks_of_libc),
      TEST(who_asks_libc_by_its_handle_gets_ours),
      TEST(all_else_of_libc_is_as_it_was),
      TEST(the_next_malloc_is_ours),
      TEST(who_asks_for_the_next_while_plugins_come_and_go),
      TEST(a_plugin_waits_for_a_free_of_a_libc_block),
      TEST(who_writes_over_libc_hears_what_goes),
      TEST(cxx_plugin_local),
      TEST(cxx_plugin_global),
      TEST(cxx_plugin_deeply_bound),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
