/* SPDX-License-Identifier: MIT */
/* See layout.h. */
#include "layout.h"

#include "arena.h"
#include "foreign.h"
#include "guard.h"
#include "os.h"
#include "region.h"
#include "registry.h"
#include "samples.h"
#include "secret.h"
#include "thread.h"

struct layout_field {
  uint16_t offset, bytes;
};

#define FIELD(type, field) {offsetof(struct type, field), sizeof(((struct type *)0)->field)},
#define COUNT_FIELD(type, field) +1

/* A reader takes all of it by its place: whoever changes it, LAYOUT_FIELDS included, counts LAYOUT_VERSION up. */
static const struct layout {
  char magic[8];
  uint16_t version, bytes, fields, size_classes;
  uint32_t granule_bytes, chunk_bytes, slab_usable, regions_max, arenas_max, cache_bins, mapping_states;
  uint32_t block_bytes_mask, block_vouched, block_tag_shift, block_used, block_purged, block_sampled;
  uint32_t slab_record_bytes, region_record_bytes, list_record_bytes, arena_record_bytes, heap_record_bytes, sample_record_bytes, stack_record_bytes, guard_slots, guard_record_bytes;
  const void *regions, *arenas, *heaps, *mappings, *counters, *secrets, *list_end, *page_bytes, *samples, *guards, *left_alone;
  struct layout_field field[LAYOUT_FIELDS(COUNT_FIELD)];
  uint16_t class_bytes[SIZE_CLASSES];
} layout asm("osmem_layout") __attribute__((used)) = {
    .magic = {'o', 's', 'm', 'e', 'm', 'l', 'a', 'y'},
    .version = LAYOUT_VERSION,
    .bytes = sizeof(struct layout),
    .fields = LAYOUT_FIELDS(COUNT_FIELD),
    .size_classes = SIZE_CLASSES,
    .granule_bytes = GRANULE_BYTES,
    .chunk_bytes = CHUNK_BYTES,
    .slab_usable = SLAB_USABLE,
    .regions_max = REGIONS_MAX,
    .arenas_max = ARENAS_MAX,
    .cache_bins = CACHE_BINS,
    .mapping_states = MAPPING_STATES,
    .block_bytes_mask = BLOCK_BYTES_MASK,
    .block_vouched = BLOCK_VOUCHED,
    .block_tag_shift = BLOCK_TAG_SHIFT,
    .block_used = BLOCK_USED,
    .block_purged = BLOCK_PURGED,
    .block_sampled = BLOCK_SAMPLED,
    .slab_record_bytes = sizeof(struct slab),
    .region_record_bytes = sizeof(struct region),
    .list_record_bytes = sizeof(struct mapping_list),
    .arena_record_bytes = sizeof(struct arena),
    .heap_record_bytes = sizeof(struct born_theap),
    .sample_record_bytes = sizeof(struct sample),
    .stack_record_bytes = sizeof(struct stack),
    .guard_slots = GUARD_SLOTS,
    .guard_record_bytes = sizeof(struct guard_slot),
    .regions = regions,
    .arenas = arenas,
    .heaps = &theaps,
    .mappings = mappings,
    .counters = &sys_counters,
    .secrets = &secrets,
    .list_end = &list_end,
    .page_bytes = &page_bytes,
    .samples = &samples,
    .guards = &guards,
    .left_alone = &left_alone,
    .field = {LAYOUT_FIELDS(FIELD)},
    .class_bytes = {
#define CLASS(step) (step) * ALIGNMENT
#define EIGHT(first, by) CLASS(first), CLASS((first) + (by)), CLASS((first) + 2 * (by)), CLASS((first) + 3 * (by)), CLASS((first) + 4 * (by)), CLASS((first) + 5 * (by)), \
                         CLASS((first) + 6 * (by)), CLASS((first) + 7 * (by))
        EIGHT(1, 1), EIGHT(9, 1), EIGHT(18, 2), EIGHT(36, 4)},
};

/* The name takes six bytes, and two of padding; then the distance from here. */
__asm__(".pushsection .note.osmem, \"a\", %note\n"
        ".balign 4\n"
        ".long 6, 8, 1\n"
        ".asciz \"osmem\"\n"
        ".balign 4\n"
        ".quad osmem_layout - .\n"
        ".popsection");
