/* Prints the documents that follow from the tables: the sample kvass.yaml, docs/metrics.md, and man pages whose
 * templates hold lines such as '@OPTIONS appliance'. A build helper, not installed. */
#include "base/files.h"
#include "base/metrics.h"
#include "base/options.h"
#include "base/options_table.h"

#include <stdio.h>

#define PAGE_BYTES_MAX ((size_t)4 << 20)

static void put_metrics(struct bytes *out)
{
    static const char *const KINDS[] = {"counter", "gauge", "histogram"};
    bytes_printf(out,
                 "# Metrics\n\nWhat `/metrics` of every role can hold, printed from src/base/metrics.def by "
                 "`make update-docs`. "
                 "Series of one\nmetric are bounded: beyond %d label sets, updates go to a series whose labels read "
                 "`other`. "
                 "Besides these there are\n`process_cpu_seconds_total`, `process_resident_memory_bytes` and "
                 "`process_open_fds`.\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n",
                 METRIC_SERIES_MAX);
    for (int id = 0; id < METRIC_COUNT; id++) {
        const struct metric_info *m = metric_info((enum metric_id)id);
        bytes_printf(out, "| `%s` | %s | ", m->name, KINDS[m->kind]);
        for (const char *at = m->labels; *at != '\0';) {
            size_t len = strcspn(at, ",");
            bytes_printf(out, "`%.*s`%s", (int)len, at, at[len] == ',' ? ", " : " ");
            at += len + (at[len] == ',');
        }
        bytes_append_str(out, "| ");
        for (const char *at = m->help; *at != '\0'; at++) {
            bytes_append_str(out, *at == '|' ? "\\" : "");
            bytes_append_char(out, *at);
        }
        bytes_append_str(out, " |\n");
    }
}

/* For shells: an arm of a case statement per role, with the flags of the role; zsh gets each flag's help as well. */
static void put_role_flags(bool with_help, struct bytes *out)
{
    for (unsigned role = ROLE_APPLIANCE; role <= ROLE_SIDECAR; role <<= 1) {
        bytes_printf(out, "    %s)\n        cat <<'END'\n", role_name((enum role)role));
        for (int i = 0; i < OPTION_COUNT; i++) {
            const struct option_row *row = option_row((enum option_id)i);
            if ((row->roles & role) == 0) {
                continue;
            }
            bytes_printf(out, "--%s%s", row->name, row->kind == OPTION_KIND_BOOL ? "" : "=");
            bytes_printf(out, with_help ? ":%s\n" : "\n", row->help);
        }
        bytes_append_str(out, "END\n        ;;\n");
    }
}

/* An arm per option whose values a shell can offer. */
static void put_flag_values(struct bytes *out)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *row = option_row((enum option_id)i);
        bool file = strcmp(row->unit, "FILE") == 0, dir = strcmp(row->unit, "DIR") == 0;
        if (row->kind != OPTION_KIND_ENUM && row->kind != OPTION_KIND_BOOL && !file && !dir) {
            continue;
        }
        bytes_printf(out, "    --%s) echo ", row->name);
        for (const char *at = file                            ? "@file"
                              : dir                           ? "@dir"
                              : row->kind == OPTION_KIND_BOOL ? "true|false"
                                                              : row->unit;
             *at != '\0'; at++) {
            bytes_append_char(out, *at == '|' ? ' ' : *at);
        }
        bytes_append_str(out, " ;;\n");
    }
}

/* A template's line that starts with '@'; false for an unknown one. */
static bool put_mark(struct view mark, struct bytes *out)
{
    static const struct view OPTIONS = {"@OPTIONS ", 9};
    enum role role;
    if (view_is(mark, "@KEYS")) {
        options_write_man(ROLE_ALL, false, out);
        return true;
    }
    if (view_is(mark, "@BASH_OPTIONS") || view_is(mark, "@ZSH_OPTIONS")) {
        put_role_flags(view_is(mark, "@ZSH_OPTIONS"), out);
        return true;
    }
    if (view_is(mark, "@BASH_VALUES")) {
        put_flag_values(out);
        return true;
    }
    if (view_has_prefix(mark, OPTIONS) &&
        role_parse(view_make(mark.base + OPTIONS.len, mark.len - OPTIONS.len), &role)) {
        options_write_man((unsigned)role, true, out);
        return true;
    }
    return false;
}

static int put_page(const char *path, struct bytes *out)
{
    struct errctx err = ERRCTX_INIT;
    struct bytes template;
    bytes_init(&template, PAGE_BYTES_MAX);
    int rc = files_read(path, &template, &err);
    if (rc != 0) {
        fprintf(stderr, "gendocs: %s\n", err.msg);
    }
    for (const char *line = bytes_view(&template).base; rc == 0 && *line != '\0';) {
        size_t len = strcspn(line, "\n");
        if (line[0] == '@' && !put_mark(view_make(line, len), out)) {
            fprintf(stderr, "gendocs: %s: unknown mark '%.*s'\n", path, (int)len, line);
            rc = ERR_INVALID;
        } else if (line[0] != '@') {
            bytes_append(out, line, len);
            bytes_append_char(out, '\n');
        }
        line += len + (line[len] == '\n');
    }
    bytes_done(&template);
    return rc;
}

int main(int argc, char **argv)
{
    struct bytes out;
    int rc = 0;
    bytes_init(&out, PAGE_BYTES_MAX);
    if (argc == 2 && strcmp(argv[1], "sample") == 0) {
        options_write_sample(&out);
    } else if (argc == 2 && strcmp(argv[1], "metrics") == 0) {
        put_metrics(&out);
    } else if (argc == 3 && strcmp(argv[1], "fill") == 0) {
        rc = put_page(argv[2], &out);
    } else {
        fputs("usage: gendocs sample|metrics|fill TEMPLATE\n", stderr);
        rc = ERR_INVALID;
    }
    rc = rc == 0 ? bytes_check(&out, NULL) : rc;
    if (rc == 0 && (fwrite(out.base, 1, out.len, stdout) != out.len || fflush(stdout) != 0)) {
        fputs("gendocs: cannot write\n", stderr);
        rc = ERR_IO;
    }
    bytes_done(&out);
    return rc != 0;
}
