/* resolv.conf: see resolv_conf.h.
 *
 * Read by ourselves and not by the resolver library, because what counts here is which names Prometheus asks for: the
 * library's own search rules differ from its, in the count of labels and in when the search ends. */
#include "discovery/resolv_conf.h"
#include "base/bytes.h"
#include "base/files.h"

#define FILE_BYTES_MAX ((size_t)256 << 10)
#define NDOTS_MAX      15
#define FIELDS_MAX     64

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static size_t split(struct view line, struct view fields[FIELDS_MAX])
{
    size_t count = 0, at = 0;
    while (count < FIELDS_MAX) {
        while (at < line.len && is_blank(line.base[at])) {
            at++;
        }
        size_t from = at;
        while (at < line.len && !is_blank(line.base[at])) {
            at++;
        }
        if (at == from) {
            break;
        }
        fields[count++] = view_make(line.base + from, at - from);
    }
    return count;
}

static void read_options(const struct view *fields, size_t count, struct resolv_conf *c)
{
    for (size_t i = 1; i < count; i++) {
        unsigned n = 0;
        if (!view_has_prefix(fields[i], VIEW("ndots:"))) {
            continue;
        }
        for (size_t k = 6; k < fields[i].len && n <= NDOTS_MAX; k++) {
            char digit = fields[i].base[k];
            n = digit >= '0' && digit <= '9' ? n * 10 + (unsigned)(digit - '0') : 0;
        }
        c->ndots = n < NDOTS_MAX ? n : NDOTS_MAX;
    }
}

static void read_search(const struct view *fields, size_t count, struct arena *arena, struct resolv_conf *c)
{
    c->search_count = 0;
    for (size_t i = 1; i < count && c->search_count < RESOLV_SEARCH_MAX; i++) {
        c->search[c->search_count++] = arena_dup(arena, fields[i].base, fields[i].len);
    }
}

static void read_line(struct view line, struct arena *arena, struct resolv_conf *c)
{
    struct view fields[FIELDS_MAX];
    if (line.len == 0 || line.base[0] == ';' || line.base[0] == '#') {
        return;
    }
    size_t count = split(line, fields);
    if (count < 2) {
        if (count == 1 && view_is(fields[0], "search")) {
            c->search_count = 0;
        }
        return;
    }
    if (view_is(fields[0], "nameserver") && c->server_count < RESOLV_SERVERS_MAX) {
        c->servers[c->server_count++] = arena_dup(arena, fields[1].base, fields[1].len);
    } else if (view_is(fields[0], "domain")) {
        read_search(fields, 2, arena, c);
    } else if (view_is(fields[0], "search")) {
        read_search(fields, count, arena, c);
    } else if (view_is(fields[0], "options")) {
        read_options(fields, count, c);
    }
}

void resolv_conf_parse(struct view text, struct arena *arena, struct resolv_conf *ret)
{
    *ret = (struct resolv_conf){.ndots = 1};
    while (text.len != 0) {
        const char *end = memchr(text.base, '\n', text.len);
        size_t len = end != NULL ? (size_t)(end - text.base) : text.len;
        read_line(view_make(text.base, len), arena, ret);
        len += end != NULL;
        text = view_make(text.base + len, text.len - len);
    }
}

int resolv_conf_load(const char *path, struct arena *arena, struct resolv_conf *ret, struct errctx *err)
{
    struct bytes text;
    bytes_init(&text, FILE_BYTES_MAX);
    int rc = files_read(path, &text, err);
    if (rc == 0) {
        resolv_conf_parse(bytes_view(&text), arena, ret);
        if (ret->server_count == 0) {
            rc = errctx_set(err, ERR_INVALID, "%s: no nameserver; expected at least one", path);
        }
    }
    bytes_done(&text);
    return rc;
}

/* Dots that a backslash does not take the meaning from. */
static unsigned count_labels(const char *name)
{
    unsigned labels = name[0] != '\0';
    for (const char *c = name; *c != '\0'; c++) {
        if (*c == '\\' && c[1] != '\0') {
            c++;
        } else if (*c == '.' && c[1] != '\0') {
            labels++;
        }
    }
    return labels;
}

static const char *qualified(struct arena *arena, const char *name)
{
    size_t len = strlen(name);
    return len != 0 && name[len - 1] == '.' ? name : arena_printf(arena, "%s.", name);
}

const char *resolv_conf_candidate(const struct resolv_conf *c, const char *name, size_t i, struct arena *arena)
{
    size_t len = strlen(name);
    if (len != 0 && name[len - 1] == '.') {
        return i == 0 ? name : NULL;
    }
    size_t own = count_labels(name) > c->ndots ? 0 : c->search_count; /* the place of the name itself */
    if (i == own) {
        return qualified(arena, name);
    }
    if (i > c->search_count) {
        return NULL;
    }
    return qualified(arena, arena_printf(arena, "%s.%s", name, c->search[i - (i > own)]));
}
