/* SPDX-License-Identifier: MIT */
/* Symbols of the images that ld.so has loaded, found in their own tables.
 *
 * Not by dlsym(): tools stand before that, too, whose own state is not made yet when we start, or who answer for themselves (MangoHud ended
 * each program that was started on us so), and it allocates, takes the loader's lock and makes dlerror() forget. What is looked through here
 * never changes, but that images come and go at the list's end, behind libc, at any moment (the table of one that is going may be unmapped): so once a
 * program runs nothing is asked for that libc has not. */
#ifndef OSMEM_SYMBOLS_H
#define OSMEM_SYMBOLS_H

#include <link.h>
#include <stdbool.h>
#include <stdint.h>

/* An executable or a library in memory; all zero: none. */
struct image {
  const struct link_map *map;
  uintptr_t start, end;
  const uint8_t *frames; /* the index of its .eh_frame, or NULL */
};

/* The one that an address lies in. O(log images), no locks. Before glibc 2.35 of those that the program started with alone; O(images). */
struct image image_of(const void *address);

/* Something was loaded, for good. Not under a lock: the loader's is wanted. */
void symbols_note_images(void);

/* The one that this library is in: libosmem.so, or the program that has libosmem.a in it. */
struct image image_of_ours(void);

/* May dlclose() take it away? Where libosmem.a is in a plugin. */
bool image_of_ours_may_go(void);

static inline bool lies_in(struct image image, const void *address) {
  return (uintptr_t)address >= image.start && (uintptr_t)address < image.end;
}

/* The first definition, which is everybody's; ours; the next one behind ours; libc's, whatever there is before it. In the order of the list, which is ld.so's own
 * for all that a program starts with. */
void *symbol_of_all(const char *name);
void *symbol_of_ours(const char *name);
void *symbol_behind_ours(const char *name);
void *symbol_of_libc(const char *name);

/* What would serve if we were not there: that of who is preloaded or linked behind us, or libc's. */
void *symbol_next(const char *name);

/* Does the image that an address lies in come after ours? Of what is in no image: no; yes, where only images of the start are known. */
bool symbol_stands_behind_us(const void *address);

/* Is `name` ours for the whole process? Not where somebody stands before us, and not where we were loaded later, or into a namespace of its own. */
bool symbol_is_ours(const char *name);

/* Does any image ask for ours by its name (DT_NEEDED)? */
bool symbol_image_is_needed(void);

/* What comes after the last slash. */
const char *symbol_file_name(const char *path);

/* Not strcmp(): ThreadSanitizer's does not work before its start. */
static inline bool same_name(const char *a, const char *b) {
  for (; *a && *a == *b; a++) b++;
  return *a == *b;
}

#endif
