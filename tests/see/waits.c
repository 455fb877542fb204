/* SPDX-License-Identifier: MIT */
/* Threads that wait in each way the kernel has, or compute, until stdin ends. Whoever interrupts them for a moment changes nothing of it: no call fails, no signal is lost
 * or comes twice, no register changes. epoll_wait() alone may return EINTR. Says what is wrong, or how often each went round. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile bool ends;
static volatile sig_atomic_t taken;
static long sent;
static pthread_t taker;

#define MUST(condition) \
  do { \
    if (!(condition)) { \
      printf("%s: not so: %s (errno %d)\n", __func__, #condition, errno); \
      fflush(stdout); \
      _exit(1); \
    } \
  } while (0)

static bool sleeps(void) { return nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL) == 0; }
static bool polls(void) { return poll(NULL, 0, 2) == 0; }
static bool selects(void) { return select(0, NULL, NULL, NULL, &(struct timeval){.tv_usec = 2000}) == 0; }
static bool waits_with_mask(void)
{
  sigset_t none;
  sigemptyset(&none);
  sigaddset(&none, SIGUSR2);
  return ppoll(NULL, 0, &(struct timespec){.tv_nsec = 2000000}, &none) == 0;
}
static bool waits_for_events(void)
{
  int set = epoll_create1(0);
  struct epoll_event event;
  int found = epoll_wait(set, &event, 1, 2);
  return close(set) == 0 && (found == 0 || (found == -1 && errno == EINTR));
}
static bool waits_for_a_condition(void)
{
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += 2000000;
  if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
  pthread_mutex_lock(&mutex);
  int error = pthread_cond_timedwait(&condition, &mutex, &until);
  pthread_mutex_unlock(&mutex);
  return error == ETIMEDOUT;
}
static bool computes(void) /* in many registers, of both kinds */
{
  uint64_t a = 1, b = 2, c = 3, d = 5, e = 7, f = 11;
  double x = 1, y = 1;
  for (int i = 0; i < 100000; i++) {
    a += b, b ^= c, c += d << 1, d ^= e, e += f, f += a;
    x = x * 0.5 + 1, y += x;
  }
  static uint64_t first;
  static double also;
  uint64_t sum = a ^ b ^ c ^ d ^ e ^ f;
  if (!first) first = sum, also = y;
  return sum == first && y == also;
}
static bool asks(void) { return syscall(SYS_gettid) == (long)gettid(); }
static bool has_a_child(void)
{
  pid_t child = fork();
  if (child == 0) _exit(3);
  int status;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 3;
}
static bool is_sent_signals(void) { return pthread_kill(taker, SIGRTMIN) == 0 && ++sent && sleeps(); }
static void *does_nothing(void *given) { return given; }
static bool has_threads(void)
{
  pthread_t thread;
  void *got = NULL;
  return !pthread_create(&thread, NULL, does_nothing, &thread) && !pthread_join(thread, &got) && got == &thread;
}
static bool reads(void)
{
  static int pipe_[2];
  char byte = 7;
  if (!pipe_[0] && pipe(pipe_)) return false;
  return write(pipe_[1], &byte, 1) == 1 && read(pipe_[0], &byte, 1) == 1 && byte == 7;
}

#define WAY(name) {#name, name, 0}
static struct way {
  const char *name;
  bool (*once)(void);
  long rounds;
} ways[] = {WAY(sleeps),   WAY(polls), WAY(selects),     WAY(waits_with_mask), WAY(waits_for_events), WAY(waits_for_a_condition),
            WAY(computes), WAY(asks),  WAY(has_a_child), WAY(is_sent_signals), WAY(reads),  WAY(has_threads)};
enum { WAYS = sizeof ways / sizeof *ways };

static void *goes_on(void *way_)
{
  struct way *way = way_;
  while (!ends) {
    errno = 0;
    if (!way->once()) {
      printf("%s: errno %d\n", way->name, errno);
      fflush(stdout);
      _exit(1);
    }
    way->rounds++;
  }
  return NULL;
}

static void take(int number)
{
  (void)number;
  taken++;
}

static void *takes_signals(void *unused)
{
  sigset_t all;
  sigfillset(&all);
  sigdelset(&all, SIGRTMIN);
  while (!ends || taken < sent) sigsuspend(&all);
  return unused;
}

int main(void)
{
  sigset_t ours;
  sigemptyset(&ours);
  sigaddset(&ours, SIGRTMIN);
  pthread_sigmask(SIG_BLOCK, &ours, NULL);
  sigaction(SIGRTMIN, &(struct sigaction){.sa_handler = take}, NULL);
  pthread_t threads[WAYS];
  MUST(!pthread_create(&taker, NULL, takes_signals, NULL));
  for (int i = 0; i < WAYS; i++) MUST(!pthread_create(&threads[i], NULL, goes_on, &ways[i]));
  puts("ready");
  fflush(stdout);
  char byte;
  ssize_t got;
  while ((got = read(STDIN_FILENO, &byte, 1)) > 0) continue;
  MUST(got == 0);
  ends = true;
  for (int i = 0; i < WAYS; i++) pthread_join(threads[i], NULL);
  pthread_kill(taker, SIGRTMIN); /* these are queued, each of them */
  sent++;
  pthread_join(taker, NULL);
  MUST(waitpid(-1, NULL, __WALL | WNOHANG) == -1 && errno == ECHILD); /* nobody left a child here */
  for (int i = 0; i < WAYS; i++) printf("%s%s", ways[i].rounds ? "" : "never: ", ways[i].rounds ? "" : ways[i].name);
  puts("fine");
  return 0;
}
