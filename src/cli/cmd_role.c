/* kvass appliance, coordinator, sidecar, run: read the options, set up the log, hand over to the role. */
#include "api/appliance.h"
#include "api/coordinator.h"
#include "api/pod.h"
#include "api/preflight.h"
#include "api/sidecar.h"
#include "base/log.h"
#include "base/options.h"
#include "cli/args.h"
#include "cli/commands.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void print_help(enum role role)
{
    struct bytes text;
    if (role == ROLE_FROM_FILE) {
        puts("usage: kvass run [--option=value ...]\n\n"
             "Runs the role that /etc/kvass/kvass.yaml (or --kvass.config=FILE) names, with the options\n"
             "that 'kvass appliance --help', 'kvass coordinator --help' or 'kvass sidecar --help' lists.");
        return;
    }
    bytes_init(&text, (size_t)1 << 20);
    options_describe(role, &text);
    fputs(bytes_view(&text).base, stdout);
    bytes_done(&text);
}

/* systemd names the stream that goes to the journal; a child whose stderr was redirected inherits the name only. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;
    if (stream == NULL || fstat(STDERR_FILENO, &st) != 0) {
        return false;
    }
    char own[64];
    snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    return strcmp(stream, own) == 0;
}

static int run(const struct options *o)
{
    struct errctx err = ERRCTX_INIT;
    log_setup((enum log_level)o->log_level, o->log_format == OPTION_LOG_JSON ? LOG_FORMAT_JSON : LOG_FORMAT_LOGFMT,
              stderr_is_journal());
    if (preflight_check(o, &err) != 0) {
        log_error(NULL, "start", "role", role_name(o->role), "err", err.msg, "action", "exit");
        return 1;
    }
    switch (o->role) {
    case ROLE_APPLIANCE:
        return o->shard_type == SHARD_TYPE_K8S ? pod_run(o) : appliance_run(o);
    case ROLE_COORDINATOR:
        return coordinator_run(o);
    case ROLE_SIDECAR:
        break;
    }
    return sidecar_run(o);
}

int cmd_role(int argc, char **argv)
{
    struct options o;
    struct errctx err = ERRCTX_INIT;
    enum role role = ROLE_FROM_FILE;
    if (strcmp(argv[0], "run") != 0) {
        (void)role_parse(view_of(argv[0]), &role);
    }
    int rc = options_load(role, argc, argv, &o, &err);
    if (rc == OPTIONS_HELP) {
        print_help(role);
        return 0;
    }
    if (rc != 0) {
        fprintf(stderr, "kvass %s: %s\n", argv[0], err.msg);
        return EXIT_USAGE;
    }
    rc = run(&o);
    options_done(&o);
    return rc;
}
