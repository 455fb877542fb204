/* SPDX-License-Identifier: MIT */
/* See start.h. Here it is decided whether there will be a heap at all: nobody who got a byte of it can be left alone afterwards. */
#include "start.h"

#include <stdlib.h>
#include <unistd.h>

#include "exempt.h"
#include "foreign.h"
#include "fork.h"
#include "geometry.h"
#include "heap.h"
#include "options.h"
#include "os.h"
#include "printf.h"
#include "secret.h"

/* Why no heap can be here, or NULL. (Of the kernel nothing is needed that libc can be without, and another libc's ld.so does not load us.) */
static const char *unsupported(void) {
  if (!is_power_of_two(page_bytes) || page_bytes > PAGE_MAX) return "pages of a size that it does not know";
  return NULL;
}

static void decide(void) {
  const char *reason = unsupported();
  if (reason)
    foreign_serve_instead(reason);
  else if (settings.off && !foreign_leave_alone("OSMEM_OPTIONS=off=1"))
    print(STDERR_FILENO, "osmem: off=1: this program has no other malloc\n");
  else if (!settings.off && exempt_is_named())
    foreign_leave_alone("named in " EXEMPT_FILE);
}

static void start_with(char **environment) {
  static uint32_t started; /* a word: riscv64 has no exchange of a byte */
  if (__atomic_exchange_n(&started, 1, __ATOMIC_RELAXED)) return; /* written first: one fault, not two */
  sys_init();
  options_read(environment);
  decide();
  if (left_alone) return;
  secrets_make();
  fork_set_up();
}

void start(void) { start_with(NULL); }

static void start_first(int argument_count, char **arguments, char **environment) {
  (void)argument_count;
  (void)arguments;
  start_with(environment);
}

/* Before any other constructor, as far as we can see to it: see fork.c. (Priorities up to 100 are the implementation's; the compiler
 * warns of them in __attribute__((constructor)), the linker knows them all.) */
static void (*const constructor)(int, char **, char **) __attribute__((section(".init_array.00000"), used)) = start_first;
