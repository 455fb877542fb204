/* SPDX-License-Identifier: MIT */
/* A plugin that allocates from its constructor to its destructor, and in thread-local memory of its own. */
#include <stdlib.h>
#include <string.h>

static char *whole_life;
static __thread char *of_the_thread;

__attribute__((constructor)) static void begin(void)
{
  whole_life = calloc(1, 3000);
  memset(whole_life, 1, 3000);
}

__attribute__((destructor)) static void end(void)
{
  free(whole_life);
}

int work(void);
int work(void)
{
  of_the_thread = realloc(malloc(100), 50000);
  memset(of_the_thread, 2, 50000);
  free(of_the_thread);
  return whole_life[2999];
}
