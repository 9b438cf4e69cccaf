/* Which parser a Content-Type gets. Prometheus looks at the media type alone (parameters must be well-formed, are
 * else ignored); version 2 falls back to text for whatever it does not know, version 3 refuses unless the job
 * names a fallback. The grammar of the header follows Go's mime.ParseMediaType, since a header it cannot parse
 * counts as unknown. */
#include "expfmt/counter.h"

#include <ctype.h>
#include <strings.h>

const char *exposition_format_name(enum exposition_format f)
{
    static const char *const names[] = {"text", "openmetrics", "protobuf"};
    return names[f];
}

static bool is_token_char(char c)
{
    return c > 0x20 && c < 0x7f && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

static size_t token_len(struct view v)
{
    size_t n = 0;
    while (n < v.len && is_token_char(v.base[n])) {
        n++;
    }
    return n;
}

static struct view skip(struct view v, size_t n)
{
    return view_make(v.base + n, v.len - n);
}

static struct view trim(struct view v)
{
    while (v.len > 0 && isspace((unsigned char)v.base[0])) {
        v = skip(v, 1);
    }
    while (v.len > 0 && isspace((unsigned char)v.base[v.len - 1])) {
        v.len--;
    }
    return v;
}

/* A quoted parameter value: its length with both quotes, or 0. */
static size_t quoted_len(struct view v)
{
    for (size_t i = 1; i < v.len; i++) {
        if (v.base[i] == '"') {
            return i + 1;
        }
        if (v.base[i] == '\\' && i + 1 < v.len && v.base[i + 1] > 0x20 && !is_token_char(v.base[i + 1])) {
            i++;
        } else if (v.base[i] == '\r' || v.base[i] == '\n') {
            return 0;
        }
    }
    return 0;
}

/* One ";name=value"; the rest, or base NULL when it is none. */
static struct view parameter_skip(struct view v)
{
    const struct view none = {NULL, 0};
    v = trim(v);
    if (v.len == 0 || v.base[0] != ';') {
        return none;
    }
    v = trim(skip(v, 1));
    size_t n = token_len(v);
    if (n == 0) {
        return v.len == 0 ? v : none; /* a trailing semicolon is fine */
    }
    v = trim(skip(v, n));
    if (v.len == 0 || v.base[0] != '=') {
        return none;
    }
    v = trim(skip(v, 1));
    n = v.len > 0 && v.base[0] == '"' ? quoted_len(v) : token_len(v);
    return n == 0 ? none : skip(v, n);
}

/* The media type, or base NULL when the header is malformed. */
static struct view media_type(struct view header)
{
    const char *semicolon = header.len != 0 ? memchr(header.base, ';', header.len) : NULL;
    size_t len = semicolon != NULL ? (size_t)(semicolon - header.base) : header.len;
    struct view type = trim(view_make(header.base, len));
    size_t n = token_len(type);
    bool good = n > 0 && (n == type.len || (type.base[n] == '/' && n + 1 < type.len &&
                                            token_len(skip(type, n + 1)) == type.len - n - 1));
    struct view rest = skip(header, len);
    while (good && trim(rest).len > 0) {
        rest = parameter_skip(rest);
        good = rest.base != NULL;
    }
    return good ? type : view_make(NULL, 0);
}

static bool media_is(struct view type, const char *name)
{
    return type.len == strlen(name) && strncasecmp(type.base, name, type.len) == 0;
}

static bool format_of_media(struct view type, enum exposition_format *ret)
{
    if (media_is(type, "application/openmetrics-text")) {
        *ret = EXPOSITION_OPENMETRICS;
    } else if (media_is(type, "application/vnd.google.protobuf")) {
        *ret = EXPOSITION_PROTOBUF;
    } else if (media_is(type, "text/plain")) {
        *ret = EXPOSITION_TEXT;
    } else {
        return false;
    }
    return true;
}

static bool format_of_protocol(struct view name, enum exposition_format *ret)
{
    if (view_is(name, "PrometheusProto")) {
        *ret = EXPOSITION_PROTOBUF;
    } else if (view_is(name, "OpenMetricsText1.0.0") || view_is(name, "OpenMetricsText0.0.1")) {
        *ret = EXPOSITION_OPENMETRICS;
    } else if (view_is(name, "PrometheusText1.0.0") || view_is(name, "PrometheusText0.0.4")) {
        *ret = EXPOSITION_TEXT;
    } else {
        return false;
    }
    return true;
}

int exposition_format_parse(struct view content_type, struct view fallback, enum prometheus_major major,
                            enum exposition_format *ret, struct errctx *err)
{
    if (format_of_media(media_type(content_type), ret)) {
        return 0;
    }
    if (major < PROMETHEUS_3) {
        *ret = EXPOSITION_TEXT;
        return 0;
    }
    if (format_of_protocol(fallback, ret)) {
        return 0;
    }
    if (content_type.len == 0) {
        return errctx_set(
            err, ERR_INVALID,
            "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified "
            "for target");
    }
    return errctx_set(err, ERR_INVALID,
                      "received unsupported Content-Type \"%.*s\" and no fallback_scrape_protocol specified for target",
                      (int)(content_type.len > 200 ? 200 : content_type.len), content_type.base);
}
