/* SPDX-License-Identifier: MIT */
// A C++ plugin for C programs: operator new and its exceptions where the program itself knows no libstdc++.
#include <cstdint>
#include <new>
#include <string>
#include <vector>

static int handler_calls;

static void give_up_at_the_third_call() {
  if (++handler_calls == 3) std::set_new_handler(nullptr);
}

static bool throws_bad_alloc(std::size_t bytes) {
  try {
    void *volatile block = ::operator new(bytes); // or gcc 10 makes nothing of the two calls
    ::operator delete(block);
  } catch (const std::bad_alloc &) {
    return true;
  }
  return false;
}

extern "C" const char *complaint() {
  volatile std::size_t impossible = PTRDIFF_MAX;
  if (!throws_bad_alloc(impossible)) return "operator new of too much does not throw";
  if (throws_bad_alloc(1000)) return "operator new of little throws";
  if (::operator new(impossible, std::nothrow)) return "operator new(nothrow) of too much gives memory";
  if (::operator new(impossible, std::align_val_t(64), std::nothrow)) return "aligned operator new of too much gives memory";
  handler_calls = 0;
  std::set_new_handler(give_up_at_the_third_call);
  if (!throws_bad_alloc(impossible)) return "operator new does not throw once the handler is gone";
  if (handler_calls != 3) return "the new handler is not called until it is gone";
  handler_calls = 0;
  std::set_new_handler(give_up_at_the_third_call);
  if (::operator new[](impossible, std::nothrow) || handler_calls != 3) return "operator new(nothrow) does not ask the new handler";
  std::set_new_handler([] { throw 42; });
  if (::operator new(impossible, std::nothrow)) return "operator new(nothrow) does not catch what the handler throws";
  std::set_new_handler(nullptr);
  if (::operator new(8, std::align_val_t(3), std::nothrow)) return "aligned operator new takes an alignment of 3";
  std::vector<std::string> texts;
  for (int i = 0; i < 1000; i++) texts.push_back(std::string(static_cast<std::size_t>(i), 'x'));
  return texts[999].size() == 999 ? nullptr : "containers do not work";
}
