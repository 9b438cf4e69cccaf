/* Durations and sizes: see duration.h. */
#include "base/duration.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct unit {
    const char *name;
    int64_t ms;
};

static const struct unit UNITS[] = {
    {"y", INT64_C(365) * 86400000}, {"w", INT64_C(7) * 86400000}, {"d", 86400000}, {"h", 3600000},
    {"m", 60000},                   {"s", 1000},                  {"ms", 1},
};
#define UNIT_COUNT (sizeof(UNITS) / sizeof(UNITS[0]))
#define MS_MAX     (INT64_MAX / 1000000) /* Prometheus counts nanoseconds in an int64 */

static int bad_duration(struct view text, struct errctx *err)
{
    return errctx_set(err, ERR_PARSE, "not a valid duration string: \"%.*s\"", VIEW_FMT(text));
}

/* Digits at *at; false when there is none or they overflow. */
static bool read_digits(struct view text, size_t *at, int64_t *ret)
{
    size_t start = *at;
    int64_t n = 0;
    for (; *at < text.len && text.base[*at] >= '0' && text.base[*at] <= '9'; ++*at) {
        if (n > (INT64_MAX - 9) / 10) {
            return false;
        }
        n = n * 10 + (text.base[*at] - '0');
    }
    *ret = n;
    return *at > start;
}

static size_t read_unit(struct view text, size_t *at)
{
    size_t start = *at;
    while (*at < text.len && text.base[*at] >= 'a' && text.base[*at] <= 'z') {
        ++*at;
    }
    struct view name = view_make(text.base + start, *at - start);
    for (size_t i = 0; i < UNIT_COUNT; i++) {
        if (view_is(name, UNITS[i].name)) {
            return i;
        }
    }
    return UNIT_COUNT;
}

int duration_parse_prometheus(struct view text, int64_t *ret_ms, struct errctx *err)
{
    if (text.len == 0) {
        return errctx_set(err, ERR_PARSE, "empty duration string");
    }
    if (view_is(text, "0")) {
        *ret_ms = 0;
        return 0;
    }
    int64_t total = 0;
    size_t next_unit = 0;
    for (size_t at = 0; at < text.len;) {
        int64_t n;
        if (!read_digits(text, &at, &n)) {
            return bad_duration(text, err);
        }
        size_t unit = read_unit(text, &at);
        if (unit == UNIT_COUNT || unit < next_unit) {
            return bad_duration(text, err);
        }
        next_unit = unit + 1;
        if (n > MS_MAX / UNITS[unit].ms || total > MS_MAX - n * UNITS[unit].ms) {
            return errctx_set(err, ERR_PARSE, "duration out of range: \"%.*s\"", VIEW_FMT(text));
        }
        total += n * UNITS[unit].ms;
    }
    *ret_ms = total;
    return 0;
}

char *duration_format_prometheus(int64_t ms, char buf[DURATION_TEXT_MAX])
{
    size_t at = 0;
    buf[0] = '\0';
    if (ms == 0) {
        snprintf(buf, DURATION_TEXT_MAX, "0s");
        return buf;
    }
    for (size_t i = 0; i < UNIT_COUNT; i++) {
        bool exact_only = i < 2;
        if (exact_only && ms % UNITS[i].ms != 0) {
            continue;
        }
        int64_t n = ms / UNITS[i].ms;
        if (n > 0) {
            at += (size_t)snprintf(buf + at, DURATION_TEXT_MAX - at, "%lld%s", (long long)n, UNITS[i].name);
            ms -= n * UNITS[i].ms;
        }
    }
    return buf;
}

int duration_parse_go(struct view text, int64_t *ret_ms, struct errctx *err)
{
    if (view_is(text, "0")) {
        *ret_ms = 0;
        return 0;
    }
    double total = 0;
    size_t at = 0;
    if (text.len == 0 || text.len > 64) {
        return bad_duration(text, err);
    }
    while (at < text.len) {
        char number[65];
        size_t n = 0;
        while (at < text.len && ((text.base[at] >= '0' && text.base[at] <= '9') || text.base[at] == '.')) {
            number[n++] = text.base[at++];
        }
        number[n] = '\0';
        char *end = number;
        double value = n != 0 ? strtod(number, &end) : 0;
        size_t unit = read_unit(text, &at);
        if (n == 0 || *end != '\0' || unit == UNIT_COUNT) {
            return bad_duration(text, err);
        }
        total += value * (double)UNITS[unit].ms;
    }
    if (!(total < (double)MS_MAX)) {
        return errctx_set(err, ERR_PARSE, "duration out of range: \"%.*s\"", VIEW_FMT(text));
    }
    *ret_ms = (int64_t)llround(total);
    return 0;
}

char *size_format(uint64_t bytes, char buf[DURATION_TEXT_MAX])
{
    static const char *const UNIT_NAMES[] = {"B", "KB", "MB", "GB", "TB", "PB", "EB"};
    unsigned unit = 0;
    while (unit < 6 && bytes != 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    snprintf(buf, DURATION_TEXT_MAX, "%llu%s", (unsigned long long)bytes, UNIT_NAMES[unit]);
    return buf;
}

static int bad_size(struct view text, struct errctx *err)
{
    return errctx_set(err, ERR_PARSE, "not a valid size: \"%.*s\", expected a number and a unit such as 10MB",
                      VIEW_FMT(text));
}

/* Bytes of a unit, 0 for an unknown one. */
static uint64_t unit_bytes(struct view unit)
{
    static const char LETTERS[] = "KMGTPE";
    if (view_is(unit, "B")) {
        return 1;
    }
    const char *letter = unit.len >= 2 && unit.base[0] != '\0' ? strchr(LETTERS, unit.base[0]) : NULL;
    struct view rest = letter != NULL ? view_make(unit.base + 1, unit.len - 1) : unit;
    if (letter == NULL || (!view_is(rest, "B") && !view_is(rest, "iB"))) {
        return 0;
    }
    return UINT64_C(1) << (10 * (letter - LETTERS + 1));
}

/* One number with its unit at *at, added to *total. */
static bool add_size_part(struct view text, size_t *at, uint64_t *total)
{
    int64_t whole = 0;
    double fraction = 0, scale = 0.1;
    bool any = read_digits(text, at, &whole);
    if (*at < text.len && text.base[*at] == '.') {
        for (++*at; *at < text.len && text.base[*at] >= '0' && text.base[*at] <= '9'; ++*at, scale /= 10) {
            fraction += (text.base[*at] - '0') * scale;
            any = true;
        }
    }
    size_t start = *at;
    while (*at < text.len && text.base[*at] != '.' && (text.base[*at] < '0' || text.base[*at] > '9')) {
        ++*at;
    }
    uint64_t unit = unit_bytes(view_make(text.base + start, *at - start));
    uint64_t part, extra = (uint64_t)(fraction * (double)unit);
    return any && unit != 0 && !__builtin_mul_overflow((uint64_t)whole, unit, &part) &&
           !__builtin_add_overflow(part, extra, &part) && !__builtin_add_overflow(*total, part, total) &&
           *total <= INT64_MAX;
}

int size_parse(struct view text, uint64_t *ret_bytes, struct errctx *err)
{
    uint64_t total = 0;
    if (text.len == 0) {
        return bad_size(text, err);
    }
    for (size_t at = 0; at < text.len;) {
        if (!add_size_part(text, &at, &total)) {
            return bad_size(text, err);
        }
    }
    *ret_bytes = total;
    return 0;
}
