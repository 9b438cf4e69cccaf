/* kvass config show|check: what the daemon would run with. `show` prints every option of the role with the place its
 * value came from, in a form kvass.yaml takes; `check` judges as the role would at its
 * start, files that options name included. Both take the daemon's own flags. */
#include "api/preflight.h"
#include "base/options.h"
#include "cli/args.h"
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

#define OUTPUT_BYTES_MAX ((size_t)1 << 20)

static const char USAGE[] =
    "usage: kvass config show|check [--role=appliance|coordinator|sidecar] [--kvass.config=FILE] "
    "[--option=value ...]\n";

static int usage(FILE *to, int status)
{
    fprintf(to,
            "%s\nshow prints the effective options and where each came from; check exits 1 with the reason when they\n"
            "are refused. Without --role, the file's role counts. 'kvass appliance --help' lists a role's options.\n",
            USAGE);
    return status;
}

/* Takes `--role=NAME` and `--role NAME` out of the arguments. False: not a role. */
static bool take_role(int *argc, char **argv, enum role *ret_role)
{
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        const char *name = strncmp(argv[i], "--role=", 7) == 0 ? argv[i] + 7 : NULL;
        if (name == NULL && strcmp(argv[i], "--role") == 0) {
            name = i + 1 < *argc ? argv[++i] : "";
        }
        if (name == NULL) {
            argv[kept++] = argv[i];
        } else if (!role_parse(view_of(name), ret_role)) {
            fprintf(stderr, "kvass: '%s' is none of appliance, coordinator, sidecar\n", name);
            return false;
        }
    }
    *argc = kept;
    return true;
}

static void print_options(const struct options *o)
{
    struct bytes out;
    bytes_init(&out, OUTPUT_BYTES_MAX);
    options_show(o, &out);
    fwrite(bytes_view(&out).base, 1, out.len, stdout);
    bytes_done(&out);
}

int cmd_config(int argc, char **argv)
{
    struct errctx err = ERRCTX_INIT;
    struct options o;
    enum role role = ROLE_FROM_FILE;
    if (argc < 2 || (strcmp(argv[1], "show") != 0 && strcmp(argv[1], "check") != 0)) {
        bool asked = argc > 1 && strcmp(argv[1], "--help") == 0;
        if (argc > 1 && !asked) {
            fprintf(stderr, "kvass config: '%s' is neither show nor check\n", argv[1]);
        }
        return usage(asked ? stdout : stderr, asked ? 0 : EXIT_USAGE);
    }
    bool show = strcmp(argv[1], "show") == 0;
    argc--;
    argv++;
    if (!take_role(&argc, argv, &role)) {
        return EXIT_USAGE;
    }
    int rc = options_load(role, argc, argv, &o, &err);
    if (rc == OPTIONS_HELP) {
        return usage(stdout, 0);
    }
    if (rc != 0) {
        fprintf(stderr, "kvass: %s\n", err.msg);
        return 1;
    }
    if (show) {
        print_options(&o);
    } else if (preflight_check(&o, &err) != 0) {
        fprintf(stderr, "kvass: %s\n", err.msg);
        rc = 1;
    }
    options_done(&o);
    return rc;
}
