/* Float spelling. Digits and exponent are taken from a decimal text and put together anew in Go's form: exponent
 * notation from 1e+06 up and below 1e-04, else positional. */
#include "expfmt/float_text.h"

#include "base/json_writer.h"
#include "expfmt/number.h"

#include <math.h>
#include <stdio.h>

#define DIGITS_SURE 15
#define DIGITS_MAX 20
#define EXPONENT_MAX 300

/* value = 0.d1d2d3... times ten to the power of point */
struct decimal {
    bool negative;
    char digits[DIGITS_MAX];
    int count, point;
};

/* text: a finite number. False when it has too many digits. */
static bool decimal_read(struct view text, struct decimal *ret)
{
    struct decimal d = {0};
    bool behind_point = false;
    size_t i = 0;
    d.negative = text.len > 0 && text.base[0] == '-';
    i += text.len > 0 && (text.base[0] == '-' || text.base[0] == '+');
    for (; i < text.len && (text.base[i] | 0x20) != 'e'; i++) {
        if (text.base[i] == '.') {
            behind_point = true;
            continue;
        }
        bool leading = d.count == 0 && text.base[i] == '0';
        d.point += (leading ? 0 : 1) - (behind_point ? 1 : 0);
        if (!leading) {
            if (d.count == DIGITS_MAX) {
                return false;
            }
            d.digits[d.count++] = text.base[i];
        }
    }
    int exponent = 0;
    if (i < text.len) {
        bool minus = ++i < text.len && text.base[i] == '-';
        for (i += text.base[i] == '-' || text.base[i] == '+'; i < text.len; i++) {
            exponent = exponent < 10000 ? exponent * 10 + (text.base[i] - '0') : exponent;
        }
        exponent = minus ? -exponent : exponent;
    }
    d.point += exponent;
    while (d.count > 0 && d.digits[d.count - 1] == '0') {
        d.count--;
    }
    *ret = d;
    return true;
}

static size_t put_exponent_form(const struct decimal *d, char *out)
{
    size_t n = 0;
    out[n++] = d->digits[0];
    if (d->count > 1) {
        out[n++] = '.';
        memcpy(out + n, d->digits + 1, (size_t)d->count - 1);
        n += (size_t)d->count - 1;
    }
    int e = d->point - 1;
    return n + (size_t)snprintf(out + n, 8, "e%c%02d", e < 0 ? '-' : '+', e < 0 ? -e : e);
}

static size_t put_positional(const struct decimal *d, char *out)
{
    size_t n = 0;
    int whole = d->point > 0 ? d->point : 0;
    for (int i = 0; i < whole; i++) {
        out[n++] = i < d->count ? d->digits[i] : '0';
    }
    if (whole == 0) {
        out[n++] = '0';
    }
    out[n++] = '.';
    size_t begin = n;
    for (int i = d->point; i < d->count; i++) {
        out[n++] = i < 0 ? '0' : d->digits[i];
    }
    if (n == begin) {
        out[n++] = '0';
    }
    return n;
}

static struct view decimal_text(const struct decimal *d, char buf[FLOAT_TEXT_MAX])
{
    size_t n = 0;
    if (d->negative) {
        buf[n++] = '-';
    }
    if (d->count == 0) {
        memcpy(buf + n, "0.0", 3);
        return view_make(buf, n + 3);
    }
    int e = d->point - 1;
    bool exponent_form = e < -4 || e >= 6;
    n += exponent_form ? put_exponent_form(d, buf + n) : put_positional(d, buf + n);
    return view_make(buf, n);
}

struct view float_text(double value, char buf[FLOAT_TEXT_MAX])
{
    if (isnan(value)) {
        return VIEW("NaN");
    }
    if (isinf(value)) {
        return value > 0 ? VIEW("+Inf") : VIEW("-Inf");
    }
    struct bytes text;
    struct json_writer w;
    struct decimal d;
    bytes_init(&text, 4096);
    json_writer_init(&w, &text);
    json_double_value(&w, value);
    bool good = decimal_read(bytes_view(&text), &d);
    d.negative = signbit(value) != 0;
    bytes_done(&text);
    return good ? decimal_text(&d, buf) : view_make(NULL, 0);
}

struct view float_text_normalise(struct view text, char buf[FLOAT_TEXT_MAX])
{
    struct decimal d;
    switch (number_float_kind(text)) {
    case NUMBER_NAN:
        return VIEW("NaN");
    case NUMBER_INFINITE:
        return text.base[0] == '-' ? VIEW("-Inf") : VIEW("+Inf");
    case NUMBER_FINITE:
        break;
    default:
        return view_make(NULL, 0);
    }
    if (!decimal_read(text, &d) || d.count > DIGITS_SURE || d.point > EXPONENT_MAX || d.point < -EXPONENT_MAX) {
        return view_make(NULL, 0);
    }
    return decimal_text(&d, buf);
}
