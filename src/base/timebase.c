/* Clocks and RFC 3339: see timebase.h. The parser reads each digit itself: strptime takes blanks and short fields that
 * no peer sends and that hide a broken one. */
#include "base/timebase.h"

#include <stdbool.h>
#include <stdio.h>
#include <time.h>

static int64_t now_us(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t timebase_monotonic_ms(void)
{
    return now_us(CLOCK_MONOTONIC) / 1000;
}

int64_t timebase_monotonic_us(void)
{
    return now_us(CLOCK_MONOTONIC);
}

int64_t timebase_realtime_ms(void)
{
    return now_us(CLOCK_REALTIME) / 1000;
}

char *timebase_format(int64_t realtime_ms, char buf[TIMEBASE_TEXT_MAX])
{
    int64_t ms = realtime_ms % 1000;
    if (ms < 0) {
        ms += 1000;
    }
    time_t sec = (time_t)((realtime_ms - ms) / 1000);
    struct tm tm = {0};
    gmtime_r(&sec, &tm);
    char text[80];
    snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (tm.tm_year + 1900) % 10000, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)ms);
    snprintf(buf, TIMEBASE_TEXT_MAX, "%.31s", text);
    return buf;
}

/* `count` digits at *at, followed by `behind` unless that is NUL; moves *at past them. */
static bool read_number(const char **at, int count, char behind, int max, int *ret)
{
    int n = 0;
    for (int i = 0; i < count; i++) {
        char c = (*at)[i];
        if (c < '0' || c > '9') {
            return false;
        }
        n = n * 10 + (c - '0');
    }
    *at += count;
    if (n > max || (behind != '\0' && **at != behind)) {
        return false;
    }
    *at += behind != '\0';
    *ret = n;
    return true;
}

/* Any number of digits behind a dot; those past the milliseconds are dropped. */
static bool read_fraction(const char **at, int *ret_ms)
{
    int ms = 0, scale = 100;
    if (**at == '.') {
        const char *start = ++*at;
        for (; **at >= '0' && **at <= '9'; ++*at, scale /= 10) {
            ms += (**at - '0') * scale;
        }
        if (*at == start) {
            return false;
        }
    }
    *ret_ms = ms;
    return true;
}

static bool read_offset(const char **at, int *ret_seconds)
{
    int hours, minutes;
    char sign = **at;
    if (sign == 'Z' || sign == 'z') {
        ++*at;
        *ret_seconds = 0;
        return true;
    }
    if (sign != '+' && sign != '-') {
        return false;
    }
    ++*at;
    if (!read_number(at, 2, ':', 23, &hours) || !read_number(at, 2, '\0', 59, &minutes)) {
        return false;
    }
    *ret_seconds = (hours * 3600 + minutes * 60) * (sign == '-' ? -1 : 1);
    return true;
}

int64_t timebase_parse(const char *text)
{
    struct tm tm = {0};
    int ms, offset;
    bool ok = read_number(&text, 4, '-', 9999, &tm.tm_year) && read_number(&text, 2, '-', 12, &tm.tm_mon) &&
              read_number(&text, 2, '\0', 31, &tm.tm_mday) && (*text == 'T' || *text == 't' || *text == ' ');
    if (!ok) {
        return -1;
    }
    text++;
    ok = read_number(&text, 2, ':', 23, &tm.tm_hour) && read_number(&text, 2, ':', 59, &tm.tm_min) &&
         read_number(&text, 2, '\0', 60, &tm.tm_sec) && read_fraction(&text, &ms) && read_offset(&text, &offset);
    if (!ok || *text != '\0' || tm.tm_mon < 1 || tm.tm_mday < 1) {
        return -1;
    }
    int day = tm.tm_mday, seconds = tm.tm_sec; /* 60 of a leap second may reach into the next day */
    tm.tm_sec = 0;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    time_t sec = timegm(&tm);
    return tm.tm_mday != day ? -1 : ((int64_t)sec + seconds - offset) * 1000 + ms;
}
