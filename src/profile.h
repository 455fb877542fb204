/* SPDX-License-Identifier: MIT */
/* The profile: what all samples stand for, by stack, written at exit where OSMEM_OPTIONS=profile=PREFIX asks for it. */
#ifndef OSMEM_PROFILE_H
#define OSMEM_PROFILE_H

#include <stddef.h>

/* What options.c sets. */
struct profile_settings {
  char prefix[512]; /* of files at exit; empty: none */
  size_t rate;      /* 0: the usual one; another by itself: samples are taken, for who looks from outside */
  size_t guard;     /* 1: see guard.h; samples are taken */
};
extern struct profile_settings profile_settings;

/* At the start: samples are taken from now on, and at exit PREFIX.PID.heap is written, and PREFIX.PID.peak.heap. Nothing, where there is no PREFIX. */
void profile_start(void);

#endif
