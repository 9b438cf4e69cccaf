/* Selectors: see selector.h.
 *
 *     labels   requirement { "," requirement }
 *              requirement: key | "!" key | key ("=" | "==" | "!=") value | key (">" | "<") integer
 *                           | key ("in" | "notin") "(" value {"," value} ")"
 *     fields   field ("=" | "==" | "!=") value { "," ... }; a backslash escapes "," "=" and "\" in a value
 *
 * Keys are [prefix/]name, names and values of letters, digits, '-', '_' and '.', beginning and ending with a letter or
 * digit, at most 63 long; prefixes are DNS names, at most 253. */
#include "k8s/selector.h"

#define NAME_MAX_LEN   63
#define PREFIX_MAX_LEN 253

struct cursor {
    const char *at, *end;
};

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static void blanks(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r')) {
        c->at++;
    }
}

/* What stands up to a blank or an operator. */
static struct view word(struct cursor *c)
{
    blanks(c);
    const char *from = c->at;
    while (c->at < c->end && memchr(" \t\r\n=!,()<>", *c->at, 11) == NULL) {
        c->at++;
    }
    return view_make(from, (size_t)(c->at - from));
}

static bool take(struct cursor *c, const char *sign)
{
    size_t len = strlen(sign);
    blanks(c);
    if ((size_t)(c->end - c->at) >= len && memcmp(c->at, sign, len) == 0) {
        c->at += len;
        return true;
    }
    return false;
}

static bool is_name(struct view v)
{
    if (v.len == 0 || v.len > NAME_MAX_LEN || !is_alnum(v.base[0]) || !is_alnum(v.base[v.len - 1])) {
        return false;
    }
    for (size_t i = 0; i < v.len; i++) {
        if (!is_alnum(v.base[i]) && memchr("-_.", v.base[i], 3) == NULL) {
            return false;
        }
    }
    return true;
}

static bool is_prefix(struct view v)
{
    char before = '.';
    for (size_t i = 0; i < v.len; i++) {
        char c = v.base[i];
        bool lower = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!lower && !((c == '-' || c == '.') && before != '.' && !(c == '.' && before == '-'))) {
            return false;
        }
        before = c;
    }
    return v.len != 0 && v.len <= PREFIX_MAX_LEN && before != '.' && before != '-';
}

static bool is_key(struct view v)
{
    const char *slash = v.len != 0 ? memchr(v.base, '/', v.len) : NULL;
    if (slash == NULL) {
        return is_name(v);
    }
    size_t prefix = (size_t)(slash - v.base);
    return is_prefix(view_make(v.base, prefix)) && is_name(view_make(slash + 1, v.len - prefix - 1));
}

static bool is_value(struct view v)
{
    return v.len == 0 || is_name(v);
}

static bool is_integer(struct view v)
{
    size_t i = v.len != 0 && (v.base[0] == '-' || v.base[0] == '+');
    bool any = false;
    for (; i < v.len; i++) {
        if (v.base[i] < '0' || v.base[i] > '9') {
            return false;
        }
        any = true;
    }
    return any;
}

static const char *values_fault(struct cursor *c)
{
    if (!take(c, "(")) {
        return "expected '(' behind in or notin";
    }
    do {
        if (!is_value(word(c))) {
            return "a value is no label value";
        }
    } while (take(c, ","));
    return take(c, ")") ? NULL : "expected ',' or ')' behind a value";
}

static const char *operator_fault(struct cursor *c)
{
    blanks(c);
    if (c->at == c->end || *c->at == ',') {
        return NULL; /* the key alone: it exists */
    }
    if (take(c, "==") || take(c, "!=") || take(c, "=")) {
        return is_value(word(c)) ? NULL : "a value is no label value";
    }
    if (take(c, ">") || take(c, "<")) {
        return is_integer(word(c)) ? NULL : "expected a whole number behind '>' or '<'";
    }
    struct view op = word(c);
    return view_is(op, "in") || view_is(op, "notin") ? values_fault(c) : "expected =, ==, !=, in, notin, > or <";
}

const char *selector_label_fault(struct view text)
{
    struct cursor c = {text.base, text.base + text.len};
    blanks(&c);
    while (c.at < c.end) {
        bool is_negated = take(&c, "!");
        if (!is_key(word(&c))) {
            return "a key is no label name";
        }
        const char *fault = is_negated ? NULL : operator_fault(&c);
        if (fault != NULL) {
            return fault;
        }
        blanks(&c);
        if (c.at == c.end) {
            return NULL;
        }
        if (!take(&c, ",")) {
            return "expected ',' behind a requirement";
        }
        blanks(&c);
        if (c.at == c.end) {
            return "expected a requirement behind ','";
        }
    }
    return NULL;
}

/* The next ',' that is not escaped, or the end. */
static const char *term_end(const char *at, const char *end)
{
    while (at < end && *at != ',') {
        at += *at == '\\' && at + 1 < end ? 2 : 1;
    }
    return at < end ? at : end;
}

static const char *value_fault(struct view v)
{
    for (size_t i = 0; i < v.len; i++) {
        if (v.base[i] == '\\') {
            if (i + 1 == v.len || memchr("\\,=", v.base[i + 1], 3) == NULL) {
                return "a backslash in a value escapes ',', '=' and '\\' only";
            }
            i++;
        } else if (v.base[i] == '=') {
            return "an '=' in a value must be escaped";
        }
    }
    return NULL;
}

const char *selector_field_fault(struct view text)
{
    const char *at = text.base, *end = text.base + text.len;
    while (at < end) {
        const char *stop = term_end(at, end);
        const char *sign = stop != at ? memchr(at, '=', (size_t)(stop - at)) : NULL;
        if (stop != at) { /* empty terms are allowed */
            if (sign == NULL || sign == at || (sign == at + 1 && *at == '!')) {
                return "expected field=value or field!=value";
            }
            sign += sign[-1] != '!' && sign + 1 < stop && sign[1] == '=' ? 2 : 1;
            const char *fault = value_fault(view_make(sign, (size_t)(stop - sign)));
            if (fault != NULL) {
                return fault;
            }
        }
        at = stop + 1;
    }
    return NULL;
}
