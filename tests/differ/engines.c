/* SPDX-License-Identifier: MIT */
/* See differ.h: both heaps by their names, and faults to plant in one of them. */
#include "differ.h"

#include "../../src/foreign.h"
#include "../../src/libc.h"
#include "../verbs.h"

struct engine engines[ENGINES];

/* ---- names ------------------------------------------------------------------------------------------------------------ */

typedef void function(void);

static const struct {
  const char *name;
  size_t at;
} NAMES[] = {
#define NAME(name) {#name, offsetof(struct engine, name)}
    NAME(malloc),         NAME(calloc),       NAME(realloc),     NAME(reallocarray), NAME(posix_memalign),
    NAME(aligned_alloc),  NAME(memalign),     NAME(valloc),      NAME(pvalloc),      NAME(free),
    NAME(cfree),          NAME(free_sized),   NAME(mallopt),     NAME(malloc_info),  NAME(free_aligned_sized),
    NAME(malloc_usable_size), NAME(malloc_trim), NAME(mallinfo2),
#undef NAME
};
_Static_assert(COUNT(NAMES) * sizeof(function *) == sizeof(struct engine), "all of them");

/* Newer than this glibc: each is to mean free(); and figures that add up. */
static void sized_as_free(void *block, size_t size)
{
  (void)size;
  free(block);
}

static void aligned_as_free(void *block, size_t alignment, size_t size)
{
  (void)alignment;
  (void)size;
  free(block);
}

static struct mallinfo2 no_figures(void) { return (struct mallinfo2){0}; }

static bool in_one_object(function *one, function *other)
{
  Dl_info here, there;
  return dladdr((void *)one, &here) && dladdr((void *)other, &there) && here.dli_fbase == there.dli_fbase;
}

/* dlsym() looks through what an object depends on, too: what the library has not would be glibc's. */
static const char *bind(struct engine *engine, void *handle)
{
  for (size_t i = 0; i < COUNT(NAMES); i++) {
    function **at = (function **)(void *)((char *)engine + NAMES[i].at), *symbol = (function *)dlsym(handle, NAMES[i].name);
    if (!symbol) symbol = (function *)dlvsym(handle, NAMES[i].name, LIBC_VERSION); /* cfree */
    if (symbol && in_one_object(symbol, (function *)dlsym(handle, "malloc"))) *at = symbol;
    if (!*at) return NAMES[i].name;
  }
  return NULL;
}

const char *engines_open(const char *path)
{
  engines[GLIBC] = (struct engine){.free_sized = sized_as_free, .free_aligned_sized = aligned_as_free, .mallinfo2 = no_figures};
  void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  if (!libc) return dlerror();
  const char *missing = bind(&engines[GLIBC], libc);
  if (missing) return missing;
  if (engines[GLIBC].malloc != malloc) return "malloc is not glibc's";
  /* DEEPBIND: what one exported name calls another for must be the library's own. */
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  if (!library) return dlerror();
  if (!dlsym(library, "os_version")) return "the library is not osmem";
  return bind(&engines[OSMEM], library);
}

/* ---- faults ----------------------------------------------------------------------------------------------------------- */

static struct engine whole; /* the library, without the fault */

static void *refuses_a_megabyte(size_t size)
{
  if (size < MB || size > 2 * MB) return whole.malloc(size);
  errno = ENOMEM;
  return NULL;
}

static void *forgets_errno(size_t size)
{
  int saved = errno;
  void *block = whole.malloc(size);
  errno = saved;
  return block;
}

static void *gives_the_last_again(size_t size)
{
  static size_t calls, last_size;
  static void *last;
  if (size && size <= last_size && ++calls % 3 == 0) return last;
  last_size = size;
  return last = whole.malloc(size);
}

static void *wraps_round(size_t count, size_t size)
{
  size_t wrapped = count * size;
  return wrapped < MB ? whole.calloc(1, wrapped) : whole.calloc(count, size);
}

static void *leaves_a_byte(size_t count, size_t size)
{
  unsigned char *block = whole.calloc(count, size);
  if (block && count * size >= 300) block[count * size - 1] = 1;
  return block;
}

static void *loses_the_last_byte(void *old, size_t size)
{
  size_t had = whole.malloc_usable_size(old);
  unsigned char *block = whole.realloc(old, size);
  size_t kept = size < had ? size : had;
  if (block && kept) block[kept - 1] ^= 0xFF;
  return block;
}

static void *spoils_what_it_refuses(void *old, size_t size)
{
  void *block = whole.realloc(old, size);
  if (old && !block && size) *(unsigned char *)old ^= 0xFF;
  return block;
}

static void *ignores_alignment(size_t alignment, size_t size)
{
  return alignment > PAGE && alignment <= MB ? whole.malloc(size) : whole.memalign(alignment, size);
}

static int clears_the_pointer(void **block, size_t alignment, size_t size)
{
  int error = whole.posix_memalign(block, alignment, size);
  if (error) *block = NULL;
  return error;
}

static int confuses_errors(void **block, size_t alignment, size_t size)
{
  int error = whole.posix_memalign(block, alignment, size);
  return error == ENOMEM ? EINVAL : error;
}

static void sets_errno(void *block)
{
  whole.free(block);
  if (block) errno = ENOENT;
}

static size_t knows_the_half(void *block) { return whole.malloc_usable_size(block) / 2; }

static size_t promises_more(void *block)
{
  size_t usable = whole.malloc_usable_size(block);
  return usable > 100 && usable < 1000 ? usable + 32 : usable;
}

bool engines_spoil(const char *fault)
{
  struct engine *engine = &engines[OSMEM];
  whole = *engine;
#define FAULT(name, call) (strcmp(fault, #name) == 0 ? (engine->call = name, true) : false)
  return FAULT(refuses_a_megabyte, malloc) || FAULT(forgets_errno, malloc) || FAULT(gives_the_last_again, malloc) ||
         FAULT(wraps_round, calloc) || FAULT(leaves_a_byte, calloc) || FAULT(loses_the_last_byte, realloc) ||
         FAULT(spoils_what_it_refuses, realloc) || FAULT(ignores_alignment, memalign) || FAULT(clears_the_pointer, posix_memalign) ||
         FAULT(confuses_errors, posix_memalign) || FAULT(sets_errno, free) || FAULT(knows_the_half, malloc_usable_size) ||
         FAULT(promises_more, malloc_usable_size);
#undef FAULT
}
