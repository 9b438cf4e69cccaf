/* Arguments of the tool commands: see args.h. */
#include "cli/args.h"

#include <stdio.h>
#include <string.h>

static void print_help(FILE *to, const struct command_help *help, const struct arg_spec *specs, size_t spec_count)
{
    fprintf(to, "usage: %s\n\n%s\n", help->usage, help->summary);
    if (spec_count > 0) {
        fprintf(to, "\noptions:\n");
    }
    for (size_t i = 0; i < spec_count; i++) {
        char left[80];
        snprintf(left, sizeof(left), "--%s%s%s", specs[i].name, specs[i].placeholder != NULL ? "=" : "",
                 specs[i].placeholder != NULL ? specs[i].placeholder : "");
        bool is_output = strcmp(specs[i].name, "output") == 0;
        fprintf(to, "  %-28s %s%s\n", left, specs[i].help, is_output ? "; -o is short for it" : "");
    }
}

static int fail(const struct command_help *help, const char *what, const char *arg)
{
    fprintf(stderr, "kvass: %s: %s\nusage: %s\n", arg, what, help->usage);
    return -1;
}

static const struct arg_spec *find_spec(const struct arg_spec *specs, size_t count, const char *name, size_t len)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(specs[i].name) == len && memcmp(specs[i].name, name, len) == 0) {
            return &specs[i];
        }
    }
    return NULL;
}

int args_parse(int argc, char **argv, const struct command_help *help, const struct arg_spec *specs, size_t spec_count,
               const char **positional, int positional_max)
{
    int count = 0;
    bool only_positionals = false;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (!only_positionals && strcmp(arg, "-o") == 0) {
            arg = "--output";
        }
        if (only_positionals || strncmp(arg, "--", 2) != 0) {
            if (count == positional_max) {
                return fail(help, "unexpected argument", arg);
            }
            positional[count++] = arg;
            continue;
        }
        if (arg[2] == '\0') {
            only_positionals = true;
            continue;
        }
        if (strcmp(arg, "--help") == 0) {
            print_help(stdout, help, specs, spec_count);
            return -2;
        }
        size_t len = strcspn(arg + 2, "=");
        const struct arg_spec *spec = find_spec(specs, spec_count, arg + 2, len);
        bool has_value = arg[2 + len] == '=';
        if (spec == NULL) {
            return fail(help, "unknown option", arg);
        }
        if (spec->placeholder == NULL) {
            if (has_value) {
                return fail(help, "takes no value", arg);
            }
            *spec->flag = true;
        } else if (has_value) {
            *spec->value = arg + 2 + len + 1;
        } else if (i + 1 < argc) {
            *spec->value = argv[++i];
        } else {
            return fail(help, "needs a value", arg);
        }
    }
    return count;
}
