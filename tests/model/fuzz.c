/* SPDX-License-Identifier: MIT */
/* The model test as a fuzzer's target: the input is a list of operations, so that a finding is a replay file and any list a seed.
 *
 * The fuzzer itself works with the heap under test, and that goes on from input to input; so each run begins with a trim and judges only
 * what it adds. (AFL++ has a new process for each input.) Two threads by turns: as repeatable as one, and memory comes
 * home by the ways of both. */
#include "model.h"

#include <string.h>

static const struct setting SETTING = {.threads = 2, .turns = true, .validate_at = 4, .places = 32};

struct input {
  struct source source;
  const uint8_t *data;
  size_t count;
};

enum { OPS_MAX = 512 };

static const struct op *more(struct source *source, size_t *count)
{
  static struct op ops[OPS_MAX];
  struct input *input = (struct input *)source;
  *count = input->count;
  input->count = 0;
  memcpy(ops, input->data, *count * sizeof *ops);
  return *count ? ops : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
  static struct progress progress;
  size_t count = bytes / sizeof(struct op);
  struct input input = {.source.more = more, .data = data, .count = count < OPS_MAX ? count : OPS_MAX};
  model_run(&SETTING, &input.source, &progress);
  return 0;
}
