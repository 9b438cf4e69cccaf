/* The option table as text: --help, man pages, the sample file, the effective values. Everything is printed from the
 * rows, so that no document can miss an option. */
#include "base/duration.h"
#include "base/json_writer.h"
#include "base/options.h"
#include "base/options_table.h"

#include <stdio.h>

#define WIDTH 80

/* Words of text, each line behind `indent`. */
static void put_wrapped(struct bytes *out, const char *indent, const char *text)
{
    size_t column = 0;
    while (*text != '\0') {
        size_t len = strcspn(text, " ");
        if (column > 0 && column + 1 + len > WIDTH) {
            bytes_append_char(out, '\n');
            column = 0;
        }
        bytes_append_str(out, column == 0 ? indent : " ");
        bytes_append(out, text, len);
        column += len + (column == 0 ? strlen(indent) : 1);
        text += len + strspn(text + len, " ");
    }
    bytes_append_char(out, '\n');
}

static bool has_bounds(const struct option_row *row)
{
    return row->min < row->max;
}

/* "Default: 10s; from 100ms to 1d." for one role, or with every role's own default. */
static void default_sentence(enum option_id id, unsigned roles, struct bytes *out)
{
    const struct option_row *row = option_row(id);
    const char *between = " ";
    bytes_append_str(out, "Default:");
    for (unsigned role = ROLE_APPLIANCE; role <= ROLE_SIDECAR; role <<= 1) {
        const char *text = option_default_text(id, (enum role)role);
        bool said = false;
        for (unsigned before = ROLE_APPLIANCE; before < role; before <<= 1) {
            said = said || ((before & roles & row->roles) != 0 &&
                            strcmp(text, option_default_text(id, (enum role)before)) == 0);
        }
        if ((role & roles & row->roles) == 0 || said) {
            continue;
        }
        unsigned same = 0;
        for (unsigned other = role; other <= ROLE_SIDECAR; other <<= 1) {
            same |= strcmp(text, option_default_text(id, (enum role)other)) == 0 ? other & roles & row->roles : 0;
        }
        bytes_printf(out, "%s%s", between, *text != '\0' ? text : "empty");
        if (same != (roles & row->roles)) {
            bytes_append_str(out, " (");
            option_roles_text(same, out);
            bytes_append_char(out, ')');
        }
        between = ", ";
    }
    if (has_bounds(row)) {
        char low[DURATION_TEXT_MAX], high[DURATION_TEXT_MAX];
        bytes_printf(out, "; from %s to %s", option_bound_text(row, row->min, low),
                     option_bound_text(row, row->max, high));
    }
    bytes_append_char(out, '.');
}

static void put_explanation(enum option_id id, unsigned roles, struct bytes *out)
{
    const struct option_row *row = option_row(id);
    const char *alias = option_alias_name(id, roles);
    bytes_printf(out, "%s ", row->help);
    default_sentence(id, roles, out);
    if (alias != NULL) {
        bytes_printf(out, " Also called %s%s", alias, option_alias_name(id, roles & ~(unsigned)ROLE_SIDECAR) == NULL &&
                                                         roles != ROLE_SIDECAR ? " (sidecar)." : ".");
    }
}

void options_describe(enum role role, struct bytes *out)
{
    bytes_printf(out, "usage: kvass %s [--option=value ...]\n\nEach option is a key of %s too.\n", role_name(role),
                 OPTIONS_FILE_DEFAULT);
    for (int i = 0; i < OPTION_COUNT; i++) {
        enum option_id id = (enum option_id)i;
        const struct option_row *row = option_row(id);
        struct bytes text;
        if ((row->roles & (unsigned)role) == 0) {
            continue;
        }
        bytes_printf(out, "\n  --%s%s%s\n", row->name, row->kind == OPTION_KIND_BOOL ? "[=false]" : "=", row->unit);
        bytes_init(&text, 4096);
        put_explanation(id, (unsigned)role, &text);
        put_wrapped(out, "        ", bytes_view(&text).base);
        bytes_done(&text);
    }
}

/* roff: a hyphen that is typed, a backslash, and a dot or quote at a line's start need care. */
static void put_roff(struct bytes *out, const char *text)
{
    if (*text == '.' || *text == '\'') {
        bytes_append_str(out, "\\&");
    }
    for (; *text != '\0'; text++) {
        if (*text == '-') {
            bytes_append_str(out, "\\-");
        } else if (*text == '\\') {
            bytes_append_str(out, "\\e");
        } else {
            bytes_append_char(out, *text);
        }
    }
}

void options_write_man(unsigned roles, bool as_flags, struct bytes *out)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        enum option_id id = (enum option_id)i;
        const struct option_row *row = option_row(id);
        struct bytes text;
        if ((row->roles & roles) == 0 || (!as_flags && id == OPTION_ID_kvass_config)) {
            continue;
        }
        bytes_append_str(out, as_flags ? ".TP\n\\fB\\-\\-" : ".TP\n\\fB");
        put_roff(out, row->name);
        bytes_append_str(out, as_flags ? "\\fR=\\fI" : "\\fR: \\fI");
        put_roff(out, row->unit[0] != '\0' ? row->unit : "true|false");
        bytes_append_str(out, "\\fR\n");
        bytes_init(&text, 4096);
        put_explanation(id, roles, &text);
        if ((row->roles & roles) != roles) {
            bytes_append_str(&text, " Roles: ");
            option_roles_text(row->roles & roles, &text);
            bytes_append_char(&text, '.');
        }
        put_roff(out, bytes_view(&text).base);
        bytes_append_char(out, '\n');
        bytes_done(&text);
    }
}

/* A scalar as kvass.yaml takes it: bare where nobody can misread it, else in double quotes, with "${" written "$${". */
static void put_yaml_scalar(struct bytes *out, const char *text)
{
    static const char SAFE[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-";
    if (*text != '\0' && *text != '-' && text[strspn(text, SAFE)] == '\0') {
        bytes_append_str(out, text);
    } else {
        struct json_writer w;
        struct bytes escaped;
        bytes_init(&escaped, 2 * strlen(text));
        for (; *text != '\0'; text++) {
            bytes_append_str(&escaped, text[0] == '$' && text[1] == '{' ? "$" : "");
            bytes_append_char(&escaped, *text);
        }
        json_writer_init(&w, out);
        json_view(&w, bytes_view(&escaped));
        bytes_done(&escaped);
    }
}

static void put_yaml_value(const struct options *o, enum option_id id, struct bytes *out)
{
    struct bytes text;
    bytes_init(&text, out->max);
    options_format_value(o, id, &text);
    if (option_row(id)->kind == OPTION_KIND_LIST) {
        bytes_append_view(out, bytes_view(&text));
    } else {
        put_yaml_scalar(out, bytes_view(&text).base);
    }
    bytes_done(&text);
}

void options_write_sample(struct bytes *out)
{
    struct options o;
    bytes_append_str(out,
                     "# Options of kvass: kvass.yaml(5) explains them, 'kvass config show' prints the effective ones.\n"
                     "# Printed from the table of options; a line without '#' changes its value.\n"
                     "#\n"
                     "# Keys at top level are for every role; keys in a section are for that role and win:\n"
                     "#     coordinator:\n"
                     "#       web.address: \":9090\"\n"
                     "# A flag wins over this file. ${NAME} in a value is replaced from the environment.\n\n"
                     "# What 'kvass run' runs: appliance, coordinator or sidecar.\n"
                     "#role: appliance\n");
    options_default(ROLE_APPLIANCE, &o);
    for (int i = 0; i < OPTION_COUNT; i++) {
        enum option_id id = (enum option_id)i;
        const struct option_row *row = option_row(id);
        struct bytes text;
        if (id == OPTION_ID_kvass_config) {
            continue;
        }
        bytes_init(&text, 4096);
        bytes_printf(&text, "%s ", row->help);
        default_sentence(id, ROLE_ALL, &text);
        if (row->kind == OPTION_KIND_ENUM) {
            bytes_printf(&text, " One of %s.", row->unit);
        }
        if (row->roles != ROLE_ALL) {
            bytes_append_str(&text, " Roles: ");
            option_roles_text(row->roles, &text);
            bytes_append_char(&text, '.');
        }
        bytes_append_char(out, '\n');
        put_wrapped(out, "# ", bytes_view(&text).base);
        bytes_printf(out, "#%s: ", row->name);
        put_yaml_value(&o, id, out);
        bytes_append_char(out, '\n');
        bytes_done(&text);
    }
    options_done(&o);
}

void options_show(const struct options *o, struct bytes *out)
{
    bytes_printf(out, "role: %s\n", role_name(o->role));
    for (int i = 0; i < OPTION_COUNT; i++) {
        enum option_id id = (enum option_id)i;
        const struct option_row *row = option_row(id);
        size_t start = out->len;
        if ((row->roles & (unsigned)o->role) == 0) {
            continue;
        }
        bytes_printf(out, "%s%s: ", id == OPTION_ID_kvass_config ? "#" : "", row->name);
        put_yaml_value(o, id, out);
        size_t column = out->len - start;
        bytes_printf(out, "%*s  # ", column < 48 ? (int)(48 - column) : 0, "");
        switch (o->origins[i].source) {
        case OPTION_FROM_DEFAULT:
            bytes_append_str(out, "default\n");
            break;
        case OPTION_FROM_FILE:
            bytes_printf(out, "%s:%d\n", o->file, o->origins[i].line);
            break;
        case OPTION_FROM_FLAG:
            bytes_append_str(out, "flag\n");
            break;
        }
    }
}
