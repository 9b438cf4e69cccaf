/* A YAML tree as text, through libyaml's emitter.
 *
 * A scalar keeps its value byte for byte and stays what it was: a quoted "5" stays quoted, a plain
 * 5 stays plain. Styles are kept where the emitter writes them exactly and replaced by a
 * double-quoted form where it would not: folded blocks become literal blocks, and line breaks
 * outside of literal blocks are escaped, because folding is where writers and readers of YAML
 * differ. All collections come out in block style: an empty plain scalar (null) has no safe
 * spelling inside a flow collection. */
#include "configgen/yamltree.h"

#include <yaml.h>

static int on_write(void *data, unsigned char *buffer, size_t size)
{
    struct bytes *out = data;
    bytes_append(out, buffer, size);
    return !out->overflow;
}

/* Carriage returns, NEL, LS, PS: line breaks for YAML, to be escaped wherever they stand. */
static bool has_odd_break(struct view v)
{
    for (size_t i = 0; i < v.len; i++) {
        const unsigned char *p = (const unsigned char *)v.base + i;
        bool nel = p[0] == 0xc2 && i + 1 < v.len && p[1] == 0x85;
        bool separator =
            p[0] == 0xe2 && i + 2 < v.len && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9);
        if (p[0] == '\r' || nel || separator) {
            return true;
        }
    }
    return false;
}

static yaml_scalar_style_t scalar_style(const struct yaml_node *n)
{
    struct view v = n->value;
    bool lines = memchr(v.base, '\n', v.len) != NULL;
    if (has_odd_break(v)) {
        return YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    }
    switch (n->style) {
    case YAML_LITERAL_SCALAR_STYLE:
    case YAML_FOLDED_SCALAR_STYLE:
        return v.len == 0 || strchr(" \t\n", v.base[0]) != NULL ? YAML_DOUBLE_QUOTED_SCALAR_STYLE
                                                                : YAML_LITERAL_SCALAR_STYLE;
    case YAML_SINGLE_QUOTED_SCALAR_STYLE:
        return lines ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_SINGLE_QUOTED_SCALAR_STYLE;
    case YAML_PLAIN_SCALAR_STYLE:
        return lines ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE;
    default:
        return YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    }
}

/* libyaml's constructors copy the strings; the casts only drop const. */
static yaml_char_t *text_of(const char *s)
{
    return (yaml_char_t *)(uintptr_t)s;
}

static bool emit_scalar(yaml_emitter_t *emitter, const struct yaml_node *n)
{
    yaml_event_t e;
    bool implicit = n->tag == NULL;
    return yaml_scalar_event_initialize(&e, NULL, text_of(n->tag), text_of(n->value.base),
                                        (int)n->value.len, implicit, implicit, scalar_style(n)) &&
           yaml_emitter_emit(emitter, &e);
}

static bool emit_node(yaml_emitter_t *emitter, const struct yaml_node *n);

static bool emit_sequence(yaml_emitter_t *emitter, const struct yaml_node *n)
{
    yaml_event_t e;
    if (!yaml_sequence_start_event_initialize(&e, NULL, text_of(n->tag), n->tag == NULL,
                                              YAML_BLOCK_SEQUENCE_STYLE) ||
        !yaml_emitter_emit(emitter, &e)) {
        return false;
    }
    for (size_t i = 0; i < n->count; i++) {
        if (!emit_node(emitter, n->items[i])) {
            return false;
        }
    }
    return yaml_sequence_end_event_initialize(&e) && yaml_emitter_emit(emitter, &e);
}

static bool emit_mapping(yaml_emitter_t *emitter, const struct yaml_node *n)
{
    yaml_event_t e;
    if (!yaml_mapping_start_event_initialize(&e, NULL, text_of(n->tag), n->tag == NULL,
                                             YAML_BLOCK_MAPPING_STYLE) ||
        !yaml_emitter_emit(emitter, &e)) {
        return false;
    }
    for (size_t i = 0; i < n->count; i++) {
        if (!emit_scalar(emitter, n->pairs[i].key) || !emit_node(emitter, n->pairs[i].value)) {
            return false;
        }
    }
    return yaml_mapping_end_event_initialize(&e) && yaml_emitter_emit(emitter, &e);
}

static bool emit_node(yaml_emitter_t *emitter, const struct yaml_node *n)
{
    switch (n->kind) {
    case YAML_SEQUENCE:
        return emit_sequence(emitter, n);
    case YAML_MAPPING:
        return emit_mapping(emitter, n);
    default:
        return emit_scalar(emitter, n);
    }
}

static bool emit_document(yaml_emitter_t *emitter, const struct yaml_node *n)
{
    yaml_event_t e;
    bool implicit = n->kind != YAML_SCALAR ||
                    n->value.len != 0; /* a bare null needs its "---" to be there at all */
    return yaml_stream_start_event_initialize(&e, YAML_UTF8_ENCODING) &&
           yaml_emitter_emit(emitter, &e) &&
           yaml_document_start_event_initialize(&e, NULL, NULL, NULL, implicit) &&
           yaml_emitter_emit(emitter, &e) && emit_node(emitter, n) &&
           yaml_document_end_event_initialize(&e, 1) && yaml_emitter_emit(emitter, &e) &&
           yaml_stream_end_event_initialize(&e) && yaml_emitter_emit(emitter, &e);
}

int yaml_write(const struct yaml_node *n, struct bytes *out, struct errctx *err)
{
    yaml_emitter_t emitter;
    if (n == NULL) {
        return 0;
    }
    if (!yaml_emitter_initialize(&emitter)) {
        return errctx_set(err, ERR_LIMIT, "no memory for a YAML writer");
    }
    yaml_emitter_set_output(&emitter, on_write, out);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);
    yaml_emitter_set_indent(&emitter, 2);
    int rc = 0;
    if (!emit_document(&emitter, n)) {
        rc = bytes_check(out, err);
        if (rc == 0) {
            rc = errctx_set(err, ERR_INVALID, "cannot write YAML: %s",
                            emitter.problem != NULL ? emitter.problem : "?");
        }
    }
    yaml_emitter_delete(&emitter);
    return rc;
}
