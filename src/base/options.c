/* The option table at work: rows, defaults, one value in and out of its field. Every default goes through the same
 * parser as a user's value, so a row cannot hold a default that the row itself refuses. It must never read a file or an
 * argument list: options_load.c and options_file.c do. */
#include "base/options.h"
#include "base/duration.h"
#include "base/invariant.h"
#include "base/json_writer.h"
#include "base/options_table.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define OPTION_NAME_STRING(f)   f
#define OPTION_NAME_ADDRESS(f)  f
#define OPTION_NAME_URL(f)      f
#define OPTION_NAME_INT(f)      f
#define OPTION_NAME_DOUBLE(f)   f
#define OPTION_NAME_BOOL(f)     f
#define OPTION_NAME_DURATION(f) f##_ms
#define OPTION_NAME_SIZE(f)     f##_bytes
#define OPTION_NAME_ENUM(f)     f
#define OPTION_NAME_LIST(f)     f

static const struct option_row ROWS[OPTION_COUNT] = {
#define OPTION(kind_, field_, name_, roles_, dflt_, min_, max_, unit_, help_)                                          \
    [OPTION_ID_##field_] = {.name = name_,                                                                             \
                            .dflt = dflt_,                                                                             \
                            .unit = unit_,                                                                             \
                            .help = help_,                                                                             \
                            .roles = roles_,                                                                           \
                            .kind = OPTION_KIND_##kind_,                                                               \
                            .min = (double)(min_),                                                                     \
                            .max = (double)(max_),                                                                     \
                            .offset = offsetof(struct options, OPTION_NAME_##kind_(field_))},
#include "base/options.def"
};

static const struct {
    enum option_id id;
    unsigned roles;
    const char *dflt;
} ROLE_DEFAULTS[] = {
#define OPTION_ROLE_DEFAULT(field_, roles_, dflt_) {OPTION_ID_##field_, roles_, dflt_},
#include "base/options.def"
};

const struct option_alias OPTION_ALIASES[] = {
#define OPTION_ALIAS(name_, field_, roles_) {name_, OPTION_ID_##field_, roles_},
#include "base/options.def"
};
const size_t OPTION_ALIAS_COUNT = sizeof(OPTION_ALIASES) / sizeof(OPTION_ALIASES[0]);

const struct option_row *option_row(enum option_id id)
{
    invariant(id < OPTION_COUNT);
    return &ROWS[id];
}

const char *role_name(enum role role)
{
    switch (role) {
    case ROLE_APPLIANCE:
        return "appliance";
    case ROLE_COORDINATOR:
        return "coordinator";
    case ROLE_SIDECAR:
        return "sidecar";
    }
    return "";
}

bool role_parse(struct view text, enum role *ret_role)
{
    static const enum role ROLES[] = {ROLE_APPLIANCE, ROLE_COORDINATOR, ROLE_SIDECAR};
    for (size_t i = 0; i < sizeof(ROLES) / sizeof(ROLES[0]); i++) {
        if (view_is(text, role_name(ROLES[i]))) {
            *ret_role = ROLES[i];
            return true;
        }
    }
    return false;
}

enum option_id option_find(struct view name, unsigned *ret_roles)
{
    for (int id = 0; id < OPTION_COUNT; id++) {
        if (view_is(name, ROWS[id].name)) {
            *ret_roles = ROWS[id].roles;
            return (enum option_id)id;
        }
    }
    for (size_t i = 0; i < OPTION_ALIAS_COUNT; i++) {
        if (view_is(name, OPTION_ALIASES[i].name)) {
            *ret_roles = OPTION_ALIASES[i].roles;
            return OPTION_ALIASES[i].id;
        }
    }
    return OPTION_COUNT;
}

const char *option_alias_name(enum option_id id, unsigned roles)
{
    for (size_t i = 0; i < OPTION_ALIAS_COUNT; i++) {
        if (OPTION_ALIASES[i].id == id && (OPTION_ALIASES[i].roles & roles) != 0) {
            return OPTION_ALIASES[i].name;
        }
    }
    return NULL;
}

const char *option_default_text(enum option_id id, enum role role)
{
    for (size_t i = 0; i < sizeof(ROLE_DEFAULTS) / sizeof(ROLE_DEFAULTS[0]); i++) {
        if (ROLE_DEFAULTS[i].id == id && (ROLE_DEFAULTS[i].roles & (unsigned)role) != 0) {
            return ROLE_DEFAULTS[i].dflt;
        }
    }
    return option_row(id)->dflt;
}

static void *field_of(struct options *o, const struct option_row *row)
{
    return (char *)o + row->offset;
}

static const void *field_in(const struct options *o, const struct option_row *row)
{
    return (const char *)o + row->offset;
}

const char *option_bound_text(const struct option_row *row, double bound, char *buf)
{
    if (row->kind == OPTION_KIND_DURATION) {
        duration_format_prometheus((int64_t)bound, buf);
    } else if (row->kind == OPTION_KIND_SIZE) {
        size_format((uint64_t)bound, buf);
    } else if (row->kind == OPTION_KIND_INT) {
        snprintf(buf, DURATION_TEXT_MAX, "%.0f", bound);
    } else {
        snprintf(buf, DURATION_TEXT_MAX, "%g", bound);
    }
    return buf;
}

static int check_bounds(const struct option_row *row, const char *text, double value, struct errctx *err)
{
    char low[DURATION_TEXT_MAX], high[DURATION_TEXT_MAX];
    if (value >= row->min && value <= row->max) {
        return 0;
    }
    return errctx_set(err, ERR_INVALID, "'%s' is out of bounds: between %s and %s (%s)", text,
                      option_bound_text(row, row->min, low), option_bound_text(row, row->max, high), row->unit);
}

static int set_int(const struct option_row *row, const char *text, int64_t *ret, struct errctx *err)
{
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    bool starts_well = (text[0] >= '0' && text[0] <= '9') || (text[0] == '-' && text[1] >= '0' && text[1] <= '9');
    if (!starts_well || *end != '\0') {
        return errctx_set(err, ERR_PARSE, "'%s' is not a whole number (%s)", text, row->unit);
    }
    double value = errno == ERANGE ? (n < 0 ? -HUGE_VAL : HUGE_VAL) : (double)n;
    int rc = check_bounds(row, text, value, err);
    if (rc == 0) {
        *ret = n;
    }
    return rc;
}

static int set_double(const struct option_row *row, const char *text, double *ret, struct errctx *err)
{
    char *end;
    double d = strtod(text, &end);
    if (*text == '\0' || strspn(text, "0123456789+-.eE") != strlen(text) || *end != '\0') {
        return errctx_set(err, ERR_PARSE, "'%s' is not a number (%s)", text, row->unit);
    }
    int rc = check_bounds(row, text, d, err);
    if (rc == 0) {
        *ret = d;
    }
    return rc;
}

static int set_bool(const char *text, bool *ret, struct errctx *err)
{
    static const char *const WORDS[][2] = {{"true", "false"}, {"yes", "no"}, {"on", "off"}, {"1", "0"}, {"t", "f"}};
    for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        if (strcasecmp(text, WORDS[i][0]) == 0 || strcasecmp(text, WORDS[i][1]) == 0) {
            *ret = strcasecmp(text, WORDS[i][0]) == 0;
            return 0;
        }
    }
    return errctx_set(err, ERR_PARSE, "'%s' is neither true nor false", text);
}

static int set_duration(const struct option_row *row, const char *text, int64_t *ret, struct errctx *err)
{
    int64_t ms;
    struct errctx why = ERRCTX_INIT;
    if (duration_parse_go(view_of(text), &ms, &why) != 0) {
        return errctx_set(err, ERR_PARSE, "'%s' is not a duration such as 10s or 1h30m", text);
    }
    int rc = check_bounds(row, text, (double)ms, err);
    if (rc == 0) {
        *ret = ms;
    }
    return rc;
}

static int set_size(const struct option_row *row, const char *text, int64_t *ret, struct errctx *err)
{
    uint64_t size = 0;
    if (strcmp(text, "0") != 0 && size_parse(view_of(text), &size, NULL) != 0) {
        return errctx_set(err, ERR_PARSE, "'%s' is not a size such as 512KB or 64MB", text);
    }
    int rc = check_bounds(row, text, (double)size, err);
    if (rc == 0) {
        *ret = (int64_t)size;
    }
    return rc;
}

/* The i-th choice of "a|b|c"; a NULL base past the last one. */
static struct view choice_at(const char *choices, unsigned i)
{
    for (; i > 0; i--) {
        choices = strchr(choices, '|');
        if (choices == NULL) {
            return view_make(NULL, 0);
        }
        choices++;
    }
    return view_make(choices, strcspn(choices, "|"));
}

static int set_enum(const struct option_row *row, const char *text, void *field, struct errctx *err)
{
    for (unsigned i = 0;; i++) {
        struct view choice = choice_at(row->unit, i);
        if (choice.base == NULL) {
            return errctx_set(err, ERR_INVALID, "'%s' is none of %s", text, row->unit);
        }
        if (view_is(choice, text)) {
            memcpy(field, &i, sizeof(i)); /* enums are unsigned int here: options.h has no negative constant */
            return 0;
        }
    }
}

static int check_address(const char *text, struct errctx *err)
{
    const char *colon = strrchr(text, ':');
    const char *port = colon != NULL ? colon + 1 : "";
    size_t digits = strspn(port, "0123456789");
    if (digits == 0 || digits > 5 || port[digits] != '\0' || strtol(port, NULL, 10) > 65535) {
        return errctx_set(err, ERR_INVALID, "'%s' is not an address such as :8080 or 127.0.0.1:8080", text);
    }
    bool bracketed = text[0] == '[' && colon > text && colon[-1] == ']';
    if (!bracketed && memchr(text, ':', (size_t)(colon - text)) != NULL) {
        return errctx_set(err, ERR_INVALID, "'%s': an IPv6 address stands in brackets, [::1]:8080", text);
    }
    return 0;
}

static int check_url(const char *text, struct errctx *err)
{
    const char *host = strncmp(text, "http://", 7) == 0    ? text + 7
                       : strncmp(text, "https://", 8) == 0 ? text + 8
                                                           : NULL;
    if (*text != '\0' && (host == NULL || *host == '\0' || *host == '/' || strpbrk(text, " \t") != NULL)) {
        return errctx_set(err, ERR_INVALID, "'%s' is not a URL such as http://127.0.0.1:9090", text);
    }
    return 0;
}

static int set_string(struct options *o, const struct option_row *row, const char *text, struct errctx *err)
{
    int rc = 0;
    if (row->kind == OPTION_KIND_ADDRESS) {
        rc = check_address(text, err);
    } else if (row->kind == OPTION_KIND_URL) {
        rc = check_url(text, err);
    }
    if (rc == 0) {
        const char **field = field_of(o, row);
        *field = arena_strdup(o->arena, text);
    }
    return rc;
}

/* The next word of *at, quotes taken off; NULL at the end. ERR_PARSE for an open quote. */
static int next_word(const char **at, struct arena *arena, const char **ret_word, struct errctx *err)
{
    const char *p = *at + strspn(*at, " \t\n");
    char *word = arena_alloc(arena, strlen(p) + 1);
    size_t len = 0;
    char quote = '\0';
    *ret_word = *p != '\0' ? word : NULL;
    for (; *p != '\0' && (quote != '\0' || strchr(" \t\n", *p) == NULL); p++) {
        if (quote == '\0' && (*p == '"' || *p == '\'')) {
            quote = *p;
        } else if (*p == quote) {
            quote = '\0';
        } else {
            word[len++] = *p;
        }
    }
    *at = p;
    return quote == '\0' ? 0 : errctx_set(err, ERR_PARSE, "a quote is not closed");
}

void option_clear_list(struct options *o, enum option_id id)
{
    struct option_list *list = field_of(o, option_row(id));
    *list = (struct option_list){0};
}

int option_add_words(struct options *o, enum option_id id, const struct option_list *words, struct errctx *err)
{
    struct option_list *list = field_of(o, option_row(id));
    if (list->len + words->len > OPTION_SETTINGS_MAX) {
        return errctx_set(err, ERR_LIMIT, "more than %d items", OPTION_SETTINGS_MAX);
    }
    const char **items = arena_alloc(o->arena, (list->len + words->len + 1) * sizeof(*items));
    for (size_t i = 0; i < list->len + words->len; i++) {
        items[i] = i < list->len ? list->items[i] : arena_strdup(o->arena, words->items[i - list->len]);
    }
    list->len += words->len;
    list->items = items;
    return 0;
}

static int set_list(struct options *o, enum option_id id, const char *text, struct errctx *err)
{
    VEC(const char *) found = {0};
    int rc = 0;
    while (rc == 0) {
        const char *word;
        rc = next_word(&text, o->arena, &word, err);
        if (word == NULL) {
            break;
        }
        *vec_push(&found) = word;
    }
    if (rc == 0) {
        rc = option_add_words(o, id, &(struct option_list){found.items, found.len}, err);
    }
    vec_done(&found);
    return rc;
}

int option_set(struct options *o, enum option_id id, const char *text, struct errctx *err)
{
    const struct option_row *row = option_row(id);
    void *field = field_of(o, row);
    switch (row->kind) {
    case OPTION_KIND_STRING:
    case OPTION_KIND_ADDRESS:
    case OPTION_KIND_URL:
        return set_string(o, row, text, err);
    case OPTION_KIND_INT:
        return set_int(row, text, field, err);
    case OPTION_KIND_DOUBLE:
        return set_double(row, text, field, err);
    case OPTION_KIND_BOOL:
        return set_bool(text, field, err);
    case OPTION_KIND_DURATION:
        return set_duration(row, text, field, err);
    case OPTION_KIND_SIZE:
        return set_size(row, text, field, err);
    case OPTION_KIND_ENUM:
        return set_enum(row, text, field, err);
    case OPTION_KIND_LIST:
        return set_list(o, id, text, err);
    }
    invariant(!"kind");
    return ERR_INVALID;
}

static void format_list(const struct option_list *list, struct bytes *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_array_begin(&w);
    for (size_t i = 0; i < list->len; i++) {
        json_str(&w, list->items[i]);
    }
    json_array_end(&w);
}

void options_format_value(const struct options *o, enum option_id id, struct bytes *out)
{
    const struct option_row *row = option_row(id);
    const void *field = field_in(o, row);
    char text[DURATION_TEXT_MAX];
    switch (row->kind) {
    case OPTION_KIND_STRING:
    case OPTION_KIND_ADDRESS:
    case OPTION_KIND_URL:
        bytes_append_str(out, *(const char *const *)field);
        break;
    case OPTION_KIND_INT:
        bytes_printf(out, "%lld", (long long)*(const int64_t *)field);
        break;
    case OPTION_KIND_DOUBLE:
        bytes_printf(out, "%.15g", *(const double *)field);
        break;
    case OPTION_KIND_BOOL:
        bytes_append_str(out, *(const bool *)field ? "true" : "false");
        break;
    case OPTION_KIND_DURATION:
        bytes_append_str(out, duration_format_prometheus(*(const int64_t *)field, text));
        break;
    case OPTION_KIND_SIZE:
        bytes_append_str(out, size_format((uint64_t)*(const int64_t *)field, text));
        break;
    case OPTION_KIND_ENUM: {
        unsigned i;
        memcpy(&i, field, sizeof(i));
        bytes_append_view(out, choice_at(row->unit, i));
        break;
    }
    case OPTION_KIND_LIST:
        format_list(field, out);
        break;
    }
}

void options_default(enum role role, struct options *ret_o)
{
    struct options o = {.role = role, .file = "", .arena = arena_new()};
    for (int id = 0; id < OPTION_COUNT; id++) {
        int rc = option_set(&o, (enum option_id)id, option_default_text((enum option_id)id, role), NULL);
        invariant(rc == 0);
    }
    *ret_o = o;
}

bool options_is_set(const struct options *o, enum option_id id)
{
    invariant(id < OPTION_COUNT);
    return o->origins[id].source != OPTION_FROM_DEFAULT;
}

void options_done(struct options *o)
{
    arena_free(&o->arena);
    *o = (struct options){0};
}
