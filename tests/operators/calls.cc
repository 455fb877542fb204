/* SPDX-License-Identifier: MIT */
// Calls every form of operator new and delete and says what came of it, while the operators of replaces.cc say which of them were
// reached. Built into a program and, with -DCALLS=library_calls, into a library beside it.
#include <dlfcn.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <vector>

#ifndef CALLS
#define CALLS calls
#define MAIN
#endif

namespace {

using Align = std::align_val_t;

struct New {
  const char *name;
  void *(*call)(std::size_t size, std::size_t alignment);
};

struct Delete {
  const char *name;
  void (*call)(void *p);
  std::size_t alignment;
};

const New NEWS[] = {
    {"new", [](std::size_t n, std::size_t) { return ::operator new(n); }},
    {"new[]", [](std::size_t n, std::size_t) { return ::operator new[](n); }},
    {"new nothrow", [](std::size_t n, std::size_t) { return ::operator new(n, std::nothrow); }},
    {"new[] nothrow", [](std::size_t n, std::size_t) { return ::operator new[](n, std::nothrow); }},
    {"new aligned", [](std::size_t n, std::size_t a) { return ::operator new(n, Align(a)); }},
    {"new[] aligned", [](std::size_t n, std::size_t a) { return ::operator new[](n, Align(a)); }},
    {"new aligned nothrow", [](std::size_t n, std::size_t a) { return ::operator new(n, Align(a), std::nothrow); }},
    {"new[] aligned nothrow", [](std::size_t n, std::size_t a) { return ::operator new[](n, Align(a), std::nothrow); }},
};

const Delete DELETES[] = {
    {"delete", [](void *p) { ::operator delete(p); }, 0},
    {"delete[]", [](void *p) { ::operator delete[](p); }, 0},
    {"delete sized", [](void *p) { ::operator delete(p, 24); }, 0},
    {"delete[] sized", [](void *p) { ::operator delete[](p, 24); }, 0},
    {"delete nothrow", [](void *p) { ::operator delete(p, std::nothrow); }, 0},
    {"delete[] nothrow", [](void *p) { ::operator delete[](p, std::nothrow); }, 0},
    {"delete aligned", [](void *p) { ::operator delete(p, Align(64)); }, 64},
    {"delete[] aligned", [](void *p) { ::operator delete[](p, Align(64)); }, 64},
    {"delete sized aligned", [](void *p) { ::operator delete(p, 24, Align(64)); }, 64},
    {"delete[] sized aligned", [](void *p) { ::operator delete[](p, 24, Align(64)); }, 64},
    {"delete aligned nothrow", [](void *p) { ::operator delete(p, Align(64), std::nothrow); }, 64},
    {"delete[] aligned nothrow", [](void *p) { ::operator delete[](p, Align(64), std::nothrow); }, 64},
};

// What the operators write comes behind.
void say(const char *form, const char *when) {
  std::printf("%s %s:", form, when);
  std::fflush(stdout);
}

int handler_calls;

void goes_at_the_third_call() {
  if (++handler_calls == 3) std::set_new_handler(nullptr);
}

[[maybe_unused]] void throws_a_number() { throw 42; }

const char *came_of(const New &form, std::size_t size, std::size_t alignment) {
  try {
    void *p = form.call(size, alignment);
    if (!p) return "NULL";
    std::free(p); // whoever served it, it is malloc's
    return reinterpret_cast<std::uintptr_t>(p) % 16 ? "misaligned" : "memory";
  } catch (const std::bad_alloc &e) {
    return std::strcmp(e.what(), "std::bad_alloc") ? "bad_alloc of the replacement" : "bad_alloc";
  } catch (int) {
    return "what the handler threw";
  }
}

void try_new(const char *when, const New &form, std::size_t size, std::size_t alignment, void (*handler)()) {
  handler_calls = 0;
  std::set_new_handler(handler);
  say(form.name, when);
  const char *end = came_of(form, size, alignment);
  std::set_new_handler(nullptr);
  std::printf(" => %s, %d handler calls, %d uncaught\n", end, handler_calls, std::uncaught_exceptions());
}

} // namespace

extern "C" void CALLS() {
  volatile std::size_t impossible = PTRDIFF_MAX - 4096;
  for (const New &form : NEWS) {
    try_new("of 24", form, 24, 64, nullptr);
    try_new("of 0", form, 0, 64, nullptr);
    try_new("of too much", form, impossible, 64, nullptr);
    try_new("of too much, handler goes", form, impossible, 64, goes_at_the_third_call);
#ifndef UNCAUGHT
    try_new("of too much, handler throws", form, impossible, 64, throws_a_number);
#endif
    for (std::size_t alignment : {0, 3, 24, 1, 4096})
      try_new(("at " + std::to_string(alignment)).c_str(), form, 100, alignment, goes_at_the_third_call);
  }
  for (const Delete &form : DELETES) {
    say(form.name, "");
    form.call(form.alignment ? aligned_alloc(form.alignment, 64) : malloc(24));
    form.call(nullptr);
    std::puts("");
  }
  // libstdc++ takes the room for this from new(nothrow).
  say("std::stable_sort", "");
  std::vector<int> numbers;
  for (int i = 0; i < 100; i++) numbers.push_back(i * 7919 % 1000);
  std::stable_sort(numbers.begin(), numbers.end());
  // And its own code calls operators, too.
  std::puts("");
  say("std::string", "");
  std::string text(1000, 'x');
  text.append(5000, 'y');
  std::printf("%d %d %c\n", numbers[0], numbers[99], text[5999]);
}

#ifdef MAIN
extern "C" void library_calls() __attribute__((weak)); // of the library that the program is linked with

int main(int argc, char **argv) {
  calls();
#ifndef STATIC
  void *plugin = argc > 1 ? dlopen(argv[1], RTLD_NOW) : nullptr;
  if (argc > 1 && !plugin) std::puts(dlerror());
  if (void *found = plugin ? dlsym(plugin, "library_calls") : nullptr) reinterpret_cast<void (*)()>(found)();
#endif
  if (library_calls) library_calls();
  std::puts("done");
}
#endif
