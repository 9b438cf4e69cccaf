/* Schemas: see schema.h. An object of the API is some ten times as large as what is kept of it, and most of the time of
 * a first list would go into parsing the rest; so the text is pruned first, in one pass without allocation. Recursion
 * is as deep as the schema, whatever the text. */
#include "k8s/schema.h"

#include "base/invariant.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* --- making */

static struct k8s_schema *member_new(struct k8s_schema *parent, struct view key)
{
    struct k8s_schema *s = mem_calloc(1, sizeof(*s));
    s->key = key;
    *vec_push(&parent->members) = s;
    return s;
}

void k8s_schema_free(struct k8s_schema **handle)
{
    struct k8s_schema *s = *handle;
    *handle = NULL;
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < s->members.len; i++) {
        k8s_schema_free(&s->members.items[i]);
    }
    vec_done(&s->members);
    if (s->event != NULL) {
        vec_clear(&s->event->members.items[1]->members); /* those are ours */
        vec_done(&s->event->members.items[1]->members);
        k8s_schema_free(&s->event);
    }
    free(s);
}

static const char *members_read(struct k8s_schema *parent, const char *p)
{
    while (*p != '\0' && *p != ')') {
        size_t len = strcspn(p, " !=()");
        if (len == 0) {
            invariant(*p == ' ');
            p++;
            continue;
        }
        struct k8s_schema *s = member_new(parent, view_make(p, len));
        p += len;
        if (*p == '!' || *p == '=') {
            s->is_unique = true;
            s->is_json = *p == '=';
            p++;
        }
        if (*p == '(') {
            p = members_read(s, p + 1);
            invariant(*p == ')');
            p++;
        }
    }
    return p;
}

static struct k8s_schema *member_find(const struct k8s_schema *s, struct view key)
{
    for (size_t i = 0; i < s->members.len; i++) {
        if (view_equal(s->members.items[i]->key, key)) {
            return s->members.items[i];
        }
    }
    return NULL;
}

static void add_heads(struct k8s_schema *parent, const char *const *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (member_find(parent, view_of(keys[i])) == NULL) {
            member_new(parent, view_of(keys[i]))->is_head = true;
        }
    }
}

struct k8s_schema *k8s_schema_new(const char *text)
{
    static const char *const OF_OBJECT[] = {"kind", "code", "reason", "message", "details", "metadata"};
    static const char *const OF_METADATA[] = {"name", "namespace", "resourceVersion", "annotations"};
    struct k8s_schema *s = mem_calloc(1, sizeof(*s));
    const char *end = members_read(s, text);
    invariant(*end == '\0' && s->members.len != 0);
    add_heads(s, OF_OBJECT, sizeof(OF_OBJECT) / sizeof(OF_OBJECT[0]));
    struct k8s_schema *metadata = member_find(s, VIEW("metadata"));
    if (metadata->is_head || metadata->members.len != 0) {
        add_heads(metadata, OF_METADATA, sizeof(OF_METADATA) / sizeof(OF_METADATA[0]));
    }
    s->event = mem_calloc(1, sizeof(*s->event));
    member_new(s->event, VIEW("type"));
    struct k8s_schema *object = member_new(s->event, VIEW("object"));
    for (size_t i = 0; i < s->members.len; i++) {
        *vec_push(&object->members) = s->members.items[i];
    }
    return s;
}

const struct k8s_schema *k8s_schema_member(const struct k8s_schema *s, struct view key)
{
    if (s->members.len == 0) {
        return s;
    }
    const struct k8s_schema *m = member_find(s, key);
    return m != NULL && !m->is_head ? m : NULL;
}

/* --- pruning */

struct pruner {
    const char *at, *end;
    struct bytes *out;
};

static void skip_blanks(struct pruner *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\r' || *p->at == '\t')) {
        p->at++;
    }
}

/* Over a string; at stands on its first quote. */
static int skip_string(struct pruner *p)
{
    for (p->at++; p->at < p->end; p->at++) {
        if (*p->at == '"') {
            p->at++;
            return 0;
        }
        p->at += *p->at == '\\';
    }
    return ERR_PARSE;
}

/* Over a value of any kind: to the end of its last bracket, string or word. */
static int skip_value(struct pruner *p)
{
    size_t depth = 0;
    do {
        char c = p->at < p->end ? *p->at : '\0';
        if (c == '"') {
            if (skip_string(p) != 0) {
                return ERR_PARSE;
            }
            continue;
        }
        if (p->at >= p->end) {
            return ERR_PARSE;
        }
        if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth == 0) {
                return ERR_PARSE;
            }
            depth--;
        } else if (depth == 0) { /* a number, true, false, null */
            while (p->at < p->end && strchr(",]} \n\r\t", *p->at) == NULL) {
                p->at++;
            }
            return 0;
        }
        p->at++;
    } while (depth != 0);
    return p->at <= p->end ? 0 : ERR_PARSE;
}

static int prune_value(struct pruner *p, const struct k8s_schema *s);
static int copy_value(struct pruner *p);

/* One member; *has_before: something was kept in front of it. */
static int prune_member(struct pruner *p, const struct k8s_schema *s, bool *has_before)
{
    const char *key = p->at;
    if (p->at >= p->end || *p->at != '"' || skip_string(p) != 0 || p->at > p->end) {
        return ERR_PARSE;
    }
    struct view name = view_make(key + 1, (size_t)(p->at - key) - 2);
    const struct k8s_schema *m = member_find(s, name);
    bool is_escaped = memchr(name.base, '\\', name.len) != NULL; /* may be any key: for the parser to see */
    skip_blanks(p);
    if (p->at >= p->end || *p->at != ':') {
        return ERR_PARSE;
    }
    p->at++;
    skip_blanks(p);
    if (m == NULL && !is_escaped) {
        return skip_value(p);
    }
    if (*has_before) {
        bytes_append_char(p->out, ',');
    }
    *has_before = true;
    bytes_append_char(p->out, '"');
    bytes_append_view(p->out, name);
    bytes_append(p->out, "\":", 2);
    return m != NULL ? prune_value(p, m) : copy_value(p);
}

/* The members of an object or the elements of a list, at stands on the opening bracket. */
static int prune_inside(struct pruner *p, const struct k8s_schema *s, char close)
{
    bool has_before = false, is_first = true;
    bytes_append_char(p->out, *p->at++);
    for (;; is_first = false) {
        skip_blanks(p);
        if (p->at >= p->end) {
            return ERR_PARSE;
        }
        if (*p->at == close && is_first) {
            break;
        }
        bool is_list_in_list = close == ']' && *p->at == '['; /* copied: descending is for members only */
        if ((close == '}'       ? prune_member(p, s, &has_before)
             : is_list_in_list ? copy_value(p)
                               : prune_value(p, s)) != 0) {
            return ERR_PARSE;
        }
        skip_blanks(p);
        if (p->at < p->end && *p->at == close) {
            break;
        }
        if (p->at >= p->end || *p->at != ',') {
            return ERR_PARSE;
        }
        p->at++;
        if (close == ']') {
            bytes_append_char(p->out, ',');
        }
    }
    bytes_append_char(p->out, *p->at++);
    return 0;
}

static int copy_value(struct pruner *p)
{
    const char *from = p->at;
    if (skip_value(p) != 0 || p->at > p->end) {
        return ERR_PARSE;
    }
    bytes_append(p->out, from, (size_t)(p->at - from));
    return 0;
}

static int prune_value(struct pruner *p, const struct k8s_schema *s)
{
    skip_blanks(p);
    char c = p->at < p->end ? *p->at : '\0';
    if (s->members.len == 0 || (c != '{' && c != '[')) {
        return copy_value(p);
    }
    return prune_inside(p, s, c == '{' ? '}' : ']');
}

int k8s_schema_prune(const struct k8s_schema *s, bool is_event, struct view text, struct bytes *out)
{
    struct pruner p = {text.base, text.base + text.len, out};
    int rc = prune_value(&p, is_event ? s->event : s);
    skip_blanks(&p);
    if (rc != 0 || p.at != p.end) {
        return ERR_PARSE;
    }
    return bytes_check(out, NULL);
}

json_t *k8s_schema_load(const struct k8s_schema *s, bool is_event, struct view text, json_error_t *where)
{
    struct bytes pruned;
    json_t *tree = NULL;
    bytes_init(&pruned, text.len + 1);
    if (k8s_schema_prune(s, is_event, text, &pruned) == 0) {
        tree = json_loadb(pruned.base, pruned.len, JSON_ALLOW_NUL, where);
    }
    bytes_done(&pruned);
    return tree;
}
