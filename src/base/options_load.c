/* From flags and file to one struct options: see options.h. Flags are read first, since one of them names the file;
 * then the file is read, since it may name the role; only then are values applied, in the order default, file, section,
 * flag. Values of sections that belong to other roles are checked too, so that a shared file is refused as a whole. */
#include "base/duration.h"
#include "base/nearest.h"
#include "base/options.h"
#include "base/options_table.h"

#include <stdio.h>
#include <stdlib.h>

const char *option_nearest(struct view name, unsigned roles)
{
    struct nearest n;
    nearest_begin(&n, name);
    for (int id = 0; id < OPTION_COUNT; id++) {
        if (roles == 0 || (option_row((enum option_id)id)->roles & roles) != 0) {
            nearest_consider(&n, option_row((enum option_id)id)->name);
        }
    }
    for (size_t i = 0; i < OPTION_ALIAS_COUNT; i++) {
        if (roles == 0 || (OPTION_ALIASES[i].roles & roles) != 0) {
            nearest_consider(&n, OPTION_ALIASES[i].name);
        }
    }
    return n.best != NULL || roles == 0 ? n.best : option_nearest(name, 0);
}

void option_roles_text(unsigned roles, struct bytes *out)
{
    static const enum role ROLES[] = {ROLE_APPLIANCE, ROLE_COORDINATOR, ROLE_SIDECAR};
    const char *between = "";
    for (size_t i = 0; i < sizeof(ROLES) / sizeof(ROLES[0]); i++) {
        if ((roles & (unsigned)ROLES[i]) != 0) {
            bytes_printf(out, "%s%s", between, role_name(ROLES[i]));
            between = ", ";
        }
    }
}

static int unknown_flag(struct view name, enum role role, struct errctx *err)
{
    const char *near = option_nearest(name, (unsigned)role);
    return errctx_set(err, ERR_INVALID, "unknown flag '--%.*s'%s%s%s", VIEW_FMT(name),
                      near != NULL ? "; did you mean '--" : "", near != NULL ? near : "", near != NULL ? "'?" : "");
}

/* argv[*i] starts with "--". */
static int read_flag(int argc, char **argv, int *i, enum role role, struct option_settings *flags, struct errctx *err)
{
    const char *arg = argv[*i] + 2;
    struct view name = view_make(arg, strcspn(arg, "="));
    struct option_setting s = {.name = name, .origin = {OPTION_FROM_FLAG, 0}};
    s.id = option_find(name, &s.roles);
    if (s.id == OPTION_COUNT) {
        return unknown_flag(name, role, err);
    }
    bool is_bool = option_row(s.id)->kind == OPTION_KIND_BOOL;
    const char *follows = *i + 1 < argc ? argv[*i + 1] : NULL;
    if (arg[name.len] == '=') {
        s.text = arg + name.len + 1;
    } else if (is_bool && (follows == NULL || (strcmp(follows, "true") != 0 && strcmp(follows, "false") != 0))) {
        s.text = "true";
    } else if (follows == NULL) {
        return errctx_set(err, ERR_INVALID, "flag '--%s' needs a value (%s)", arg, option_row(s.id)->unit);
    } else {
        s.text = follows;
        ++*i;
    }
    if (flags->list.len == OPTION_SETTINGS_MAX) {
        return errctx_set(err, ERR_LIMIT, "more than %d flags", OPTION_SETTINGS_MAX);
    }
    *vec_push(&flags->list) = s;
    return 0;
}

static int read_flags(int argc, char **argv, enum role role, struct option_settings *flags, struct errctx *err)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return OPTIONS_HELP;
        }
        if (strncmp(argv[i], "--", 2) != 0 || argv[i][2] == '\0') {
            return errctx_set(err, ERR_INVALID, "unexpected argument '%s'", argv[i]);
        }
        int rc = read_flag(argc, argv, &i, role, flags, err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* A list is replaced by the first setting of a later layer and extended by its repetitions. */
static int apply(struct options *o, const struct option_setting *s, struct errctx *err)
{
    bool same_layer = o->origins[s->id].source == s->origin.source && s->origin.source == OPTION_FROM_FLAG;
    if (option_row(s->id)->kind == OPTION_KIND_LIST && !same_layer) {
        option_clear_list(o, s->id);
    }
    int rc = s->is_list ? option_add_words(o, s->id, &s->words, err) : option_set(o, s->id, s->text, err);
    if (rc == 0) {
        o->origins[s->id] = s->origin;
    }
    return rc;
}

static int apply_file(struct options *o, const struct option_settings *file, unsigned section, struct errctx *err)
{
    vec_foreach(s, &file->list) {
        if (s->section != section || (s->roles & (unsigned)o->role) == 0) {
            continue;
        }
        int rc = apply(o, s, err);
        if (rc != 0) {
            return errctx_prefix(err, rc, "%s:%d:%d: %.*s", o->file, s->origin.line, s->column, VIEW_FMT(s->name));
        }
    }
    return 0;
}

static int apply_flags(struct options *o, const struct option_settings *flags, struct errctx *err)
{
    vec_foreach(s, &flags->list) {
        if ((s->roles & (unsigned)o->role) == 0) {
            struct bytes roles;
            bytes_init(&roles, 64);
            option_roles_text(s->roles, &roles);
            int rc = errctx_set(err, ERR_INVALID, "flag '--%.*s' is not one of the %s but of: %s", VIEW_FMT(s->name),
                                role_name(o->role), bytes_view(&roles).base);
            bytes_done(&roles);
            return rc;
        }
        int rc = apply(o, s, err);
        if (rc != 0) {
            return errctx_prefix(err, rc, "flag '--%.*s'", VIEW_FMT(s->name));
        }
    }
    return 0;
}

/* Values that follow from others when nobody set them. */
static void derive(struct options *o)
{
    const char *port = strrchr(o->web_proxy_addr, ':') + 1;
    size_t host = (size_t)(port - 1 - o->web_proxy_addr);
    if (o->inject_proxy[0] != '\0' || strcmp(port, "0") == 0) {
        return;
    }
    const char *address = o->web_proxy_addr;
    bool any = host == 0 || strncmp(address, "0.0.0.0:", 8) == 0 || strncmp(address, "[::]:", 5) == 0;
    o->inject_proxy = arena_printf(o->arena, "http://%.*s:%s", any ? 9 : (int)host, any ? "127.0.0.1" : address, port);
}

/* What the file says to other roles must be good as well. */
static int check_other_roles(const struct options *o, const struct option_settings *file, struct errctx *err)
{
    int rc = 0;
    for (unsigned role = ROLE_APPLIANCE; role <= ROLE_SIDECAR && rc == 0; role <<= 1) {
        if (role != (unsigned)o->role) {
            struct options scratch;
            options_default((enum role)role, &scratch);
            scratch.file = o->file;
            rc = apply_file(&scratch, file, 0, err);
            rc = rc == 0 ? apply_file(&scratch, file, role, err) : rc;
            options_done(&scratch);
        }
    }
    return rc;
}

static int build(struct options *o, const struct option_settings *file, const struct option_settings *flags,
                 struct errctx *err)
{
    int rc = apply_file(o, file, 0, err);
    rc = rc == 0 ? apply_file(o, file, (unsigned)o->role, err) : rc;
    rc = rc == 0 ? apply_flags(o, flags, err) : rc;
    rc = rc == 0 ? check_other_roles(o, file, err) : rc;
    rc = rc == 0 ? options_check_together(o, err) : rc;
    if (rc == 0) {
        derive(o);
    }
    return rc;
}

static int load(enum role role, const struct option_settings *flags, struct arena *arena, struct option_settings *file,
                struct options *ret_o, struct errctx *err)
{
    const char *path = OPTIONS_FILE_DEFAULT;
    bool required = false, found;
    vec_foreach(s, &flags->list) {
        if (s->id == OPTION_ID_kvass_config) {
            path = s->text;
            required = true;
        }
    }
    int rc = option_file_read(path, required, arena, file, &found, err);
    if (rc != 0) {
        return rc;
    }
    if (role == ROLE_FROM_FILE && file->role == ROLE_FROM_FILE) {
        return errctx_set(err, ERR_INVALID,
                          found ? "%s: 'role' is missing: appliance, coordinator or sidecar"
                                : "%s does not exist, so no role is known",
                          path);
    }
    struct options o;
    options_default(role != ROLE_FROM_FILE ? role : file->role, &o);
    o.file = found ? arena_strdup(o.arena, path) : "";
    rc = build(&o, file, flags, err);
    if (rc != 0) {
        options_done(&o);
        return rc;
    }
    *ret_o = o;
    return 0;
}

int options_load(enum role role, int argc, char **argv, struct options *ret_o, struct errctx *err)
{
    struct option_settings flags = {0}, file = {0};
    struct arena *arena = arena_new();
    int rc = read_flags(argc, argv, role, &flags, err);
    if (rc == 0) {
        rc = load(role, &flags, arena, &file, ret_o, err);
    }
    vec_done(&flags.list);
    vec_done(&file.list);
    arena_free(&arena);
    return rc;
}
