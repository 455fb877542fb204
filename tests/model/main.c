/* SPDX-License-Identifier: MIT */
/* The model test's program.
 *
 *   model [--seed S] [--ops N]   random operations; the seed is printed, and taken from the clock unless told. What fails is
 *                                repeated, minimised, written to a file and printed as lines of C
 *   model --replay FILE          the operations of a file: of one that this program wrote, or of a fuzzer's finding; with --out
 *                                minimised too if they fail
 *   model --corpus FILE          lists of operations, a line of hex digits each, each on a heap that nobody has used
 *   model --print FILE           as lines of C
 *   model --write FILE           random operations into a file, run by nobody: a fuzzer's first corpus
 *
 *   --threads T (1)  --turns     T threads; in the order of the list
 *   --validate N (1000)          the whole heap after every N steps (threads that run free: when they meet)
 *   --places P (1024)            pointers per thread
 *   --sampled  --guarded         OSMEM_OPTIONS has the library take samples: which tier a block is of nobody knows; and has a guard pool
 *   --out FILE (model.ops)       where a minimised list goes
 *   --budget S (60)              seconds that minimising may take
 *
 * Exit 0: all was well. 1: a failure was found. 2: wrong usage. */
#include "minimise.h"

#include "../verbs.h"

#include <getopt.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

enum { RUN_PATIENCE_S = 900 };

struct options {
  struct setting setting;
  uint64_t seed, ops;
  unsigned budget_s;
  const char *replay, *print, *write, *corpus, *out;
};

static _Noreturn void refuse(const char *what)
{
  say("model: %s: %s\n", what, errno ? strerror(errno) : "not understood");
  exit(2);
}

/* ---- files ------------------------------------------------------------------------------------------------------------ */

struct ops {
  struct op *at;
  size_t count;
};

/* A private copy. */
static struct ops read_ops(const char *path)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (fd < 0 || fstat(fd, &status) != 0) refuse(path);
  struct ops ops = {.count = (size_t)status.st_size / sizeof *ops.at};
  if (ops.count == 0) refuse(path);
  ops.at = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  if (ops.at == MAP_FAILED) refuse(path);
  close(fd);
  return ops;
}

static void write_ops(const char *path, struct ops ops)
{
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  size_t bytes = ops.count * sizeof *ops.at;
  if (fd < 0 || write(fd, ops.at, bytes) != (ssize_t)bytes || close(fd) != 0) refuse(path);
}

static void print_ops(const struct setting *setting, struct ops ops)
{
  char line[200];
  for (size_t i = 0; i < ops.count; i++) {
    model_describe(&ops.at[i], setting, line, sizeof line);
    say("#   %s\n", line);
  }
}

/* The first `count` operations of a seed. */
static struct ops random_ops(const struct options *options, uint64_t count)
{
  struct chance chance;
  chance_begin(&chance, &options->setting, options->seed, options->ops);
  struct ops ops = {.count = count};
  ops.at = mmap(NULL, count * sizeof *ops.at, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (ops.at == MAP_FAILED) refuse("memory");
  for (size_t done = 0, got; done < count; done += got) {
    const struct op *batch = chance.source.more(&chance.source, &got);
    if (got > count - done) got = count - done;
    memcpy(ops.at + done, batch, got * sizeof *batch);
  }
  return ops;
}

/* ---- verdicts --------------------------------------------------------------------------------------------------------- */

static void say_setting(const struct setting *setting)
{
  say("--threads %u%s --validate %u --places %u%s", setting->threads, setting->turns ? " --turns" : "", setting->validate_at,
      setting->places, setting->guarded ? " --guarded" : setting->sampled ? " --sampled" : "");
}

static void say_end(int status, uint64_t step)
{
  if (WIFSIGNALED(status)) say("# ended by %s in step %llu\n", strsignal(WTERMSIG(status)), (unsigned long long)step);
  else say("# ended with status %d in step %llu\n", WEXITSTATUS(status), (unsigned long long)step);
}

static struct outcome run_ops(const struct setting *setting, struct ops ops)
{
  struct list list;
  list_begin(&list, ops.at, ops.count);
  return run_in_child(setting, &list.source, RUN_PATIENCE_S, false);
}

static void make_short(struct options *options, struct ops ops)
{
  enum { SHOWN = 60, TRIES = 5 };
  ops.count = minimise(&options->setting, ops.at, ops.count, options->budget_s);
  const char *path = options->out ? options->out : "model.ops";
  write_ops(path, ops);
  say("# minimised to %zu operations:\n", ops.count);
  print_ops(&options->setting, (struct ops){ops.at, ops.count < SHOWN ? ops.count : SHOWN});
  say("# which end so:\n");
  struct outcome outcome = {0};
  for (int tries = 0; tries < TRIES && outcome.status == 0; tries++) outcome = run_ops(&options->setting, ops);
  if (outcome.status == 0) say("# well: threads that run free do not always fail\n");
  else say_end(outcome.status, outcome.steps);
  say("# again: model ");
  say_setting(&options->setting);
  say(" --replay %s\n", path);
}

static int run_random(struct options *options)
{
  struct chance chance;
  chance_begin(&chance, &options->setting, options->seed, options->ops);
  say("# model --seed %llu --ops %llu ", (unsigned long long)options->seed, (unsigned long long)options->ops);
  say_setting(&options->setting);
  say("\n");
  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  struct outcome outcome = run_in_child(&options->setting, &chance.source, RUN_PATIENCE_S, false);
  clock_gettime(CLOCK_MONOTONIC, &end);
  double seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
  if (outcome.status == 0) {
    say("# %llu steps in %.1f s, %llu rounds, at most %llu MB from the kernel\n", (unsigned long long)options->ops, seconds,
        (unsigned long long)outcome.meetings, (unsigned long long)(outcome.peak_bytes / MB));
    return 0;
  }
  say_end(outcome.status, outcome.steps);
  make_short(options, random_ops(options, outcome.steps ? outcome.steps : 1));
  return 1;
}

static int run_replay(struct options *options)
{
  struct ops ops = read_ops(options->replay);
  struct outcome outcome = run_ops(&options->setting, ops);
  if (outcome.status == 0) return 0;
  say_end(outcome.status, outcome.steps);
  if (options->out) make_short(options, ops);
  return 1;
}

/* The operations that a line of hex digits says; what is not whole operations is refused. */
static struct ops ops_of_line(const char *line, size_t length)
{
  static struct op ops[4096];
  size_t bytes = length / 2;
  if (bytes % sizeof *ops || bytes > sizeof ops || strspn(line, "0123456789abcdef") != length) refuse("a line of the corpus");
  for (size_t i = 0; i < bytes; i++) {
    char digits[] = {line[2 * i], line[2 * i + 1], 0};
    ((unsigned char *)ops)[i] = (unsigned char)strtoul(digits, NULL, 16);
  }
  return (struct ops){ops, bytes / sizeof *ops};
}

static int run_corpus(struct options *options)
{
  struct ops file = read_ops(options->corpus); /* whole words of it; it ends in empty lines */
  size_t lines = 0, length;
  const char *line = (const char *)file.at, *end = (const char *)(file.at + file.count);
  for (; line < end && (length = strcspn(line, "\n")) > 0; line += length + 1, lines++) {
    struct ops ops = ops_of_line(line, length);
    struct outcome outcome = run_ops(&options->setting, ops);
    if (outcome.status == 0) continue;
    say("# line %zu of the corpus:\n", lines + 1);
    say_end(outcome.status, outcome.steps);
    make_short(options, ops);
    return 1;
  }
  say("# %zu lists of operations\n", lines);
  return lines == 0;
}

/* ---- usage ------------------------------------------------------------------------------------------------------------ */

static uint64_t number(const char *text, uint64_t least, uint64_t most)
{
  char *end;
  errno = 0;
  uint64_t value = strtoull(text, &end, 0);
  if (*text == 0 || *end != 0 || value < least || value > most) refuse(text);
  return value;
}

static struct options options_of(int argc, char **argv)
{
  static const struct option NAMES[] = {
      {"seed", 1, NULL, 's'},   {"ops", 1, NULL, 'n'},    {"threads", 1, NULL, 't'}, {"turns", 0, NULL, 'u'},
      {"validate", 1, NULL, 'v'}, {"places", 1, NULL, 'p'}, {"replay", 1, NULL, 'r'},  {"print", 1, NULL, 'P'},
      {"write", 1, NULL, 'w'},  {"out", 1, NULL, 'o'},    {"budget", 1, NULL, 'b'}, {"corpus", 1, NULL, 'c'},
      {"sampled", 0, NULL, 'S'}, {"guarded", 0, NULL, 'g'},   {0}};
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  struct options options = {.setting = {.threads = 1, .validate_at = 1000, .places = PLACES_MAX},
                            .seed = (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000,
                            .ops = 100000,
                            .budget_s = 60};
  for (int name; (name = getopt_long(argc, argv, "", NAMES, NULL)) != -1;) switch (name) {
      case 's': options.seed = number(optarg, 0, UINT64_MAX); break;
      case 'n': options.ops = number(optarg, 1, UINT64_MAX); break;
      case 't': options.setting.threads = (unsigned)number(optarg, 1, PARTIES_MAX); break;
      case 'u': options.setting.turns = true; break;
      case 'v': options.setting.validate_at = (unsigned)number(optarg, 1, UINT_MAX); break;
      case 'p': options.setting.places = (unsigned)number(optarg, 1, PLACES_MAX); break;
      case 'b': options.budget_s = (unsigned)number(optarg, 0, UINT_MAX); break;
      case 'c': options.corpus = optarg; break;
      case 'S': options.setting.sampled = true; break;
      case 'g': options.setting.sampled = options.setting.guarded = true; break;
      case 'r': options.replay = optarg; break;
      case 'P': options.print = optarg; break;
      case 'w': options.write = optarg; break;
      case 'o': options.out = optarg; break;
      default: exit(2);
    }
  if (optind != argc) refuse(argv[optind]);
  return options;
}

int main(int argc, char **argv)
{
  struct options options = options_of(argc, argv);
  if (options.print) {
    print_ops(&options.setting, read_ops(options.print));
    return 0;
  }
  if (options.write) {
    write_ops(options.write, random_ops(&options, options.ops));
    return 0;
  }
  if (!runs_on_osmem()) refuse("not on osmem");
  if (options.corpus) return run_corpus(&options);
  return options.replay ? run_replay(&options) : run_random(&options);
}
