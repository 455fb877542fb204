/* The geometry of the heap: how large granules and chunks are, and from where on a request is a mapping. */
#ifndef OSMEM_GEOMETRY_H
#define OSMEM_GEOMETRY_H

#include "size_class.h"

enum {
  GRANULE_SHIFT = 15,
  GRANULE_BYTES = 1 << GRANULE_SHIFT,
  CHUNK_SHIFT = 23,
  CHUNK_BYTES = 1 << CHUNK_SHIFT,
  CHUNK_GRANULES = CHUNK_BYTES / GRANULE_BYTES,
  MMAP_THRESHOLD = 128 * 1024, /* requests from here on get a mapping of their own */
  HEADER_BYTES = 16,           /* from a block's start to its payload */
  BLOCK_MIN = 32,              /* room for the links of a free block */
  BLOCK_MAX = CHUNK_BYTES - GRANULE_BYTES,
  SLAB_USABLE = GRANULE_BYTES - HEADER_BYTES,
  CARVE_PAGE = 4096            /* objects are carved up to the next such edge: a slab touches what it needs */
};

#endif
