/* Routing: see route.h. Nothing here is normalised by cleverness: what does not compare equal is refused. */
#include "proxy/route.h"

#include <string.h>
#include <strings.h>

static int bad(struct errctx *err, const char *what)
{
    return errctx_set(err, ERR_PARSE, "not a scrape through this proxy: %s", what);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes a query component; false on a bad escape, an embedded NUL or when it does not fit. */
static bool decode(struct view in, char *out, size_t max, size_t *ret_len)
{
    size_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.base[i];
        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            int hi = i + 2 < in.len ? hex_digit(in.base[i + 1]) : -1;
            int lo = hi >= 0 && i + 2 < in.len ? hex_digit(in.base[i + 2]) : -1;
            if (hi < 0 || lo < 0) {
                return false;
            }
            c = (char)(hi * 16 + lo);
            i += 2;
        }
        if (c == '\0' || n + 1 >= max) {
            return false;
        }
        out[n++] = c;
    }
    out[n] = '\0';
    *ret_len = n;
    return true;
}

static bool parse_u64(const char *s, size_t len, uint64_t *ret)
{
    uint64_t n = 0;
    if (len == 0 || len > 20) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9') {
            return false;
        }
        uint64_t digit = (uint64_t)(s[i] - '0');
        if (n > (UINT64_MAX - digit) / 10) {
            return false;
        }
        n = n * 10 + digit;
    }
    *ret = n;
    return true;
}

/* Splits "host:port" into its parts; the port is `fallback` when absent. */
static bool split_authority(struct view authority, unsigned fallback, struct view *ret_host, unsigned *ret_port)
{
    size_t end = authority.len;
    uint64_t port = fallback;
    if (authority.len > 0 && authority.base[0] == '[') {
        const char *close = memchr(authority.base, ']', authority.len);
        if (close == NULL) {
            return false;
        }
        end = (size_t)(close - authority.base) + 1;
    } else {
        const char *colon = memchr(authority.base, ':', authority.len);
        end = colon != NULL ? (size_t)(colon - authority.base) : authority.len;
    }
    if (end < authority.len) {
        size_t digits = authority.len - end - 1;
        if (authority.base[end] != ':' ||
            (digits > 0 && (!parse_u64(authority.base + end + 1, digits, &port) || port > 65535))) {
            return false;
        }
    }
    *ret_host = view_make(authority.base, end);
    *ret_port = (unsigned)port;
    return end > 0;
}

struct param {
    struct view name, value;
};

static struct param next_param(struct view *query)
{
    const char *amp = memchr(query->base, '&', query->len);
    size_t len = amp != NULL ? (size_t)(amp - query->base) : query->len;
    const char *eq = len > 0 ? memchr(query->base, '=', len) : NULL;
    size_t name_len = eq != NULL ? (size_t)(eq - query->base) : len;
    struct param p = {view_make(query->base, name_len),
                      view_make(query->base + name_len + (eq != NULL), len - name_len - (eq != NULL))};
    size_t step = len + (amp != NULL);
    *query = view_make(query->base + step, query->len - step);
    return p;
}

enum {
    SEEN_HASH = 1,
    SEEN_JOB = 2,
    SEEN_SCHEME = 4,
    SEEN_SHARD = 8,
};

static int take_param(struct route *r, const struct param *p, unsigned *seen, struct errctx *err)
{
    char text[32];
    size_t len;
    unsigned which = view_is(p->name, "_hash")      ? SEEN_HASH
                     : view_is(p->name, "_jobName") ? SEEN_JOB
                     : view_is(p->name, "_scheme")  ? SEEN_SCHEME
                     : view_is(p->name, "_shard")   ? SEEN_SHARD
                                                    : 0;
    if (which == 0) {
        return 0;
    }
    if ((*seen & which) != 0) {
        return bad(err, "one of _hash, _jobName, _scheme, _shard is given twice");
    }
    *seen |= which;
    bool ok = true;
    if (which == SEEN_HASH) {
        ok = decode(p->value, text, sizeof(text), &len) && parse_u64(text, len, &r->hash);
    } else if (which == SEEN_JOB) {
        ok = decode(p->value, r->job, sizeof(r->job), &r->job_len) && r->job_len > 0;
    } else if (which == SEEN_SHARD) {
        ok = decode(p->value, r->shard, sizeof(r->shard), &r->shard_len);
    }
    return ok ? 0 : bad(err, "one of _hash, _jobName, _shard is malformed");
}

int route_parse(struct view target, struct route *ret, struct errctx *err)
{
    struct view scheme = VIEW("http://");
    if (target.len > ROUTE_TARGET_BYTES_MAX) {
        return errctx_set(err, ERR_LIMIT, "request target longer than %zu bytes", ROUTE_TARGET_BYTES_MAX);
    }
    if (!view_has_prefix(target, scheme)) {
        return bad(err, "the request target is not an http:// URL; give this address to Prometheus as proxy_url");
    }
    struct view rest = view_make(target.base + scheme.len, target.len - scheme.len);
    const char *slash = memchr(rest.base, '/', rest.len);
    const char *mark = memchr(rest.base, '?', rest.len);
    if (slash == NULL || mark == NULL || mark < slash) {
        return bad(err, "a path and a query are expected");
    }
    struct route r = {.path = view_make(slash, (size_t)(mark - slash))};
    if (!split_authority(view_make(rest.base, (size_t)(slash - rest.base)), 80, &r.host, &r.port)) {
        return bad(err, "malformed host or port");
    }
    struct view query = view_make(mark + 1, rest.len - (size_t)(mark + 1 - rest.base));
    unsigned seen = 0;
    while (query.len > 0) {
        struct param p = next_param(&query);
        int rc = take_param(&r, &p, &seen, err);
        if (rc != 0) {
            return rc;
        }
    }
    if ((seen & (SEEN_HASH | SEEN_JOB)) != (SEEN_HASH | SEEN_JOB)) {
        return bad(err, "the parameters _hash and _jobName are missing");
    }
    *ret = r;
    return 0;
}

static bool is_ascii(struct view v)
{
    for (size_t i = 0; i < v.len; i++) {
        if ((unsigned char)v.base[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

bool route_matches(const struct route *r, const char *url)
{
    struct view u = view_of(url), host;
    unsigned port;
    const char *sep = strstr(url, "://");
    if (sep == NULL) {
        return false;
    }
    unsigned fallback = view_has_prefix(u, VIEW("https:")) ? 443 : 80;
    struct view rest = view_of(sep + 3);
    size_t authority_len = strcspn(rest.base, "/?#");
    if (!split_authority(view_make(rest.base, authority_len), fallback, &host, &port)) {
        return false;
    }
    rest = view_make(rest.base + authority_len, rest.len - authority_len);
    struct view path = view_make(rest.base, strcspn(rest.base, "?#"));
    if (path.len == 0) {
        path = VIEW("/");
    }
    bool same_host =
        !is_ascii(host) || (host.len == r->host.len && strncasecmp(host.base, r->host.base, host.len) == 0);
    return same_host && port == r->port && view_equal(path, r->path);
}
