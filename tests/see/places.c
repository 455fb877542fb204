/* SPDX-License-Identifier: MIT */
/* places [twice|overflow|wild]: says where it has what, a line each; makes that mistake; waits until stdin ends. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *small[100], *medium[4], *mapping;

static void *block(size_t bytes)
{
  void *made = malloc(bytes);
  if (!made) abort();
  return memset(made, 'x', bytes);
}

static void say(const char *what, const void *where) { printf("%s %p\n", what, where); }

int main(int argc, char **argv)
{
  int on_stack = 0;
  for (int i = 0; i < 100; i++) small[i] = block(48);
  for (int i = 0; i < 4; i++) medium[i] = block(3000);
  strcpy(small[50], "fifty");
  mapping = block(500000);
  void *gone = block(700000);
  char *freed_mapping = gone;
  say("small", small[50]);
  say("inside_small", small[50] + 10);
  say("medium", medium[1]);
  say("inside_medium", medium[1] + 100);
  say("mapping", mapping + 4096);
  say("stack", &on_stack);
  say("code", (void *)(uintptr_t)main);
  say("nowhere", (void *)16);
  free(small[60]);
  say("freed_small", small[60]);
  free(medium[2]);
  say("cached", medium[2]);
  free(gone);
  say("kept_mapping", freed_mapping);
  fflush(stdout);
  const char *mistake = argc > 1 ? argv[1] : "";
  if (!strcmp(mistake, "twice")) {
    free(small[50]);
    free(small[50]);
  }
  if (!strcmp(mistake, "wild")) *(volatile char *)(uintptr_t)16 = 1;
  if (!strcmp(mistake, "overflow")) memset(medium[0] + 3000, 0x42, 8); /* into the header of the next */
  puts("ready");
  fclose(stdout);
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) continue;
  return 0;
}
