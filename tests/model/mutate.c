/* SPDX-License-Identifier: MIT */
/* How fuzzers change a list of operations: whole ones, removed, repeated elsewhere, changed in themselves. */
#include "model.h"

#include <string.h>

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
