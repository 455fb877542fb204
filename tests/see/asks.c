/* SPDX-License-Identifier: MIT */
/* Asks for known sums from known places: who of these functions has asked for how much is what a profile must say. The argument is how it ends. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void *kept[10000];
static int count;
static volatile sig_atomic_t told;

static void keeps(int number, size_t bytes) {
  for (int i = 0; i < number; i++) kept[count++] = malloc(bytes);
}

static void frees(int number, size_t bytes) {
  for (int i = 0; i < number; i++) free(malloc(bytes));
}

static void maps(void) { kept[count++] = malloc(5000000); }

static void *xmalloc(size_t bytes) { return malloc(bytes); }

static void asks_by_a_wrapper(void) {
  for (int i = 0; i < 1000; i++) kept[count++] = xmalloc(500);
}

static void calls_itself(int depth) {
  if (depth) calls_itself(depth - 1);
  else kept[count++] = malloc(300000);
}

static void on_signal(int number) { told = number; }

static int in_a_child(void) {
  int status = 0;
  if (fork() == 0) {
    keeps(5000, 4000);
    exit(0);
  }
  wait(&status);
  return status;
}

int main(int argc, char **argv) {
  const char *end = argc > 1 ? argv[1] : "";
  keeps(strcmp(end, "more") ? 3000 : 3100, 1000);
  frees(2000, 2000);
  maps();
  asks_by_a_wrapper();
  calls_itself(5);
  if (!strcmp(end, "child")) return in_a_child();
  if (!strcmp(end, "leaves")) _exit(5);
  if (!strcmp(end, "killed")) kill(getpid(), SIGKILL);
  if (!strcmp(end, "waits")) {
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    close(open("ready", O_WRONLY | O_CREAT, 0666));
    while (!told) usleep(10000);
    return told;
  }
  if (!strcmp(end, "says")) write(1, "out\n", 4), write(2, "err\n", 4);
  return !strcmp(end, "seven") ? 7 : 0;
}
