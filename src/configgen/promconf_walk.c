/* The walk over a configuration tree along the schema: types, known keys, absolute paths. What a
 * value means is not looked at here, only whether Prometheus could read it into its own structures;
 * null is fine for everything but list elements. */
#include "base/duration.h"
#include "configgen/promconf_parts.h"

#include <stdlib.h>

#define BINARY_TAG "tag:yaml.org,2002:binary"

static int walk_value(struct conf_reader *r, const struct yaml_pair *pair,
                      const struct conf_key *key);

static const char *type_name(enum conf_type type)
{
    static const char *const names[] = {
        [CONF_STRING] = "a string",
        [CONF_BOOL] = "true or false",
        [CONF_INT] = "an integer",
        [CONF_UINT] = "an integer of 0 or more",
        [CONF_FLOAT] = "a number",
        [CONF_DURATION] = "a duration such as 1m30s",
        [CONF_SIZE] = "a size such as 10MB",
        [CONF_URL] = "a URL",
        [CONF_PATH] = "a file name",
        [CONF_STRINGS] = "a list of strings",
        [CONF_PATHS] = "a list of file names",
        [CONF_STRING_MAP] = "a mapping of strings",
        [CONF_STRINGS_MAP] = "a mapping to lists of strings",
        [CONF_STRUCT] = "a mapping",
        [CONF_STRUCTS] = "a list of mappings",
        [CONF_STRUCT_MAP] = "a mapping of mappings",
        [CONF_ANY] = "anything",
    };
    return names[type];
}

static int fail_type(struct conf_reader *r, const struct yaml_node *n, enum conf_type type)
{
    if (n->kind != YAML_SCALAR) {
        return conf_fail(r, n, "%s; expected %s", n->kind == YAML_MAPPING ? "a mapping" : "a list",
                         type_name(type));
    }
    bool quoted = !yaml_is_plain(n);
    return conf_fail(r, n, "%s%.*s%s; expected %s", quoted ? "the string \"" : "",
                     VIEW_FMT(n->value), quoted ? "\"" : "", type_name(type));
}

/* What Go's url.Parse refuses among the things people write: a host and port without scheme, odd
 * characters, a broken port. */
static const char *url_fault(struct view v)
{
    for (size_t i = 0; i < v.len; i++) {
        if ((unsigned char)v.base[i] < 0x20 || v.base[i] == 0x7f) {
            return "a control character in a URL";
        }
    }
    size_t colon = 0;
    while (colon < v.len && strchr(":/?#", v.base[colon]) == NULL) {
        colon++;
    }
    if (colon < v.len && v.base[colon] == ':') {
        bool letter = colon > 0 && ((v.base[0] | 0x20) >= 'a' && (v.base[0] | 0x20) <= 'z');
        for (size_t i = 0; i < colon && letter; i++) {
            char c = v.base[i];
            letter = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9') ||
                     strchr("+-.", c) != NULL;
        }
        if (!letter) {
            return "no scheme before the first colon";
        }
    }
    if (colon + 2 >= v.len || memcmp(v.base + colon, "://", 3) != 0) {
        return NULL;
    }
    size_t at = colon + 3, end = at;
    while (end < v.len && strchr("/?#", v.base[end]) == NULL) {
        end++;
    }
    for (size_t i = at; i < end; i++) {
        at = v.base[i] == '@' ? i + 1 : at;
    }
    bool bracket = at < end && v.base[at] == '[';
    for (bool port = false; at < end; at++) {
        if (strchr(" \"<>\\^`{|}", v.base[at]) != NULL) {
            return "an invalid character in the host name";
        }
        bracket = bracket && v.base[at] != ']';
        if (port && (v.base[at] < '0' || v.base[at] > '9')) {
            return "an invalid port";
        }
        port = port || (v.base[at] == ':' && !bracket);
    }
    return bracket ? "a host without its closing ]" : NULL;
}

static int walk_scalar(struct conf_reader *r, const struct yaml_node *n, enum conf_type type)
{
    double number;
    int64_t ms;
    uint64_t size;
    bool flag, ok = n->kind == YAML_SCALAR;
    struct errctx why = ERRCTX_INIT;
    if (ok && memchr(n->value.base, '\0', n->value.len) != NULL) {
        return conf_fail(r, n, "a NUL byte; expected text");
    }
    if (ok && n->tag != NULL && strcmp(n->tag, BINARY_TAG) == 0) {
        return conf_fail(r, n, "!!binary; expected the text itself, quoted");
    }
    switch (type) {
    case CONF_BOOL:
        ok = ok && yaml_bool(n, &flag);
        break;
    case CONF_INT:
    case CONF_FLOAT:
        ok = ok && conf_parse_number(n, &number);
        break;
    case CONF_UINT:
        ok = ok && conf_parse_uint(n, &size);
        break;
    case CONF_DURATION:
        if (ok && duration_parse_prometheus(n->value, &ms, &why) != 0) {
            return conf_fail(r, n, "%s; expected %s", why.msg, type_name(type));
        }
        break;
    case CONF_SIZE:
        ok = ok && conf_parse_size(n->value, &size);
        break;
    case CONF_URL:
        if (ok && url_fault(n->value) != NULL) { /* a URL with a user may hold a password */
            bool quoted = memchr(n->value.base, '@', n->value.len) == NULL;
            return conf_fail(r, n, "%s in %s%.*s%s; expected a URL such as http://host:port/",
                             url_fault(n->value), quoted ? "\"" : "the URL",
                             quoted ? (int)n->value.len : 0, n->value.base, quoted ? "\"" : "");
        }
        break;
    default:
        break;
    }
    return ok ? 0 : fail_type(r, n, type);
}

static struct yaml_node *path_absolute(struct conf_reader *r, struct yaml_node *n)
{
    const char *joined =
        n->kind == YAML_SCALAR ? conf_path_join(r->arena, r->base_dir, n->value.base) : NULL;
    if (joined == NULL || joined == n->value.base || yaml_is_null(n) || !r->make_absolute) {
        return n;
    }
    struct yaml_node *copy = yaml_new_string(r->arena, view_of(joined));
    copy->line = n->line;
    copy->column = n->column;
    return copy;
}

static struct yaml_node *paths_absolute(struct conf_reader *r, struct yaml_node *n)
{
    if (n->kind != YAML_SEQUENCE || !r->make_absolute) {
        return n;
    }
    struct yaml_node *copy = yaml_copy(r->arena, n);
    for (size_t i = 0; i < copy->count; i++) {
        copy->items[i] = path_absolute(r, copy->items[i]);
    }
    return copy;
}

/* Sections carried along unread: only files are made absolute. */
static void walk_any(struct conf_reader *r, const struct yaml_node *n)
{
    for (size_t i = 0; i < n->count; i++) {
        if (n->kind == YAML_SEQUENCE) {
            walk_any(r, n->items[i]);
            continue;
        }
        struct yaml_pair *pair = &n->pairs[i];
        if (conf_is_path_key(pair->key->value)) {
            pair->value = path_absolute(r, pair->value);
        } else {
            walk_any(r, pair->value);
        }
    }
}

static int walk_strings(struct conf_reader *r, const struct yaml_node *n, enum conf_type type)
{
    if (n->kind != YAML_SEQUENCE) {
        return fail_type(r, n, type);
    }
    for (size_t i = 0; i < n->count; i++) {
        size_t old = conf_push_index(r, i);
        int rc = walk_scalar(r, n->items[i], CONF_STRING);
        conf_pop(r, old);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int walk_map(struct conf_reader *r, const struct yaml_node *n, const struct conf_key *key)
{
    if (n->kind != YAML_MAPPING) {
        return fail_type(r, n, key->type);
    }
    for (size_t i = 0; i < n->count; i++) {
        size_t old = conf_push(r, n->pairs[i].key->value);
        const struct yaml_node *value = n->pairs[i].value;
        int rc = walk_scalar(r, n->pairs[i].key, CONF_STRING);
        if (rc == 0 && key->type == CONF_STRING_MAP) {
            rc = walk_scalar(r, value, CONF_STRING);
        } else if (rc == 0 && !yaml_is_null(value)) {
            rc = key->type == CONF_STRUCT_MAP ? conf_walk(r, value, key->inner)
                                              : walk_strings(r, value, CONF_STRINGS);
        }
        conf_pop(r, old);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* Jobs are named by their job_name in messages, not by their number. */
static size_t enter_item(struct conf_reader *r, const struct yaml_node *item, enum conf_struct s,
                         size_t i)
{
    const struct yaml_node *name = s == CONF_SCRAPE ? yaml_get(item, "job_name") : NULL;
    size_t old = conf_push_index(r, i);
    if (name != NULL && name->kind == YAML_SCALAR && name->value.len > 0) {
        r->job = name->value.base;
        conf_pop(r, 0);
    }
    return old;
}

static int walk_structs(struct conf_reader *r, const struct yaml_node *n,
                        const struct conf_key *key)
{
    char where[CONF_WHERE_MAX];
    const char *job = r->job;
    if (n->kind != YAML_SEQUENCE) {
        return fail_type(r, n, CONF_STRUCTS);
    }
    memcpy(where, r->where, sizeof(where));
    for (size_t i = 0; i < n->count; i++) {
        size_t old = enter_item(r, n->items[i], key->inner, i);
        /* a null filter is one without name and values, as in Prometheus */
        int rc = yaml_is_null(n->items[i]) && key->inner != CONF_FILTER
                     ? conf_fail(r, n->items[i], "an empty or null section; expected a mapping")
                     : conf_walk(r, n->items[i], key->inner);
        memcpy(r->where, where, sizeof(where));
        conf_pop(r, old);
        r->job = job;
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int walk_value(struct conf_reader *r, const struct yaml_pair *pair,
                      const struct conf_key *key)
{
    const struct yaml_node *n = pair->value;
    if (yaml_is_null(n)) {
        return 0;
    }
    switch (key->type) {
    case CONF_ANY:
        walk_any(r, n);
        return 0;
    case CONF_STRUCT:
        return conf_walk(r, n, key->inner);
    case CONF_STRUCTS:
        return walk_structs(r, n, key);
    case CONF_STRING_MAP:
    case CONF_STRINGS_MAP:
    case CONF_STRUCT_MAP:
        return walk_map(r, n, key);
    case CONF_STRINGS:
    case CONF_PATHS:
        return walk_strings(r, n, key->type);
    default:
        return walk_scalar(r, n, key->type);
    }
}

static unsigned version_number(const char *since)
{
    unsigned major = (unsigned)(since[0] - '0'), minor = 0;
    for (const char *at = since + 2; *at >= '0' && *at <= '9'; at++) {
        minor = minor * 10 + (unsigned)(*at - '0');
    }
    return major * 1000 + minor;
}

int conf_walk_key(struct conf_reader *r, const struct yaml_pair *pair, const struct conf_key *key)
{
    size_t old = conf_push(r, pair->key->value);
    int rc = walk_value(r, pair, key);
    conf_pop(r, old);
    if (key->since != NULL && version_number(key->since) > r->needs_version) {
        r->needs_version = version_number(key->since);
        r->needs_key = key->name;
    }
    return rc;
}

static int fail_unknown(struct conf_reader *r, const struct yaml_node *key, enum conf_struct s)
{
    bool mechanism =
        (s == CONF_SCRAPE || s == CONF_ALERTMANAGER) && conf_is_mechanism_name(key->value);
    const char *near = conf_key_nearest(s, key->value);
    conf_push(r, key->value);
    return conf_fail(r, key, "%s; expected a key that Prometheus has up to 3.14%s%s%s",
                     mechanism ? "unknown service discovery mechanism" : "unknown key",
                     near != NULL ? ", such as '" : "", near != NULL ? near : "",
                     near != NULL ? "'" : "");
}

int conf_walk(struct conf_reader *r, const struct yaml_node *n, enum conf_struct s)
{
    if (yaml_is_null(n)) {
        return 0;
    }
    if (n->kind != YAML_MAPPING) {
        return fail_type(r, n, CONF_STRUCT);
    }
    for (size_t i = 0; i < n->count; i++) {
        struct yaml_pair *pair = &n->pairs[i];
        const struct conf_key *key = conf_key_find(s, pair->key->value);
        int rc = key == NULL ? fail_unknown(r, pair->key, s) : conf_walk_key(r, pair, key);
        if (rc != 0) {
            return rc;
        }
        if (key->type == CONF_PATH) {
            pair->value = path_absolute(r, pair->value);
        } else if (key->type == CONF_PATHS) {
            pair->value = paths_absolute(r, pair->value);
        }
    }
    return 0;
}
