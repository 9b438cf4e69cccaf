/* Looking into a YAML tree and changing it: the half of yamltree.h that knows nothing of libyaml's
 * parser and emitter.
 *
 * Which plain scalars are something else than strings is judged as Prometheus' parser does
 * (YAML 1.1 with its own table of words), because its reading of the written file is what counts.
 */
#include "base/invariant.h"
#include "configgen/yamltree.h"

#include <yaml.h>

static bool word_is_among(struct view word, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (view_is(word, words[i])) {
            return true;
        }
    }
    return false;
}

static const char *const NULL_WORDS[] = {"", "~", "null", "Null", "NULL"};
static const char *const TRUE_WORDS[] = {"y",    "Y",    "yes", "Yes", "YES", "true",
                                         "True", "TRUE", "on",  "On",  "ON"};
static const char *const FALSE_WORDS[] = {"n",     "N",     "no",  "No",  "NO", "false",
                                          "False", "FALSE", "off", "Off", "OFF"};
#define WORDS(list) (list), sizeof(list) / sizeof((list)[0])

bool yaml_is_plain(const struct yaml_node *n)
{
    return n->kind == YAML_SCALAR && n->tag == NULL && n->style == YAML_PLAIN_SCALAR_STYLE;
}

bool yaml_is_null(const struct yaml_node *n)
{
    if (n == NULL) {
        return true;
    }
    bool tagged = n->kind == YAML_SCALAR && n->tag != NULL && strcmp(n->tag, YAML_NULL_TAG) == 0;
    return (tagged || yaml_is_plain(n)) && word_is_among(n->value, WORDS(NULL_WORDS));
}

bool yaml_bool(const struct yaml_node *n, bool *ret)
{
    bool tagged = n->tag != NULL && strcmp(n->tag, YAML_BOOL_TAG) == 0;
    if (n->kind != YAML_SCALAR || !(tagged || yaml_is_plain(n))) {
        return false;
    }
    bool yes = word_is_among(n->value, WORDS(TRUE_WORDS));
    if (!yes && !word_is_among(n->value, WORDS(FALSE_WORDS))) {
        return false;
    }
    *ret = yes;
    return true;
}

static const struct yaml_pair *pair_find(const struct yaml_node *mapping, const char *key)
{
    struct view name = view_of(key);
    for (size_t i = 0; i < mapping->count; i++) {
        if (view_equal(mapping->pairs[i].key->value, name)) {
            return &mapping->pairs[i];
        }
    }
    return NULL;
}

const struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *key)
{
    if (mapping == NULL || mapping->kind != YAML_MAPPING) {
        return NULL;
    }
    const struct yaml_pair *pair = pair_find(mapping, key);
    return pair != NULL ? pair->value : NULL;
}

static struct yaml_node *node_new(struct arena *arena, enum yaml_kind kind, int style)
{
    struct yaml_node *n = arena_alloc(arena, sizeof(*n));
    n->kind = kind;
    n->style = style;
    return n;
}

struct yaml_node *yaml_new_mapping(struct arena *arena)
{
    return node_new(arena, YAML_MAPPING, YAML_BLOCK_MAPPING_STYLE);
}

struct yaml_node *yaml_new_sequence(struct arena *arena)
{
    return node_new(arena, YAML_SEQUENCE, YAML_BLOCK_SEQUENCE_STYLE);
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A narrow yes: words that start with a letter, '/' or '_' and that no YAML reader takes for
 * anything but a string. */
static bool plain_stays_string(struct view v)
{
    if (v.len == 0 || v.len > 1024 ||
        !(is_letter(v.base[0]) || v.base[0] == '/' || v.base[0] == '_')) {
        return false;
    }
    for (size_t i = 0; i < v.len; i++) {
        char c = v.base[i];
        bool last = i + 1 == v.len;
        if (!is_letter(c) && !(c >= '0' && c <= '9') && strchr("_/.-", c) == NULL &&
            !(c == ':' && !last)) {
            return false;
        }
    }
    return !word_is_among(v, WORDS(NULL_WORDS)) && !word_is_among(v, WORDS(TRUE_WORDS)) &&
           !word_is_among(v, WORDS(FALSE_WORDS));
}

struct yaml_node *yaml_new_string(struct arena *arena, struct view value)
{
    bool plain = plain_stays_string(value);
    struct yaml_node *n = node_new(
        arena, YAML_SCALAR, plain ? YAML_PLAIN_SCALAR_STYLE : YAML_SINGLE_QUOTED_SCALAR_STYLE);
    n->value.base = arena_dup(arena, value.base != NULL ? value.base : "", value.len);
    n->value.len = value.len;
    return n;
}

struct yaml_node *yaml_new_plain(struct arena *arena, const char *text)
{
    struct yaml_node *n = node_new(arena, YAML_SCALAR, YAML_PLAIN_SCALAR_STYLE);
    n->value = view_of(arena_strdup(arena, text));
    return n;
}

void yaml_set(struct arena *arena, struct yaml_node *mapping, const char *key,
              struct yaml_node *value)
{
    invariant(mapping->kind == YAML_MAPPING);
    for (size_t i = 0; i < mapping->count; i++) {
        if (view_is(mapping->pairs[i].key->value, key)) {
            mapping->pairs[i].value = value;
            return;
        }
    }
    if (mapping->count == mapping->cap) {
        mapping->cap = mapping->cap != 0 ? mapping->cap * 2 : 8;
        struct yaml_pair *grown = arena_alloc(arena, mapping->cap * sizeof(*grown));
        if (mapping->count != 0) {
            memcpy(grown, mapping->pairs, mapping->count * sizeof(*grown));
        }
        mapping->pairs = grown;
    }
    mapping->pairs[mapping->count++] =
        (struct yaml_pair){yaml_new_string(arena, view_of(key)), value};
}

void yaml_remove(struct yaml_node *mapping, const char *key)
{
    invariant(mapping->kind == YAML_MAPPING);
    for (size_t i = 0; i < mapping->count; i++) {
        if (view_is(mapping->pairs[i].key->value, key)) {
            memmove(&mapping->pairs[i], &mapping->pairs[i + 1],
                    (mapping->count - i - 1) * sizeof(*mapping->pairs));
            mapping->count--;
            return;
        }
    }
}

void yaml_append(struct arena *arena, struct yaml_node *sequence, struct yaml_node *item)
{
    invariant(sequence->kind == YAML_SEQUENCE);
    if (sequence->count == sequence->cap) {
        sequence->cap = sequence->cap != 0 ? sequence->cap * 2 : 8;
        struct yaml_node **grown = arena_alloc(arena, sequence->cap * sizeof(struct yaml_node *));
        if (sequence->count != 0) {
            memcpy(grown, sequence->items, sequence->count * sizeof(struct yaml_node *));
        }
        sequence->items = grown;
    }
    sequence->items[sequence->count++] = item;
}

struct yaml_node *yaml_copy(struct arena *arena, const struct yaml_node *n)
{
    struct yaml_node *copy = arena_dup(arena, n, sizeof(*n));
    copy->tag = n->tag != NULL ? arena_strdup(arena, n->tag) : NULL;
    copy->cap = n->count;
    if (n->kind == YAML_SCALAR) {
        copy->value.base = arena_dup(arena, n->value.base, n->value.len);
    } else if (n->kind == YAML_SEQUENCE) {
        copy->items =
            n->count != 0 ? arena_alloc(arena, n->count * sizeof(struct yaml_node *)) : NULL;
        for (size_t i = 0; i < n->count; i++) {
            copy->items[i] = yaml_copy(arena, n->items[i]);
        }
    } else {
        copy->pairs = n->count != 0 ? arena_alloc(arena, n->count * sizeof(*n->pairs)) : NULL;
        for (size_t i = 0; i < n->count; i++) {
            copy->pairs[i].key = yaml_copy(arena, n->pairs[i].key);
            copy->pairs[i].value = yaml_copy(arena, n->pairs[i].value);
        }
    }
    return copy;
}

static bool tags_equal(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* Whether a plain scalar may be read as a number or a date. */
static bool is_number_like(struct view v)
{
    size_t at = v.len > 0 && (v.base[0] == '+' || v.base[0] == '-');
    struct view rest = view_make(v.base + at, v.len - at);
    static const char *const words[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"};
    if (word_is_among(rest, WORDS(words))) {
        return true;
    }
    size_t digit = rest.len > 0 && rest.base[0] == '.';
    if (rest.len <= digit || rest.base[digit] < '0' || rest.base[digit] > '9') {
        return false;
    }
    for (size_t i = 0; i < rest.len; i++) {
        if (memchr("0123456789abcdefABCDEFxXoO_+-.:tTzZ ", rest.base[i], 36) == NULL) {
            return false;
        }
    }
    return true;
}

/* Where only one of the two is plain, both must be strings: a word, or what cannot be written
 * plain. */
static bool scalars_equal(const struct yaml_node *a, const struct yaml_node *b)
{
    bool flag;
    if (!view_equal(a->value, b->value)) {
        return false;
    }
    if (a->tag != NULL || yaml_is_plain(a) == yaml_is_plain(b)) {
        return true;
    }
    const struct yaml_node *plain = yaml_is_plain(a) ? a : b;
    return !yaml_is_null(plain) && !yaml_bool(plain, &flag) && !is_number_like(plain->value);
}

bool yaml_equal(const struct yaml_node *a, const struct yaml_node *b)
{
    if (a == NULL || b == NULL) {
        return a == b;
    }
    if (a->kind != b->kind || a->count != b->count || !tags_equal(a->tag, b->tag)) {
        return false;
    }
    if (a->kind == YAML_SCALAR) {
        return scalars_equal(a, b);
    }
    for (size_t i = 0; i < a->count; i++) {
        if (a->kind == YAML_SEQUENCE && !yaml_equal(a->items[i], b->items[i])) {
            return false;
        }
        if (a->kind == YAML_MAPPING &&
            (!view_equal(a->pairs[i].key->value, b->pairs[i].key->value) ||
             !yaml_equal(a->pairs[i].value, b->pairs[i].value))) {
            return false;
        }
    }
    return true;
}
