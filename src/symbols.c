/* SPDX-License-Identifier: MIT */
/* See symbols.h. */
#include "symbols.h"

#include <stddef.h>
#include <string.h>

#include "block_meta.h"
#include "kernel.h"
#include "libc.h"

/* ---- images --------------------------------------------------------------------------------------------------------- */

/* Where libc has no _dl_find_object(), and in a wholly static program: the images of the start, and with musl, which unloads none, those that dlopen() brought. Looking through them wants no lock, as
 * dl_iterate_phdr() does: of the loader's, whose holder may wait for the heap. Only ever added to; one that is known twice does no harm. */
enum { KNOWN_IMAGES = 1024 };
static struct image images[KNOWN_IMAGES]; /* atomic: `end`, which comes last */
static uint32_t image_slots;             /* atomic; of them those before the first without an end are there */

static const struct image *known_image(const void *address) {
  uint32_t slots = __atomic_load_n(&image_slots, __ATOMIC_ACQUIRE);
  for (const struct image *image = images; image < &images[KNOWN_IMAGES] && image < &images[slots]; image++)
    if ((uintptr_t)address < __atomic_load_n(&image->end, __ATOMIC_ACQUIRE) && (uintptr_t)address >= image->start) return image;
  return NULL;
}

/* What the loader tells debuggers of: all of its list, in the first namespace. NULL: it has loaded nothing (a wholly static program may have a list, of itself). */
static const struct link_map *first_loaded(void) {
  const struct link_map *first = libc_debug() ? libc_debug()->r_map : NULL;
  return first && first->l_ld ? first : NULL;
}

static const struct link_map *map_of(const void *dynamic) {
  const struct link_map *map = dynamic ? first_loaded() : NULL;
  while (map && (const void *)map->l_ld != dynamic) map = map->l_next;
  return map;
}

static struct image image_by(uintptr_t loaded_at, const ElfW(Phdr) *segments, size_t count) {
  struct image image = {NULL, UINTPTR_MAX, 0, NULL};
  for (size_t i = 0; i < count; i++) {
    uintptr_t base = loaded_at + segments[i].p_vaddr;
    if (segments[i].p_type == PT_GNU_EH_FRAME) image.frames = (const uint8_t *)base;
    if (segments[i].p_type == PT_DYNAMIC) image.map = map_of((const void *)base);
    if (segments[i].p_type != PT_LOAD) continue;
    if (base < image.start) image.start = base;
    if (base + segments[i].p_memsz > image.end) image.end = base + segments[i].p_memsz;
  }
  return image;
}

static bool note_image(struct image image) {
  if (image.end == 0 || known_image((const void *)image.start)) return true;
  uint32_t slot = __atomic_fetch_add(&image_slots, 1, __ATOMIC_ACQ_REL);
  if (slot >= KNOWN_IMAGES) return false;
  images[slot].map = image.map;
  images[slot].start = image.start;
  images[slot].frames = image.frames;
  __atomic_store_n(&images[slot].end, image.end, __ATOMIC_RELEASE);
  return true;
}

static int note_segments(struct dl_phdr_info *info, size_t size, void *data) {
  (void)size;
  (void)data;
  return !note_image(image_by(info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum));
}

/* By its header, of what has one and its program headers in its first page, as libc has; sure to be there if one of its tables lies in that page, too. */
static struct image image_by_header(const struct link_map *map) {
  enum { SMALLEST_PAGE = 4096 };
  const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)map->l_addr;
  bool there = false;
  for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
    if (entry->d_tag != DT_SYMTAB && entry->d_tag != DT_STRTAB && entry->d_tag != DT_HASH && entry->d_tag != DT_GNU_HASH) continue;
    uintptr_t table = entry->d_un.d_ptr < map->l_addr ? map->l_addr + entry->d_un.d_ptr : entry->d_un.d_ptr; /* relocated or not, see below */
    there |= table - map->l_addr < SMALLEST_PAGE;
  }
  there = there && memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 && header->e_phoff + header->e_phnum * sizeof(ElfW(Phdr)) <= SMALLEST_PAGE;
  return there ? image_by(map->l_addr, (const ElfW(Phdr) *)((uintptr_t)header + header->e_phoff), header->e_phnum) : (struct image){0};
}

static void *symbol_in(const struct link_map *map, const char *name);

/* By libc's dl_iterate_phdr(), not by whose it is: the program's own asks dlsym(), that is us, for libc's (Seastar has one; ThreadSanitizer's is not to be called before its start). */
COLD void symbols_note_images(void) {
  typedef int iterator(int (*callback)(struct dl_phdr_info *, size_t, void *), void *data);
  if (_dl_find_object) return;
  iterator *iterate = dl_iterate_phdr; /* in a wholly static program; in another namespace, where the loader tells nothing of libc */
  for (const struct link_map *map = first_loaded(); map; map = map->l_next) {
    struct image image = image_by_header(map);
    if (!lies_in(image, libc_address()) || !note_image(image)) continue;
    iterator *libcs = (iterator *)symbol_in(map, "dl_iterate_phdr");
    if (libcs) iterate = libcs;
  }
  iterate(note_segments, NULL);
}

struct image image_of(const void *address) {
  struct dl_find_object found;
  if (_dl_find_object) {
    if (_dl_find_object((void *)address, &found) != 0) return (struct image){0};
    return (struct image){found.dlfo_link_map, (uintptr_t)found.dlfo_map_start, (uintptr_t)found.dlfo_map_end, found.dlfo_eh_frame};
  }
  if (__atomic_load_n(&image_slots, __ATOMIC_RELAXED) == 0) symbols_note_images();
  const struct image *image = known_image(address);
  return image ? *image : (struct image){0};
}

struct image image_of_ours(void) {
  static const char here;
  return image_of(&here);
}

bool image_of_ours_may_go(void) {
#ifdef OSMEM_ARCHIVE
  extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));
  return (uintptr_t)&__ehdr_start + __ehdr_start.e_phoff != kernel_auxval(AT_PHDR);
#else
  return false; /* -z nodelete */
#endif
}

/* ---- tables --------------------------------------------------------------------------------------------------------- */

struct table {
  const ElfW(Sym) *symbols;
  const char *names;
  const ElfW(Versym) *versions; /* or NULL */
  const uint32_t *hash, *gnu_hash; /* one of them may be NULL */
};

/* glibc relocates most addresses there in place, but not those of the vDSO, nor on every machine: it is the one that lies in the image. (Taken for what lies nearer to the
 * dynamic section, a perl of 4 MB that valgrind had loaded at 1 MB ended by SIGSEGV.) None, in a wholly static program: libc knows no whole image there. */
static const void *at(struct image image, uintptr_t address) {
  const void *as_it_stands = (const void *)address, *relocated = (const void *)(image.map->l_addr + address);
  if (lies_in(image, as_it_stands)) return as_it_stands;
  return lies_in(image, relocated) ? relocated : NULL;
}

static struct table table_of(const struct link_map *map) {
  struct table table = {0};
  struct image image = image_of(map->l_ld);
  for (const ElfW(Dyn) *entry = image.map ? map->l_ld : NULL; entry && entry->d_tag != DT_NULL; entry++) { /* else it is being loaded, or came later: see above */
    const void *address = at(image, entry->d_un.d_ptr);
    switch (entry->d_tag) {
      case DT_SYMTAB: table.symbols = address; break;
      case DT_STRTAB: table.names = address; break;
      case DT_VERSYM: table.versions = address; break;
      case DT_HASH: table.hash = address; break;
      case DT_GNU_HASH: table.gnu_hash = address; break;
      default: break;
    }
  }
  return table;
}

/* The one that is found; of several versions the one that new programs get. */
static void consider(const struct table *table, uint32_t index, const char *name, const ElfW(Sym) **found) {
  enum { HIDDEN = 0x8000 };
  const ElfW(Sym) *symbol = &table->symbols[index];
  if (symbol->st_shndx == SHN_UNDEF || !same_name(table->names + symbol->st_name, name)) return;
  if (!*found || !table->versions || !(table->versions[index] & HIDDEN)) *found = symbol;
}

static const ElfW(Sym) *find_by_gnu_hash(const struct table *table, const char *name) {
  uint32_t hash = 5381;
  for (const char *c = name; *c; c++) hash = hash * 33 + (unsigned char)*c;
  uint32_t buckets_count = table->gnu_hash[0], first = table->gnu_hash[1], filter_words = table->gnu_hash[2];
  const uint32_t *buckets = (const uint32_t *)((const ElfW(Addr) *)&table->gnu_hash[4] + filter_words);
  const uint32_t *hashes = &buckets[buckets_count];
  const ElfW(Sym) *found = NULL;
  uint32_t index = buckets_count ? buckets[hash % buckets_count] : 0;
  if (index == 0 || index < first) return NULL;
  for (bool last = false; !last; index++) {
    uint32_t here = hashes[index - first];
    if ((here | 1) == (hash | 1)) consider(table, index, name, &found);
    last = here & 1;
  }
  return found;
}

static const ElfW(Sym) *find_by_hash(const struct table *table, const char *name) {
  uint32_t hash = 0;
  for (const char *c = name; *c; c++) {
    hash = (hash << 4) + (unsigned char)*c;
    hash = (hash ^ (hash >> 24 & 0xf0)) & 0xfffffff;
  }
  uint32_t buckets_count = table->hash[0];
  const uint32_t *buckets = &table->hash[2], *next = &buckets[buckets_count];
  const ElfW(Sym) *found = NULL;
  for (uint32_t index = buckets_count ? buckets[hash % buckets_count] : 0; index; index = next[index]) consider(table, index, name, &found);
  return found;
}

static void *symbol_in(const struct link_map *map, const char *name) {
  struct table table = table_of(map);
  const ElfW(Sym) *symbol = NULL;
  if (!table.symbols || !table.names) return NULL;
  if (table.gnu_hash)
    symbol = find_by_gnu_hash(&table, name);
  else if (table.hash)
    symbol = find_by_hash(&table, name);
  if (!symbol) return NULL;
  void *address = (void *)(map->l_addr + symbol->st_value);
  return ELF64_ST_TYPE(symbol->st_info) == STT_GNU_IFUNC ? ((void *(*)(void))address)() : address;
}

static void *symbol_from(const struct link_map *map, const char *name) {
  void *symbol = NULL;
  for (; map && !symbol; map = map->l_next) symbol = symbol_in(map, name);
  return symbol;
}

static const struct link_map *first_of(const struct link_map *map) {
  while (map && map->l_prev) map = map->l_prev;
  return map;
}

void *symbol_of_all(const char *name) { return symbol_from(first_of(image_of_ours().map), name); }

void *symbol_of_ours(const char *name) {
  struct image ours = image_of_ours();
  return ours.map ? symbol_in(ours.map, name) : NULL;
}

void *symbol_behind_ours(const char *name) {
  struct image ours = image_of_ours();
  return ours.map ? symbol_from(ours.map->l_next, name) : NULL;
}

void *symbol_of_libc(const char *name) {
  struct image libc = image_of(libc_address());
  return libc.map ? symbol_in(libc.map, name) : NULL;
}

void *symbol_next(const char *name) {
  void *symbol = symbol_behind_ours(name);
  return symbol ? symbol : symbol_of_libc(name); /* we were loaded after it */
}

/* Upwards: what comes before ours was there from the start, and stays. (Where only images of the start are known, what lies in none came later.) */
bool symbol_stands_behind_us(const void *address) {
  const struct link_map *of_address = image_of(address).map, *map = image_of_ours().map;
  if (!of_address) return !_dl_find_object && map;
  while (map && map != of_address) map = map->l_prev;
  return !map;
}

bool symbol_is_ours(const char *name) {
  struct image ours = image_of_ours();
  const struct link_map *first = first_of(ours.map);
  if (!first) return !first_loaded(); /* there are no maps, of anybody; or, where those of the first namespace alone are known, this is another one */
  if (LIBC_EXECUTABLE_HAS_NO_NAME && first->l_name && *first->l_name) return false; /* another namespace */
  if (first == ours.map) return true; /* with libosmem.a */
  return lies_in(ours, symbol_of_all(name));
}

const char *symbol_file_name(const char *path) {
  const char *name = path;
  for (; *path; path++)
    if (*path == '/') name = path + 1;
  return name;
}

static bool needs(const struct link_map *map, const char *file_name) {
  struct table table = table_of(map);
  for (const ElfW(Dyn) *entry = map->l_ld; table.names && entry->d_tag != DT_NULL; entry++)
    if (entry->d_tag == DT_NEEDED && same_name(symbol_file_name(table.names + entry->d_un.d_val), file_name)) return true;
  return false;
}

bool symbol_image_is_needed(void) {
  const struct link_map *ours = image_of_ours().map, *map = first_of(ours);
  while (ours && map && !needs(map, symbol_file_name(ours->l_name))) map = map->l_next;
  return map;
}
