/* Places, messages and scalars of a prometheus.yml.
 *
 * Scalars are judged as Prometheus' YAML library judges them: any scalar's text serves as a string,
 * numbers and booleans must be plain, underscores and 0x 0o 0b count in integers, and an explicit
 * null sets the zero value, not the default. */
#include "base/duration.h"
#include "configgen/promconf_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <yaml.h>

int conf_fail(struct conf_reader *r, const struct yaml_node *node, const char *fmt, ...)
{
    char text[ERRCTX_MSG_MAX], place[32] = "", job[160] = "";
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (node != NULL && node->line > 0) {
        snprintf(place, sizeof(place), ":%d:%d", node->line, node->column);
    }
    if (r->job != NULL) {
        snprintf(job, sizeof(job), "job '%.120s': ", r->job);
    }
    return errctx_set(r->err, ERR_INVALID, "%s%s: %s%s%s%s", r->file, place, job, r->where,
                      r->where_len > 0 ? ": " : "", text);
}

static size_t push_text(struct conf_reader *r, const char *before, struct view text,
                        const char *behind)
{
    size_t old = r->where_len;
    int n = snprintf(r->where + old, sizeof(r->where) - old, "%s%.*s%s", before, VIEW_FMT(text),
                     behind);
    r->where_len =
        n >= 0 && (size_t)n < sizeof(r->where) - old ? old + (size_t)n : sizeof(r->where) - 1;
    return old;
}

size_t conf_push(struct conf_reader *r, struct view name)
{
    return push_text(r, r->where_len > 0 ? "." : "", name, "");
}

size_t conf_push_index(struct conf_reader *r, size_t i)
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%zu", i);
    return push_text(r, "[", view_make(digits, (size_t)len), "]");
}

void conf_pop(struct conf_reader *r, size_t len)
{
    r->where_len = len;
    r->where[len] = '\0';
}

/* Go's path.Clean: no empty, "." or inner ".." elements. */
static const char *path_clean(struct arena *arena, const char *path)
{
    char *out = arena_alloc(arena, strlen(path) + 2);
    size_t len = 0;
    for (const char *at = path; *at != '\0';) {
        size_t n = strcspn(at, "/");
        if (n == 2 && memcmp(at, "..", 2) == 0) {
            while (len > 0 && out[--len] != '/') {
            }
        } else if (n != 0 && !(n == 1 && at[0] == '.')) {
            out[len++] = '/';
            memcpy(out + len, at, n);
            len += n;
        }
        at += n + (at[n] == '/');
    }
    if (len == 0) {
        out[len++] = '/';
    }
    out[len] = '\0';
    return out;
}

const char *conf_path_join(struct arena *arena, const char *dir, const char *path)
{
    if (path[0] == '\0' || path[0] == '/') {
        return path;
    }
    return path_clean(arena, arena_printf(arena, "%s/%s", dir, path));
}

const char *conf_path_folder(struct arena *arena, const char *file)
{
    const char *full = file;
    if (file[0] != '/') {
        char *here = getcwd(NULL, 0);
        full = arena_printf(arena, "%s/%s", here != NULL ? here : "", file);
        free(here);
    }
    return path_clean(arena, arena_printf(arena, "%s/..", full));
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

static bool parse_integer(struct view v, uint64_t *ret)
{
    unsigned base = 10;
    size_t at = v.len > 0 && v.base[0] == '+';
    uint64_t n = 0;
    bool any = false;
    if (at + 1 < v.len && v.base[at] == '0') {
        char c = v.base[at + 1];
        base = c == 'x' || c == 'X' ? 16 : c == 'b' || c == 'B' ? 2 : 8;
        at += base == 8 && c != 'o' && c != 'O' ? 1 : 2;
    }
    for (; at < v.len; at++) {
        unsigned d = (unsigned)digit_value(v.base[at]);
        if (v.base[at] == '_') {
            continue;
        }
        if (d >= base || n > (UINT64_MAX - d) / base) {
            return false;
        }
        n = n * base + d;
        any = true;
    }
    *ret = n;
    return any;
}

/* Digits, a fraction, an exponent; *at moves behind them. */
static bool parse_decimal(struct view v, size_t *at, double *ret)
{
    double n = 0, scale = 1;
    bool any = false, fraction = false;
    for (; *at < v.len; ++*at) {
        char c = v.base[*at];
        if (c == '.' && !fraction) {
            fraction = true;
        } else if (c >= '0' && c <= '9') {
            n = n * 10 + (c - '0');
            scale *= fraction ? 10 : 1;
            any = true;
        } else {
            break;
        }
    }
    *ret = n / scale;
    return any;
}

/* Plain, or said to be a number by its tag. */
static bool may_be_number(const struct yaml_node *n)
{
    return yaml_is_plain(n) ||
           (n->kind == YAML_SCALAR && n->tag != NULL &&
            (strcmp(n->tag, YAML_INT_TAG) == 0 || strcmp(n->tag, YAML_FLOAT_TAG) == 0));
}

bool conf_parse_number(const struct yaml_node *n, double *ret)
{
    uint64_t integer;
    struct view v = n->value;
    bool negative = v.len > 0 && v.base[0] == '-';
    size_t at = negative || (v.len > 0 && v.base[0] == '+');
    double value;
    if (!may_be_number(n)) {
        return false;
    }
    if (parse_integer(view_make(v.base + at, v.len - at), &integer)) {
        *ret = negative ? -(double)integer : (double)integer;
        return true;
    }
    if (!parse_decimal(v, &at, &value)) {
        return false;
    }
    if (at < v.len && (v.base[at] == 'e' || v.base[at] == 'E')) {
        bool down = at + 1 < v.len && v.base[at + 1] == '-';
        uint64_t power;
        at += 1 + (at + 1 < v.len && (down || v.base[at + 1] == '+'));
        if (!parse_integer(view_make(v.base + at, v.len - at), &power) || power > 400) {
            return false;
        }
        for (; power > 0; power--) {
            value = down ? value / 10 : value * 10;
        }
        at = v.len;
    }
    *ret = negative ? -value : value;
    return at == v.len;
}

bool conf_parse_uint(const struct yaml_node *n, uint64_t *ret)
{
    double value;
    if (may_be_number(n) && parse_integer(n->value, ret)) {
        return true;
    }
    /* the bound itself counts, as it does for Prometheus */
    if (!conf_parse_number(n, &value) || value < 0 || value > 18446744073709551616.0) {
        return false;
    }
    *ret = value < 18446744073709551616.0 ? (uint64_t)value : UINT64_MAX;
    return true;
}

bool conf_parse_size(struct view text, uint64_t *ret)
{
    double total = 0;
    size_t at = 0;
    if (view_is(text, "0")) {
        *ret = 0;
        return true;
    }
    while (at < text.len) {
        double n;
        uint64_t unit_bytes;
        char unit[8] = "1";
        size_t len = 1;
        if (!parse_decimal(text, &at, &n)) {
            return false;
        }
        while (at < text.len && len < sizeof(unit) - 1 &&
               (text.base[at] < '0' || text.base[at] > '9')) {
            unit[len++] = text.base[at++];
        }
        if (size_parse(view_make(unit, len), &unit_bytes, NULL) != 0) {
            return false;
        }
        total += n * (double)unit_bytes;
    }
    if (text.len == 0 || total >= 9223372036854775808.0) {
        return false;
    }
    *ret = (uint64_t)total;
    return true;
}

const char *conf_string(const struct yaml_node *mapping, const char *key, const char *otherwise)
{
    const struct yaml_node *n = yaml_get(mapping, key);
    if (n == NULL) {
        return otherwise;
    }
    return yaml_is_null(n) ? "" : n->value.base;
}

struct view conf_view(const struct yaml_node *mapping, const char *key, struct view otherwise,
                      bool *ret_has)
{
    const struct yaml_node *n = yaml_get(mapping, key);
    *ret_has = n != NULL;
    if (n == NULL) {
        return otherwise;
    }
    return yaml_is_null(n) ? VIEW("") : n->value;
}

bool conf_bool(const struct yaml_node *mapping, const char *key, bool otherwise)
{
    const struct yaml_node *n = yaml_get(mapping, key);
    bool value = false;
    if (n == NULL) {
        return otherwise;
    }
    return yaml_bool(n, &value) && value;
}

uint64_t conf_uint(const struct yaml_node *mapping, const char *key)
{
    const struct yaml_node *n = yaml_get(mapping, key);
    uint64_t value = 0;
    return !yaml_is_null(n) && conf_parse_uint(n, &value) ? value : 0;
}

int64_t conf_duration(const struct yaml_node *mapping, const char *key)
{
    const struct yaml_node *n = yaml_get(mapping, key);
    int64_t value = 0;
    return !yaml_is_null(n) && duration_parse_prometheus(n->value, &value, NULL) == 0 ? value : 0;
}

uint64_t conf_size(const struct yaml_node *mapping, const char *key)
{
    const struct yaml_node *n = yaml_get(mapping, key);
    uint64_t value = 0;
    return !yaml_is_null(n) && conf_parse_size(n->value, &value) ? value : 0;
}

static const char *text_of(const struct yaml_node *n)
{
    return yaml_is_null(n) ? "" : n->value.base;
}

const char **conf_strings(struct arena *arena, const struct yaml_node *mapping, const char *key,
                          size_t *ret_count)
{
    const struct yaml_node *n = yaml_get(mapping, key);
    size_t count = yaml_is_null(n) ? 0 : n->count;
    const char **list = count != 0 ? arena_alloc(arena, count * sizeof(*list)) : NULL;
    for (size_t i = 0; i < count; i++) {
        list[i] = text_of(n->items[i]);
    }
    *ret_count = count;
    return list;
}

const struct label *conf_pairs(struct arena *arena, const struct yaml_node *mapping,
                               const char *key, size_t *ret_count)
{
    const struct yaml_node *n = yaml_get(mapping, key);
    size_t count = yaml_is_null(n) ? 0 : n->count;
    struct label *list = arena_alloc(arena, (count + 1) * sizeof(*list));
    for (size_t i = 0; i < count; i++) {
        list[i] =
            (struct label){view_of(text_of(n->pairs[i].key)), view_of(text_of(n->pairs[i].value))};
    }
    *ret_count = count;
    return list;
}

const struct label *conf_list_pairs(struct arena *arena, const struct yaml_node *mapping,
                                    const char *key, size_t *ret_count)
{
    const struct yaml_node *n = yaml_get(mapping, key);
    size_t keys = yaml_is_null(n) ? 0 : n->count, count = 0, at = 0;
    for (size_t i = 0; i < keys; i++) {
        count += n->pairs[i].value->count;
    }
    struct label *list = arena_alloc(arena, (count + 1) * sizeof(*list));
    for (size_t i = 0; i < keys; i++) {
        const struct yaml_node *values = n->pairs[i].value;
        for (size_t k = 0; k < values->count; k++) {
            list[at++] = (struct label){view_of(text_of(n->pairs[i].key)),
                                        view_of(text_of(values->items[k]))};
        }
    }
    *ret_count = count;
    return list;
}
