/* Arguments of the tool commands (count, render, plan, get, ...): `--name=value` or `--name value` (`-o` for --output),
 * flags, positionals. The daemons' options live in base/options.def instead. */
#ifndef KVASS_CLI_ARGS_H
#define KVASS_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>

struct arg_spec {
    const char *name;        /* without dashes */
    const char *placeholder; /* "FILE"; NULL for a flag without value */
    const char **value;      /* where the text goes; may be preset with a default */
    bool *flag;              /* for flags */
    const char *help;
};

struct command_help {
    const char *usage;   /* "kvass count [options] [FILE]" */
    const char *summary; /* prose printed below it */
};

#define EXIT_USAGE 2

/* Parses argv[1..]. Positionals go to positional[0..]; returns how many, or -1 after printing an error with usage to
 * stderr (exit with EXIT_USAGE), or -2 after printing --help to stdout (exit with 0). */
int args_parse(int argc, char **argv, const struct command_help *help, const struct arg_spec *specs, size_t spec_count,
               const char **positional, int positional_max);

#endif
