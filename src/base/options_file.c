/* Reads a kvass.yaml into settings: flat dotted keys, `role:`, and one section per role. libyaml's events are walked
 * directly (the YAML tree of configgen lies above this room). Every message names file, line and column. Nothing is
 * applied here: the caller knows the role and the order. Deep nesting, aliases and a second document are refused, not
 * ignored. */
#include "base/files.h"
#include "base/nearest.h"
#include "base/options_table.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define FILE_BYTES_MAX ((size_t)1 << 20)

struct walker {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one; type 0 when none is held */
    const char *path;
    struct arena *arena;
    struct option_settings *settings;
    struct errctx *err;
};

static int fail_at(struct walker *w, int code, yaml_mark_t mark, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static int fail_at(struct walker *w, int code, yaml_mark_t mark, const char *fmt, ...)
{
    char text[ERRCTX_MSG_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return errctx_set(w->err, code, "%s:%zu:%zu: %s", w->path, mark.line + 1, mark.column + 1, text);
}

static int next_event(struct walker *w)
{
    if (w->event.type != YAML_NO_EVENT) {
        yaml_event_delete(&w->event);
    }
    if (yaml_parser_parse(&w->parser, &w->event) == 0) {
        yaml_mark_t mark = w->parser.problem_mark;
        memset(&w->event, 0, sizeof(w->event));
        return fail_at(w, ERR_PARSE, mark, "%s", w->parser.problem != NULL ? w->parser.problem : "not YAML");
    }
    if (w->event.type == YAML_ALIAS_EVENT) {
        return fail_at(w, ERR_UNSUPPORTED, w->event.start_mark, "aliases are not taken here: write the value out");
    }
    return 0;
}

/* The current scalar; ERR when the event is another one. */
static int scalar_text(struct walker *w, const char *what, const char **ret_text)
{
    if (w->event.type != YAML_SCALAR_EVENT) {
        return fail_at(w, ERR_INVALID, w->event.start_mark, "%s", what);
    }
    const char *text = (const char *)w->event.data.scalar.value;
    if (strlen(text) != w->event.data.scalar.length) {
        return fail_at(w, ERR_INVALID, w->event.start_mark, "a NUL byte is not taken here");
    }
    *ret_text = arena_strdup(w->arena, text);
    return 0;
}

static size_t variable_len(const char *name)
{
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
    return name[0] >= '0' && name[0] <= '9' ? 0 : n;
}

/* Replaces ${NAME}; "$${" stands for "${". Any other '$' is itself. */
static int expand(struct walker *w, const char *text, const char **ret_text)
{
    struct bytes out;
    int rc = 0;
    bytes_init(&out, FILE_BYTES_MAX);
    while (*text != '\0' && rc == 0) {
        if (strncmp(text, "$${", 3) == 0) {
            bytes_append_str(&out, "${");
            text += 3;
        } else if (strncmp(text, "${", 2) == 0) {
            size_t len = variable_len(text + 2);
            const char *name = arena_dup(w->arena, text + 2, len);
            const char *value = getenv(name);
            if (len == 0 || text[2 + len] != '}') {
                rc = fail_at(w, ERR_PARSE, w->event.start_mark, "'${' without a name and '}'; write '$${' for itself");
            } else if (value == NULL) {
                rc = fail_at(w, ERR_INVALID, w->event.start_mark, "the environment has no variable %s", name);
            } else {
                bytes_append_str(&out, value);
                text += 2 + len + 1;
            }
        } else {
            bytes_append_char(&out, *text++);
        }
    }
    if (rc == 0 && bytes_check(&out, w->err) != 0) {
        rc = ERR_LIMIT;
    }
    if (rc == 0) {
        *ret_text = arena_strdup(w->arena, bytes_view(&out).base);
    }
    bytes_done(&out);
    return rc;
}

static int read_list(struct walker *w, struct option_setting *s)
{
    VEC(const char *) items = {0};
    int rc;
    s->is_list = true;
    for (;;) {
        const char *text;
        rc = next_event(w);
        if (rc != 0 || w->event.type == YAML_SEQUENCE_END_EVENT) {
            break;
        }
        rc = items.len == OPTION_SETTINGS_MAX
                 ? fail_at(w, ERR_LIMIT, w->event.start_mark, "more than %d items", OPTION_SETTINGS_MAX)
                 : scalar_text(w, "a list holds plain values only", &text);
        rc = rc == 0 ? expand(w, text, &text) : rc;
        if (rc != 0) {
            break;
        }
        *vec_push(&items) = text;
    }
    if (rc == 0) {
        const char **kept = arena_alloc(w->arena, (items.len + 1) * sizeof(*kept));
        if (items.len > 0) {
            memcpy(kept, items.items, items.len * sizeof(*kept));
        }
        s->words = (struct option_list){kept, items.len};
    }
    vec_done(&items);
    return rc;
}

/* The key is known; the value's event is next. */
static int read_setting(struct walker *w, struct option_setting s)
{
    const struct option_row *row = option_row(s.id);
    int rc = next_event(w);
    if (rc != 0) {
        return rc;
    }
    s.origin = (struct option_origin){OPTION_FROM_FILE, (int)w->event.start_mark.line + 1};
    s.column = (int)w->event.start_mark.column + 1;
    if (w->event.type == YAML_SEQUENCE_START_EVENT && row->kind == OPTION_KIND_LIST) {
        rc = read_list(w, &s);
    } else {
        rc = scalar_text(w, "expected one plain value", &s.text);
        rc = rc == 0 ? expand(w, s.text, &s.text) : rc;
    }
    if (rc == 0) {
        *vec_push(&w->settings->list) = s;
    }
    return rc;
}

/* At top level `role` and the sections are names, too. */
static const char *nearest_key(const char *key, unsigned section)
{
    static const char *const WORDS[] = {"role", "appliance", "coordinator", "sidecar"};
    const char *near = option_nearest(view_of(key), section);
    struct nearest n;
    nearest_begin(&n, view_of(key));
    for (size_t i = 0; section == 0 && near == NULL && i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        nearest_consider(&n, WORDS[i]);
    }
    return near != NULL ? near : n.best;
}

/* Whoever writes `shard:` with keys below it means options whose names begin so. */
static const char *option_below(const char *key)
{
    size_t len = strlen(key);
    for (int id = 0; id < OPTION_COUNT; id++) {
        const char *name = option_row((enum option_id)id)->name;
        if (strncmp(name, key, len) == 0 && name[len] == '.' && id != OPTION_ID_kvass_config) {
            return name;
        }
    }
    return NULL;
}

static int check_key(struct walker *w, const char *key, unsigned section, struct option_setting *ret_setting)
{
    yaml_mark_t mark = w->event.start_mark;
    unsigned roles = 0;
    enum option_id id = option_find(view_of(key), &roles);
    if (id == OPTION_COUNT) {
        const char *near = nearest_key(key, section), *below = near == NULL ? option_below(key) : NULL;
        if (below != NULL) {
            return fail_at(w, ERR_INVALID, mark, "unknown key '%s'; an option is one dotted name, such as '%s'", key,
                           below);
        }
        return fail_at(w, ERR_INVALID, mark, "unknown key '%s'%s%s%s", key, near != NULL ? "; did you mean '" : "",
                       near != NULL ? near : "", near != NULL ? "'?" : "");
    }
    if (id == OPTION_ID_kvass_config) {
        return fail_at(w, ERR_INVALID, mark, "'%s' can only be a flag", key);
    }
    if (section != 0 && (roles & section) == 0) {
        return fail_at(w, ERR_INVALID, mark, "'%s' is not an option of the %s", key, role_name((enum role)section));
    }
    if (w->settings->list.len == OPTION_SETTINGS_MAX) {
        return fail_at(w, ERR_LIMIT, mark, "more than %d keys", OPTION_SETTINGS_MAX);
    }
    vec_foreach(s, &w->settings->list) {
        if (s->id == id && s->section == section) {
            return fail_at(w, ERR_INVALID, mark, "'%s' is set twice here, first in line %d", key, s->origin.line);
        }
    }
    *ret_setting =
        (struct option_setting){.id = id, .name = view_of(key), .roles = roles, .section = section, .text = ""};
    return 0;
}

static int read_mapping(struct walker *w, unsigned section);

static int read_section(struct walker *w, enum role role)
{
    int rc = next_event(w);
    if (rc != 0) {
        return rc;
    }
    if (w->event.type == YAML_SCALAR_EVENT && w->event.data.scalar.length == 0) {
        return 0; /* everything in it is commented out */
    }
    if (w->event.type != YAML_MAPPING_START_EVENT) {
        return fail_at(w, ERR_INVALID, w->event.start_mark, "'%s:' holds keys, not a value", role_name(role));
    }
    return read_mapping(w, (unsigned)role);
}

static int read_role(struct walker *w)
{
    const char *text;
    int rc = next_event(w);
    rc = rc == 0 ? scalar_text(w, "expected a role", &text) : rc;
    rc = rc == 0 ? expand(w, text, &text) : rc;
    if (rc == 0 && w->settings->role != ROLE_FROM_FILE) {
        rc = fail_at(w, ERR_INVALID, w->event.start_mark, "'role' is set twice");
    }
    if (rc == 0 && !role_parse(view_of(text), &w->settings->role)) {
        rc = fail_at(w, ERR_INVALID, w->event.start_mark, "'%s' is none of appliance, coordinator, sidecar", text);
    }
    return rc;
}

/* Behind the mapping's start, up to its end. */
static int read_mapping(struct walker *w, unsigned section)
{
    for (;;) {
        const char *key;
        enum role role;
        struct option_setting s;
        int rc = next_event(w);
        if (rc != 0 || w->event.type == YAML_MAPPING_END_EVENT) {
            return rc;
        }
        rc = scalar_text(w, "expected a key such as store.path", &key);
        if (rc == 0 && section == 0 && strcmp(key, "role") == 0) {
            rc = read_role(w);
        } else if (rc == 0 && section == 0 && role_parse(view_of(key), &role)) {
            rc = read_section(w, role);
        } else if (rc == 0) {
            rc = check_key(w, key, section, &s);
            rc = rc == 0 ? read_setting(w, s) : rc;
        }
        if (rc != 0) {
            return rc;
        }
    }
}

static int read_document(struct walker *w)
{
    int rc = next_event(w);
    rc = rc == 0 ? next_event(w) : rc; /* behind the stream's start */
    if (rc != 0 || w->event.type == YAML_STREAM_END_EVENT) {
        return rc;
    }
    rc = next_event(w); /* behind the document's start */
    if (rc == 0 && w->event.type == YAML_MAPPING_START_EVENT) {
        rc = read_mapping(w, 0);
    } else if (rc == 0 && !(w->event.type == YAML_SCALAR_EVENT && w->event.data.scalar.length == 0)) {
        rc = fail_at(w, ERR_INVALID, w->event.start_mark, "expected keys such as 'store.path: /var/lib/kvass'");
    }
    rc = rc == 0 ? next_event(w) : rc; /* the document's end */
    rc = rc == 0 ? next_event(w) : rc;
    if (rc == 0 && w->event.type != YAML_STREAM_END_EVENT) {
        rc = fail_at(w, ERR_INVALID, w->event.start_mark, "a second document is not taken here");
    }
    return rc;
}

int option_file_read(const char *path, bool required, struct arena *arena, struct option_settings *ret_settings,
                     bool *ret_found, struct errctx *err)
{
    struct walker w = {.path = path, .arena = arena, .settings = ret_settings, .err = err};
    struct errctx why = ERRCTX_INIT;
    struct bytes content;
    bytes_init(&content, FILE_BYTES_MAX);
    int rc = files_read(path, &content, &why);
    if (rc != 0) {
        bytes_done(&content);
        *ret_found = false;
        return rc == ERR_NOT_FOUND && !required ? 0 : errctx_set(err, rc, "%s", why.msg);
    }
    if (yaml_parser_initialize(&w.parser) == 0) {
        bytes_done(&content);
        return errctx_set(err, ERR_LIMIT, "%s: no memory for a YAML parser", path);
    }
    yaml_parser_set_input_string(&w.parser, (const unsigned char *)bytes_view(&content).base, content.len);
    rc = read_document(&w);
    if (w.event.type != YAML_NO_EVENT) {
        yaml_event_delete(&w.event);
    }
    yaml_parser_delete(&w.parser);
    bytes_done(&content);
    *ret_found = true;
    return rc;
}
