/* SPDX-License-Identifier: MIT */
/* See options.h. A table and a loop. */
#include "options.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "kernel.h"
#include "libc.h"
#include "limits.h"
#include "lines.h"
#include "os.h"
#include "printf.h"
#include "profile.h"
#include "stats.h"

struct options settings;

/* A value that cannot be used leaves the one before as it is. */
static bool parse_switch(const char *text, size_t length, size_t *value);
static bool parse_size(const char *text, size_t length, size_t *value);
static bool parse_soft(const char *text, size_t length, size_t *value);
static bool parse_profile(const char *text, size_t length, size_t *value);

static const struct option {
  const char *name;
  size_t *value;
  bool (*parse)(const char *text, size_t length, size_t *value);
  const char *form, *meaning;
} option_table[] = {
    {"off", &settings.off, parse_switch, "off=0|1", "1: leave the process to the C library's own malloc"},
    {"stats", &settings.stats, parse_switch, "stats=0|1", "1: a table on stderr at exit"},
    {"limit", &sys_limits.hard, parse_size, "limit=SIZE", "what the heap may hold; beyond it allocation fails"},
    {"soft", &sys_limits.soft, parse_soft, "soft=SIZE|cgroup", "near it what is free goes back at once; cgroup: the least limit of its control groups"},
    {"populate", &sys_populates, parse_switch, "populate=0|1", "0: do not ask for pages ahead of their use"},
    {"thp", &sys_huge_pages, parse_switch, "thp=0|1", "1: ask for huge pages, 0: have none; by default as the system has it"},
    {"deepbind", &settings.keep_deepbind, parse_switch, "deepbind=0|1", "1: dlopen() keeps RTLD_DEEPBIND"},
    {"profile", NULL, parse_profile, "profile=PREFIX", "who asked for the memory, into files PREFIX.PID.heap at exit"},
    {"profile_rate", &profile_settings.rate, parse_size, "profile_rate=SIZE", "one sample in about so many bytes"},
    {"guard", &profile_settings.guard, parse_switch, "guard=0|1", "1: some blocks lie between closed pages, and misuse of them is told with stacks"},
};
enum { OPTION_COUNT = sizeof option_table / sizeof *option_table };

/* Not strncasecmp(), strcspn() and the like: those of clang's ThreadSanitizer do not work before its start. */
static char upper(char c) { return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c; }

static bool begins(const char *text, const char *word) {
  for (; *word; text++, word++)
    if (*text != *word) return false;
  return true;
}

/* In either case. */
static bool is_word(const char *text, size_t length, const char *word) {
  size_t same = 0;
  while (same < length && word[same] && upper(text[same]) == upper(word[same])) same++;
  return same == length && !word[same];
}

static size_t bytes_until_comma(const char *text) {
  size_t bytes = 0;
  while (text[bytes] && text[bytes] != ',') bytes++;
  return bytes;
}

static bool parse_switch(const char *text, size_t length, size_t *value) {
  if (!is_word(text, length, "0") && !is_word(text, length, "1")) return false;
  *value = (size_t)(*text - '0');
  return true;
}

/* What may follow the digits, by the power of two it stands for: nothing, K, KB, KiB and so on, in either case; -1: anything else. */
static int shift_of(const char *suffix, size_t length) {
  static const char *const endings[] = {"", "B", "iB"};
  static const char units[] = "KMGT";
  if (length == 0) return 0;
  int unit = 0;
  while (units[unit] && units[unit] != upper(*suffix)) unit++;
  for (size_t i = 0; units[unit] && i < sizeof endings / sizeof *endings; i++)
    if (is_word(suffix + 1, length - 1, endings[i])) return 10 * (unit + 1);
  return -1;
}

static bool parse_size(const char *text, size_t length, size_t *value) {
  size_t sum = 0, digits = 0;
  for (; digits < length && text[digits] >= '0' && text[digits] <= '9'; digits++)
    if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_add_overflow(sum, (size_t)(text[digits] - '0'), &sum)) return false;
  int shift = shift_of(text + digits, length - digits);
  if (digits == 0 || shift < 0 || sum > SIZE_MAX >> shift) return false;
  *value = sum << shift;
  return true;
}

static bool parse_soft(const char *text, size_t length, size_t *value) {
  if (!is_word(text, length, "cgroup")) return parse_size(text, length, value);
  size_t limit = limits_of_cgroup();
  if (limit) *value = limit;
  return true;
}

static bool parse_profile(const char *text, size_t length, size_t *value) {
  (void)value;
  if (length == 0 || length >= sizeof profile_settings.prefix) return false;
  memcpy(profile_settings.prefix, text, length);
  profile_settings.prefix[length] = 0;
  return true;
}

static bool set_option(const char *text, size_t length) {
  for (size_t i = 0; i < OPTION_COUNT; i++) {
    size_t name_length = strlen(option_table[i].name);
    if (length > name_length && begins(text, option_table[i].name) && text[name_length] == '=')
      return option_table[i].parse(text + name_length + 1, length - name_length - 1, option_table[i].value);
  }
  return false;
}

/* One line, whatever stands in the text, and with room for what would be right. */
static void complain(const char *text, size_t length) {
  struct printer line = {.fd = STDERR_FILENO};
  char shown[64];
  size_t bytes = min_size(length, sizeof shown - 1);
  for (size_t i = 0; i < bytes; i++) shown[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
  shown[bytes] = 0;
  printer_print(&line, "osmem: OSMEM_OPTIONS: cannot use \"%s%s\"; there are ", shown, bytes < length ? "..." : "");
  for (size_t i = 0; i < OPTION_COUNT; i++) printer_print(&line, "%s, ", option_table[i].form);
  printer_print(&line, "with commas between, a SIZE as 64M or 1G, 0 for none; help says more\n");
  printer_flush(&line);
}

static void help(void) {
  struct printer text = {.fd = STDERR_FILENO};
  printer_print(&text, "osmem: OSMEM_OPTIONS, with commas between, a SIZE as 64M or 1G, 0 for none:\n");
  for (size_t i = 0; i < OPTION_COUNT; i++) printer_print(&text, "  %-18s %s\n", option_table[i].form, option_table[i].meaning);
  printer_flush(&text);
}

static void read_one(const char *text, size_t length) {
  for (; length && is_space(*text); text++) length--;
  while (length && is_space(text[length - 1])) length--;
  if (is_word(text, length, "help"))
    help();
  else if (length && !set_option(text, length))
    complain(text, length);
}

static char **variables;

const char *options_variable(const char *name) {
  size_t length = strlen(name);
  if (kernel_auxval(AT_SECURE)) return NULL;
  for (char **each = variables; each && *each; each++)
    if (begins(*each, name) && (*each)[length] == '=') return *each + length + 1;
  return NULL;
}

void options_read(char **environment) {
  variables = libc_environment(environment);
  const char *text = options_variable("OSMEM_OPTIONS");
  while (text && *text) {
    size_t length = bytes_until_comma(text);
    read_one(text, length);
    text += length + (text[length] == ',');
  }
}

__attribute__((constructor)) static void begin_what_they_ask_for(void) {
  if (settings.stats) stats_open();
  profile_start();
}
