/* SPDX-License-Identifier: MIT */
// Stacks of many kinds, with a malloc at the end of each (unwind.t).
#include <alloca.h>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <vector>

static volatile char sink;

__attribute__((noinline)) static void asks() {
  for (int i = 0; i < 200; i++) {
    void *volatile block = malloc(100); // or the compiler leaves both away
    free(block);
  }
}

__attribute__((noinline)) static void with_alloca(int bytes) {
  char *room = static_cast<char *>(alloca(bytes));
  memset(room, 1, bytes);
  asks();
  sink = room[bytes / 2];
}

__attribute__((noinline)) static void with_array(int count) {
  long array[count];
  memset(array, 1, count * sizeof *array);
  asks();
  sink = array[count / 2];
}

// gcc finds the frame by a register that it keeps on the stack: an expression.
__attribute__((noinline)) static void aligned_to_64(int count) {
  alignas(64) char room[64];
  char *more = static_cast<char *>(alloca(count));
  memset(room, count, sizeof room);
  memset(more, count, count);
  asks();
  sink = room[count % 64] + more[0];
}

__attribute__((noinline)) static int recursive(int depth) { return depth ? 1 + recursive(depth - 1) : (asks(), 0); }

struct Asks {
  ~Asks() { asks(); }
};

__attribute__((noinline)) static void throws(int depth) {
  Asks at_the_end;
  if (depth == 0) throw std::runtime_error("as it must");
  throws(depth - 1);
}

static int compares(const void *a, const void *b) {
  void *volatile block = malloc(50);
  free(block);
  return *static_cast<const int *>(a) - *static_cast<const int *>(b);
}

static void handles(int) { asks(); }

static void *in_thread(void *) {
  recursive(5);
  with_alloca(1000);
  return nullptr;
}

int main() {
  static char stack[1 << 16];
  stack_t other = {};
  other.ss_sp = stack;
  other.ss_size = sizeof stack;
  sigaltstack(&other, nullptr);
  struct sigaction action = {};
  action.sa_handler = handles;
  sigaction(SIGUSR1, &action, nullptr);
  raise(SIGUSR1);
  action.sa_flags = SA_ONSTACK;
  sigaction(SIGUSR1, &action, nullptr);
  raise(SIGUSR1);
  for (int i = 1; i < 3000; i += 500) with_alloca(i), with_array(i), aligned_to_64(i), recursive(i / 10);
  try {
    throws(10);
  } catch (const std::exception &) {
    asks();
  }
  int numbers[500];
  for (int i = 0; i < 500; i++) numbers[i] = i * 7919 % 500;
  qsort(numbers, 500, sizeof *numbers, compares);
  std::function<void(int)> nested = [&](int depth) { depth ? nested(depth - 1) : asks(); };
  nested(20);
  pthread_t thread;
  pthread_create(&thread, nullptr, in_thread, nullptr);
  pthread_join(thread, nullptr);
  puts("done");
}
