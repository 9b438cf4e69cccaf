/* The plan's JSON, version 1: what `kvass plan` reads and writes, described in docs/plan.md. The reader is strict: an
 * unknown key is an error, so that a misspelt limit does not silently become the default; everything left out has a
 * stated default. Hashes are decimal strings, because JSON readers elsewhere round integers of 19 digits. */
#include "balancer/plan_json.h"

#include "base/intern.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#define GROUPS_MAX  20000
#define TARGETS_MAX 5000000
#define OWNERS_MAX  20000
#define NAME_MAX_   1024

/* ---- fields ---- */

enum kind {
    KIND_U64,
    KIND_U32,
    KIND_MS,
    KIND_SHARE,
    KIND_BOOL,
    KIND_HASH,
    KIND_TEXT,
    KIND_JOB,
    KIND_NAME,
    KIND_REPLICAS,
    KIND_LATER
};

struct field {
    const char *key;
    enum kind kind;
    void *place;
    bool *seen;                     /* set when the key occurs; may be NULL */
    const char *(*name)(int value); /* KIND_NAME: the names of an enum, up to `names` of them */
    int names;
};

static const char *health_name(int v)
{
    return target_health_name((enum target_health)v);
}

static const char *group_health_name(int v)
{
    return shard_health_name((enum shard_health)v);
}

static const char *owner_name(int v)
{
    static const char *const names[] = {"assigned", "in_transfer", "leaving"};
    return names[v];
}

static int read_hash(const char *text, uint64_t *ret)
{
    uint64_t n = 0;
    for (const char *c = text; *c != '\0'; c++) {
        if (*c < '0' || *c > '9' || n > (UINT64_MAX - (uint64_t)(*c - '0')) / 10) {
            return ERR_PARSE;
        }
        n = n * 10 + (uint64_t)(*c - '0');
    }
    if (text[0] == '\0') {
        return ERR_PARSE;
    }
    *ret = n;
    return 0;
}

static int read_name(const struct field *f, const json_t *v)
{
    for (int i = 0; json_is_string(v) && i < f->names; i++) {
        if (strcmp(json_string_value(v), f->name(i)) == 0) {
            memcpy(f->place, &i, sizeof(i));
            return 0;
        }
    }
    return ERR_INVALID;
}

static int read_integer(const struct field *f, const json_t *v)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0) {
        return ERR_INVALID;
    }
    json_int_t n = json_integer_value(v);
    if (f->kind == KIND_U32) {
        if (n > INT32_MAX) {
            return ERR_INVALID;
        }
        *(uint32_t *)f->place = (uint32_t)n;
    } else if (f->kind == KIND_MS) {
        *(int64_t *)f->place = n;
    } else {
        *(uint64_t *)f->place = (uint64_t)n;
    }
    return 0;
}

static int read_replicas(const struct field *f, const json_t *v)
{
    if (json_is_string(v) && strcmp(json_string_value(v), "every") == 0) {
        *(uint32_t *)f->place = PLAN_EVERY_GROUP;
        return 0;
    }
    uint32_t count = 0;
    const struct field number = {.kind = KIND_U32, .place = &count};
    if (read_integer(&number, v) != 0 || count > PLAN_REPLICAS_MAX) {
        return ERR_INVALID;
    }
    *(uint32_t *)f->place = count;
    return 0;
}

static int read_value(struct arena *arena, const struct field *f, const json_t *v)
{
    bool text = json_is_string(v) && json_string_length(v) < NAME_MAX_ &&
                strlen(json_string_value(v)) == json_string_length(v);
    switch (f->kind) {
    case KIND_U64:
    case KIND_U32:
    case KIND_MS:
        return read_integer(f, v);
    case KIND_SHARE:
        if (!json_is_number(v) || !isfinite(json_number_value(v)) || json_number_value(v) < 0) {
            return ERR_INVALID;
        }
        *(double *)f->place = json_number_value(v);
        return 0;
    case KIND_BOOL:
        if (!json_is_boolean(v)) {
            return ERR_INVALID;
        }
        *(bool *)f->place = json_is_true(v);
        return 0;
    case KIND_HASH:
        return text ? read_hash(json_string_value(v), f->place) : ERR_INVALID;
    case KIND_TEXT:
        if (text) {
            *(const char **)f->place = arena_strdup(arena, json_string_value(v));
        }
        return text ? 0 : ERR_INVALID;
    case KIND_JOB:
        if (text) {
            *(const char **)f->place = intern(json_string_value(v));
        }
        return text ? 0 : ERR_INVALID;
    case KIND_NAME:
        return read_name(f, v);
    case KIND_REPLICAS:
        return read_replicas(f, v);
    case KIND_LATER:
        return 0;
    }
    return ERR_INVALID;
}

static const char *wish_of(enum kind kind)
{
    static const char *const wishes[] = {
        "a whole number from 0 on",
        "a whole number up to 2147483647",
        "milliseconds",
        "a number from 0 on",
        "true or false",
        "a decimal number as a string",
        "a string",
        "a string",
        "one of the names in docs/plan.md",
        "a whole number up to 100 or \"every\"",
        "",
    };
    return wishes[kind];
}

static int read_object(struct arena *arena, json_t *o, const struct field *fields, size_t count, struct errctx *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(o)) {
        return errctx_set(err, ERR_PARSE, "want an object");
    }
    json_object_foreach(o, key, value) {
        size_t i = 0;
        while (i < count && strcmp(fields[i].key, key) != 0) {
            i++;
        }
        if (i == count) {
            return errctx_set(err, ERR_INVALID, "unknown key '%.100s'", key);
        }
        int rc = read_value(arena, &fields[i], value);
        if (rc != 0) {
            return errctx_set(err, rc, "%s: want %s", key, wish_of(fields[i].kind));
        }
        if (fields[i].seen != NULL) {
            *fields[i].seen = true;
        }
    }
    return 0;
}

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* ---- reading ---- */

static int read_limits(struct arena *arena, json_t *o, struct plan_limits *l, struct errctx *err)
{
    const struct field fields[] = {
        {.key = "series", .kind = KIND_U64, .place = &l->series},
        {.key = "scraped", .kind = KIND_U64, .place = &l->scraped},
        {.key = "low", .kind = KIND_SHARE, .place = &l->low},
        {.key = "high", .kind = KIND_SHARE, .place = &l->high},
        {.key = "per_target_overhead", .kind = KIND_U32, .place = &l->per_target_overhead},
        {.key = "moves_per_round", .kind = KIND_U32, .place = &l->moves_per_round},
        {.key = "min", .kind = KIND_U32, .place = &l->min_groups},
        {.key = "max", .kind = KIND_U32, .place = &l->max_groups},
        {.key = "move_scrapes", .kind = KIND_U32, .place = &l->move_scrapes},
        {.key = "failover_grace_ms", .kind = KIND_MS, .place = &l->failover_grace_ms},
        {.key = "max_idle_ms", .kind = KIND_MS, .place = &l->max_idle_ms},
        {.key = "move_cool_down_ms", .kind = KIND_MS, .place = &l->move_cool_down_ms},
        {.key = "failover_per_round", .kind = KIND_U32, .place = &l->failover_per_round},
        {.key = "even_out_threshold", .kind = KIND_SHARE, .place = &l->even_out_threshold},
        {.key = "zone_imbalance", .kind = KIND_SHARE, .place = &l->zone_imbalance},
        {.key = "relieve", .kind = KIND_BOOL, .place = &l->relieve},
    };
    int rc = o == NULL ? 0 : read_object(arena, o, fields, COUNT_OF(fields), err);
    if (rc == 0 && (l->low > 1 || l->high > 1 || l->low > l->high)) {
        rc = errctx_set(err, ERR_INVALID, "want low <= high <= 1");
    }
    return errctx_prefix(err, rc, "limits");
}

static int read_group(struct arena *arena, json_t *o, struct plan_group *g, struct errctx *err)
{
    bool has_id = false;
    *g = (struct plan_group){.zone = ""};
    const struct field fields[] = {
        {.key = "id", .kind = KIND_U32, .place = &g->id, .seen = &has_id},
        {.key = "health", .kind = KIND_NAME, .place = &g->health, .name = group_health_name, .names = 4},
        {.key = "capacity", .kind = KIND_U64, .place = &g->capacity_series},
        {.key = "capacity_scraped", .kind = KIND_U64, .place = &g->capacity_scraped},
        {.key = "head_series", .kind = KIND_U64, .place = &g->head_series},
        {.key = "left_series", .kind = KIND_U64, .place = &g->left_series},
        {.key = "last_seen_ms", .kind = KIND_MS, .place = &g->last_seen_ms},
        {.key = "idle_since_ms", .kind = KIND_MS, .place = &g->idle_since_ms},
        {.key = "zone", .kind = KIND_TEXT, .place = &g->zone},
    };
    int rc = read_object(arena, o, fields, COUNT_OF(fields), err);
    return rc != 0 || has_id ? rc : errctx_set(err, ERR_INVALID, "id is missing");
}

static int read_owner(struct arena *arena, json_t *o, struct plan_owner *w, struct errctx *err)
{
    bool has_group = false;
    const struct field fields[] = {
        {.key = "group", .kind = KIND_U32, .place = &w->group, .seen = &has_group},
        {.key = "state", .kind = KIND_NAME, .place = &w->state, .name = owner_name, .names = 3},
        {.key = "health", .kind = KIND_NAME, .place = &w->health, .name = health_name, .names = 3},
        {.key = "scrapes", .kind = KIND_U32, .place = &w->scrapes},
        {.key = "good_scrapes", .kind = KIND_U32, .place = &w->good_scrapes},
        {.key = "since_ms", .kind = KIND_MS, .place = &w->since_ms},
    };
    int rc = read_object(arena, o, fields, COUNT_OF(fields), err);
    return rc != 0 || has_group ? rc : errctx_set(err, ERR_INVALID, "group is missing");
}

static int read_owners(struct arena *arena, json_t *list, struct plan_target *t, struct errctx *err)
{
    size_t count = json_array_size(list);
    if ((list != NULL && !json_is_array(list)) || count > OWNERS_MAX) {
        return errctx_set(err, ERR_INVALID, "owners: want an array of at most %d", OWNERS_MAX);
    }
    t->owners = arena_alloc(arena, (count + 1) * sizeof(*t->owners));
    for (size_t i = 0; i < count; i++) {
        int rc = read_owner(arena, json_array_get(list, i), &t->owners[i], err);
        for (size_t k = 0; rc == 0 && k < i; k++) {
            if (t->owners[k].group == t->owners[i].group) {
                rc = errctx_set(err, ERR_INVALID, "group %u occurs twice", t->owners[i].group);
            }
        }
        if (rc != 0) {
            return errctx_prefix(err, rc, "owners[%zu]", i);
        }
    }
    t->owner_count = (uint32_t)count;
    return 0;
}

static int read_target(struct arena *arena, json_t *o, struct plan_target *t, struct errctx *err)
{
    bool has_job = false, has_hash = false, has_place = false, has_series = false, has_known = false,
         has_explored = false;
    *t = (struct plan_target){.interval_ms = 15000, .want_replicas = 1, .zone = ""};
    const struct field fields[] = {
        {.key = "job", .kind = KIND_JOB, .place = &t->job, .seen = &has_job},
        {.key = "hash", .kind = KIND_HASH, .place = &t->hash, .seen = &has_hash},
        {.key = "place_key", .kind = KIND_HASH, .place = &t->place_key, .seen = &has_place},
        {.key = "series", .kind = KIND_U64, .place = &t->series, .seen = &has_series},
        {.key = "scraped", .kind = KIND_U64, .place = &t->scraped},
        {.key = "size_known", .kind = KIND_BOOL, .place = &t->size_known, .seen = &has_known},
        {.key = "explored", .kind = KIND_BOOL, .place = &t->explored, .seen = &has_explored},
        {.key = "gone", .kind = KIND_BOOL, .place = &t->gone},
        {.key = "vanished", .kind = KIND_BOOL, .place = &t->vanished},
        {.key = "health", .kind = KIND_NAME, .place = &t->health, .name = health_name, .names = 3},
        {.key = "interval_ms", .kind = KIND_MS, .place = &t->interval_ms},
        {.key = "last_move_ms", .kind = KIND_MS, .place = &t->last_move_ms},
        {.key = "replicas", .kind = KIND_REPLICAS, .place = &t->want_replicas},
        {.key = "zone", .kind = KIND_TEXT, .place = &t->zone},
        {.key = "owners", .kind = KIND_LATER},
    };
    int rc = read_object(arena, o, fields, COUNT_OF(fields), err);
    if (rc == 0 && (!has_job || !has_hash)) {
        rc = errctx_set(err, ERR_INVALID, "job or hash is missing");
    }
    if (rc != 0) {
        return rc;
    }
    t->place_key = has_place ? t->place_key : t->hash;
    t->size_known = has_known ? t->size_known : has_series;
    t->explored = has_explored ? t->explored : t->size_known;
    return read_owners(arena, json_object_get(o, "owners"), t, err);
}

static int read_groups(struct arena *arena, json_t *list, struct plan_input *in, struct errctx *err)
{
    size_t count = json_array_size(list);
    if ((list != NULL && !json_is_array(list)) || count > GROUPS_MAX) {
        return errctx_set(err, ERR_INVALID, "groups: want an array of at most %d", GROUPS_MAX);
    }
    in->groups = arena_alloc(arena, (count + 1) * sizeof(*in->groups));
    for (size_t i = 0; i < count; i++) {
        int rc = read_group(arena, json_array_get(list, i), &in->groups[i], err);
        for (size_t k = 0; rc == 0 && k < i; k++) {
            if (in->groups[k].id == in->groups[i].id) {
                rc = errctx_set(err, ERR_INVALID, "id %u occurs twice", in->groups[i].id);
            }
        }
        if (rc != 0) {
            return errctx_prefix(err, rc, "groups[%zu]", i);
        }
    }
    in->group_count = count;
    return 0;
}

static int target_compare(const void *a, const void *b)
{
    const struct plan_target *x = *(struct plan_target *const *)a, *y = *(struct plan_target *const *)b;
    int jobs = strcmp(x->job, y->job);
    return jobs != 0 ? jobs : x->hash != y->hash ? (x->hash > y->hash) - (x->hash < y->hash) : (x > y) - (x < y);
}

/* Two entries of one target would be placed twice and counted twice. */
static int check_pairs(struct arena *arena, const struct plan_input *in, struct errctx *err)
{
    const struct plan_target **sorted = arena_alloc(arena, (in->target_count + 1) * sizeof(*sorted));
    for (size_t i = 0; i < in->target_count; i++) {
        sorted[i] = &in->targets[i];
    }
    qsort(sorted, in->target_count, sizeof(*sorted), target_compare);
    for (size_t i = 1; i < in->target_count; i++) {
        const struct plan_target *t = sorted[i];
        if (t->hash == sorted[i - 1]->hash && strcmp(t->job, sorted[i - 1]->job) == 0) {
            return errctx_set(err, ERR_INVALID, "targets[%zu]: job '%.100s' with hash %llu occurs twice",
                              (size_t)(t - in->targets), t->job, (unsigned long long)t->hash);
        }
    }
    return 0;
}

static int read_targets(struct arena *arena, json_t *list, struct plan_input *in, struct errctx *err)
{
    size_t count = json_array_size(list);
    if ((list != NULL && !json_is_array(list)) || count > TARGETS_MAX) {
        return errctx_set(err, ERR_INVALID, "targets: want an array of at most %d", TARGETS_MAX);
    }
    in->targets = arena_alloc(arena, (count + 1) * sizeof(*in->targets));
    for (size_t i = 0; i < count; i++) {
        int rc = read_target(arena, json_array_get(list, i), &in->targets[i], err);
        if (rc != 0) {
            return errctx_prefix(err, rc, "targets[%zu]", i);
        }
    }
    in->target_count = count;
    return check_pairs(arena, in, err);
}

static int read_input(struct arena *arena, json_t *root, struct plan_input *in, struct errctx *err)
{
    uint32_t version = 0;
    bool has_desired = false;
    *in = (struct plan_input){.complete = true};
    plan_limits_default(&in->limits);
    const struct field fields[] = {
        {.key = "version", .kind = KIND_U32, .place = &version},
        {.key = "now_ms", .kind = KIND_MS, .place = &in->now_ms},
        {.key = "limits", .kind = KIND_LATER},
        {.key = "desired_groups", .kind = KIND_U32, .place = &in->desired_groups, .seen = &has_desired},
        {.key = "complete", .kind = KIND_BOOL, .place = &in->complete},
        {.key = "groups", .kind = KIND_LATER},
        {.key = "targets", .kind = KIND_LATER},
    };
    int rc = read_object(arena, root, fields, COUNT_OF(fields), err);
    if (rc == 0 && version != 1) {
        rc = errctx_set(err, ERR_UNSUPPORTED, "version: want 1");
    }
    rc = rc != 0 ? rc : read_limits(arena, json_object_get(root, "limits"), &in->limits, err);
    rc = rc != 0 ? rc : read_groups(arena, json_object_get(root, "groups"), in, err);
    rc = rc != 0 ? rc : read_targets(arena, json_object_get(root, "targets"), in, err);
    for (size_t i = 0; rc == 0 && !has_desired && i < in->group_count; i++) {
        in->desired_groups = in->groups[i].id + 1 > in->desired_groups ? in->groups[i].id + 1 : in->desired_groups;
    }
    if (rc == 0 && in->desired_groups > GROUPS_MAX) {
        rc = errctx_set(err, ERR_LIMIT, "desired_groups: at most %d", GROUPS_MAX);
    }
    return rc;
}

int plan_input_read(struct arena *arena, struct view json, struct plan_input *ret, struct errctx *err)
{
    json_error_t error;
    struct plan_input in;
    json_t *root = json_loadb(json.base, json.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (root == NULL) {
        return errctx_set(err, ERR_PARSE, "%d:%d: %s", error.line, error.column, error.text);
    }
    int rc = read_input(arena, root, &in, err);
    json_decref(root);
    if (rc == 0) {
        *ret = in;
    }
    return rc;
}
