/* YAML text to a tree, by libyaml's events.
 *
 * The dialect is the one of Prometheus, whose parser descends from the same code as libyaml: only
 * the first document counts, a key given twice in a mapping is an error, and `<<` merges where it
 * stands: of two keys the later wins, and two mappings under one key become one (in a list of
 * merges the earlier wins). Tried on 2.42; YAML's own merge draft says otherwise.
 *
 * An alias is the anchored subtree itself, so nodes of a parsed tree may be shared: who edits a
 * part copies it first. Sharing makes alias bombs free to hold but not free to walk, hence every
 * alias counts in full towards YAML_NODES_MAX and YAML_DEPTH_MAX. Recursion follows the depth,
 * which is capped. */
#include "configgen/yamltree.h"
#include "base/hash.h"
#include "base/hashmap.h"
#include "base/invariant.h"

#include <yaml.h>

#define MERGE_TAG "tag:yaml.org,2002:merge"

struct anchor {
    const char *name;
    struct yaml_node *node; /* NULL while its value is being read */
    size_t weight;          /* nodes below it, itself included */
    int height;
};

struct parse {
    yaml_parser_t yaml;
    struct arena *arena;
    const char *file;
    struct hashmap anchors;
    size_t nodes;
    struct errctx *err;
};

static bool anchor_equal(const void *entry, const void *key)
{
    return strcmp(((const struct anchor *)entry)->name, key) == 0;
}

static bool pair_equal(const void *entry, const void *key)
{
    return view_equal(((const struct yaml_pair *)entry)->key->value, *(const struct view *)key);
}

static int fail_at(struct parse *p, int code, const yaml_mark_t *mark, const char *what)
{
    return errctx_set(p->err, code, "%s:%zu:%zu: %s", p->file, mark->line + 1, mark->column + 1, what);
}

static int fail_node(struct parse *p, const struct yaml_node *n, const char *what)
{
    return errctx_set(p->err, ERR_PARSE, "%s:%d:%d: %s", p->file, n->line, n->column, what);
}

/* libyaml's own complaint, with the place it speaks of: the cause often stands before it. */
static int fail_yaml(struct parse *p)
{
    const yaml_parser_t *y = &p->yaml;
    yaml_mark_t mark = y->error == YAML_READER_ERROR ? y->mark : y->problem_mark;
    const char *problem = y->problem != NULL ? y->problem : "not readable as YAML";
    const char *context = y->context != NULL ? y->context : "";
    return errctx_set(p->err, ERR_PARSE,
                      "%s:%zu:%zu: %s%s%s; check quotes, brackets and indentation there and before it", p->file,
                      mark.line + 1, mark.column + 1, problem, context[0] != '\0' ? " " : "", context);
}

static int next_event(struct parse *p, yaml_event_t *event)
{
    return yaml_parser_parse(&p->yaml, event) ? 0 : fail_yaml(p);
}

static struct yaml_node *node_new(struct parse *p, enum yaml_kind kind, const yaml_event_t *e, int style,
                                  const yaml_char_t *tag)
{
    struct yaml_node *n = arena_alloc(p->arena, sizeof(*n));
    n->kind = kind;
    n->line = (int)e->start_mark.line + 1;
    n->column = (int)e->start_mark.column + 1;
    n->style = style;
    n->tag = tag != NULL ? arena_strdup(p->arena, (const char *)tag) : NULL;
    return n;
}

static bool is_merge(const struct yaml_node *key)
{
    bool tagged = key->tag != NULL && strcmp(key->tag, MERGE_TAG) == 0;
    return view_is(key->value, "<<") && (tagged || yaml_is_plain(key));
}

/* --- merges */

static struct yaml_node *mapping_with_room(struct arena *arena, const struct yaml_node *like, size_t cap)
{
    struct yaml_node *n = arena_dup(arena, like, sizeof(*like));
    n->pairs = arena_alloc(arena, (cap != 0 ? cap : 1) * sizeof(*n->pairs));
    n->count = 0;
    n->cap = cap;
    return n;
}

static void merge_pairs(struct arena *arena, struct yaml_node *into, struct hashmap *index,
                        const struct yaml_node *from);

static struct yaml_node *combine(struct arena *arena, struct yaml_node *old, struct yaml_node *new)
{
    if (old->kind != YAML_MAPPING || new->kind != YAML_MAPPING) {
        return new;
    }
    struct yaml_node *n = mapping_with_room(arena, old, old->count + new->count);
    struct hashmap index;
    hashmap_init(&index, pair_equal);
    merge_pairs(arena, n, &index, old);
    merge_pairs(arena, n, &index, new);
    hashmap_done(&index);
    return n;
}

static void merge_pair(struct arena *arena, struct yaml_node *into, struct hashmap *index, const struct yaml_pair *pair)
{
    uint64_t hash = hash_view(pair->key->value);
    struct yaml_pair *have = hashmap_get(index, hash, &pair->key->value);
    if (have != NULL) {
        have->value = combine(arena, have->value, pair->value);
        return;
    }
    invariant(into->count < into->cap);
    struct yaml_pair *slot = &into->pairs[into->count++];
    *slot = *pair;
    hashmap_add(index, hash, slot);
}

static void merge_pairs(struct arena *arena, struct yaml_node *into, struct hashmap *index,
                        const struct yaml_node *from)
{
    for (size_t i = 0; i < from->count; i++) {
        merge_pair(arena, into, index, &from->pairs[i]);
    }
}

/* How many pairs a merge value brings; -1 when it is no merge value. */
static ssize_t merge_count(const struct yaml_node *value)
{
    if (value->kind == YAML_MAPPING) {
        return (ssize_t)value->count;
    }
    ssize_t sum = value->kind == YAML_SEQUENCE ? 0 : -1;
    for (size_t i = 0; sum >= 0 && i < value->count; i++) {
        sum = value->items[i]->kind == YAML_MAPPING ? sum + (ssize_t)value->items[i]->count : -1;
    }
    return sum;
}

static int expand_merges(struct parse *p, struct yaml_node *n)
{
    size_t room = n->count;
    bool any = false;
    for (size_t i = 0; i < n->count; i++) {
        if (is_merge(n->pairs[i].key)) {
            ssize_t count = merge_count(n->pairs[i].value);
            if (count < 0) {
                return fail_node(p, n->pairs[i].key,
                                 "a merge `<<` of something else; expected a mapping or a list of mappings");
            }
            room += (size_t)count;
            any = true;
        }
    }
    if (!any) {
        return 0;
    }
    struct yaml_node *out = mapping_with_room(p->arena, n, room);
    struct hashmap index;
    hashmap_init(&index, pair_equal);
    for (size_t i = 0; i < n->count; i++) {
        struct yaml_node *value = n->pairs[i].value;
        if (!is_merge(n->pairs[i].key)) {
            merge_pair(p->arena, out, &index, &n->pairs[i]);
        } else if (value->kind == YAML_MAPPING) {
            merge_pairs(p->arena, out, &index, value);
        } else {
            for (size_t k = value->count; k > 0; k--) {
                merge_pairs(p->arena, out, &index, value->items[k - 1]);
            }
        }
    }
    hashmap_done(&index);
    *n = *out;
    return 0;
}

/* --- nodes */

static int refuse_repeated_keys(struct parse *p, const struct yaml_node *n)
{
    struct hashmap index;
    int rc = 0;
    hashmap_init(&index, pair_equal);
    for (size_t i = 0; rc == 0 && i < n->count; i++) {
        const struct yaml_node *key = n->pairs[i].key;
        uint64_t hash = hash_view(key->value);
        if (is_merge(key)) {
            continue;
        }
        if (hashmap_get(&index, hash, &key->value) != NULL) {
            rc = errctx_set(p->err, ERR_PARSE, "%s:%d:%d: field %.*s already set; expected each key once", p->file,
                            key->line, key->column, VIEW_FMT(key->value));
        } else {
            hashmap_add(&index, hash, &n->pairs[i]);
        }
    }
    hashmap_done(&index);
    return rc;
}

static int parse_node(struct parse *p, const yaml_event_t *e, int depth, struct yaml_node **ret, int *ret_height);

/* Reads the next node of a collection; *ret is NULL at its end. */
static int parse_child(struct parse *p, yaml_event_type_t end, int depth, struct yaml_node **ret, int *height)
{
    yaml_event_t e;
    int child_height = 0;
    if (next_event(p, &e) != 0) {
        return ERR_PARSE;
    }
    *ret = NULL;
    int rc = e.type == end ? 0 : parse_node(p, &e, depth + 1, ret, &child_height);
    yaml_event_delete(&e);
    if (child_height + 1 > *height && *ret != NULL) {
        *height = child_height + 1;
    }
    return rc;
}

static int parse_sequence(struct parse *p, struct yaml_node *n, int depth, int *height)
{
    for (;;) {
        struct yaml_node *item;
        int rc = parse_child(p, YAML_SEQUENCE_END_EVENT, depth, &item, height);
        if (rc != 0 || item == NULL) {
            return rc;
        }
        yaml_append(p->arena, n, item);
    }
}

static void push_pair(struct arena *arena, struct yaml_node *n, struct yaml_node *key, struct yaml_node *value)
{
    if (n->count == n->cap) {
        n->cap = n->cap != 0 ? n->cap * 2 : 8;
        struct yaml_pair *grown = arena_alloc(arena, n->cap * sizeof(*grown));
        if (n->count != 0) {
            memcpy(grown, n->pairs, n->count * sizeof(*grown));
        }
        n->pairs = grown;
    }
    n->pairs[n->count++] = (struct yaml_pair){key, value};
}

static int parse_mapping(struct parse *p, struct yaml_node *n, int depth, int *height)
{
    for (;;) {
        struct yaml_node *key, *value;
        int rc = parse_child(p, YAML_MAPPING_END_EVENT, depth, &key, height);
        if (rc != 0) {
            return rc;
        }
        if (key == NULL) {
            break;
        }
        if (key->kind != YAML_SCALAR) {
            return fail_node(p, key, "a key that is a list or a mapping; expected a scalar");
        }
        if ((rc = parse_child(p, YAML_NO_EVENT, depth, &value, height)) != 0) {
            return rc;
        }
        push_pair(p->arena, n, key, value);
    }
    int rc = refuse_repeated_keys(p, n);
    return rc != 0 ? rc : expand_merges(p, n);
}

static int count_nodes(struct parse *p, const yaml_event_t *e, size_t count)
{
    if (count > YAML_NODES_MAX - p->nodes) {
        return fail_at(p, ERR_LIMIT, &e->start_mark, "more than 2000000 nodes with aliases expanded; expected fewer");
    }
    p->nodes += count;
    return 0;
}

static int parse_alias(struct parse *p, const yaml_event_t *e, int depth, struct yaml_node **ret, int *ret_height)
{
    const char *name = (const char *)e->data.alias.anchor;
    const struct anchor *a = hashmap_get(&p->anchors, hash_view(view_of(name)), name);
    if (a == NULL || a->node == NULL) {
        return errctx_set(p->err, ERR_PARSE, "%s:%zu:%zu: alias *%s %s", p->file, e->start_mark.line + 1,
                          e->start_mark.column + 1, name,
                          a == NULL ? "names no anchor; expected one defined above" : "lies inside its own anchor");
    }
    if (depth + a->height > YAML_DEPTH_MAX) {
        return fail_at(p, ERR_LIMIT, &e->start_mark, "nested deeper than 100 levels; expected fewer");
    }
    *ret = a->node;
    *ret_height = a->height;
    return count_nodes(p, e, a->weight);
}

static struct anchor *anchor_open(struct parse *p, const yaml_char_t *name)
{
    if (name == NULL) {
        return NULL;
    }
    struct anchor *a = arena_alloc(p->arena, sizeof(*a));
    a->name = arena_strdup(p->arena, (const char *)name);
    uint64_t hash = hash_view(view_of(a->name));
    (void)hashmap_remove(&p->anchors, hash, a->name);
    hashmap_add(&p->anchors, hash, a);
    return a;
}

static struct yaml_node *scalar_new(struct parse *p, const yaml_event_t *e)
{
    struct yaml_node *n = node_new(p, YAML_SCALAR, e, e->data.scalar.style, e->data.scalar.tag);
    n->value.base = arena_dup(p->arena, e->data.scalar.value, e->data.scalar.length);
    n->value.len = e->data.scalar.length;
    return n;
}

static int parse_node(struct parse *p, const yaml_event_t *e, int depth, struct yaml_node **ret, int *ret_height)
{
    size_t first = p->nodes;
    int height = 0, rc;
    struct yaml_node *n;
    struct anchor *anchor;
    if (e->type == YAML_ALIAS_EVENT) {
        return parse_alias(p, e, depth, ret, ret_height);
    }
    if (depth > YAML_DEPTH_MAX) {
        return fail_at(p, ERR_LIMIT, &e->start_mark, "nested deeper than 100 levels; expected fewer");
    }
    if ((rc = count_nodes(p, e, 1)) != 0) {
        return rc;
    }
    if (e->type == YAML_SCALAR_EVENT) {
        anchor = anchor_open(p, e->data.scalar.anchor);
        n = scalar_new(p, e);
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        anchor = anchor_open(p, e->data.sequence_start.anchor);
        n = node_new(p, YAML_SEQUENCE, e, e->data.sequence_start.style, e->data.sequence_start.tag);
        rc = parse_sequence(p, n, depth, &height);
    } else {
        invariant(e->type == YAML_MAPPING_START_EVENT);
        anchor = anchor_open(p, e->data.mapping_start.anchor);
        n = node_new(p, YAML_MAPPING, e, e->data.mapping_start.style, e->data.mapping_start.tag);
        rc = parse_mapping(p, n, depth, &height);
    }
    if (rc != 0) {
        return rc;
    }
    if (anchor != NULL) {
        *anchor = (struct anchor){anchor->name, n, p->nodes - first, height};
    }
    *ret = n;
    *ret_height = height;
    return 0;
}

/* Stream start, document start, the root, document end; whatever follows is not read. */
static int parse_document(struct parse *p, struct yaml_node **ret)
{
    yaml_event_t e;
    for (;;) {
        if (next_event(p, &e) != 0) {
            return ERR_PARSE;
        }
        yaml_event_type_t type = e.type;
        if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT) {
            break;
        }
        yaml_event_delete(&e);
    }
    int height = 0;
    struct yaml_node *root = NULL;
    int rc = e.type == YAML_STREAM_END_EVENT ? 0 : parse_node(p, &e, 1, &root, &height);
    yaml_event_delete(&e);
    if (rc == 0 && root != NULL) {
        if (next_event(p, &e) != 0) {
            return ERR_PARSE;
        }
        yaml_event_delete(&e);
    }
    if (rc == 0) {
        *ret = root;
    }
    return rc;
}

int yaml_parse(struct arena *arena, const char *file, struct view text, struct yaml_node **ret, struct errctx *err)
{
    struct parse p = {.arena = arena, .file = file, .err = err};
    struct errctx own = ERRCTX_INIT;
    if (text.len > YAML_INPUT_MAX_BYTES) {
        return errctx_set(err, ERR_LIMIT, "%s: %zu bytes of YAML; expected at most %zu", file, text.len,
                          YAML_INPUT_MAX_BYTES);
    }
    if (err == NULL) {
        p.err = &own;
    }
    invariant(yaml_parser_initialize(&p.yaml));
    yaml_parser_set_input_string(&p.yaml, (const unsigned char *)(text.base != NULL ? text.base : ""), text.len);
    hashmap_init(&p.anchors, anchor_equal);
    int rc = parse_document(&p, ret);
    hashmap_done(&p.anchors);
    yaml_parser_delete(&p.yaml);
    return rc;
}
