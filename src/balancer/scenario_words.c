/* Words of a scenario line: splitting, numbers, durations, and options put into fields by a table. */
#include "balancer/scenario_run.h"

#include "base/duration.h"

#include <math.h>
#include <stdlib.h>

/* ---- words ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

int line_split(struct view line, struct words *ret, struct errctx *err)
{
    ret->count = 0;
    for (size_t i = 0; i < line.len && line.base[i] != '#';) {
        if (is_blank(line.base[i])) {
            i++;
            continue;
        }
        size_t begin = i;
        while (i < line.len && !is_blank(line.base[i]) && line.base[i] != '#') {
            i++;
        }
        if (ret->count == WORDS_MAX) {
            return errctx_set(err, ERR_LIMIT, "more than %d words", WORDS_MAX);
        }
        ret->items[ret->count++] = view_make(line.base + begin, i - begin);
    }
    return 0;
}

bool word_option(struct view word, const char *key, struct view *ret_value)
{
    size_t len = strlen(key);
    if (word.len <= len || memcmp(word.base, key, len) != 0 || word.base[len] != '=') {
        return false;
    }
    *ret_value = view_make(word.base + len + 1, word.len - len - 1);
    return true;
}

int word_number(struct view v, double *ret, struct errctx *err)
{
    char text[64], *end;
    if (v.len == 0 || v.len >= sizeof(text)) {
        return errctx_set(err, ERR_PARSE, "'%.*s' is not a number", VIEW_FMT(v));
    }
    memcpy(text, v.base, v.len);
    text[v.len] = '\0';
    double n = strtod(text, &end);
    if (*end != '\0' || !isfinite(n) || fabs(n) > 1e15) {
        return errctx_set(err, ERR_PARSE, "'%.*s' is not a number", VIEW_FMT(v));
    }
    *ret = n;
    return 0;
}

int word_u32(struct view v, uint32_t most, uint32_t *ret, struct errctx *err)
{
    double n;
    int rc = word_number(v, &n, err);
    if (rc != 0) {
        return rc;
    }
    if (n < 0 || n > most || n != floor(n)) {
        return errctx_set(err, ERR_INVALID, "'%.*s' is not a whole number up to %u", VIEW_FMT(v), most);
    }
    *ret = (uint32_t)n;
    return 0;
}

int word_duration(struct view v, int64_t *ret, struct errctx *err)
{
    return duration_parse_go(v, ret, err);
}

/* ---- options into fields ---- */

static int field_set(const struct field *f, struct view value, struct errctx *err)
{
    double n = 0;
    if (f->type == FIELD_MS) {
        return word_duration(value, f->place, err);
    }
    if (f->type == FIELD_BOOL) {
        if (!view_is(value, "on") && !view_is(value, "off")) {
            return errctx_set(err, ERR_PARSE, "%s wants on or off", f->key);
        }
        *(bool *)f->place = view_is(value, "on");
        return 0;
    }
    int rc = word_number(value, &n, err);
    if (rc != 0) {
        return rc;
    }
    if (f->type == FIELD_DOUBLE) {
        *(double *)f->place = n;
        return 0;
    }
    if (n < 0 || (f->type == FIELD_U32 && n > UINT32_MAX)) {
        return errctx_set(err, ERR_INVALID, "%s is out of range", f->key);
    }
    if (f->type == FIELD_U64) {
        *(uint64_t *)f->place = (uint64_t)n;
    } else {
        *(uint32_t *)f->place = (uint32_t)n;
    }
    return 0;
}

int fields_read(const struct words *w, size_t first, const struct field *fields, size_t count, struct errctx *err)
{
    for (size_t i = first; i < w->count; i++) {
        struct view value;
        size_t k = 0;
        while (k < count && !word_option(w->items[i], fields[k].key, &value)) {
            k++;
        }
        if (k == count) {
            return errctx_set(err, ERR_PARSE, "unknown option '%.*s'", VIEW_FMT(w->items[i]));
        }
        int rc = field_set(&fields[k], value, err);
        if (rc != 0) {
            return errctx_prefix(err, rc, "%s", fields[k].key);
        }
    }
    return 0;
}
