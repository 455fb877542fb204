/* See options.h. A table and a loop. Ignored in setuid programs (secure_getenv). */
#include "options.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "limits.h"
#include "os.h"
#include "printf.h"
#include "stats.h"

struct options settings;

static const struct option {
  const char *name;
  size_t *value;
  const char *word; /* may stand instead of a number, */
  size_t (*meaning)(void);
} option_table[] = {
    {"stats", &settings.stats, NULL, NULL},
    {"deepbind", &settings.keep_deepbind, NULL, NULL},
    {"limit", &sys_limits.hard, NULL, NULL},
    {"soft", &sys_limits.soft, "cgroup", limits_of_cgroup},
};
enum { OPTION_COUNT = sizeof option_table / sizeof *option_table };

/* 'K', 'M', 'G', or nothing. */
static unsigned shift_of(char suffix) {
  switch (suffix) {
    case 'K': return 10;
    case 'M': return 20;
    case 'G': return 30;
    default: return 0;
  }
}

/* Digits, and perhaps a suffix, up to the length given; false for anything else. */
static bool parse_number(const char *text, size_t length, size_t *value) {
  size_t sum = 0;
  unsigned shift = length > 1 ? shift_of(text[length - 1]) : 0;
  if (shift) length--;
  for (size_t i = 0; i < length; i++) {
    if (text[i] < '0' || text[i] > '9' || sum > SIZE_MAX / 10 - 1) return false;
    sum = sum * 10 + (size_t)(text[i] - '0');
  }
  if (sum > SIZE_MAX >> shift) return false;
  *value = sum << shift;
  return length > 0;
}

static bool set_value(const struct option *option, const char *text, size_t length) {
  if (option->word && length == strlen(option->word) && strncmp(text, option->word, length) == 0) {
    *option->value = option->meaning();
    return true;
  }
  return parse_number(text, length, option->value);
}

static bool set_option(const char *text, size_t length) {
  for (size_t i = 0; i < OPTION_COUNT; i++) {
    size_t name_length = strlen(option_table[i].name);
    if (length > name_length && strncmp(text, option_table[i].name, name_length) == 0 && text[name_length] == '=')
      return set_value(&option_table[i], text + name_length + 1, length - name_length - 1);
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
