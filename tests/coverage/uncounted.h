/* SPDX-License-Identifier: MIT */
/* Included before src/dynamic.c in the coverage variant: see coverage.mk. */
void *dlopen(const char *file, int mode) __attribute__((no_profile_instrument_function));
void *dlmopen(long namespace, const char *file, int mode) __attribute__((no_profile_instrument_function));
void *dlsym(void *handle, const char *name) __attribute__((no_profile_instrument_function));
void *dlvsym(void *handle, const char *name, const char *version) __attribute__((no_profile_instrument_function));
