/* SPDX-License-Identifier: MIT */
/* The differential test as libFuzzer's target: an input is a list of operations. The fuzzer works on glibc; the library is
 * the one named by OSMEM_LIB, built with counters. */
#include "differ.h"

#include "../verbs.h"

static void stop(const struct difference *difference)
{
  say("# %s: %s\n#   %s\n", difference->call, difference->aspect, difference->line);
  abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
  (void)argc;
  (void)argv;
  const char *library = getenv("OSMEM_LIB"), *fault = library ? engines_open(library) : "OSMEM_LIB is not set";
  if (!fault) return 0;
  say("# %s\n", fault);
  exit(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
  static struct op ops[OPS_MAX];
  size_t count = bytes / sizeof *ops;
  if (count > OPS_MAX) count = OPS_MAX;
  memcpy(ops, data, count * sizeof *ops);
  differ_run(ops, count, stop);
  return 0;
}
