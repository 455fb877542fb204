/* SPDX-License-Identifier: MIT */
// The same in C++: a member of a template, into which the function that asks is inlined.
#include <cstddef>

static char *kept[4000];

static inline __attribute__((always_inline)) char *grab(std::size_t bytes) { return new char[bytes]; }

namespace shop {
template <class T> struct Box {
  __attribute__((noinline)) void fill(int number) {
    for (int i = 0; i < number; i++) kept[i] = grab(sizeof(T) * 250);
  }
};
}

int main() {
  shop::Box<int>().fill(4000);
  return kept[0] == nullptr;
}
