/* SPDX-License-Identifier: MIT */
/* The differential test's program.
 *
 *   differ [--seed S] [--inputs N]   random inputs; the seed is printed, and taken from the clock unless told. In many each
 *                                    wanted difference has to occur
 *   differ --corpus FILE             the inputs of a file: a line each, an operation is sixteen hexadecimal digits
 *   differ --replay FILE...          what a fuzzer found: operations as they are
 *   differ --print FILE              a corpus as lines of C
 *   differ --pack FILE...            a fuzzer's inputs as lines of a corpus
 *   differ --unpack FILE DIR         the other way
 *   differ --wanted                  names of the differences that are wanted
 *
 *   --spoil FAULT                    with a fault in the library under test (engines.c)
 *
 * The library is $OSMEM_LIB, else the one of this tree. Every kind of difference is told once, with the shortest input that could
 * be made of the first that showed it. Exit 0: none. 1: some. 2: wrong usage. */
#include "differ.h"

#include "../verbs.h"

#include <inttypes.h>
#include <time.h>

enum {
  PATIENCE_ALL_S = 600,
  RESIDENT_MAX_MB = 512,
  WANTED_FROM = 1000 /* random inputs in which each wanted difference has to occur: the rarest does 70 times */
};

struct input {
  struct op ops[OPS_MAX];
  size_t count;
};

static _Noreturn void refuse(const char *what)
{
  say("differ: %s: %s\n", what, errno ? strerror(errno) : "not understood");
  exit(2);
}

/* ---- inputs as text --------------------------------------------------------------------------------------------------- */

static void print_packed(const struct input *input, FILE *out)
{
  for (size_t i = 0; i < input->count; i++) {
    uint64_t word;
    memcpy(&word, &input->ops[i], sizeof word);
    fprintf(out, "%s%016" PRIx64, i ? " " : "", __builtin_bswap64(word)); /* bytes in their order */
  }
  putc('\n', out);
}

static void print_as_c(const struct input *input)
{
  size_t asked[SLOTS] = {0};
  char line[200];
  for (size_t i = 0; i < input->count; i++) {
    struct ask ask = ask_of(&input->ops[i], asked[input->ops[i].place % SLOTS]);
    describe(&ask, line, sizeof line);
    say("#     %s\n", line);
    if (ask.call->verb == ALLOCATE || ask.call->verb == RESIZE) asked[ask.slot] = ask.bytes;
  }
}

static bool read_packed(FILE *file, struct input *input)
{
  static char line[OPS_MAX * 17 + 2];
  input->count = 0;
  if (!fgets(line, sizeof line, file)) return false;
  char *at = line;
  for (char *end; input->count < OPS_MAX; at = end) {
    uint64_t word = __builtin_bswap64(strtoull(at, &end, 16));
    if (end == at) break;
    memcpy(&input->ops[input->count++], &word, sizeof word);
  }
  if (*at != '\n') refuse("a line of the corpus");
  return true;
}

static FILE *open_file(const char *path, const char *mode)
{
  FILE *file = fopen(path, mode);
  if (!file) refuse(path);
  return file;
}

static void read_raw(const char *path, struct input *input)
{
  FILE *file = open_file(path, "re");
  input->count = fread(input->ops, sizeof *input->ops, OPS_MAX, file);
  fclose(file);
}

/* ---- kinds of differences --------------------------------------------------------------------------------------------- */

static struct kind {
  const char *call, *aspect;
  size_t times;
  char line[320];
  struct input input;
} kinds[64];
static size_t kind_count;
static const struct input *running;
static const struct kind *sought; /* in a child that only looks for one */

static bool is_kind(const struct kind *kind, const struct difference *difference)
{
  return strcmp(kind->call, difference->call) == 0 && strcmp(kind->aspect, difference->aspect) == 0;
}

static void file_away(const struct difference *difference)
{
  if (sought) {
    if (is_kind(sought, difference)) _exit(1);
    return;
  }
  size_t i = 0;
  while (i < kind_count && !is_kind(&kinds[i], difference)) i++;
  if (i == COUNT(kinds)) return;
  if (i == kind_count) {
    kinds[kind_count++] = (struct kind){.call = difference->call, .aspect = difference->aspect, .input = *running};
    memcpy(kinds[i].line, difference->line, sizeof kinds[i].line);
  }
  kinds[i].times++;
}

static void run(const struct input *input)
{
  running = input;
  differ_run(input->ops, input->count, file_away);
}

static bool shows(const struct kind *kind, const struct input *input)
{
  pid_t pid = fork();
  if (pid == 0) {
    sought = kind;
    alarm(PATIENCE_S);
    run(input);
    _exit(0);
  }
  int status = wait_for(pid);
  return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

/* Without each operation in turn, from the last. */
static void shorten(struct kind *kind)
{
  for (size_t i = kind->input.count; i-- > 0;) {
    struct input less = kind->input;
    less.count--;
    memmove(&less.ops[i], &less.ops[i + 1], (less.count - i) * sizeof *less.ops);
    if (shows(kind, &less)) kind->input = less;
  }
}

static int tell_kinds(size_t inputs)
{
  for (size_t i = 0; i < kind_count; i++) {
    struct kind *kind = &kinds[i];
    say("# %s: %s, %zu times. The first:\n#   %s\n", kind->call, kind->aspect, kind->times, kind->line);
    bool alone = shows(kind, &kind->input);
    if (alone) shorten(kind);
    say(alone ? "#   shortest input:\n" : "#   input, which by itself does not show it again:\n");
    print_as_c(&kind->input);
    say("#   packed: ");
    print_packed(&kind->input, stderr);
  }
  for (size_t i = 0; i < wanted_count; i++) say("# wanted and met %zu times: %s\n", wanted[i].met, wanted[i].name);
  say("# %zu inputs, %zu kinds of differences\n", inputs, kind_count);
  return kind_count > 0;
}

/* ---- runs ------------------------------------------------------------------------------------------------------------- */

/* A crash: which input it was. */
static void on_crash(int signal)
{
  say("# ended by %s in\n", strsignal(signal));
  if (running) print_as_c(running);
  if (running) print_packed(running, stderr);
  _exit(1);
}

static void watch(void)
{
  static const int SIGNALS[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM};
  for (size_t i = 0; i < COUNT(SIGNALS); i++) signal(SIGNALS[i], on_crash);
  alarm(PATIENCE_ALL_S);
}

/* Whatever is asked for, little is touched. */
static void check_resident(void)
{
  struct rusage usage;
  require(getrusage(RUSAGE_SELF, &usage) == 0 && usage.ru_maxrss / KB < RESIDENT_MAX_MB);
}

static void random_input(struct input *input, uint32_t *state)
{
  input->count = 1 + next_random(state) % OPS_MAX;
  for (size_t i = 0; i < input->count; i++) {
    uint32_t words[2] = {next_random(state), next_random(state)};
    memcpy(&input->ops[i], words, sizeof words);
  }
}

static int run_random(uint32_t seed, size_t inputs)
{
  struct input input;
  uint32_t state = seed ? seed : 1;
  say("# seed %u\n", seed);
  for (size_t i = 0; i < inputs; i++) {
    random_input(&input, &state);
    run(&input);
  }
  int failed = tell_kinds(inputs);
  for (size_t i = 0; i < wanted_count && inputs >= WANTED_FROM; i++) failed |= wanted[i].met == 0 && !wanted[i].by_chance;
  return failed;
}

static int run_corpus(const char *path)
{
  struct input input;
  size_t inputs = 0;
  for (FILE *file = open_file(path, "re"); read_packed(file, &input); inputs++) run(&input);
  return tell_kinds(inputs);
}

static int run_files(char **paths, size_t count)
{
  struct input input;
  for (size_t i = 0; i < count; i++) {
    read_raw(paths[i], &input);
    run(&input);
  }
  return tell_kinds(count);
}

/* ---- the rest --------------------------------------------------------------------------------------------------------- */

static int print_corpus(const char *path)
{
  struct input input;
  for (FILE *file = open_file(path, "re"); read_packed(file, &input);) {
    print_as_c(&input);
    say("#\n");
  }
  return 0;
}

static int pack(char **paths, size_t count)
{
  struct input input;
  for (size_t i = 0; i < count; i++) {
    read_raw(paths[i], &input);
    if (input.count) print_packed(&input, stdout);
  }
  return 0;
}

static int unpack(const char *path, const char *folder)
{
  struct input input;
  char name[PATH_MAX];
  FILE *file = open_file(path, "re");
  for (size_t i = 0; read_packed(file, &input); i++) {
    snprintf(name, sizeof name, "%s/%zu", folder, i);
    FILE *out = open_file(name, "we");
    fwrite(input.ops, sizeof *input.ops, input.count, out);
    if (fclose(out) != 0) refuse(name);
  }
  return 0;
}

static int name_wanted(void)
{
  for (size_t i = 0; i < wanted_count; i++) puts(wanted[i].name);
  return 0;
}

static int run_calls(int argc, char **argv)
{
  const char *library = getenv("OSMEM_LIB"), *corpus = NULL;
  uint32_t seed = (uint32_t)time(NULL);
  size_t inputs = 1000;
  char **replay = NULL;
  const char *fault = engines_open(library ? library : "libosmem.so");
  if (fault) errno = 0, refuse(fault);
  for (int i = 1; i < argc && !replay; i++) {
    bool last = i + 1 == argc;
    errno = 0;
    if (last) refuse(argv[i]);
    if (strcmp(argv[i], "--seed") == 0) seed = (uint32_t)strtoul(argv[++i], NULL, 0);
    else if (strcmp(argv[i], "--inputs") == 0) inputs = strtoul(argv[++i], NULL, 0);
    else if (strcmp(argv[i], "--corpus") == 0) corpus = argv[++i];
    else if (strcmp(argv[i], "--replay") == 0) replay = &argv[i + 1];
    else if (strcmp(argv[i], "--spoil") != 0 || !engines_spoil(argv[++i])) refuse(argv[i]);
  }
  watch();
  int failed = replay ? run_files(replay, (size_t)(&argv[argc] - replay)) : corpus ? run_corpus(corpus) : run_random(seed, inputs);
  check_resident();
  return failed;
}

int main(int argc, char **argv)
{
  const char *mode = argc > 1 ? argv[1] : "";
  if (strcmp(mode, "--wanted") == 0) return name_wanted();
  if (strcmp(mode, "--print") == 0 && argc == 3) return print_corpus(argv[2]);
  if (strcmp(mode, "--pack") == 0) return pack(argv + 2, (size_t)argc - 2);
  if (strcmp(mode, "--unpack") == 0 && argc == 4) return unpack(argv[2], argv[3]);
  return run_calls(argc, argv);
}
