/* Packed objects: see object.h.
 *
 *     text     0x00 length bytes          shared   0x01 number
 *     map      0x02 size count (key value)...      list     0x03 size count value...
 *
 * Lengths and numbers are varints; size is the number of bytes behind it, so that a walk steps over what it does not
 * want. Keys are always shared. A tree is packed in one pass into a scratch buffer; sizes are not known before, so maps
 * and lists are packed into place and then moved by the length of their head. */
#include "k8s/object.h"

#include "base/bytes.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/vec.h"
#include "k8s/schema.h"
#include "k8s/texts.h"

#include <stdio.h>
#include <stdlib.h>

#define OBJECT_BYTES_MAX ((size_t)4 << 20)
#define PACK_DEPTH_MAX   32
#define NUMBER_TEXT_MAX  40

enum tag { TAG_TEXT, TAG_SHARED, TAG_MAP, TAG_LIST };

struct k8s_object {
    const struct k8s_texts *texts;
    uint32_t len;
    unsigned char data[]; /* namespace (a shared text), name (a text), root map */
};

/* --- packing */

struct packer {
    struct bytes out;
    struct k8s_texts *texts;
    VEC(uint32_t) refs; /* taken so far, to give back on failure */
    unsigned depth;
    bool is_too_deep;
};

static size_t varint_put(unsigned char *at, size_t n)
{
    size_t len = 0;
    while (n >= 0x80) {
        at[len++] = (unsigned char)(n | 0x80);
        n >>= 7;
    }
    at[len++] = (unsigned char)n;
    return len;
}

static void put_varint(struct packer *p, size_t n)
{
    unsigned char text[10];
    bytes_append(&p->out, text, varint_put(text, n));
}

static void put_text(struct packer *p, struct view text, bool is_unique)
{
    if (is_unique || text.len > 4096) {
        bytes_append_char(&p->out, TAG_TEXT);
        put_varint(p, text.len);
        bytes_append_view(&p->out, text);
    } else {
        uint32_t id = k8s_texts_ref(p->texts, text);
        *vec_push(&p->refs) = id;
        bytes_append_char(&p->out, TAG_SHARED);
        put_varint(p, id);
    }
}

static void put_value(struct packer *p, const json_t *v, const struct k8s_schema *s);

/* Head of a map or list whose content begins at `from`. */
static void put_head(struct packer *p, enum tag tag, size_t from, size_t count)
{
    unsigned char head[24], number[10];
    size_t count_len = varint_put(number, count), body = p->out.len - from, len = 0;
    head[len++] = (unsigned char)tag;
    len += varint_put(head + len, body + count_len);
    memcpy(head + len, number, count_len);
    len += count_len;
    bytes_append(&p->out, head, len); /* makes room */
    if (!p->out.overflow) {
        memmove(p->out.base + from + len, p->out.base + from, body);
        memcpy(p->out.base + from, head, len);
    }
}

static bool is_kept(const json_t *v)
{
    return v != NULL && !json_is_null(v);
}

static void put_map(struct packer *p, const json_t *map, const struct k8s_schema *s)
{
    const char *key;
    const json_t *v;
    size_t from = p->out.len, count = 0;
    for (void *it = json_object_iter((json_t *)(uintptr_t)map); it != NULL;
         it = json_object_iter_next((json_t *)(uintptr_t)map, it)) {
        key = json_object_iter_key(it);
        v = json_object_iter_value(it);
        const struct k8s_schema *member = k8s_schema_member(s, view_of(key));
        if (member != NULL && is_kept(v)) {
            put_text(p, view_of(key), false);
            put_value(p, v, member);
            count++;
        }
    }
    put_head(p, TAG_MAP, from, count);
}

static void put_list(struct packer *p, const json_t *list, const struct k8s_schema *s)
{
    size_t from = p->out.len, count = 0, i;
    const json_t *v;
    json_array_foreach(list, i, v)
    {
        if (is_kept(v)) {
            put_value(p, v, s);
            count++;
        }
    }
    put_head(p, TAG_LIST, from, count);
}

static void put_scalar(struct packer *p, const json_t *v, bool is_unique)
{
    char number[NUMBER_TEXT_MAX];
    if (json_is_string(v)) {
        put_text(p, view_make(json_string_value(v), json_string_length(v)), is_unique);
    } else if (json_is_boolean(v)) {
        put_text(p, view_of(json_is_true(v) ? "true" : "false"), false);
    } else if (json_is_integer(v)) {
        snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        put_text(p, view_of(number), false);
    } else {
        snprintf(number, sizeof(number), "%.17g", json_number_value(v));
        put_text(p, view_of(number), false);
    }
}

static void put_json(struct packer *p, const json_t *v)
{
    char *text = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    put_text(p, text != NULL ? view_of(text) : VIEW("null"), true);
    free(text);
}

static void put_value(struct packer *p, const json_t *v, const struct k8s_schema *s)
{
    p->depth++;
    if (s->is_json) {
        put_json(p, v);
    } else if (p->depth > PACK_DEPTH_MAX) {
        p->is_too_deep = true;
        put_text(p, VIEW(""), true);
    } else if (json_is_object(v)) {
        put_map(p, v, s);
    } else if (json_is_array(v)) {
        put_list(p, v, s);
    } else {
        put_scalar(p, v, s->is_unique);
    }
    p->depth--;
}

/* --- reading */

static size_t varint_get(const unsigned char **at)
{
    size_t n = 0;
    for (unsigned shift = 0;; shift += 7) {
        unsigned char c = *(*at)++;
        n |= (size_t)(c & 0x7f) << shift;
        if (c < 0x80) {
            return n;
        }
    }
}

/* A scalar at *at, which moves behind it. */
static struct view text_get(const struct k8s_texts *texts, const unsigned char **at)
{
    unsigned char tag = *(*at)++;
    size_t n = varint_get(at);
    if (tag == TAG_SHARED) {
        return k8s_texts_get(texts, (uint32_t)n);
    }
    struct view v = view_make((const char *)*at, n);
    *at += n;
    return v;
}

static const unsigned char *step_over(const unsigned char *at)
{
    unsigned char tag = *at++;
    size_t n = varint_get(&at);
    return tag == TAG_SHARED ? at : at + n;
}

struct k8s_iter k8s_iter(struct k8s_value v)
{
    struct k8s_iter it = {.value = {NULL, v.texts}};
    if (v.at != NULL && (*v.at == TAG_MAP || *v.at == TAG_LIST)) {
        it.is_map = *v.at == TAG_MAP;
        it.next = v.at + 1;
        (void)varint_get(&it.next);
        it.left = varint_get(&it.next);
    }
    return it;
}

bool k8s_next(struct k8s_iter *it)
{
    if (it->left == 0) {
        return false;
    }
    it->left--;
    if (it->is_map) {
        it->key = text_get(it->value.texts, &it->next);
    }
    it->value.at = it->next;
    it->next = step_over(it->next);
    return true;
}

static struct k8s_value get(struct k8s_value map, struct view key)
{
    struct k8s_iter it = k8s_iter(map);
    while (it.is_map && k8s_next(&it)) {
        if (view_equal(it.key, key)) {
            return it.value;
        }
    }
    return (struct k8s_value){NULL, map.texts};
}

struct k8s_value k8s_get(struct k8s_value map, const char *key)
{
    return get(map, view_of(key));
}

struct k8s_value k8s_at(struct k8s_value map, const char *path)
{
    while (*path != '\0' && map.at != NULL) {
        size_t len = strcspn(path, ".");
        map = get(map, view_make(path, len));
        path += len + (path[len] == '.');
    }
    return map;
}

struct view k8s_text(struct k8s_value v)
{
    const unsigned char *at = v.at;
    return at != NULL && *at <= TAG_SHARED ? text_get(v.texts, &at) : VIEW("");
}

struct view k8s_text_at(struct k8s_value map, const char *path)
{
    return k8s_text(k8s_at(map, path));
}

bool k8s_has(struct k8s_value v)
{
    return v.at != NULL;
}

/* --- objects */

static void unref_texts(struct k8s_texts *texts, const unsigned char **at)
{
    unsigned char tag = *(*at)++;
    size_t n = varint_get(at);
    if (tag == TAG_TEXT) {
        *at += n;
    } else if (tag == TAG_SHARED) {
        k8s_texts_unref(texts, (uint32_t)n);
    } else {
        size_t count = varint_get(at) * (tag == TAG_MAP ? 2 : 1);
        for (size_t i = 0; i < count; i++) {
            unref_texts(texts, at);
        }
    }
}

struct k8s_object *k8s_object_new(const json_t *tree, const struct k8s_schema *schema, struct k8s_texts *texts)
{
    struct packer p = {.texts = texts};
    const json_t *metadata = json_object_get(tree, "metadata");
    const json_t *name = json_object_get(metadata, "name"), *namespace = json_object_get(metadata, "namespace");
    if (!json_is_string(name) || json_string_length(name) == 0) {
        return NULL;
    }
    bytes_init(&p.out, OBJECT_BYTES_MAX);
    bytes_reserve(&p.out, 2048);
    put_text(&p,
             json_is_string(namespace) ? view_make(json_string_value(namespace), json_string_length(namespace))
                                       : VIEW(""),
             false);
    put_text(&p, view_make(json_string_value(name), json_string_length(name)), true);
    put_value(&p, tree, schema);
    struct k8s_object *o = NULL;
    if (!p.out.overflow && !p.is_too_deep) {
        o = mem_alloc(sizeof(*o) + p.out.len);
        o->texts = texts;
        o->len = (uint32_t)p.out.len;
        memcpy(o->data, p.out.base, p.out.len);
    }
    for (size_t i = 0; o == NULL && i < p.refs.len; i++) {
        k8s_texts_unref(texts, p.refs.items[i]);
    }
    vec_done(&p.refs);
    bytes_done(&p.out);
    return o;
}

void k8s_object_free(struct k8s_object *o, struct k8s_texts *texts)
{
    if (o != NULL) {
        for (const unsigned char *at = o->data; at < o->data + o->len;) {
            unref_texts(texts, &at);
        }
        free(o);
    }
}

bool k8s_object_equal(const struct k8s_object *a, const struct k8s_object *b)
{
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

struct view k8s_object_namespace(const struct k8s_object *o)
{
    const unsigned char *at = o->data;
    return text_get(o->texts, &at);
}

struct view k8s_object_name(const struct k8s_object *o)
{
    const unsigned char *at = step_over(o->data);
    return text_get(o->texts, &at);
}

struct k8s_value k8s_object_root(const struct k8s_object *o)
{
    return (struct k8s_value){step_over(step_over(o->data)), o->texts};
}

size_t k8s_object_bytes(const struct k8s_object *o)
{
    return sizeof(*o) + o->len;
}
