/* SPDX-License-Identifier: MIT */
// The C++ operators: every form of new and delete, the new handler, exceptions, and what C++ programs do with them.
extern "C" {
#include "verbs.h"
}
#include <exception>
#include <list>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

namespace {

volatile std::size_t impossible = PTRDIFF_MAX; // volatile: gcc would see through it and warn

using Align = std::align_val_t;

// ---- every form ----

struct Form {
  void *(*make)(std::size_t);
  void (*end)(void *, std::size_t);
  bool throws;
  std::size_t alignment;
};

const Form FORMS[] = {
    {[](std::size_t n) { return ::operator new(n); }, [](void *p, std::size_t) { ::operator delete(p); }, true, 16},
    {[](std::size_t n) { return ::operator new[](n); }, [](void *p, std::size_t) { ::operator delete[](p); }, true, 16},
    {[](std::size_t n) { return ::operator new(n); }, [](void *p, std::size_t n) { ::operator delete(p, n); }, true, 16},
    {[](std::size_t n) { return ::operator new[](n); }, [](void *p, std::size_t n) { ::operator delete[](p, n); }, true, 16},
    {[](std::size_t n) { return ::operator new(n, std::nothrow); },
     [](void *p, std::size_t) { ::operator delete(p, std::nothrow); }, false, 16},
    {[](std::size_t n) { return ::operator new[](n, std::nothrow); },
     [](void *p, std::size_t) { ::operator delete[](p, std::nothrow); }, false, 16},
    {[](std::size_t n) { return ::operator new(n, Align(256)); },
     [](void *p, std::size_t) { ::operator delete(p, Align(256)); }, true, 256},
    {[](std::size_t n) { return ::operator new[](n, Align(4096)); },
     [](void *p, std::size_t) { ::operator delete[](p, Align(4096)); }, true, 4096},
    {[](std::size_t n) { return ::operator new(n, Align(64)); },
     [](void *p, std::size_t n) { ::operator delete(p, n, Align(64)); }, true, 64},
    {[](std::size_t n) { return ::operator new[](n, Align(32)); },
     [](void *p, std::size_t n) { ::operator delete[](p, n, Align(32)); }, true, 32},
    {[](std::size_t n) { return ::operator new(n, Align(1024), std::nothrow); },
     [](void *p, std::size_t) { ::operator delete(p, Align(1024), std::nothrow); }, false, 1024},
    {[](std::size_t n) { return ::operator new[](n, Align(128), std::nothrow); },
     [](void *p, std::size_t) { ::operator delete[](p, Align(128), std::nothrow); }, false, 128},
};

void every_form_allocates_and_frees() {
  for (const Form &form : FORMS)
    for (std::size_t size : SIZES) {
      void *p = form.make(size), *q = form.make(size);
      require(p && q && p != q && is_aligned(p, size <= 8 && form.alignment == 16 ? 8 : form.alignment));
      fill(p, size, 1);
      fill(q, size, 2);
      require(holds(p, size, 1));
      form.end(p, size);
      form.end(q, size);
    }
}

void empty_objects_are_unique() {
  for (const Form &form : FORMS) {
    void *p = form.make(0), *q = form.make(0);
    require(p && q && p != q);
    form.end(p, 0);
    form.end(q, 0);
    form.end(nullptr, 10);
  }
}

void wrong_sizes_are_only_hints() {
  for (std::size_t size : SIZES)
    for (std::size_t claimed : SIZES) {
      void *live = ::operator new(size);
      fill(live, size, 3);
      ::operator delete(::operator new(size), claimed);
      ::operator delete[](::operator new[](size), claimed);
      ::operator delete(::operator new(size, Align(64)), claimed, Align(64));
      touch(malloc(size), size);
      require(holds(live, size, 3));
      ::operator delete(live);
    }
}

// new and malloc share a heap; strictly that is nobody's right, and yet programs do it.
void malloc_and_new_mix() {
  for (std::size_t size : SIZES) {
    free(::operator new(size));
    ::operator delete(malloc(size));
    void *p = realloc(::operator new(size), size * 2);
    require(p && malloc_usable_size(p) >= size * 2);
    ::operator delete(p);
  }
}

// ---- not enough memory ----

bool throws_bad_alloc(const Form &form, std::size_t size) {
  try {
    form.end(form.make(size), size);
  } catch (const std::bad_alloc &) {
    return true;
  }
  return false;
}

void too_much_throws_or_gives_null() {
  const std::size_t too_much[] = {impossible, SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 4095, impossible + 1};
  for (const Form &form : FORMS)
    for (std::size_t size : too_much) {
      if (form.throws) require(throws_bad_alloc(form, size));
      else require(form.make(size) == nullptr);
    }
}

int handler_calls;

void counts_to_three() {
  if (++handler_calls == 3) std::set_new_handler(nullptr);
}

void the_new_handler_is_called_until_it_goes() {
  for (const Form &form : FORMS) {
    handler_calls = 0;
    std::set_new_handler(counts_to_three);
    if (form.throws) require(throws_bad_alloc(form, impossible));
    else require(form.make(impossible) == nullptr);
    require(handler_calls == 3);
  }
}

struct Flood : std::bad_alloc {};

void throws_its_own() { throw Flood(); }

void what_the_handler_throws_arrives() {
  std::set_new_handler(throws_its_own);
  for (const Form &form : FORMS) {
    bool arrived = false;
    try {
      require(form.make(impossible) == nullptr);
    } catch (const Flood &) {
      arrived = true;
    }
    require(arrived == form.throws);
  }
}

// A handler that makes room: the address space is full but for what it gives back.
void *reserve;

void frees_the_reserve() {
  if (!reserve) throw std::bad_alloc();
  free(reserve);
  reserve = nullptr;
}

void ulimit_v_128_mb() {
  struct rlimit bytes = {128 * MB, 128 * MB};
  require(setrlimit(RLIMIT_AS, &bytes) == 0);
}

void the_handler_can_make_room() {
  reserve = malloc(20 * MB);
  require(reserve);
  std::set_new_handler(frees_the_reserve);
  std::size_t count = 0;
  static void *blocks[128];
  try {
    for (; count < COUNT(blocks); count++) blocks[count] = ::operator new(1 * MB);
  } catch (const std::bad_alloc &) {
    require(reserve == nullptr);
  }
  require(count > 40 && count < COUNT(blocks));
  while (count) ::operator delete(blocks[--count]);
}

void exceptions_work_when_memory_is_gone() {
  std::list<int> filling; // nodes of 24 bytes, so that nothing at all is left
  bool arrived = false;
  try {
    for (;;) filling.push_back(1);
  } catch (const std::bad_alloc &) {
    arrived = true; // out of libstdc++'s emergency pool
  }
  require(arrived);
  filling.clear();
  std::string(100000, 'x').append("y");
}

// ---- what programs do ----

struct alignas(64) Line {
  char text[64];
};

struct Late {
  std::string text;
  std::vector<int> numbers;
  ~Late() {
    for (int i = 0; i < 10; i++) numbers.push_back(i);
    text += std::string(500, 'x');
    use_each_tier();
  }
};

thread_local Late late;

void containers() {
  std::map<int, std::string> map;
  std::vector<Line> lines;
  std::vector<std::unique_ptr<std::string>> owners;
  for (int i = 0; i < 20000; i++) {
    map[i * 7919 % 5003] += std::string(static_cast<std::size_t>(i % 100), static_cast<char>('a' + i % 26));
    if (i % 3 == 0) map.erase(i * 31 % 5003);
    lines.emplace_back();
    require(is_aligned(lines.data(), 64));
    owners.push_back(std::make_unique<std::string>(static_cast<std::size_t>(i % 300), 'z'));
  }
  for (int i = 0; i < 20000; i++) require(owners[static_cast<std::size_t>(i)]->size() == static_cast<std::size_t>(i % 300));
}

void thread_locals_with_destructors() {
  for (int i = 0; i < 300; i++)
    std::thread([] {
      late.text = "thread";
      late.numbers.resize(100);
    }).join();
}

Late at_exit;

void a_global_is_destroyed_after_main() { at_exit.text.assign(1000, 'g'); }

} // namespace

int main(int argc, char **argv) {
  static const struct test TESTS[] = {
      TEST(every_form_allocates_and_frees),
      TEST(empty_objects_are_unique),
      TEST(wrong_sizes_are_only_hints),
      TEST(malloc_and_new_mix),
      TEST(too_much_throws_or_gives_null),
      TEST(the_new_handler_is_called_until_it_goes),
      TEST(what_the_handler_throws_arrives),
      TEST_AFTER(ulimit_v_128_mb, the_handler_can_make_room),
      TEST_AFTER(ulimit_v_128_mb, exceptions_work_when_memory_is_gone),
      TEST(containers),
      TEST(thread_locals_with_destructors),
      TEST(a_global_is_destroyed_after_main),
  };
  return run_table(TESTS, COUNT(TESTS), argc, argv);
}
