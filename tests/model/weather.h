/* SPDX-License-Identifier: MIT */
/* The kernel's part in a model run, where it is in the test's hands: tests/tiny/weather.c. Elsewhere these are all NULL, and the weather
 * is always fair. */
#ifndef WEATHER_H
#define WEATHER_H

#include "model.h"

#define WHERE_THERE_IS_WEATHER __attribute__((weak))

/* Calls are refused from now on, or a limit is set, or others move the break, or all that is over: as the operation says. */
extern void weather_change(const struct op *op) WHERE_THERE_IS_WEATHER;
/* May an allocation fail now? */
extern bool weather_is_foul(void) WHERE_THERE_IS_WEATHER;
/* How often a call was refused, or the weather changed, so far. */
extern size_t weather_events(void) WHERE_THERE_IS_WEATHER;
extern void weather_clear(void) WHERE_THERE_IS_WEATHER;
/* What others keep beside the heap is as they left it, or the run ends. */
extern void weather_look(void) WHERE_THERE_IS_WEATHER;

#endif
