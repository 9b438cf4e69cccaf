/* Label sets of API objects: see sd_group.h.
 *
 * The caller puts labels without asking whether the object is sound; what is wrong with it (a number where a string
 * should be, a value of a megabyte) is remembered and counts when the target is made. So one bad object never costs its
 * neighbours. The targets of a group share one dictionary of label names: in lists of thousands of objects the names
 * are half of the memory. */
#include "discovery/sd_group.h"

#include <stdio.h>

void sd_group_init(struct sd_group *g)
{
    *g = (struct sd_group){.arena = arena_new(), .names = label_names_new()};
}

void sd_group_done(struct sd_group *g)
{
    for (size_t i = 0; i < g->targets.len; i++) {
        labels_unref(g->targets.items[i]);
    }
    vec_done(&g->targets);
    vec_done(&g->items);
    label_names_unref(g->names);
    arena_free(&g->arena);
}

void sd_group_begin(struct sd_group *g)
{
    vec_clear(&g->items);
    arena_reset(g->arena);
    g->is_bad = false;
}

size_t sd_group_mark(const struct sd_group *g)
{
    return g->items.len;
}

void sd_group_rewind(struct sd_group *g, size_t mark)
{
    g->items.len = mark;
}

void sd_group_bad(struct sd_group *g)
{
    g->is_bad = true;
}

static void put(struct sd_group *g, struct view name, struct view value)
{
    if (g->items.len == SD_GROUP_LABELS_MAX || name.len > SD_GROUP_LABEL_BYTES_MAX ||
        value.len > SD_GROUP_LABEL_BYTES_MAX) {
        g->is_bad = true;
        return;
    }
    *vec_push(&g->items) = (struct label){name, value};
}

void sd_group_put(struct sd_group *g, const char *name, struct view value)
{
    put(g, view_of(name), value);
}

void sd_group_put_uint(struct sd_group *g, const char *name, uint64_t n)
{
    put(g, view_of(name), view_of(arena_printf(g->arena, "%llu", (unsigned long long)n)));
}

void sd_group_put_bool(struct sd_group *g, const char *name, bool b)
{
    put(g, view_of(name), b ? VIEW("true") : VIEW("false"));
}

void sd_group_put_text(struct sd_group *g, const char *name, const json_t *object, const char *key)
{
    struct view value;
    if (!sd_json_text(object, key, &value)) {
        g->is_bad = true;
    }
    put(g, view_of(name), value);
}

struct view sd_label_name(struct arena *arena, const char *prefix, struct view key)
{
    size_t len = strlen(prefix);
    char *name = arena_alloc(arena, len + key.len + 1);
    memcpy(name, prefix, len);
    for (size_t i = 0; i < key.len; i++) {
        char c = key.base[i];
        bool is_kept = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        if (((unsigned char)c & 0xc0) != 0x80) { /* one '_' a character, not a byte */
            name[len++] = is_kept ? c : '_';
        }
    }
    return view_make(name, len);
}

void sd_group_put_map(struct sd_group *g, const char *prefix, const json_t *map)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, key, value)
    {
        if (json_object_size(map) > SD_GROUP_LABELS_MAX || (!json_is_string(value) && !json_is_null(value))) {
            g->is_bad = true;
            return;
        }
        put(g, sd_label_name(g->arena, prefix, view_of(key)),
            json_is_null(value) ? VIEW("") : view_make(json_string_value(value), json_string_length(value)));
    }
}

struct view sd_host_port(struct arena *arena, struct view host, uint64_t port)
{
    bool is_v6 = host.len != 0 && memchr(host.base, ':', host.len) != NULL;
    char *text = arena_alloc(arena, host.len + 32);
    text[0] = '[';
    if (host.len != 0) {
        memcpy(text + is_v6, host.base, host.len);
    }
    int tail = snprintf(text + is_v6 + host.len, 32, "%s:%llu", is_v6 ? "]" : "", (unsigned long long)port);
    return view_make(text, (size_t)is_v6 + host.len + (size_t)tail);
}

void sd_group_put_address(struct sd_group *g, struct view host, uint64_t port)
{
    put(g, VIEW("__address__"), sd_host_port(g->arena, host, port));
}

void sd_group_end(struct sd_group *g)
{
    size_t bytes = 0;
    for (size_t i = 0; i < g->items.len; i++) {
        bytes += g->items.items[i].name.len + g->items.items[i].value.len;
    }
    if (g->is_bad || g->targets.len == SD_GROUP_TARGETS_MAX || bytes > SD_GROUP_BYTES_MAX - g->bytes) {
        g->skipped++;
        return;
    }
    g->bytes += bytes;
    *vec_push(&g->targets) = labels_make_shared(g->names, g->items.items, g->items.len);
}

struct target_group *sd_group_finish(struct sd_group *g, const char *source, struct labels *common)
{
    struct target_group *group = target_group_new(source, common, g->targets.items, g->targets.len);
    vec_clear(&g->targets);
    return group;
}
