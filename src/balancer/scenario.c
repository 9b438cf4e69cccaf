/* The scenario language: one command a line, words separated by blanks, `#` to the end of the line is a comment.
 * Options are key=value. See docs/simulate.md; expectations are in scenario_expect.c. */
#include "balancer/scenario_run.h"

#include "base/hash.h"
#include "base/intern.h"

#include <math.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static int cmd_world(struct scenario *s, const struct words *w, struct errctx *err)
{
    struct world_conf *c = &s->world->conf;
    const struct field fields[] = {
        {"round", FIELD_MS, &c->round_ms},     {"start", FIELD_MS, &c->start_ms},
        {"explore", FIELD_MS, &c->explore_ms}, {"vanish", FIELD_MS, &c->vanish_grace_ms},
        {"head", FIELD_MS, &c->head_ms},
    };
    int rc = fields_read(w, 1, fields, COUNT_OF(fields), err);
    if (rc == 0 && c->round_ms <= 0) {
        rc = errctx_set(err, ERR_INVALID, "round must be longer than 0");
    }
    return rc;
}

static int cmd_limit(struct scenario *s, const struct words *w, struct errctx *err)
{
    struct plan_limits *l = &s->world->conf.limits;
    const struct field fields[] = {
        {"series", FIELD_U64, &l->series},
        {"scraped", FIELD_U64, &l->scraped},
        {"low", FIELD_DOUBLE, &l->low},
        {"high", FIELD_DOUBLE, &l->high},
        {"overhead", FIELD_U32, &l->per_target_overhead},
        {"moves", FIELD_U32, &l->moves_per_round},
        {"min", FIELD_U32, &l->min_groups},
        {"max", FIELD_U32, &l->max_groups},
        {"scrapes", FIELD_U32, &l->move_scrapes},
        {"grace", FIELD_MS, &l->failover_grace_ms},
        {"idle", FIELD_MS, &l->max_idle_ms},
        {"cool", FIELD_MS, &l->move_cool_down_ms},
        {"failover", FIELD_U32, &l->failover_per_round},
        {"even", FIELD_DOUBLE, &l->even_out_threshold},
        {"relieve", FIELD_BOOL, &l->relieve},
        {"split", FIELD_U32, &l->max_parts},
    };
    return fields_read(w, 1, fields, COUNT_OF(fields), err);
}

/* ---- targets ---- */

struct target_options {
    uint64_t series, to, scraped;
    double skew, growth;
    uint32_t count, first;
    int64_t interval_ms;
    uint32_t replicas;
    const char *zone;
    int down; /* -1 = not said */
};

static int short_name(struct view v, const char **ret, struct errctx *err)
{
    char name[64];
    if (v.len == 0 || v.len >= sizeof(name)) {
        return errctx_set(err, ERR_INVALID, "a name has 1 to 63 characters");
    }
    memcpy(name, v.base, v.len);
    name[v.len] = '\0';
    *ret = intern(name);
    return 0;
}

static int target_word(struct view word, struct target_options *o, struct errctx *err)
{
    struct view v;
    const struct field fields[] = {
        {"count", FIELD_U32, &o->count},      {"first", FIELD_U32, &o->first},
        {"series", FIELD_U64, &o->series},    {"to", FIELD_U64, &o->to},
        {"scraped", FIELD_U64, &o->scraped},  {"skew", FIELD_DOUBLE, &o->skew},
        {"growth", FIELD_DOUBLE, &o->growth}, {"interval", FIELD_MS, &o->interval_ms},
    };
    if (view_is(word, "down") || view_is(word, "up")) {
        o->down = view_is(word, "down");
        return 0;
    }
    if (word_option(word, "zone", &v)) {
        return short_name(v, &o->zone, err);
    }
    if (word_option(word, "replicas", &v)) {
        o->replicas = PLAN_EVERY_GROUP;
        return view_is(v, "every") ? 0 : word_u32(v, PLAN_REPLICAS_MAX, &o->replicas, err);
    }
    const struct words one = {{word}, 1};
    return fields_read(&one, 0, fields, COUNT_OF(fields), err);
}

static int target_options_read(const struct words *w, size_t first, struct target_options *o, struct errctx *err)
{
    for (size_t i = first; i < w->count; i++) {
        int rc = target_word(w->items[i], o, err);
        if (rc != 0) {
            return rc;
        }
    }
    if (o->interval_ms < 0 || (o->interval_ms == 0 && o->count > 0)) {
        return errctx_set(err, ERR_INVALID, "interval must be longer than 0");
    }
    return 0;
}

/* A share between 0 and 1 that depends on nothing but the place of the target. */
static double spread(const struct world_target *t)
{
    return (double)(hash_pair(t->place_key, 77) >> 11) / 9007199254740992.0;
}

static uint64_t size_of(const struct world_target *t, const struct target_options *o)
{
    if (o->to <= o->series) {
        return o->series;
    }
    double u = spread(t), low = (double)o->series, high = (double)o->to;
    double size = o->skew > 0 ? low * pow(1 - u, -1 / o->skew) : low + u * (high - low);
    return (uint64_t)(size > high ? high : size);
}

static void target_set(struct world_target *t, const struct target_options *o)
{
    if (o->series > 0) {
        t->series = size_of(t, o);
        t->scraped = t->series;
    }
    t->scraped = o->scraped > 0 ? o->scraped : t->scraped;
    t->growth_per_hour = isnan(o->growth) ? t->growth_per_hour : o->growth;
    t->interval_ms = o->interval_ms > 0 ? o->interval_ms : t->interval_ms;
    t->want_replicas = o->replicas > 0 ? o->replicas : t->want_replicas;
    t->zone = o->zone != NULL ? o->zone : t->zone;
    t->down = o->down >= 0 ? o->down == 1 : t->down;
}

static int cmd_targets(struct scenario *s, const struct words *w, struct errctx *err)
{
    struct target_options o = {.count = 1, .interval_ms = 15000, .growth = (double)NAN, .down = -1};
    const char *job;
    if (w->count < 2) {
        return errctx_set(err, ERR_PARSE, "TARGETS wants a job");
    }
    int rc = short_name(w->items[1], &job, err);
    rc = rc != 0 ? rc : target_options_read(w, 2, &o, err);
    if (rc != 0) {
        return rc;
    }
    if (s->world->targets.len + o.count > SCENARIO_TARGETS_MAX) {
        return errctx_set(err, ERR_LIMIT, "more than %d targets", SCENARIO_TARGETS_MAX);
    }
    for (uint32_t i = 0; i < o.count; i++) {
        target_set(world_add_target(s->world, job, o.first + i, 0, o.series), &o);
    }
    return 0;
}

/* One target (job/3), a range (job/3-7) or all of a job (job/all). */
int selection_read(struct view word, struct selection *ret, struct errctx *err)
{
    const char *slash = memchr(word.base, '/', word.len);
    if (slash == NULL) {
        return errctx_set(err, ERR_PARSE, "'%.*s': want job/number, job/from-to or job/all", VIEW_FMT(word));
    }
    struct view job = view_make(word.base, (size_t)(slash - word.base));
    struct view which = view_make(slash + 1, word.len - job.len - 1);
    const char *dash = memchr(which.base, '-', which.len);
    *ret = (struct selection){.to = UINT32_MAX};
    int rc = short_name(job, &ret->job, err);
    if (rc != 0 || view_is(which, "all")) {
        return rc;
    }
    struct view from = view_make(which.base, dash != NULL ? (size_t)(dash - which.base) : which.len);
    rc = word_u32(from, UINT32_MAX, &ret->from, err);
    ret->to = ret->from;
    if (rc == 0 && dash != NULL) {
        rc = word_u32(view_make(dash + 1, which.len - from.len - 1), UINT32_MAX, &ret->to, err);
    }
    return rc;
}

bool selection_has(const struct selection *sel, const struct world_target *t)
{
    return t->job == sel->job && t->index >= sel->from && t->index <= sel->to && !t->forgotten && t->parts == 0;
}

enum change { CHANGE_SET, CHANGE_VANISH, CHANGE_RETURN, CHANGE_RELABEL };

static void change_one(struct world *world, struct world_target *t, enum change change, const struct target_options *o)
{
    switch (change) {
    case CHANGE_SET:
        target_set(t, o);
        break;
    case CHANGE_VANISH:
        t->vanished_ms = t->vanished_ms == 0 ? world->now_ms : t->vanished_ms;
        break;
    case CHANGE_RETURN:
        t->vanished_ms = 0;
        break;
    case CHANGE_RELABEL:
        if (t->vanished_ms == 0) {
            struct world_target *next =
                world_add_target(world, t->job, t->index, (uint32_t)world->targets.len, t->series);
            next->interval_ms = t->interval_ms;
            next->want_replicas = t->want_replicas;
            next->zone = t->zone;
            next->down = t->down;
            if (t->is_giant && t->split.running > 1) { /* as many parts: each keeps its shard */
                next->is_giant = true;
                split_init(&next->split);
                next->split.running = t->split.running;
                next->known_series = t->known_series;
                next->known_scraped = t->known_scraped;
                next->size_known = t->size_known;
            }
            t->vanished_ms = world->now_ms;
        }
        break;
    }
}

static int change_targets(struct scenario *s, const struct words *w, enum change change, struct errctx *err)
{
    struct target_options o = {.growth = (double)NAN, .down = -1};
    struct selection sel;
    if (w->count < 2) {
        return errctx_set(err, ERR_PARSE, "want job/number, job/from-to or job/all");
    }
    int rc = selection_read(w->items[1], &sel, err);
    rc = rc != 0 ? rc : target_options_read(w, 2, &o, err);
    size_t count = s->world->targets.len, found = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (selection_has(&sel, s->world->targets.items[i])) {
            change_one(s->world, s->world->targets.items[i], change, &o);
            found++;
        }
    }
    return rc == 0 && found == 0 ? errctx_set(err, ERR_NOT_FOUND, "no target '%.*s'", VIEW_FMT(w->items[1])) : rc;
}

static int cmd_set(struct scenario *s, const struct words *w, struct errctx *err)
{
    return change_targets(s, w, CHANGE_SET, err);
}

static int cmd_vanish(struct scenario *s, const struct words *w, struct errctx *err)
{
    return change_targets(s, w, CHANGE_VANISH, err);
}

static int cmd_return(struct scenario *s, const struct words *w, struct errctx *err)
{
    return change_targets(s, w, CHANGE_RETURN, err);
}

static int cmd_relabel(struct scenario *s, const struct words *w, struct errctx *err)
{
    return change_targets(s, w, CHANGE_RELABEL, err);
}

/* ---- shards ---- */

static int cmd_shards(struct scenario *s, const struct words *w, struct errctx *err)
{
    uint32_t count;
    if (w->count < 2) {
        return errctx_set(err, ERR_PARSE, "SHARDS wants a number");
    }
    int rc = word_u32(w->items[1], SCENARIO_SHARDS_MAX, &count, err);
    if (rc == 0) {
        world_set_shards(s->world, count, w->count > 2 && view_is(w->items[2], "ready"));
    }
    return rc;
}

static int shard_read(struct scenario *s, const struct words *w, struct world_shard **ret, struct errctx *err)
{
    uint32_t id;
    if (w->count < 2) {
        return errctx_set(err, ERR_PARSE, "want the number of a shard");
    }
    int rc = word_u32(w->items[1], UINT32_MAX, &id, err);
    if (rc != 0) {
        return rc;
    }
    struct world_shard *shard = world_find_shard(s->world, id);
    if (shard == NULL) {
        return errctx_set(err, ERR_NOT_FOUND, "no shard %u", id);
    }
    *ret = shard;
    return 0;
}

static int set_mode(struct scenario *s, const struct words *w, enum world_shard_mode mode, struct errctx *err)
{
    struct world_shard *shard;
    int rc = shard_read(s, w, &shard, err);
    if (rc == 0) {
        world_set_mode(s->world, shard, mode);
    }
    return rc;
}

static int cmd_crash(struct scenario *s, const struct words *w, struct errctx *err)
{
    return set_mode(s, w, WORLD_SHARD_CRASHED, err);
}

static int cmd_partition(struct scenario *s, const struct words *w, struct errctx *err)
{
    return set_mode(s, w, WORLD_SHARD_PARTITIONED, err);
}

static int cmd_lose(struct scenario *s, const struct words *w, struct errctx *err)
{
    return set_mode(s, w, WORLD_SHARD_MISSING, err);
}

static int cmd_recover(struct scenario *s, const struct words *w, struct errctx *err)
{
    return set_mode(s, w, WORLD_SHARD_ALIVE, err);
}

static int cmd_shard(struct scenario *s, const struct words *w, struct errctx *err)
{
    struct world_shard *shard;
    int rc = shard_read(s, w, &shard, err);
    if (rc != 0) {
        return rc;
    }
    struct words rest = {.count = 0};
    for (size_t i = 2; i < w->count; i++) {
        struct view zone;
        if (word_option(w->items[i], "zone", &zone)) {
            rc = short_name(zone, &shard->zone, err);
        } else {
            rest.items[rest.count++] = w->items[i];
        }
    }
    const struct field fields[] = {
        {"head", FIELD_U64, &shard->extra_head},
        {"series", FIELD_U64, &shard->capacity_series},
        {"scraped", FIELD_U64, &shard->capacity_scraped},
    };
    return rc != 0 ? rc : fields_read(&rest, 0, fields, COUNT_OF(fields), err);
}

/* ---- time ---- */

static int step(struct scenario *s, struct errctx *err)
{
    if (s->rounds++ == SCENARIO_ROUNDS_MAX) {
        return errctx_set(err, ERR_LIMIT, "more than %d rounds", SCENARIO_ROUNDS_MAX);
    }
    world_step(s->world);
    if (s->world->desired > SCENARIO_SHARDS_MAX) {
        return errctx_set(err, ERR_LIMIT, "more than %d shards are wanted", SCENARIO_SHARDS_MAX);
    }
    if (s->events->on_round != NULL) {
        s->events->on_round(s->events->data, s->world);
    }
    return 0;
}

static int run_until(struct scenario *s, int64_t until_ms, struct errctx *err)
{
    int rc = 0;
    while (rc == 0 && s->world->now_ms < until_ms) {
        rc = step(s, err);
    }
    return rc;
}

static int cmd_tick(struct scenario *s, const struct words *w, struct errctx *err)
{
    uint32_t count = 1;
    int rc = w->count > 1 ? word_u32(w->items[1], SCENARIO_ROUNDS_MAX, &count, err) : 0;
    while (rc == 0 && count-- > 0) {
        rc = step(s, err);
    }
    return rc;
}

static int cmd_run(struct scenario *s, const struct words *w, struct errctx *err)
{
    int64_t span_ms;
    if (w->count < 2) {
        return errctx_set(err, ERR_PARSE, "RUN wants a duration");
    }
    int rc = word_duration(w->items[1], &span_ms, err);
    return rc != 0 ? rc : run_until(s, s->world->now_ms + span_ms, err);
}

static int cmd_settle(struct scenario *s, const struct words *w, struct errctx *err)
{
    uint32_t most = 1000, calm = 0;
    int rc = w->count > 1 ? word_u32(w->items[1], SCENARIO_ROUNDS_MAX, &most, err) : 0;
    for (uint32_t i = 0; rc == 0 && i < most && calm < 6; i++) {
        uint32_t desired = s->world->desired;
        rc = step(s, err);
        bool quiet = rc == 0 && s->world->plan->action_count == 0 && s->world->desired == desired;
        uint64_t open = rc == 0 ? s->world->ledger[LEDGER_EXPLORING] + s->world->ledger[LEDGER_IN_TRANSFER] : 0;
        calm = quiet && open == 0 ? calm + 1 : 0;
    }
    return rc == 0 && calm < 6 ? errctx_set(err, ERR_TIMEOUT, "not settled within %u rounds", most) : rc;
}

static int cmd_discovery(struct scenario *s, const struct words *w, struct errctx *err)
{
    if (w->count != 2 || (!view_is(w->items[1], "done") && !view_is(w->items[1], "pending"))) {
        return errctx_set(err, ERR_PARSE, "DISCOVERY wants done or pending");
    }
    s->world->discovered = view_is(w->items[1], "done");
    return 0;
}

static int cmd_restart(struct scenario *s, const struct words *w, struct errctx *err)
{
    int64_t after_ms = 0;
    const struct field fields[] = {{"after", FIELD_MS, &after_ms}};
    int rc = fields_read(w, 1, fields, COUNT_OF(fields), err);
    if (rc == 0) {
        world_restart_coordinator(s->world, after_ms);
    }
    return rc;
}

static int cmd_reset(struct scenario *s, const struct words *w, struct errctx *err)
{
    (void)w;
    (void)err;
    world_reset_figures(s->world);
    return 0;
}

/* ---- lines ---- */

struct command {
    const char *name;
    int (*run)(struct scenario *s, const struct words *w, struct errctx *err);
};

static const struct command COMMANDS[] = {
    {"CRASH", cmd_crash},     {"DISCOVERY", cmd_discovery}, {"EXPECT", scenario_expect}, {"LIMIT", cmd_limit},
    {"LOSE", cmd_lose},       {"PARTITION", cmd_partition}, {"RECOVER", cmd_recover},    {"RELABEL", cmd_relabel},
    {"RESET", cmd_reset},     {"RESTART", cmd_restart},     {"RETURN", cmd_return},      {"RUN", cmd_run},
    {"SET", cmd_set},         {"SETTLE", cmd_settle},       {"SHARD", cmd_shard},        {"SHARDS", cmd_shards},
    {"TARGETS", cmd_targets}, {"TICK", cmd_tick},           {"VANISH", cmd_vanish},      {"WORLD", cmd_world},
};

static int command_run(struct scenario *s, const struct words *w, struct errctx *err)
{
    for (size_t i = 0; i < COUNT_OF(COMMANDS); i++) {
        if (view_is(w->items[0], COMMANDS[i].name)) {
            return COMMANDS[i].run(s, w, err);
        }
    }
    return errctx_set(err, ERR_PARSE, "unknown command '%.*s'", VIEW_FMT(w->items[0]));
}

static int line_run(struct scenario *s, struct view line, struct errctx *err)
{
    struct words w;
    int rc = line_split(line, &w, err);
    if (rc != 0 || w.count == 0) {
        return rc;
    }
    if (view_is(w.items[0], "AT")) {
        int64_t at_ms;
        if (w.count < 3) {
            return errctx_set(err, ERR_PARSE, "AT wants a moment and a command");
        }
        rc = word_duration(w.items[1], &at_ms, err);
        rc = rc != 0 ? rc : run_until(s, s->begin_ms + at_ms, err);
        w.count -= 2;
        memmove(w.items, w.items + 2, w.count * sizeof(w.items[0]));
    }
    s->text = line;
    return rc != 0 ? rc : command_run(s, &w, err);
}

int scenario_run(struct view text, const struct scenario_events *events, struct world *ret_world, struct errctx *err)
{
    struct world_conf conf;
    world_conf_default(&conf);
    world_init(ret_world, &conf);
    struct scenario s = {.world = ret_world, .events = events, .begin_ms = ret_world->now_ms};
    for (size_t begin = 0; begin < text.len;) {
        const char *nl = memchr(text.base + begin, '\n', text.len - begin);
        size_t end = nl != NULL ? (size_t)(nl - text.base) : text.len;
        s.line++;
        int rc = line_run(&s, view_make(text.base + begin, end - begin), err);
        if (rc != 0) {
            return errctx_prefix(err, rc, "line %u", s.line);
        }
        begin = end + 1;
    }
    return 0;
}
