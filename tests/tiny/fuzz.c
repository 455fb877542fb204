/* SPDX-License-Identifier: MIT */
/* A fuzzer's target on the tiny heap: the model's (../model/fuzz.c, there under its own name), each input on a heap that nobody has used. The
 * fuzzer itself is on libc's malloc: the names of ours are others here (tiny.mk). */
#include "state.h"

#include "../../src/budget.h"

int model_one_input(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
  static struct state_copy unused;
  if (unused.at) {
    state_restore(&unused);
  } else {
    state_begin((struct state_part){0});
    budget_start_over(); /* as in the child of a fork: where a finding is repeated */
    state_save(&unused);
  }
  return model_one_input(data, bytes);
}
