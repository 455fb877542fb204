/* See options.h. A table and a loop. Ignored in setuid programs (secure_getenv). */
#include "options.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "printf.h"
#include "stats.h"

struct options settings;

static const struct {
  const char *name;
  size_t *value;
} option_table[] = {
    {"stats", &settings.stats},
    {"deepbind", &settings.keep_deepbind},
};
enum { OPTION_COUNT = sizeof option_table / sizeof *option_table };

/* Digits up to a comma or the end; false for anything else. */
static bool parse_number(const char *text, size_t length, size_t *value) {
  size_t sum = 0;
  for (size_t i = 0; i < length; i++) {
    if (text[i] < '0' || text[i] > '9' || sum > SIZE_MAX / 10 - 1) return false;
    sum = sum * 10 + (size_t)(text[i] - '0');
  }
  *value = sum;
  return length > 0;
}

static bool set_option(const char *text, size_t length) {
  for (size_t i = 0; i < OPTION_COUNT; i++) {
    size_t name_length = strlen(option_table[i].name);
    if (length > name_length && strncmp(text, option_table[i].name, name_length) == 0 && text[name_length] == '=')
      return parse_number(text + name_length + 1, length - name_length - 1, option_table[i].value);
  }
  return false;
}

__attribute__((constructor)) static void read_options(void) {
  const char *text = secure_getenv("OSMEM_OPTIONS");
  while (text && *text) {
    size_t length = strcspn(text, ",");
    if (length && !set_option(text, length)) print(STDERR_FILENO, "osmem: OSMEM_OPTIONS: cannot use what begins at \"%s\"\n", text);
    text += length + (text[length] == ',');
  }
  if (settings.stats) stats_open();
}
