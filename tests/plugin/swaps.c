/* SPDX-License-Identifier: MIT */
/* A plugin that frees what it is given and gives what the caller shall free. Loaded with RTLD_DEEPBIND its malloc and
 * free would be libc's own, whatever is preloaded. */
#include <stdlib.h>
#include <string.h>

char *swap(char *given);
char *swap(char *given)
{
  char *copy = strdup(given);
  free(given);
  return realloc(copy, strlen(copy) + 40000);
}
