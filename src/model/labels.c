/* Label sets.
 *
 * A finished set is one allocation: a header, 16 bytes a label (offsets and lengths), then the strings, each followed
 * by a NUL so that a value can be handed to C interfaces. Sets are made once per discovered target and then only read,
 * by many threads, so they are immutable and carry an atomic reference count; 100,000 targets with thirty labels each
 * are the usual size, which is why there are no pointers inside.
 *
 * The builder is a sorted array of borrowed strings: sets are small, so a binary search and a memmove beat any map, and
 * relabelling works on it in place. Building never allocates a string.
 *
 * Sets made with a dictionary (label_names.c) hold numbers of names instead of names.
 *
 * This file must never keep a label with an empty value: an empty value is an absent label, everywhere. */
#include "model/labels.h"
#include "base/hash.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "model/label_names.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Offsets from the start of the strings; with a dictionary name_at is the name's number. */
struct packed_label {
    uint32_t name_at, name_len, value_at, value_len;
};

struct labels {
    _Atomic unsigned refs;
    uint32_t count;
    struct label_names *names; /* referenced; NULL when the names are among the strings */
    struct packed_label items[];
};

static const char *strings_of(const struct labels *l)
{
    return (const char *)&l->items[l->count];
}

size_t labels_count(const struct labels *l)
{
    return l->count;
}

struct label labels_at(const struct labels *l, size_t i)
{
    invariant(i < l->count);
    const char *strings = strings_of(l);
    const struct packed_label *p = &l->items[i];
    struct view name =
        l->names != NULL ? label_names_at(l->names, p->name_at) : view_make(strings + p->name_at, p->name_len);
    return (struct label){name, view_make(strings + p->value_at, p->value_len)};
}

struct view labels_get(const struct labels *l, struct view name)
{
    size_t low = 0, high = l->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        struct label at = labels_at(l, mid);
        int c = view_compare(at.name, name);
        if (c == 0) {
            return at.value;
        }
        if (c < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return view_make(NULL, 0);
}

static size_t strings_len(const struct labels *l)
{
    if (l->count == 0) {
        return 0;
    }
    const struct packed_label *last = &l->items[l->count - 1];
    return (size_t)last->value_at + last->value_len + 1;
}

static bool equal_one_by_one(const struct labels *a, const struct labels *b)
{
    for (size_t i = 0; i < a->count; i++) {
        struct label x = labels_at(a, i), y = labels_at(b, i);
        if (!view_equal(x.name, y.name) || !view_equal(x.value, y.value)) {
            return false;
        }
    }
    return true;
}

/* With one dictionary, or none, the packed form is a function of the content, so equal sets are equal bytes. */
bool labels_equal(const struct labels *a, const struct labels *b)
{
    if (a == b || a->count != b->count) {
        return a == b;
    }
    if (a->names != b->names) {
        return equal_one_by_one(a, b);
    }
    size_t len = strings_len(a);
    return len == strings_len(b) && memcmp(a->items, b->items, a->count * sizeof(a->items[0])) == 0 &&
           memcmp(strings_of(a), strings_of(b), len) == 0;
}

struct labels *labels_ref(const struct labels *l)
{
    struct labels *mutable = (struct labels *)(uintptr_t)l;
    atomic_fetch_add_explicit(&mutable->refs, 1, memory_order_relaxed);
    return mutable;
}

void labels_unref(const struct labels *l)
{
    struct labels *mutable = (struct labels *)(uintptr_t)l;
    if (mutable != NULL && atomic_fetch_sub_explicit(&mutable->refs, 1, memory_order_acq_rel) == 1) {
        label_names_unref(mutable->names);
        free(mutable);
    }
}

static uint32_t put_string(char *strings, size_t *at, struct view v)
{
    uint32_t start = (uint32_t)*at;
    if (v.len != 0) {
        memcpy(strings + *at, v.base, v.len);
    }
    strings[*at + v.len] = '\0';
    *at += v.len + 1;
    return start;
}

/* items: sorted, distinct names, no empty values. */
static struct labels *pack(struct label_names *names, const struct label *items, size_t count)
{
    size_t need = 0;
    for (size_t i = 0; i < count; i++) {
        need += (names == NULL ? items[i].name.len + 1 : 0) + items[i].value.len + 1;
    }
    invariant(count < UINT32_MAX && need < UINT32_MAX);
    struct labels *l = mem_alloc(sizeof(*l) + count * sizeof(l->items[0]) + need);
    atomic_init(&l->refs, 1);
    l->count = (uint32_t)count;
    l->names = names != NULL ? label_names_ref(names) : NULL;
    char *strings = (char *)&l->items[count];
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        struct packed_label *p = &l->items[i];
        p->name_len = (uint32_t)items[i].name.len;
        p->value_len = (uint32_t)items[i].value.len;
        p->name_at = names != NULL ? label_names_add(names, items[i].name) : put_string(strings, &at, items[i].name);
        p->value_at = put_string(strings, &at, items[i].value);
    }
    return l;
}

struct indexed_label {
    struct label label;
    size_t index;
};

static int compare_indexed(const void *a, const void *b)
{
    const struct indexed_label *x = a, *y = b;
    int c = view_compare(x->label.name, y->label.name);
    return c != 0 ? c : (x->index > y->index) - (x->index < y->index);
}

struct labels *labels_make(const struct label *items, size_t count)
{
    return labels_make_shared(NULL, items, count);
}

struct labels *labels_make_shared(struct label_names *names, const struct label *items, size_t count)
{
    struct indexed_label *sorted = mem_alloc(count * sizeof(*sorted));
    struct label *kept = mem_alloc(count * sizeof(*kept));
    size_t kept_count = 0;
    for (size_t i = 0; i < count; i++) {
        sorted[i] = (struct indexed_label){items[i], i};
    }
    qsort(sorted, count, sizeof(*sorted), compare_indexed);
    for (size_t i = 0; i < count; i++) {
        bool is_last = i + 1 == count || !view_equal(sorted[i].label.name, sorted[i + 1].label.name);
        if (is_last && sorted[i].label.value.len != 0) {
            kept[kept_count++] = sorted[i].label;
        }
    }
    struct labels *l = pack(names, kept, kept_count);
    free(sorted);
    free(kept);
    return l;
}

#define HASH_STACK_BYTES 2048

static size_t hash_input(const struct labels *l, bool (*keep)(struct view name, void *data), void *data, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < l->count; i++) {
        struct label at = labels_at(l, i);
        if (keep != NULL && !keep(at.name, data)) {
            continue;
        }
        memcpy(out + len, at.name.base, at.name.len);
        len += at.name.len;
        out[len++] = '\xff';
        memcpy(out + len, at.value.base, at.value.len);
        len += at.value.len;
        out[len++] = '\xff';
    }
    return len;
}

uint64_t labels_hash(const struct labels *l, bool (*keep)(struct view name, void *data), void *data)
{
    char on_stack[HASH_STACK_BYTES];
    size_t max = 0;
    for (size_t i = 0; i < l->count; i++) {
        max += (size_t)l->items[i].name_len + l->items[i].value_len + 2;
    }
    char *buf = max <= sizeof(on_stack) ? on_stack : mem_alloc(max);
    on_stack[0] = '\0';
    uint64_t hash = xxh64(buf, hash_input(l, keep, data, buf), 0);
    if (buf != on_stack) {
        free(buf);
    }
    return hash;
}

void labels_builder_init(struct labels_builder *b, struct arena *arena)
{
    *b = (struct labels_builder){.arena = arena};
}

void labels_builder_done(struct labels_builder *b)
{
    free(b->items);
    *b = (struct labels_builder){.arena = b->arena, .names = b->names};
}

void labels_builder_reset(struct labels_builder *b)
{
    b->len = 0;
}

static void reserve(struct labels_builder *b, size_t count)
{
    if (count > b->cap) {
        size_t cap = b->cap != 0 ? b->cap * 2 : 32;
        b->cap = cap > count ? cap : count;
        b->items = mem_realloc(b->items, b->cap * sizeof(*b->items));
    }
}

void labels_builder_load(struct labels_builder *b, const struct labels *l)
{
    reserve(b, l->count);
    b->len = l->count;
    for (size_t i = 0; i < l->count; i++) {
        b->items[i] = labels_at(l, i);
    }
}

/* Index of name, or of the place where it belongs. */
static size_t find(const struct labels_builder *b, struct view name, bool *ret_found)
{
    size_t low = 0, high = b->len;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = view_compare(b->items[mid].name, name);
        if (c == 0) {
            *ret_found = true;
            return mid;
        }
        if (c < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    *ret_found = false;
    return low;
}

struct view labels_builder_get(const struct labels_builder *b, struct view name)
{
    bool found;
    size_t i = find(b, name, &found);
    return found ? b->items[i].value : view_make(NULL, 0);
}

void labels_builder_set(struct labels_builder *b, struct view name, struct view value)
{
    if (value.len == 0) {
        labels_builder_delete(b, name);
        return;
    }
    bool found;
    size_t i = find(b, name, &found);
    if (found) {
        b->items[i].value = value;
        return;
    }
    reserve(b, b->len + 1);
    memmove(&b->items[i + 1], &b->items[i], (b->len - i) * sizeof(*b->items));
    b->items[i] = (struct label){name, value};
    b->len++;
}

void labels_builder_delete(struct labels_builder *b, struct view name)
{
    bool found;
    size_t i = find(b, name, &found);
    if (found) {
        memmove(&b->items[i], &b->items[i + 1], (b->len - i - 1) * sizeof(*b->items));
        b->len--;
    }
}

struct labels *labels_builder_build(const struct labels_builder *b)
{
    return pack(b->names, b->items, b->len);
}
