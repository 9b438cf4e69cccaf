/* kvass: the table of sub-commands, and what rooms to the right add to tables of rooms to the left. */
#include "base/nearest.h"
#include "cli/commands.h"
#include "k8s/sd.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct command {
    const char *name, *sub; /* sub: second word, or NULL */
    int (*run)(int argc, char **argv);
    const char *help;
};

static int cmd_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    puts("kvass " PACKAGE_VERSION);
    return 0;
}

static const struct command COMMANDS[] = {
    {"appliance", NULL, cmd_role, "balancer, proxy and the shards of this machine in one process"},
    {"coordinator", NULL, cmd_role, "balancer alone, all shards remote, behind sidecars"},
    {"sidecar", NULL, cmd_role, "proxy and one shard beside a Prometheus, driven by a coordinator"},
    {"run", NULL, cmd_role, "the role named in kvass.yaml"},
    {"get", NULL, cmd_get, "shards, targets, moves or metrics of a running kvass, and why"},
    {"check", "config", cmd_check_config, "read and validate a prometheus.yml"},
    {"check", "service-discovery", cmd_check_service_discovery, "discover a job's targets once and print them"},
    {"config", NULL, cmd_config, "show or check the options of a role: config show, config check"},
    {"count", NULL, cmd_count, "count an exposition as Prometheus does"},
    {"render", NULL, cmd_render, "the prometheus.yml of a shard, or of a querier, on stdout"},
    {"plan", NULL, cmd_plan, "one balancing round, offline: facts in, plan out, as JSON"},
    {"simulate", NULL, cmd_simulate, "many rounds on a virtual clock, from a scenario file"},
    {"version", NULL, cmd_version, "print the version"},
};
#define COMMAND_COUNT (sizeof(COMMANDS) / sizeof(COMMANDS[0]))

static void print_command(FILE *to, const char *before, const struct command *c)
{
    char left[64];
    snprintf(left, sizeof(left), "%s%s%s%s", before, c->name, c->sub != NULL ? " " : "", c->sub != NULL ? c->sub : "");
    fprintf(to, "  %-*s %s\n", before[0] != '\0' ? 32 : 26, left, c->help);
}

static void print_commands(FILE *to)
{
    fputs("usage: kvass COMMAND [--option=value ...]\n\nMany stock Prometheus servers act as one.\n\ncommands:\n", to);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        print_command(to, "", &COMMANDS[i]);
    }
    fputs("\n'kvass COMMAND --help' explains one.\n", to);
}

static void print_subs(FILE *to, const char *name)
{
    fprintf(to, "usage: kvass %s COMMAND [--option=value ...]\n\n", name);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(name, COMMANDS[i].name) == 0) {
            print_command(to, "kvass ", &COMMANDS[i]);
        }
    }
}

static int unknown_command(const char *name)
{
    struct nearest n;
    nearest_begin(&n, view_of(name));
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        nearest_consider(&n, COMMANDS[i].name);
    }
    fprintf(stderr, "kvass: unknown command '%s'%s%s%s; 'kvass help' lists them\n", name,
            n.best != NULL ? " (did you mean '" : "", n.best != NULL ? n.best : "", n.best != NULL ? "'?)" : "");
    return 2;
}

/* `help get` and `get -h` are `get --help`. */
static void ask_for_help(int argc, char **argv)
{
    static char help[] = "--help";
    if (argc > 2 && strcmp(argv[1], "help") == 0) {
        memmove(argv + 1, argv + 2, (size_t)(argc - 2) * sizeof(*argv));
        argv[argc - 1] = help;
    } else if (argc > 1 && strcmp(argv[argc - 1], "-h") == 0) {
        argv[argc - 1] = help;
    }
}

/* What could not be written was not done. A reader that went away has seen what it wanted: nothing is said. */
static int end_output(int rc)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    bool failed = ferror(stdout) != 0;
    errno = 0;
    if (fflush(stdout) == 0 && !failed) {
        return rc;
    }
    bool is_gone = errno == EPIPE || (poll(&out, 1, 0) == 1 && (out.revents & (POLLERR | POLLHUP)) != 0);
    if (!is_gone) {
        fprintf(stderr, "kvass: standard output: %s\n",
                errno != 0 ? strerror(errno) : "not all of it could be written");
    }
    return rc == 0 ? 1 : rc;
}

static int run_command(int argc, char **argv)
{
    bool wants_sub = false;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct command *c = &COMMANDS[i];
        if (strcmp(argv[1], c->name) != 0) {
            continue;
        }
        if (c->sub == NULL) {
            return c->run(argc - 1, argv + 1);
        }
        if (argc > 2 && strcmp(argv[2], c->sub) == 0) {
            return c->run(argc - 2, argv + 2);
        }
        wants_sub = true;
    }
    if (wants_sub) {
        bool is_help = argc == 3 && strcmp(argv[2], "--help") == 0;
        print_subs(is_help ? stdout : stderr, argv[1]);
        return is_help ? 0 : 2;
    }
    return unknown_command(argv[1]);
}

int main(int argc, char **argv)
{
    ask_for_help(argc, argv);
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        return end_output(cmd_version(0, NULL));
    }
    if (argc < 2 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0) {
        print_commands(argc < 2 ? stderr : stdout);
        return end_output(argc < 2 ? 2 : 0);
    }
    mechanism_register(&mechanism_kubernetes);
    return end_output(run_command(argc, argv));
}
