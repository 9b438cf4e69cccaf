/* Go's ParseFloat as a predicate. The only hard part is the range error: a finite decimal is refused when it
 * rounds to infinity, that is when it is at least 2^1024 - 2^970. Both sides are compared as decimal digit
 * strings, so no rounding of ours can disagree with Go's. Exponents stop growing at 10000 as in Go, whatever
 * follows. */
#include "expfmt/number.h"

#include <strings.h>

#define EXPONENT_STOP 10000
#define OVERFLOW_DIGITS 309

/* 2^1024 - 2^970: the smallest number that rounds to infinity. */
static const char OVERFLOW_FROM[] =
    "1797693134862315807937289714053034150799341327100378269361737789804449682927647509466490179775872070"
    "9633028641669288791094655554785194040263065748867150582068190890200070838367627385484581771153176447"
    "5730270069855571366959622842914819860834936475292719074168444365510704342711559699508093042880177904"
    "174497792";

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Infinity takes a sign, NaN does not. */
static enum number_kind special_kind(struct view text)
{
    if (text.len == 3 && strncasecmp(text.base, "nan", 3) == 0) {
        return NUMBER_NAN;
    }
    if (text.len > 0 && (text.base[0] == '+' || text.base[0] == '-')) {
        text = view_make(text.base + 1, text.len - 1);
    }
    bool infinite = (text.len == 3 && strncasecmp(text.base, "inf", 3) == 0) ||
                    (text.len == 8 && strncasecmp(text.base, "infinity", 8) == 0);
    return infinite ? NUMBER_INFINITE : NUMBER_BAD;
}

/* mantissa: digits with at most one point. scale: power of ten behind it. */
static bool overflows(struct view mantissa, int64_t scale)
{
    const char *point = memchr(mantissa.base, '.', mantissa.len);
    size_t whole = point != NULL ? (size_t)(point - mantissa.base) : mantissa.len;
    size_t first = 0;
    while (first < mantissa.len && (mantissa.base[first] == '0' || mantissa.base[first] == '.')) {
        first++;
    }
    if (first == mantissa.len) {
        return false;
    }
    int64_t magnitude = scale + (int64_t)whole - (int64_t)first + (first > whole ? 1 : 0);
    if (magnitude != OVERFLOW_DIGITS) {
        return magnitude > OVERFLOW_DIGITS;
    }
    for (size_t i = first, n = 0; n < OVERFLOW_DIGITS; i++) {
        if (i < mantissa.len && mantissa.base[i] == '.') {
            continue;
        }
        char digit = i < mantissa.len ? mantissa.base[i] : '0';
        if (digit != OVERFLOW_FROM[n]) {
            return digit > OVERFLOW_FROM[n];
        }
        n++;
    }
    return true;
}

/* The exponent from position i (just behind the e) to the end; false when it is none. */
static bool exponent_read(struct view text, size_t i, int64_t *ret)
{
    bool negative = i < text.len && text.base[i] == '-';
    i += negative || (i < text.len && text.base[i] == '+');
    if (i >= text.len) {
        return false;
    }
    int64_t e = 0;
    for (; i < text.len; i++) {
        if (!is_digit(text.base[i])) {
            return false;
        }
        e = e < EXPONENT_STOP ? e * 10 + (text.base[i] - '0') : e;
    }
    *ret = negative ? -e : e;
    return true;
}

enum number_kind number_float_kind(struct view text)
{
    size_t i = text.len > 0 && (text.base[0] == '+' || text.base[0] == '-');
    size_t begin = i, digits = 0, points = 0;
    for (; i < text.len && (is_digit(text.base[i]) || (text.base[i] == '.' && points == 0)); i++) {
        points += text.base[i] == '.';
        digits += text.base[i] != '.';
    }
    if (digits == 0) {
        return special_kind(text);
    }
    struct view mantissa = view_make(text.base + begin, i - begin);
    int64_t scale = 0;
    if (i < text.len && ((text.base[i] | 0x20) != 'e' || !exponent_read(text, i + 1, &scale))) {
        return NUMBER_BAD;
    }
    return overflows(mantissa, scale) ? NUMBER_RANGE : NUMBER_FINITE;
}

int64_t number_whole(struct view text)
{
    bool negative = text.len > 0 && text.base[0] == '-';
    size_t i = text.len > 0 && (negative || text.base[0] == '+'), mantissa = i;
    while (i < text.len && (is_digit(text.base[i]) || text.base[i] == '.')) {
        i++;
    }
    int64_t scale = 0, value = 0;
    if (i < text.len && !exponent_read(text, i + 1, &scale)) {
        return 0;
    }
    const char *point = memchr(text.base + mantissa, '.', i - mantissa);
    int64_t whole =
        scale + (point != NULL ? point - text.base : (int64_t)i) - (int64_t)mantissa; /* digits before the point */
    for (size_t k = mantissa; whole > 0 && value < INT64_MAX / 10 - 1; k++) {
        if (k < i && text.base[k] == '.') {
            continue;
        }
        value = value * 10 + (k < i ? text.base[k] - '0' : 0);
        whole--;
        if (k >= i && value == 0) {
            break;
        }
    }
    value = whole > 0 && value != 0 ? INT64_MAX : value;
    return negative ? -value : value;
}

bool number_fits_int64(struct view text)
{
    while (text.len > 1 && text.base[0] == '0') {
        text = view_make(text.base + 1, text.len - 1);
    }
    return text.len < 19 || (text.len == 19 && memcmp(text.base, "9223372036854775807", 19) <= 0);
}
