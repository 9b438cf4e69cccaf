/* kvass plan: one round of the balancer, offline. Reads the state as JSON (docs/plan.md), prints the plan as JSON.
 * Changes nothing, needs no daemon: what a running one would do with these facts, and why. */
#include "balancer/plan_json.h"
#include "base/files.h"
#include "cli/args.h"
#include "cli/commands.h"

#include <stdio.h>
#include <unistd.h>

#define INPUT_BYTES_MAX  ((size_t)2 << 30)
#define OUTPUT_BYTES_MAX ((size_t)2 << 30)
#define READ_BYTES       65536

static int read_stdin(struct bytes *out, struct errctx *err)
{
    for (;;) {
        char *room = bytes_reserve(out, READ_BYTES);
        if (room == NULL) {
            return errctx_set(err, ERR_LIMIT, "standard input is larger than %zu bytes", INPUT_BYTES_MAX);
        }
        size_t len = fread(room, 1, READ_BYTES, stdin);
        bytes_commit(out, len);
        if (len < READ_BYTES) {
            return ferror(stdin) ? errctx_set(err, ERR_IO, "standard input cannot be read") : 0;
        }
    }
}

static int print_plan(struct arena *arena, struct view json, bool with_input, struct errctx *err)
{
    struct plan_input in;
    struct bytes out;
    struct json_writer w;
    int rc = plan_input_read(arena, json, &in, err);
    if (rc != 0) {
        return rc;
    }
    bytes_init(&out, OUTPUT_BYTES_MAX);
    json_writer_init(&w, &out);
    if (with_input) {
        plan_input_write(&w, &in);
    } else {
        struct plan *plan = plan_build(&in);
        plan_write(&w, &in, plan);
        plan_free(&plan);
    }
    bytes_append_char(&out, '\n');
    rc = bytes_check(&out, err);
    if (rc == 0 && (fwrite(out.base, 1, out.len, stdout) != out.len || fflush(stdout) != 0)) {
        rc = errctx_set(err, ERR_IO, "standard output cannot be written");
    }
    bytes_done(&out);
    return rc;
}

int cmd_plan(int argc, char **argv)
{
    static const struct command_help help = {
        "kvass plan [--normalise] STATE.json",
        "One round of the balancer, offline: reads the facts (docs/plan.md; - is standard input), prints\n"
        "the actions, the wanted number of shards, the state of every target, and the reasons.",
    };
    bool normalise = false;
    const char *path = NULL;
    const struct arg_spec specs[] = {
        {"normalise", NULL, NULL, &normalise, "print the input with all its defaults instead of a plan"},
    };
    int count = args_parse(argc, argv, &help, specs, 1, &path, 1);
    if (count < 0) {
        return count == -2 ? 0 : EXIT_USAGE;
    }
    if (count == 0) {
        fprintf(stderr, "kvass: plan: which file?\nusage: %s\n", help.usage);
        return EXIT_USAGE;
    }
    struct errctx err = ERRCTX_INIT;
    struct bytes text;
    struct arena *arena = arena_new();
    bytes_init(&text, INPUT_BYTES_MAX);
    int rc = strcmp(path, "-") == 0 ? read_stdin(&text, &err) : files_read(path, &text, &err);
    rc = rc != 0 ? rc : errctx_prefix(&err, print_plan(arena, bytes_view(&text), normalise, &err), "%s", path);
    if (rc != 0) {
        fprintf(stderr, "kvass: plan: %s\n", err.msg);
    }
    bytes_done(&text);
    arena_free(&arena);
    return rc == 0 ? 0 : 1;
}
