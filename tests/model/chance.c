/* SPDX-License-Identifier: MIT */
/* Random operations. Each is eight random bytes, bent to the mood of the moment: uniform bytes alone would hold every heap at the same
 * medium fill with all sizes mixed, and never see a burst of one size, a heap that drains, or a hot place. */
#include "../../src/geometry.h"
#include "weather.h"

#include <string.h>

enum { BATCH = 64 * 1024, MOOD_STEPS_MAX = 6000, ROUND_STEPS = 8000, TRIM_ONE_IN = SIZED(1000, 50), WEATHER_ONE_IN = 100, SAME_THREAD = 7 /* of 8 steps */ };

struct mood {
  unsigned steps;            /* left of it */
  uint8_t kind_from, kinds;  /* sizes */
  uint16_t place_mask;       /* fewer places: hotter memory, a smaller heap */
  bool same;                 /* all of nearly one size, */
  uint16_t amount;           /* this one */
  uint8_t drain, fill, trade; /* of 256: steps that become a free, an allocation, an exchange with other threads */
};

static struct op batch[BATCH];
static struct mood mood;
static uint8_t thread;

/* splitmix64 */
static uint64_t next(uint64_t *state)
{
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* All kinds, or a few: those next to each other in the list of kinds are related. */
static void change_mood(uint64_t dice)
{
  static const uint8_t RANGES[][2] = {{0, 255}, {0, 255}, {0, 128}, {80, 48}, {128, 110}, {182, 60}};
  static const uint16_t MASKS[] = {7, 31, 63, 255, 1023, 1023};
  static const uint8_t BALANCES[][3] = {{0}, {0}, {128, 0, 0}, {0, 128, 0}, {220, 0, 0}, {0, 0, 110}, {60, 60, 100}};
  const uint8_t *range = RANGES[dice % 6], *balance = BALANCES[dice / 36 % 7];
  mood = (struct mood){
      .steps = 1 + dice / 1024 % MOOD_STEPS_MAX,
      .kind_from = range[0],
      .kinds = dice >> 41 & 1 ? range[1] : 1 + range[1] / 16,
      .place_mask = MASKS[dice / 6 % 6],
      .same = dice >> 40 & 1,
      .amount = (uint16_t)(dice >> 48),
      .drain = balance[0],
      .fill = balance[1],
      .trade = balance[2],
  };
}

static void bend(struct op *op, uint64_t dice, const struct setting *setting)
{
  if (mood.steps-- == 0) change_mood(dice);
  if (setting->turns && dice % 8 < SAME_THREAD) op->thread = (uint8_t)((op->thread & ~(PARTIES_MAX - 1)) | thread);
  thread = op->thread % PARTIES_MAX;
  op->kind = (uint8_t)(mood.kind_from + op->kind % mood.kinds);
  if (mood.same) op->amount = (uint16_t)(mood.amount + op->amount % 4);
  op->place &= mood.place_mask;
  dice >>= 8;
  enum verb verb = model_verb(op);
  unsigned turn = dice % 256;
  if (turn < mood.drain || verb == TRIM || verb == WEATHER || verb == MEET)
    model_set_verb(op, RELEASE);
  else if ((turn -= mood.drain) < mood.fill)
    model_set_verb(op, ALLOCATE);
  else if (turn - mood.fill < mood.trade)
    model_set_verb(op, PASS);
  dice >>= 8;
  if (dice % TRIM_ONE_IN == 0) model_set_verb(op, TRIM);
  if (weather_change && dice % WEATHER_ONE_IN == 2) model_set_verb(op, WEATHER);
  if (dice % ROUND_STEPS == 1) model_set_verb(op, MEET);
}

static const struct op *more(struct source *source, size_t *count)
{
  struct chance *chance = (struct chance *)source;
  *count = chance->left < BATCH ? chance->left : BATCH;
  chance->left -= *count;
  for (size_t i = 0; i < *count; i++) {
    uint64_t bytes = next(&chance->seed);
    memcpy(&batch[i], &bytes, sizeof batch[i]);
    bend(&batch[i], next(&chance->seed), &chance->setting);
  }
  return *count ? batch : NULL;
}

void chance_begin(struct chance *chance, const struct setting *setting, uint64_t seed, uint64_t count)
{
  *chance = (struct chance){.source.more = more, .setting = *setting, .seed = seed, .left = count};
  mood = (struct mood){0};
  change_mood(next(&chance->seed));
}
