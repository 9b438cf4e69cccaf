/* A YAML document as a tree with positions, read by libyaml, that can be written again: scalars
 * keep value and style, keys keep their order, aliases and merges are resolved on look-up. Owned by
 * an arena. Bounds: depth, nodes, bytes (alias bombs too). */
#ifndef KVASS_CONFIGGEN_YAMLTREE_H
#define KVASS_CONFIGGEN_YAMLTREE_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/errctx.h"

#include <stdint.h>

enum yaml_kind { YAML_SCALAR, YAML_MAPPING, YAML_SEQUENCE };

struct yaml_pair;

struct yaml_node {
    enum yaml_kind kind;
    int line, column;  /* 1-based */
    int style;         /* yaml_scalar_style_t, yaml_mapping_style_t or yaml_sequence_style_t */
    const char *tag;   /* explicit tag or NULL */
    struct view value; /* scalars; NUL-terminated as well */
    struct yaml_node **items; /* sequences */
    struct yaml_pair *pairs;  /* mappings, in file order, `<<` merges expanded as Prometheus expands
                                 them (yamltree.c) */
    size_t count;
    size_t cap; /* slots allocated; for yaml_set and yaml_append */
};

#define YAML_INPUT_MAX_BYTES  ((size_t)64 << 20)
#define YAML_NODES_MAX        ((size_t)2000000) /* with every alias counted in full */
#define YAML_DEPTH_MAX        100
#define YAML_OUTPUT_MAX_BYTES ((size_t)1 << 30)

struct yaml_pair {
    struct yaml_node *key, *value;
};

/* The first document of text (Prometheus ignores later ones). ERR_PARSE: "file:line:column: what;
 * expected what". file is for messages. *ret is NULL for an empty document. */
int yaml_parse(struct arena *arena, const char *file, struct view text, struct yaml_node **ret,
               struct errctx *err) MUST_CHECK;

const struct yaml_node *yaml_get(const struct yaml_node *mapping,
                                 const char *key); /* NULL when absent or not a mapping */
bool yaml_is_null(const struct yaml_node *n);      /* NULL, empty plain scalar, ~, null */
bool yaml_is_plain(const struct yaml_node *n);     /* an unquoted scalar without an explicit tag */
bool yaml_bool(const struct yaml_node *n,
               bool *ret); /* YAML 1.1 words (yes, on, true, ...); false when it is none */

/* Same values, tags, keys and order; of styles only whether a scalar may be something else than a
 * string. Positions do not count. */
bool yaml_equal(const struct yaml_node *a, const struct yaml_node *b);

/* Building and editing; strings are copied into arena. */
struct yaml_node *yaml_new_mapping(struct arena *arena);
struct yaml_node *yaml_new_sequence(struct arena *arena);
struct yaml_node *
yaml_new_string(struct arena *arena,
                struct view value); /* quoted when a plain form would not stay a string */
struct yaml_node *yaml_new_plain(struct arena *arena, const char *text); /* numbers, booleans */
void yaml_set(struct arena *arena, struct yaml_node *mapping, const char *key,
              struct yaml_node *value);
void yaml_remove(struct yaml_node *mapping, const char *key);
void yaml_append(struct arena *arena, struct yaml_node *sequence, struct yaml_node *item);
struct yaml_node *yaml_copy(struct arena *arena, const struct yaml_node *n); /* deep */

/* Deterministic text of the tree. */
int yaml_write(const struct yaml_node *n, struct bytes *out, struct errctx *err) MUST_CHECK;

#endif
