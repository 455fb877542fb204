/* SPDX-License-Identifier: MIT */
/* The model's weather: see ../model/weather.h. */
#include "../model/weather.h"

#include "../../src/os.h"
#include "world.h"

#include <pthread.h>

enum weather { REFUSALS_FEW, REFUSALS_FEW_TOO, REFUSALS, LIMIT, SOFT_LIMIT, STRANGER_COMES, STRANGER_GOES, FAIR, WEATHERS };

static size_t held(void) { return __atomic_load_n(&sys_counters.bytes_held, __ATOMIC_RELAXED); }

static void refuse(unsigned kinds, size_t times)
{
  world.refusals = times;
  world.refuse = kinds;
}

static pthread_mutex_t one_change_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static size_t changes; /* atomic; a change that is not counted yet is still the weather */

void weather_change(const struct op *op)
{
  size_t little = op->shape;
  pthread_mutex_lock(&one_change_at_a_time);
  world.keeps = op->kind & 64;
  switch ((enum weather)(op->amount % WEATHERS)) {
    case REFUSALS_FEW:
    case REFUSALS_FEW_TOO: refuse(op->kind & REFUSE_ALL, 1 + little % 8); break;
    case REFUSALS: refuse(op->kind & REFUSE_ALL, SIZE_MAX); break;
    case LIMIT: sys_limits.hard = held() + little * 512; break;
    case SOFT_LIMIT: sys_limits.soft = held() + little * 512; break;
    case STRANGER_COMES: world_stranger_comes(1 + little * 40); break;
    case STRANGER_GOES: world_stranger_goes(); break;
    default: world_fair();
  }
  __atomic_fetch_add(&changes, 1, __ATOMIC_SEQ_CST);
  pthread_mutex_unlock(&one_change_at_a_time);
}

bool weather_is_foul(void) { return sys_limits.hard > 0 || (world.refuse && world.refusals > 0); }

size_t weather_events(void)
{
  return __atomic_load_n(&world.refused, __ATOMIC_RELAXED) + __atomic_load_n(&changes, __ATOMIC_SEQ_CST);
}

void weather_clear(void) { world_fair(); }

void weather_look(void) { world_look(); }
