/* The only place that asks the system for the time. Decisions take `now_ms` as a parameter instead. */
#ifndef KVASS_BASE_TIMEBASE_H
#define KVASS_BASE_TIMEBASE_H

#include <stddef.h>
#include <stdint.h>

int64_t timebase_monotonic_ms(void);
int64_t timebase_monotonic_us(void);
int64_t timebase_realtime_ms(void); /* since 1970 */

/* RFC 3339 in UTC with milliseconds, "2026-01-02T03:04:05.678Z"; buf of at least 32 bytes. Returns buf. */
#define TIMEBASE_TEXT_MAX 32
char *timebase_format(int64_t realtime_ms, char buf[TIMEBASE_TEXT_MAX]);

/* Milliseconds since 1970 of an RFC 3339 text with any fraction and offset; -1 when it is none. Go's zero time, the
 * year 1, is negative: a peer that means "never" is told by <= 0. */
int64_t timebase_parse(const char *text);

#endif
