/* relabel_configs as the Prometheus Operator writes them: see operator_parts.h. Values of selectors go into the
 * expressions as they are, which is what it does, too. */
#include "k8s/operator_parts.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define SELECTOR_ITEMS_MAX 256

void rule_write(struct job *j, const struct rule *r)
{
    json_object_begin(&j->w);
    if (r->sources[0] != NULL) {
        json_key(&j->w, "source_labels");
        json_array_begin(&j->w);
        for (size_t i = 0; i < 3 && r->sources[i] != NULL; i++) {
            json_str(&j->w, r->sources[i]);
        }
        json_array_end(&j->w);
    }
    const char *const members[][2] = {
        {"separator", r->separator},     {"regex", r->regex},   {"target_label", r->target},
        {"replacement", r->replacement}, {"action", r->action},
    };
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        if (members[i][1] != NULL) {
            json_kv_str(&j->w, members[i][0], members[i][1]);
        }
    }
    json_object_end(&j->w);
}

void rules_begin(struct job *j)
{
    json_key(&j->w, "relabel_configs");
    json_array_begin(&j->w);
    rule_write(j, &(struct rule){.sources = {"job"}, .target = "__tmp_prometheus_job_name"});
}

void rules_end(struct job *j, const json_t *user, const char *where)
{
    size_t i;
    const json_t *item;
    size_t outer = job_push(j, where);
    json_array_foreach(user, i, item)
    {
        size_t old = job_push_index(j, i);
        json_object_begin(&j->w);
        fields_write(j, item, &FIELDS_RELABEL);
        json_object_end(&j->w);
        job_pop(j, old);
    }
    job_pop(j, outer);
    json_array_end(&j->w);
}

const char *rules_label_name(struct job *j, const char *name)
{
    char *copy = arena_strdup(j->arena, name), *to = copy;
    for (const char *c = name; *c != '\0'; c++) {
        unsigned char u = (unsigned char)*c;
        if ((u & 0xC0) != 0x80) { /* one for a whole character */
            *to++ = (char)(u < 0x80 && isalnum(u) ? u : '_');
        }
    }
    *to = '\0';
    return copy;
}

/* ---------------------------------------------------------------- selectors */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Keys of an object in order. */
static const char **sorted_keys(struct job *j, const json_t *object, size_t *ret_count)
{
    size_t count = 0;
    const char **keys = arena_alloc(j->arena, (json_object_size(object) + 1) * sizeof(*keys));
    for (void *it = json_object_iter((json_t *)(uintptr_t)object); it != NULL;
         it = json_object_iter_next((json_t *)(uintptr_t)object, it)) {
        keys[count++] = json_object_iter_key(it);
    }
    qsort(keys, count, sizeof(*keys), by_text);
    *ret_count = count;
    return keys;
}

enum operation { OP_IN, OP_NOT_IN, OP_EXISTS, OP_MISSING, OP_COUNT };

struct requirement {
    const char *key;
    enum operation op;
    const char **values;
    size_t count;
    bool is_label; /* of matchLabels */
};

static bool read_values(struct job *j, const json_t *e, struct requirement *ret)
{
    size_t i;
    const json_t *v, *values = job_array(j, e, "values");
    bool needs = ret->op == OP_IN || ret->op == OP_NOT_IN;
    if (j->rc == 0 && needs != (values != NULL)) {
        job_fail(j, ERR_INVALID, needs ? "no values; expected some" : "values; expected none with this operator");
        return false;
    }
    ret->values = arena_alloc(j->arena, (json_array_size(values) + 1) * sizeof(*ret->values));
    json_array_foreach(values, i, v)
    {
        if (!json_is_string(v)) {
            job_fail(j, ERR_INVALID, "values[%zu]: expected a text", i);
            return false;
        }
        ret->values[ret->count++] = json_string_value(v);
    }
    return j->rc == 0;
}

static bool read_expression(struct job *j, const json_t *e, struct requirement *ret)
{
    static const char *const WORDS[] = {"In", "NotIn", "Exists", "DoesNotExist"};
    struct requirement r = {0};
    if (!json_is_object(e)) {
        job_fail(j, ERR_INVALID, "expected an object");
        return false;
    }
    r.key = job_string(j, e, "key");
    const char *op = job_string(j, e, "operator");
    while (op != NULL && r.op < OP_COUNT && strcmp(op, WORDS[r.op]) != 0) {
        r.op++;
    }
    if (r.key == NULL || op == NULL || r.op == OP_COUNT) {
        job_fail(j, ERR_INVALID, "expected a key, and one of In, NotIn, Exists and DoesNotExist as operator");
        return false;
    }
    if (!read_values(j, e, &r)) {
        return false;
    }
    *ret = r;
    return true;
}

/* Both halves of a selector, matchLabels first, sorted. */
static const struct requirement *read_selector(struct job *j, const json_t *selector, size_t *ret_count)
{
    size_t names, count = 0, i;
    const json_t *e, *labels = job_object(j, selector, "matchLabels"),
                     *list = job_array(j, selector, "matchExpressions");
    const char **keys = sorted_keys(j, labels, &names);
    struct requirement *all = arena_alloc(j->arena, (names + json_array_size(list) + 1) * sizeof(*all));
    *ret_count = 0;
    if (names + json_array_size(list) > SELECTOR_ITEMS_MAX) {
        job_fail(j, ERR_LIMIT, "more than %d conditions", SELECTOR_ITEMS_MAX);
        return all;
    }
    for (size_t k = 0; k < names; k++) {
        const json_t *v = json_object_get(labels, keys[k]);
        if (!json_is_string(v)) {
            job_fail(j, ERR_INVALID, "matchLabels.%s: expected a text", keys[k]);
            return all;
        }
        const char **one = arena_alloc(j->arena, sizeof(*one));
        one[0] = json_string_value(v);
        all[count++] = (struct requirement){keys[k], OP_IN, one, 1, true};
    }
    size_t outer = job_push(j, "matchExpressions");
    json_array_foreach(list, i, e)
    {
        size_t old = job_push_index(j, i);
        count += read_expression(j, e, &all[count]);
        job_pop(j, old);
    }
    job_pop(j, outer);
    *ret_count = j->rc == 0 ? count : 0;
    return all;
}

static const char *joined(struct job *j, const struct requirement *r, const char *separator)
{
    struct bytes text;
    bytes_init(&text, OPERATOR_JOB_BYTES_MAX);
    for (size_t i = 0; i < r->count; i++) {
        bytes_append_str(&text, i != 0 ? separator : "");
        bytes_append_str(&text, r->values[i]);
    }
    const char *copy = arena_dup(j->arena, text.base != NULL ? text.base : "", text.len);
    bytes_done(&text);
    return copy;
}

void rules_select(struct job *j, const json_t *selector, const char *kind)
{
    size_t count;
    size_t old = job_push(j, "selector");
    const struct requirement *all = read_selector(j, selector, &count);
    for (size_t i = 0; i < count; i++) {
        const struct requirement *r = &all[i];
        const char *name = rules_label_name(j, r->key);
        const char *value = arena_printf(j->arena, "__meta_kubernetes_%s_label_%s", kind, name);
        const char *present = arena_printf(j->arena, "__meta_kubernetes_%s_labelpresent_%s", kind, name);
        bool drops = r->op == OP_NOT_IN || r->op == OP_MISSING;
        struct rule rule = {.sources = {present}, .regex = "true", .action = drops ? "drop" : "keep"};
        if (r->op == OP_IN || r->op == OP_NOT_IN) {
            rule.sources[0] = value;
            rule.sources[1] = present;
            rule.regex = arena_printf(j->arena, "(%s);true", joined(j, r, "|"));
        }
        rule_write(j, &rule);
    }
    job_pop(j, old);
}

static int by_key(const void *a, const void *b)
{
    const struct requirement *x = a, *y = b;
    int c = strcmp(x->key, y->key);
    return c != 0 ? c : (x > y) - (x < y);
}

const char *rules_selector_text(struct job *j, const json_t *selector)
{
    struct bytes text;
    size_t count;
    size_t old = job_push(j, "selector");
    const struct requirement *all = read_selector(j, selector, &count);
    struct requirement *sorted = arena_dup(j->arena, all, count * sizeof(*all));
    qsort(sorted, count, sizeof(*sorted), by_key);
    bytes_init(&text, OPERATOR_JOB_BYTES_MAX);
    for (size_t i = 0; i < count; i++) {
        struct requirement *r = &sorted[i];
        bytes_append_str(&text, i != 0 ? "," : "");
        qsort(r->values, r->count, sizeof(*r->values), by_text);
        const char *values = joined(j, r, ",");
        if (r->is_label) {
            bytes_printf(&text, "%s=%s", r->key, values);
        } else if (r->op == OP_IN || r->op == OP_NOT_IN) {
            bytes_printf(&text, r->op == OP_IN ? "%s in (%s)" : "%s notin (%s)", r->key, values);
        } else {
            bytes_printf(&text, r->op == OP_EXISTS ? "%s" : "!%s", r->key);
        }
    }
    job_pop(j, old);
    const char *copy = text.len != 0 ? arena_dup(j->arena, text.base, text.len) : NULL;
    bytes_done(&text);
    return copy;
}

void rules_take_labels(struct job *j, const json_t *names, const char *where, const char *kind)
{
    size_t i;
    const json_t *v;
    json_array_foreach(names, i, v)
    {
        if (!json_is_string(v)) {
            job_fail(j, ERR_INVALID, "%s[%zu]: expected a text", where, i);
            return;
        }
        const char *name = rules_label_name(j, json_string_value(v));
        rule_write(j, &(struct rule){
                          .sources = {arena_printf(j->arena, "__meta_kubernetes_%s_label_%s", kind, name)},
                          .regex = "(.+)",
                          .target = name,
                          .replacement = "${1}",
                      });
    }
}
