/* SPDX-License-Identifier: MIT */
/* See registry.h.
 *
 * Records come from segments, each as large as all before it. The buckets of the hash table are split one by one as records are added
 * (linear hashing), so no call ever moves more than a bucket: a table that was copied when it was full held the lock for 56 ms at
 * a million mappings.
 *
 *   bucket of a key == hash & mask, or where there is no such bucket yet, hash & mask / 2;   mask / 2 < buckets <= mask + 1 */
#include "registry.h"

#include "block_meta.h"

enum {
  REMEMBERED = 64,     /* so many freed mappings at least, unless there is no memory for more records */
  FIRST_BUCKETS = 1 << FIRST_BUCKETS_LOG,
  BUCKET_SEGMENTS = 32
};

struct bucket {
  struct mapping *first[MAPPING_EDGES];
};

_Static_assert(sizeof(struct mapping) == 64, "one cache line");

struct mapping_list mappings[MAPPING_STATES];

static struct mapping first_records[FIRST_RECORDS];
static struct mapping *unused = first_records, *unused_end = first_records + FIRST_RECORDS;
static struct mapping *leftover; /* of older segments: the first record of each rest has its end as base, the next rest as older */
static size_t records_made = FIRST_RECORDS, unused_records = FIRST_RECORDS;
static size_t claimed;
static __thread size_t own_claims; /* of it */

static struct bucket first_buckets[FIRST_BUCKETS];
static struct bucket *segments[BUCKET_SEGMENTS] = {first_buckets}; /* the first, then as many buckets as all before */
static size_t buckets = BUCKETS_AT_START, mask = BUCKETS_AT_START - 1;
static size_t chained; /* records in buckets */

/* ---- buckets -------------------------------------------------------------------------------------------------------- */

static size_t segment_of(size_t bucket) {
  return bucket < FIRST_BUCKETS ? 0 : 64 - FIRST_BUCKETS_LOG - (size_t)__builtin_clzl(bucket);
}

static struct bucket *bucket_at(size_t bucket) {
  size_t segment = segment_of(bucket), start = segment ? (size_t)FIRST_BUCKETS << (segment - 1) : 0;
  return &segments[segment][bucket - start];
}

static size_t bucket_number(uintptr_t key) {
  size_t hash = key * 0x9e3779b97f4a7c15u >> 32, bucket = hash & mask;
  return bucket < buckets ? bucket : bucket & mask >> 1;
}

static uintptr_t key_of(const struct mapping *mapping, enum mapping_edge edge) {
  return edge == MAPPING_BASE ? mapping->base : mapping->base + mapping->bytes;
}

static struct mapping **chain_of(uintptr_t key, enum mapping_edge edge) {
  return &bucket_at(bucket_number(key))->first[edge];
}

static struct mapping *look_up(uintptr_t key, enum mapping_edge edge) {
  struct mapping *mapping = *chain_of(key, edge);
  while (mapping && key_of(mapping, edge) != key) mapping = mapping->chain[edge];
  return mapping;
}

static void chain_in(struct mapping *mapping, enum mapping_edge edge) {
  struct mapping **first = chain_of(key_of(mapping, edge), edge);
  mapping->chain[edge] = *first;
  *first = mapping;
}

static void chain_out(struct mapping *mapping, enum mapping_edge edge) {
  struct mapping **link = chain_of(key_of(mapping, edge), edge);
  while (*link != mapping) link = &(*link)->chain[edge];
  *link = mapping->chain[edge];
}

static bool has_segment(size_t bucket) {
  struct bucket **segment = &segments[segment_of(bucket)];
  if (!*segment) *segment = sys_map(round_up(bucket * sizeof **segment, page_bytes));
  return *segment;
}

/* One bucket more. It takes over its share of the one that served for it so far. Without memory the chains get longer. */
static void split_a_bucket(void) {
  size_t added = buckets;
  if (!has_segment(added)) return;
  if (added > mask) mask = 2 * mask + 1;
  struct bucket *from = bucket_at(added & mask >> 1);
  buckets++;
  for (enum mapping_edge edge = 0; edge < MAPPING_EDGES; edge++) {
    struct mapping *next = from->first[edge];
    from->first[edge] = NULL;
    while (next) {
      struct mapping *mapping = next;
      next = mapping->chain[edge];
      chain_in(mapping, edge);
    }
  }
}

/* ---- records -------------------------------------------------------------------------------------------------------- */

static void tally(struct mapping_list *list, size_t records, size_t bytes) {
  __atomic_store_n(&list->count, list->count + records, __ATOMIC_RELAXED);
  __atomic_store_n(&list->bytes, list->bytes + bytes, __ATOMIC_RELAXED);
  raise_to(&list->most_bytes, list->bytes);
}

static void list_out(struct mapping *mapping) {
  struct mapping_list *list = &mappings[mapping->state];
  *(mapping->older ? &mapping->older->younger : &list->oldest) = mapping->younger;
  *(mapping->younger ? &mapping->younger->older : &list->youngest) = mapping->older;
  tally(list, (size_t)-1, -mapping->bytes);
  if (mapping->state == MAPPING_SPARE) chain_out(mapping, MAPPING_END);
}

static void list_in(struct mapping *mapping, enum mapping_state state) {
  struct mapping_list *list = &mappings[state];
  mapping->state = (uint8_t)state;
  mapping->older = list->youngest;
  mapping->younger = NULL;
  *(list->youngest ? &list->youngest->younger : &list->oldest) = mapping;
  list->youngest = mapping;
  tally(list, 1, mapping->bytes);
  if (state == MAPPING_SPARE) chain_in(mapping, MAPPING_END);
}

/* What is left of the segment before is used when the new one is. */
static bool add_segment(void) {
  size_t bytes = round_up(min_size(records_made, RECORDS_SEGMENT_MAX) * sizeof *unused, page_bytes);
  struct mapping *segment;
  while (!(segment = sys_map(bytes)) && bytes > page_bytes) bytes = round_up(bytes / 2, page_bytes);
  if (!segment) return false;
  if (unused < unused_end) {
    unused->base = (uintptr_t)unused_end;
    unused->older = leftover;
    leftover = unused;
  }
  unused = segment;
  unused_end = segment + bytes / sizeof *segment;
  records_made += bytes / sizeof *segment;
  unused_records += bytes / sizeof *segment;
  return true;
}

static struct mapping *next_unused(void) {
  if (unused == unused_end) {
    unused = leftover;
    unused_end = (struct mapping *)leftover->base;
    leftover = leftover->older;
  }
  unused_records--;
  return unused++;
}

/* (By as many threads at a time as are in the kernel for a mapping.) */
bool registry_claim(size_t records) {
  size_t freed = mappings[MAPPING_FREED].count, wanted = claimed + records;
  if (unused_records + freed < wanted + REMEMBERED && unused_records < wanted) add_segment();
  while (unused_records + freed < wanted)
    if (!add_segment()) return false;
  claimed = wanted;
  own_claims += records;
  return true;
}

void registry_unclaim(size_t records) {
  claimed -= records;
  own_claims -= records;
}

void registry_forget_other_threads(void) { claimed = own_claims; }

/* A record for `base`: that of its own past, the one that was freed first, or a new one. (That of its past may be live: in the child of a
 * fork, whose parent has kept the mapping for itself with MADV_DONTFORK.) */
static struct mapping *record_for(uintptr_t base) {
  struct mapping *record = registry_find(base);
  bool anew = !record && unused_records > 0 && mappings[MAPPING_FREED].count <= REMEMBERED;
  if (!record) record = anew ? next_unused() : mappings[MAPPING_FREED].oldest;
  if (!record) DIE("a mapping's record was not claimed");
  if (anew) {
    chained++;
  } else {
    list_out(record);
    chain_out(record, MAPPING_BASE);
  }
  record->base = base;
  chain_in(record, MAPPING_BASE);
  return record;
}

/* ---- interface ------------------------------------------------------------------------------------------------------ */

struct mapping *registry_find(uintptr_t base) { return look_up(base, MAPPING_BASE); }

struct mapping *registry_find_end(uintptr_t end) { return look_up(end, MAPPING_END); }

struct mapping *registry_add(uintptr_t base, size_t bytes) {
  struct mapping *mapping = record_for(base);
  mapping->bytes = bytes;
  list_in(mapping, MAPPING_LIVE);
  if (chained > buckets) split_a_bucket();
  return mapping;
}

void registry_resize(struct mapping *mapping, size_t bytes) {
  enum mapping_state state = mapping->state;
  bool spare = state == MAPPING_SPARE;
  if (bytes == 0) {
    list_out(mapping);
    mapping->bytes = 0;
    list_in(mapping, MAPPING_FREED);
    return;
  }
  if (spare) chain_out(mapping, MAPPING_END);
  tally(&mappings[state], 0, bytes - mapping->bytes);
  mapping->bytes = bytes;
  mapping->dirty_bytes = min_size(mapping->dirty_bytes, bytes);
  if (spare) chain_in(mapping, MAPPING_END);
}

void registry_become(struct mapping *mapping, enum mapping_state state) {
  list_out(mapping);
  list_in(mapping, state);
}

static const char *check_record(const struct mapping *mapping, enum mapping_state state) {
  if (registry_find(mapping->base) != mapping) return "a mapping cannot be found by its address";
  if (mapping->state != state || (state == MAPPING_FREED) != (mapping->bytes == 0)) return "a mapping's record contradicts itself";
  if (state != MAPPING_SPARE) return NULL;
  if (registry_find_end(mapping->base + mapping->bytes) != mapping) return "a spare mapping cannot be found by its end";
  if (registry_find_end(mapping->base)) return "two spare mappings were not joined";
  return mapping->dirty_bytes > mapping->bytes ? "a spare mapping has more in memory than it is long" : NULL;
}

COLD const char *registry_check(void) {
  size_t records = 0;
  for (enum mapping_state state = 0; state < MAPPING_STATES; state++) {
    size_t seen = 0, bytes = 0;
    for (const struct mapping *mapping = mappings[state].oldest; mapping; mapping = mapping->younger) {
      const char *fault = check_record(mapping, state);
      if (fault) return fault;
      seen++;
      bytes += mapping->bytes;
    }
    if (seen != mappings[state].count || bytes != mappings[state].bytes) return "the counters of mappings are off";
    records += seen;
  }
  return records == chained ? NULL : "a mapping's record is in no list";
}
