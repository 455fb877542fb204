/* The model test as a fuzzer's target: the input is a list of operations, so that a finding is a replay file and any list a seed.
 *
 * The fuzzer itself works with the heap under test, and that goes on from input to input; so each run begins with a trim and judges only
 * what it adds. (AFL++ has a new process for each input.) Two threads by turns: as repeatable as one, and memory comes
 * home by the ways of both. */
#include "model.h"

#include <stdlib.h>
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

/* ---- mutation, in whole operations ------------------------------------------------------------------------------------ */

extern size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t bytes_max) __attribute__((weak));

static size_t remove_ops(struct op *ops, size_t count, size_t at, size_t length)
{
  if (length > count - at) length = count - at;
  memmove(ops + at, ops + at + length, (count - at - length) * sizeof *ops);
  return count - length;
}

/* A copy of some operations, elsewhere. */
static size_t repeat_ops(struct op *ops, size_t count, size_t count_max, size_t from, size_t to, size_t length)
{
  struct op copy[16];
  if (length > 16) length = 16;
  if (length > count - from) length = count - from;
  if (count + length > count_max) return count;
  memcpy(copy, ops + from, length * sizeof *ops);
  memmove(ops + to + length, ops + to, (count - to) * sizeof *ops);
  memcpy(ops + to, copy, length * sizeof *ops);
  return count + length;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
  struct op *ops = (struct op *)(void *)data;
  size_t count = bytes / sizeof *ops, count_max = bytes_max / sizeof *ops;
  unsigned way = seed % 8, length = 1 + seed / 8 % 8;
  if (count == 0 || way > 5) return LLVMFuzzerMutate(data, bytes, bytes_max);
  size_t at = seed / 64 % count, other = seed / 8192 % count;
  if (way < 4) {
    LLVMFuzzerMutate((uint8_t *)&ops[at], sizeof *ops, sizeof *ops);
    return bytes;
  }
  count = way == 4 ? remove_ops(ops, count, at, length) : repeat_ops(ops, count, count_max, at, other, length);
  return count * sizeof *ops;
}
