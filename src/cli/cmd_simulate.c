/* kvass simulate: many rounds of the balancer on a virtual clock (docs/simulate.md). Prints one JSON object: samples
 * over time and the figures of the whole run. EXPECT lines that do not hold go to stderr, and the exit status is
 * then 1. */
#include "balancer/scenario.h"
#include "base/duration.h"
#include "base/files.h"
#include "base/json_writer.h"
#include "cli/args.h"
#include "cli/commands.h"

#include <stdio.h>

#define OUTPUT_BYTES_MAX ((size_t)256 << 20)
#define SAMPLES_MAX      100000

struct simulation {
    struct json_writer w;
    struct bytes out;
    int64_t begin_ms, sample_ms, next_ms;
    unsigned samples, failed;
};

static void sample(struct simulation *s, const struct world *w)
{
    uint64_t most = 0, sum = 0;
    vec_foreach(shard, &w->shards) {
        most = (*shard)->active > most ? (*shard)->active : most;
        sum += (*shard)->active;
    }
    json_object_begin(&s->w);
    json_kv_i64(&s->w, "at_seconds", (w->now_ms - s->begin_ms) / 1000);
    json_kv_u64(&s->w, "shards", w->desired);
    json_kv_u64(&s->w, "targets", world_count_discovered(w));
    json_kv_u64(&s->w, "series", sum);
    json_kv_u64(&s->w, "series_max", most);
    json_kv_u64(&s->w, "moves", w->figures.moves);
    json_kv_u64(&s->w, "unowned", w->unowned);
    json_kv_u64(&s->w, "overloaded", w->overloaded);
    json_key(&s->w, "ledger");
    json_object_begin(&s->w);
    for (int i = 0; i < LEDGER_STATE_COUNT; i++) {
        if (w->ledger[i] > 0) {
            json_kv_u64(&s->w, ledger_state_name((enum ledger_state)i), w->ledger[i]);
        }
    }
    json_object_end(&s->w);
    json_object_end(&s->w);
}

static void on_round(void *data, const struct world *w)
{
    struct simulation *s = data;
    if (s->begin_ms == 0) {
        s->begin_ms = w->now_ms - w->conf.round_ms;
        s->next_ms = w->now_ms;
    }
    if (w->now_ms >= s->next_ms && s->samples < SAMPLES_MAX) {
        sample(s, w);
        s->samples++;
        s->next_ms += s->sample_ms;
    }
}

static void on_expect(void *data, unsigned line, struct view text, bool holds, const char *found)
{
    struct simulation *s = data;
    if (!holds) {
        s->failed++;
        fprintf(stderr, "kvass: simulate: line %u: %.*s: found %s\n", line, VIEW_FMT(text), found);
    }
}

static void write_figures(struct simulation *s, const struct world *w)
{
    const struct world_figures *f = &w->figures;
    json_key(&s->w, "figures");
    json_object_begin(&s->w);
    json_kv_u64(&s->w, "rounds", f->rounds);
    json_kv_u64(&s->w, "shards", w->desired);
    json_kv_u64(&s->w, "shards_max", f->shards_max);
    json_kv_u64(&s->w, "assigns", f->assigns);
    json_kv_u64(&s->w, "moves", f->moves);
    json_kv_u64(&s->w, "moves_finished", f->finished);
    json_kv_u64(&s->w, "moves_undone", f->undone);
    json_kv_u64(&s->w, "forgotten", f->forgotten);
    json_kv_double(&s->w, "overload_shard_seconds", f->overload_seconds);
    json_kv_double(&s->w, "unowned_target_seconds", f->unowned_seconds);
    json_kv_double(&s->w, "double_target_seconds", f->double_seconds);
    json_kv_str(&s->w, "wanted_reason", w->plan != NULL ? w->plan->wanted_reason : "");
    json_object_end(&s->w);
}

static int simulate(struct simulation *s, struct view text, struct errctx *err)
{
    struct world world;
    const struct scenario_events events = {.on_round = on_round, .on_expect = on_expect, .data = s};
    json_object_begin(&s->w);
    json_key(&s->w, "samples");
    json_array_begin(&s->w);
    int rc = scenario_run(text, &events, &world, err);
    json_array_end(&s->w);
    write_figures(s, &world);
    json_object_end(&s->w);
    bytes_append_char(&s->out, '\n');
    world_done(&world);
    return rc != 0 ? rc : bytes_check(&s->out, err);
}

int cmd_simulate(int argc, char **argv)
{
    static const struct command_help help = {
        "kvass simulate [--sample=DURATION] SCENARIO",
        "Many rounds of the balancer on a virtual clock: growth, failures, limits (docs/simulate.md).\n"
        "Prints samples over time and figures as JSON. Exit status 1 when an EXPECT line does not hold.",
    };
    const char *path = NULL, *period = "1m";
    const struct arg_spec specs[] = {{"sample", "DURATION", &period, NULL, "time between two samples (1m)"}};
    int count = args_parse(argc, argv, &help, specs, 1, &path, 1);
    if (count < 0) {
        return count == -2 ? 0 : EXIT_USAGE;
    }
    struct errctx err = ERRCTX_INIT;
    struct simulation s = {0};
    if (count == 0 || duration_parse_go(view_of(period), &s.sample_ms, &err) != 0 || s.sample_ms <= 0) {
        fprintf(stderr, "kvass: simulate: want a file and a positive duration\nusage: %s\n", help.usage);
        return EXIT_USAGE;
    }
    struct bytes text;
    bytes_init(&text, SCENARIO_BYTES_MAX);
    bytes_init(&s.out, OUTPUT_BYTES_MAX);
    json_writer_init(&s.w, &s.out);
    int rc = files_read(path, &text, &err);
    rc = rc != 0 ? rc : errctx_prefix(&err, simulate(&s, bytes_view(&text), &err), "%s", path);
    if (rc != 0) {
        fprintf(stderr, "kvass: simulate: %s\n", err.msg);
    } else {
        fwrite(s.out.base, 1, s.out.len, stdout);
    }
    bytes_done(&text);
    bytes_done(&s.out);
    return rc == 0 && s.failed == 0 && fflush(stdout) == 0 ? 0 : 1;
}
