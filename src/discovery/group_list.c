/* Target group lists, from YAML and from JSON.
 *
 * Both ways end in the same builder, so that a group means the same whichever way it came. The strictness is
 * Prometheus': an unknown key, a null group, a target that is no string or an invalid label name refuses the whole
 * list, because half a list would silently drop targets; a null target is an empty address, which is refused later as
 * one bad target. */
#include "discovery/group_list.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "base/vec.h"
#include "discovery/sd_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define SHARED_NAMES_MIN 16

struct group_build {
    const struct group_list_options *opts;
    VEC(struct target_group *) groups;
    VEC(struct labels *) targets; /* of the group being read */
    VEC(struct label) common;
    struct label_names *names; /* shared by all sets of the list */
    size_t target_count, expanded_bytes;
    struct errctx *err;
};

static int add_target(struct group_build *b, struct view address)
{
    struct label item = {VIEW("__address__"), address};
    if (b->target_count == GROUP_LIST_TARGETS_MAX) {
        return errctx_set(b->err, ERR_LIMIT, "%s: more than %d targets", b->opts->file, GROUP_LIST_TARGETS_MAX);
    }
    b->target_count++;
    *vec_push(&b->targets) = labels_make_shared(b->names, &item, 1);
    return 0;
}

static bool is_legacy_name(struct view name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.base[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!is_letter && !(i > 0 && c >= '0' && c <= '9')) {
            return false;
        }
    }
    return name.len != 0;
}

static int add_label(struct group_build *b, struct view name, struct view value, int line, int column)
{
    bool is_valid = b->opts->major >= PROMETHEUS_3 ? name.len != 0 && utf8_is_valid(name) : is_legacy_name(name);
    if (!is_valid) {
        return errctx_set(b->err, ERR_INVALID, "%s:%d:%d: \"%.*s\" is not a valid label name", b->opts->file, line,
                          column, VIEW_FMT(name));
    }
    *vec_push(&b->common) = (struct label){name, value};
    return 0;
}

static char *source_of(const char *source, size_t index)
{
    return source != NULL ? mem_printf("%s:%zu", source, index) : mem_printf("%zu", index);
}

/* Every target carries the labels of its group in the end. */
static int check_expanded(struct group_build *b)
{
    size_t bytes = 0;
    for (size_t i = 0; i < b->common.len; i++) {
        bytes += b->common.items[i].name.len + b->common.items[i].value.len;
    }
    if (b->targets.len != 0 && bytes > (GROUP_LIST_BYTES_MAX - b->expanded_bytes) / b->targets.len) {
        return errctx_set(b->err, ERR_LIMIT, "%s: group %zu: too many labels for so many targets", b->opts->file,
                          b->groups.len);
    }
    b->expanded_bytes += bytes * b->targets.len;
    return 0;
}

static int group_end(struct group_build *b)
{
    int rc = check_expanded(b);
    if (rc != 0) {
        return rc;
    }
    if (b->opts->extra != NULL) {
        *vec_push(&b->common) = *b->opts->extra;
    }
    char *source = source_of(b->opts->source, b->groups.len);
    struct labels *common = labels_make_shared(b->names, b->common.items, b->common.len);
    *vec_push(&b->groups) = target_group_new(source, common, b->targets.items, b->targets.len);
    free(source);
    vec_clear(&b->targets);
    vec_clear(&b->common);
    return 0;
}

/* Hands over what was read, or frees it. */
static int finish(struct group_build *b, int rc, struct group_list *ret)
{
    for (size_t i = 0; i < b->targets.len; i++) {
        labels_unref(b->targets.items[i]);
    }
    vec_done(&b->targets);
    vec_done(&b->common);
    label_names_unref(b->names);
    struct group_list list = {b->groups.items, b->groups.len};
    if (rc != 0) {
        group_list_done(&list);
        return rc;
    }
    *ret = list;
    return 0;
}

void group_list_done(struct group_list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        target_group_unref(l->items[i]);
    }
    free(l->items);
    *l = (struct group_list){0};
}

struct target_group *group_list_tombstone(const char *source, size_t index)
{
    char *text = source_of(source, index);
    struct target_group *g = target_group_new(text, NULL, NULL, 0);
    free(text);
    return g;
}

/* A dictionary costs some hundred bytes: worth it from a handful of sets on. */
static void share_names(struct group_build *b, size_t groups, size_t first_targets)
{
    if (groups + first_targets >= SHARED_NAMES_MIN) {
        b->names = label_names_new();
    }
}

static int bad_node(struct group_build *b, const struct yaml_node *n, const char *what)
{
    return errctx_set(b->err, ERR_INVALID, "%s:%d:%d: %s", b->opts->file, n->line, n->column, what);
}

static int yaml_string(struct group_build *b, const struct yaml_node *n, struct view *ret)
{
    if (n->kind != YAML_SCALAR) {
        return bad_node(b, n, "expected a string");
    }
    *ret = yaml_is_null(n) ? VIEW("") : n->value;
    return 0;
}

static int yaml_targets(struct group_build *b, const struct yaml_node *list)
{
    if (yaml_is_null(list)) {
        return 0;
    }
    if (list->kind != YAML_SEQUENCE) {
        return bad_node(b, list, "targets: expected a list of strings");
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < list->count; i++) {
        struct view address;
        rc = yaml_string(b, list->items[i], &address);
        if (rc == 0) {
            rc = add_target(b, address);
        }
    }
    return rc;
}

static int yaml_labels(struct group_build *b, const struct yaml_node *map)
{
    if (yaml_is_null(map)) {
        return 0;
    }
    if (map->kind != YAML_MAPPING) {
        return bad_node(b, map, "labels: expected a mapping of strings");
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < map->count; i++) {
        const struct yaml_node *key = map->pairs[i].key;
        struct view value;
        rc = yaml_string(b, map->pairs[i].value, &value);
        if (rc == 0) {
            rc = add_label(b, key->value, value, key->line, key->column);
        }
    }
    return rc;
}

static int yaml_group(struct group_build *b, const struct yaml_node *group)
{
    if (yaml_is_null(group)) {
        return errctx_set(b->err, ERR_INVALID, "%s:%d:%d: nil target group item found (index %zu)", b->opts->file,
                          group->line, group->column, b->groups.len);
    }
    if (group->kind != YAML_MAPPING) {
        return bad_node(b, group, "expected a mapping with targets and labels");
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < group->count; i++) {
        const struct yaml_node *key = group->pairs[i].key, *value = group->pairs[i].value;
        if (view_is(key->value, "targets")) {
            rc = yaml_targets(b, value);
        } else if (view_is(key->value, "labels")) {
            rc = yaml_labels(b, value);
        } else {
            rc = errctx_set(b->err, ERR_INVALID, "%s:%d:%d: field %.*s not found; expected targets or labels",
                            b->opts->file, key->line, key->column, VIEW_FMT(key->value));
        }
    }
    return rc == 0 ? group_end(b) : rc;
}

int group_list_from_yaml(const struct group_list_options *opts, const struct yaml_node *list, struct group_list *ret,
                         struct errctx *err)
{
    struct group_build b = {.opts = opts, .err = err};
    int rc = 0;
    if (!yaml_is_null(list)) {
        const struct yaml_node *first = list->count != 0 && list->kind == YAML_SEQUENCE ? list->items[0] : NULL;
        const struct yaml_node *targets = yaml_get(first, "targets");
        rc = list->kind == YAML_SEQUENCE ? 0 : bad_node(&b, list, "expected a list of target groups");
        share_names(&b, list->count, targets != NULL ? targets->count : 0);
        for (size_t i = 0; rc == 0 && i < list->count; i++) {
            rc = yaml_group(&b, list->items[i]);
        }
    }
    return finish(&b, rc, ret);
}

static int bad_json(struct group_build *b, const char *what)
{
    return errctx_set(b->err, ERR_INVALID, "%s: group %zu: %s", b->opts->file, b->groups.len, what);
}

static int json_targets(struct group_build *b, const json_t *list)
{
    if (!json_is_array(list)) {
        return json_is_null(list) ? 0 : bad_json(b, "targets: expected a list of strings");
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_string(item) && !json_is_null(item)) {
            return bad_json(b, "targets: expected a list of strings");
        }
        rc =
            add_target(b, json_is_null(item) ? VIEW("") : view_make(json_string_value(item), json_string_length(item)));
    }
    return rc;
}

static int json_labels(struct group_build *b, json_t *map)
{
    const char *name;
    json_t *value;
    if (!json_is_object(map)) {
        return json_is_null(map) ? 0 : bad_json(b, "labels: expected an object of strings");
    }
    json_object_foreach(map, name, value)
    {
        if (!json_is_string(value) && !json_is_null(value)) {
            return bad_json(b, "labels: expected an object of strings");
        }
        struct view text =
            json_is_null(value) ? VIEW("") : view_make(json_string_value(value), json_string_length(value));
        int rc = add_label(b, view_of(name), text, 1, 1);
        if (rc != 0) {
            return errctx_prefix(b->err, rc, "group %zu", b->groups.len);
        }
    }
    return 0;
}

static int json_group(struct group_build *b, json_t *group)
{
    const char *key;
    json_t *value;
    if (json_is_null(group)) {
        return errctx_set(b->err, ERR_INVALID, "%s: nil target group item found (index %zu)", b->opts->file,
                          b->groups.len);
    }
    if (!json_is_object(group)) {
        return bad_json(b, "expected an object with targets and labels");
    }
    json_object_foreach(group, key, value)
    {
        int rc = strcasecmp(key, "targets") == 0 ? json_targets(b, value)
                 : strcasecmp(key, "labels") == 0
                     ? json_labels(b, value)
                     : errctx_set(b->err, ERR_INVALID, "%s: group %zu: unknown field \"%.64s\"", b->opts->file,
                                  b->groups.len, key);
        if (rc != 0) {
            return rc;
        }
    }
    return group_end(b);
}

int group_list_from_json(const struct group_list_options *opts, struct view text, struct group_list *ret,
                         struct errctx *err)
{
    struct group_build b = {.opts = opts, .err = err};
    json_t *root = NULL;
    int rc = sd_json_load(opts->file, text, 0, &root, err);
    if (rc == 0 && !json_is_array(root) && !json_is_null(root)) {
        rc = bad_json(&b, "expected a list of target groups");
    }
    share_names(&b, json_array_size(root), json_array_size(json_object_get(json_array_get(root, 0), "targets")));
    for (size_t i = 0; rc == 0 && i < json_array_size(root); i++) {
        rc = json_group(&b, json_array_get(root, i));
    }
    json_decref(root);
    return finish(&b, rc, ret);
}
