/* SPDX-License-Identifier: MIT */
// Every form of operator new and delete, 100 times each: 400 of them aligned.
#include <cstdio>
#include <new>

enum { EACH = 100 };

// Seen by others, as it were: gcc 10 leaves an operator new out whose block is only deleted.
static void *seen(void *block) {
  static void *volatile last;
  return last = block;
}

int main()
{
  const std::align_val_t wide{64};
  for (std::size_t i = 0; i < EACH; i++) {
    operator delete(seen(operator new(i)));
    operator delete[](seen(operator new[](i)), i);
    operator delete(seen(operator new(i, std::nothrow)), std::nothrow);
    operator delete[](seen(operator new[](i, std::nothrow)), std::nothrow);
    operator delete(seen(operator new(i, wide)), wide);
    operator delete[](seen(operator new[](i, wide)), i, wide);
    operator delete(seen(operator new(i, wide, std::nothrow)), wide, std::nothrow);
    operator delete[](seen(operator new[](i, wide, std::nothrow)), wide, std::nothrow);
  }
  // Out of memory is the operator's affair, not the recorder's.
  int refused = operator new(~std::size_t{0} / 4, std::nothrow) == nullptr;
  try {
    operator delete(seen(operator new(~std::size_t{0} / 4)));
  } catch (const std::bad_alloc &) {
    refused++;
  }
  return refused == 2 ? 0 : 1;
}
