#include "base/timebase.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t now_us(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t timebase_monotonic_us(void)
{
    return now_us(CLOCK_MONOTONIC);
}

int64_t timebase_monotonic_ms(void)
{
    return now_us(CLOCK_MONOTONIC) / 1000;
}

int64_t timebase_realtime_ms(void)
{
    return now_us(CLOCK_REALTIME) / 1000;
}

char *timebase_format(int64_t realtime_ms, char buf[TIMEBASE_TEXT_MAX])
{
    time_t sec = (time_t)(realtime_ms / 1000);
    struct tm tm;
    gmtime_r(&sec, &tm);
    size_t n = strftime(buf, TIMEBASE_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(buf + n, TIMEBASE_TEXT_MAX - n, ".%03dZ", (int)(realtime_ms % 1000));
    return buf;
}

int64_t timebase_parse(const char *text)
{
    struct tm tm = {0};
    char *at = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (at == NULL) {
        return -1;
    }
    int64_t ms = 0, scale = 100;
    if (*at == '.') {
        for (at++; *at >= '0' && *at <= '9'; at++, scale /= 10) {
            ms += (*at - '0') * scale;
        }
    }
    int64_t offset = 0;
    if (*at == '+' || *at == '-') {
        int h, m;
        char sign = *at;
        if (sscanf(at + 1, "%2d:%2d", &h, &m) != 2) {
            return -1;
        }
        offset = (h * 3600 + m * 60) * (sign == '-' ? -1 : 1);
        at += 6;
    } else if (*at == 'Z' || *at == 'z') {
        at++;
    } else {
        return -1;
    }
    return *at != '\0' ? -1 : ((int64_t)timegm(&tm) - offset) * 1000 + ms;
}
