/* SPDX-License-Identifier: MIT */
// One operator, by -DOPERATOR=N, replaced: says that it was reached, and does what the library's own does, but throws a bad_alloc of its own.
#include <unistd.h>

#include <cstdlib>
#include <new>

namespace {

[[maybe_unused]] const std::size_t TOO_MUCH = std::size_t{1} << 62;

struct Refused : std::bad_alloc {
  const char *what() const noexcept override { return "refused"; }
};

struct Reached {
  Reached() {
    static const char name[] = {' ', '>', 'a' + OPERATOR};
    if (write(1, name, sizeof name) < 0) abort();
  }
};

[[maybe_unused]] void *make(std::size_t n) {
  Reached();
  void *p = n < TOO_MUCH ? malloc(n) : nullptr;
  if (!p) throw Refused();
  return p;
}

[[maybe_unused]] void *make_aligned(std::size_t n, std::align_val_t a) {
  Reached();
  auto alignment = static_cast<std::size_t>(a);
  if (!alignment || alignment & (alignment - 1)) throw Refused();
  void *p = n < TOO_MUCH ? aligned_alloc(alignment, n) : nullptr;
  if (!p) throw Refused();
  return p;
}

[[maybe_unused]] void end(void *p) {
  Reached();
  free(p);
}

} // namespace

#define QUIETLY(call) try { return call; } catch (...) { return nullptr; }
#if OPERATOR == 0
void *operator new(std::size_t n) { return make(n); }
#elif OPERATOR == 1
void *operator new[](std::size_t n) { return make(n); }
#elif OPERATOR == 2
void *operator new(std::size_t n, const std::nothrow_t &) noexcept { QUIETLY(make(n)) }
#elif OPERATOR == 3
void *operator new[](std::size_t n, const std::nothrow_t &) noexcept { QUIETLY(make(n)) }
#elif OPERATOR == 4
void *operator new(std::size_t n, std::align_val_t a) { return make_aligned(n, a); }
#elif OPERATOR == 5
void *operator new[](std::size_t n, std::align_val_t a) { return make_aligned(n, a); }
#elif OPERATOR == 6
void *operator new(std::size_t n, std::align_val_t a, const std::nothrow_t &) noexcept { QUIETLY(make_aligned(n, a)) }
#elif OPERATOR == 7
void *operator new[](std::size_t n, std::align_val_t a, const std::nothrow_t &) noexcept { QUIETLY(make_aligned(n, a)) }
#elif OPERATOR == 8
void operator delete(void *p) noexcept { end(p); }
#elif OPERATOR == 9
void operator delete[](void *p) noexcept { end(p); }
#elif OPERATOR == 10
void operator delete(void *p, std::size_t) noexcept { end(p); }
#elif OPERATOR == 11
void operator delete[](void *p, std::size_t) noexcept { end(p); }
#elif OPERATOR == 12
void operator delete(void *p, const std::nothrow_t &) noexcept { end(p); }
#elif OPERATOR == 13
void operator delete[](void *p, const std::nothrow_t &) noexcept { end(p); }
#elif OPERATOR == 14
void operator delete(void *p, std::align_val_t) noexcept { end(p); }
#elif OPERATOR == 15
void operator delete[](void *p, std::align_val_t) noexcept { end(p); }
#elif OPERATOR == 16
void operator delete(void *p, std::size_t, std::align_val_t) noexcept { end(p); }
#elif OPERATOR == 17
void operator delete[](void *p, std::size_t, std::align_val_t) noexcept { end(p); }
#elif OPERATOR == 18
void operator delete(void *p, std::align_val_t, const std::nothrow_t &) noexcept { end(p); }
#elif OPERATOR == 19
void operator delete[](void *p, std::align_val_t, const std::nothrow_t &) noexcept { end(p); }
#endif
