/* What the files behind options.h share: the rows of the table and the raw settings found in flags and files. */
#ifndef KVASS_BASE_OPTIONS_TABLE_H
#define KVASS_BASE_OPTIONS_TABLE_H

#include "base/options.h"
#include "base/vec.h"

enum option_kind {
    OPTION_KIND_STRING,
    OPTION_KIND_ADDRESS,
    OPTION_KIND_URL,
    OPTION_KIND_INT,
    OPTION_KIND_DOUBLE,
    OPTION_KIND_BOOL,
    OPTION_KIND_DURATION,
    OPTION_KIND_SIZE,
    OPTION_KIND_ENUM,
    OPTION_KIND_LIST,
};

struct option_row {
    const char *name, *dflt, *unit, *help;
    unsigned roles;
    enum option_kind kind;
    double min, max;
    size_t offset; /* of the field in struct options */
};

struct option_alias {
    const char *name;
    enum option_id id;
    unsigned roles;
};

/* One value met in the file or among the flags, not yet applied. `words` holds the items of a YAML list. */
struct option_setting {
    enum option_id id;
    struct view name; /* as it was given */
    unsigned roles;   /* that have it, under the name it was given by */
    unsigned section; /* role of the file's section, 0 at top level */
    const char *text;
    struct option_list words;
    bool is_list;
    struct option_origin origin;
    int column;
};

#define OPTION_SETTINGS_MAX 1000 /* keys of one file, or flags of one command line */

struct option_settings {
    VEC(struct option_setting) list;
    enum role role; /* the file's `role:` */
};

const struct option_row *option_row(enum option_id id);
extern const struct option_alias OPTION_ALIASES[];
extern const size_t OPTION_ALIAS_COUNT;

/* By name or alias; OPTION_COUNT when there is none. ret_roles: which roles know it by that name. */
enum option_id option_find(struct view name, unsigned *ret_roles);

/* The alias that stands for an option in any of these roles, or NULL. */
const char *option_alias_name(enum option_id id, unsigned roles);

/* The known name nearest to a misspelt one, of these roles if possible, or NULL when none is near. */
const char *option_nearest(struct view name, unsigned roles);

/* The last step of a load (options_check.c). */
int options_check_together(const struct options *o, struct errctx *err) MUST_CHECK;

const char *option_default_text(enum option_id id, enum role role);

/* Parses text into the field; the message has no name and no place in front. */
int option_set(struct options *o, enum option_id id, const char *text, struct errctx *err) MUST_CHECK;
void option_clear_list(struct options *o, enum option_id id);
int option_add_words(struct options *o, enum option_id id, const struct option_list *words,
                     struct errctx *err) MUST_CHECK;

/* A row's bound as the user would write it; buf of at least DURATION_TEXT_MAX bytes. Returns buf. */
const char *option_bound_text(const struct option_row *row, double bound, char *buf);

/* Appends the settings of a kvass.yaml. Texts live in arena. `required`: a missing file is an error. */
int option_file_read(const char *path, bool required, struct arena *arena, struct option_settings *ret_settings,
                     bool *ret_found, struct errctx *err) MUST_CHECK;

/* "appliance, coordinator" of a mask. */
void option_roles_text(unsigned roles, struct bytes *out);

#endif
