/* EXPECT lines: a figure of the world compared with a number, or a statement about targets or the last plan. */
#include "balancer/scenario_run.h"

#include "base/bytes.h"

#include <stdio.h>

static int verdict(struct scenario *s, bool holds, const char *found)
{
    if (s->events->on_expect != NULL) {
        s->events->on_expect(s->events->data, s->line, s->text, holds, found);
    }
    return 0;
}

/* ---- figures ---- */

static double count_actions(const struct world *w, const char *type)
{
    size_t count = 0;
    for (size_t i = 0; w->plan != NULL && i < w->plan->action_count; i++) {
        count += type == NULL || strcmp(plan_action_name(w->plan->actions[i].type), type) == 0;
    }
    return (double)count;
}

static double count_ready(const struct world *w)
{
    size_t count = 0;
    vec_foreach(s, &w->shards) {
        count += (*s)->mode == WORLD_SHARD_ALIVE && (*s)->ready_at_ms <= w->now_ms && (*s)->read;
    }
    return (double)count;
}

/* Highest active series of a shard, divided by the mean (ratio) or not. */
static double load_peak(const struct world *w, bool ratio)
{
    double most = 0, sum = 0;
    vec_foreach(s, &w->shards) {
        double load = (double)(*s)->active;
        most = load > most ? load : most;
        sum += load;
    }
    return !ratio ? most : sum > 0 ? most / (sum / (double)w->shards.len) : 0;
}

static bool plain_figure(const struct world *w, struct view name, double *ret)
{
    const struct world_figures *f = &w->figures;
    const struct {
        const char *name;
        double value;
    } figures[] = {
        {"shards", w->desired},
        {"shards_max", f->shards_max},
        {"ready", count_ready(w)},
        {"discovered", (double)world_count_discovered(w)},
        {"actions", count_actions(w, NULL)},
        {"unowned", w->unowned},
        {"doubles", w->doubled},
        {"overloaded", w->overloaded},
        {"assigns", (double)f->assigns},
        {"moves", (double)f->moves},
        {"finished", (double)f->finished},
        {"undone", (double)f->undone},
        {"forgotten", (double)f->forgotten},
        {"overload_seconds", f->overload_seconds},
        {"unowned_seconds", f->unowned_seconds},
        {"double_seconds", f->double_seconds},
        {"load_max", load_peak(w, false)},
        {"load_ratio", load_peak(w, true)},
    };
    for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
        if (view_is(name, figures[i].name)) {
            *ret = figures[i].value;
            return true;
        }
    }
    return false;
}

static bool ledger_figure(const struct world *w, struct view name, double *ret)
{
    int state = ledger_state_parse(name);
    if (state >= 0) {
        *ret = (double)w->ledger[state];
    }
    return state >= 0;
}

/* owners: of a split target, those of all its parts. on: the lowest. parts, coming: generations. */
static double target_figure(const struct world *w, const struct world_target *t, struct view name)
{
    double owners = 0, lowest = -1;
    if (view_is(name, "parts") || view_is(name, "coming")) {
        return !t->is_giant ? view_is(name, "parts") : view_is(name, "parts") ? t->split.running : t->split.coming;
    }
    vec_foreach(x, &w->targets) {
        for (size_t i = 0; (*x == t || (*x)->whole == t) && i < (*x)->owners.len; i++) {
            const struct world_owner *o = &(*x)->owners.items[i];
            owners += !o->dropped;
            lowest = !o->dropped && (lowest < 0 || o->shard < lowest) ? o->shard : lowest;
        }
    }
    return view_is(name, "owners") ? owners : lowest;
}

/* Figures with an argument: targets SHARD, series SHARD; owners, on, parts, coming TARGET. */
static int figure_of(const struct world *w, struct view name, struct view arg, double *ret, struct errctx *err)
{
    double n;
    if (view_is(name, "owners") || view_is(name, "on") || view_is(name, "parts") || view_is(name, "coming")) {
        struct selection sel;
        int rc = selection_read(arg, &sel, err);
        if (rc != 0) {
            return rc;
        }
        const struct world_target *t = world_find_target(w, sel.job, sel.from);
        if (t == NULL) {
            return errctx_set(err, ERR_NOT_FOUND, "no target '%.*s'", VIEW_FMT(arg));
        }
        *ret = target_figure(w, t, name);
        return 0;
    }
    int rc = word_number(arg, &n, err);
    if (rc != 0) {
        return rc;
    }
    const struct world_shard *s = n >= 0 && n < UINT32_MAX ? world_find_shard(w, (uint32_t)n) : NULL;
    if (s == NULL || w->plan == NULL) {
        return errctx_set(err, ERR_NOT_FOUND, "no shard %.*s, or no round yet", VIEW_FMT(arg));
    }
    size_t targets = 0;
    vec_foreach(t, &w->targets) {
        vec_foreach(o, &(*t)->owners) {
            targets += o->shard == s->id && !o->dropped;
        }
    }
    if (view_is(name, "targets")) {
        *ret = (double)targets;
    } else if (view_is(name, "series")) {
        *ret = (double)s->active;
    } else {
        return errctx_set(err, ERR_PARSE, "unknown figure '%.*s'", VIEW_FMT(name));
    }
    return 0;
}

static int compare(struct view op, double a, double b, bool *ret, struct errctx *err)
{
    bool less = a<b, more = a> b;
    if (view_is(op, "==")) {
        *ret = !less && !more;
    } else if (view_is(op, "!=")) {
        *ret = less || more;
    } else if (view_is(op, "<")) {
        *ret = less;
    } else if (view_is(op, "<=")) {
        *ret = !more;
    } else if (view_is(op, ">")) {
        *ret = more;
    } else if (view_is(op, ">=")) {
        *ret = !less;
    } else {
        return errctx_set(err, ERR_PARSE, "'%.*s' is no comparison", VIEW_FMT(op));
    }
    return 0;
}

static int expect_figure(struct scenario *s, const struct words *w, struct errctx *err)
{
    double found = 0, wanted = 0;
    bool holds = false;
    size_t op = w->count - 2;
    int rc = 0;
    if (op == 3) {
        rc = figure_of(s->world, w->items[1], w->items[2], &found, err);
    } else if (!plain_figure(s->world, w->items[1], &found) && !ledger_figure(s->world, w->items[1], &found)) {
        rc = errctx_set(err, ERR_PARSE, "unknown figure '%.*s'", VIEW_FMT(w->items[1]));
    }
    rc = rc != 0 ? rc : word_number(w->items[op + 1], &wanted, err);
    rc = rc != 0 ? rc : compare(w->items[op], found, wanted, &holds, err);
    if (rc != 0) {
        return rc;
    }
    char text[64];
    snprintf(text, sizeof(text), "%.6g", found);
    return verdict(s, holds, text);
}

/* ---- statements ---- */

/* EXPECT state job/1-3 assigned */
static int expect_state(struct scenario *s, const struct words *w, struct errctx *err)
{
    struct selection sel;
    int rc = selection_read(w->items[2], &sel, err);
    if (rc != 0) {
        return rc;
    }
    int state = ledger_state_parse(w->items[3]);
    if (state < 0) {
        return errctx_set(err, ERR_PARSE, "unknown state '%.*s'", VIEW_FMT(w->items[3]));
    }
    vec_foreach(t, &s->world->targets) {
        if (selection_has(&sel, *t) && (*t)->vanished_ms == 0 && (int)(*t)->state != state) {
            char text[192];
            snprintf(text, sizeof(text), "%s/%u %s: %s", (*t)->job, (*t)->index, ledger_state_name((*t)->state),
                     (*t)->reason != NULL ? (*t)->reason : "");
            return verdict(s, false, text);
        }
    }
    return verdict(s, true, "");
}

static bool names_group(struct view word, const char *key, int32_t group, bool *ret_matches)
{
    struct view v;
    if (!word_option(word, key, &v)) {
        return false;
    }
    char text[16];
    snprintf(text, sizeof(text), "%d", (int)group);
    *ret_matches = *ret_matches && view_is(v, text);
    return true;
}

/* EXPECT action move_start job/7 from=0 to=3 */
static int expect_action(struct scenario *s, const struct words *w, struct errctx *err)
{
    struct selection sel;
    int rc = selection_read(w->items[3], &sel, err);
    const struct plan *p = s->world->plan;
    for (size_t i = 0; rc == 0 && p != NULL && i < p->action_count; i++) {
        const struct plan_action *a = &p->actions[i];
        const struct world_target *t = NULL;
        vec_foreach(x, &s->world->targets) {
            t = (*x)->hash == a->hash && (*x)->job == a->job ? *x : t;
        }
        bool matches = t != NULL && view_is(w->items[2], plan_action_name(a->type)) && t->job == sel.job &&
                       t->index >= sel.from && t->index <= sel.to;
        for (size_t k = 4; k < w->count; k++) {
            if (!names_group(w->items[k], "from", a->from, &matches) &&
                !names_group(w->items[k], "to", a->to, &matches)) {
                return errctx_set(err, ERR_PARSE, "unknown option '%.*s'", VIEW_FMT(w->items[k]));
            }
        }
        if (matches) {
            return verdict(s, true, "");
        }
    }
    return rc != 0 ? rc : verdict(s, false, "no such action in the last round");
}

/* EXPECT wanted_reason 3 shards: ... : the words occur in it, blanks as they are. */
static int expect_reason(struct scenario *s, const struct words *w)
{
    const char *reason = s->world->plan != NULL ? s->world->plan->wanted_reason : "";
    struct bytes text;
    bytes_init(&text, 4096);
    for (size_t i = 2; i < w->count; i++) {
        bytes_printf(&text, "%s%.*s", i > 2 ? " " : "", VIEW_FMT(w->items[i]));
    }
    int rc = verdict(s, text.len > 0 && strstr(reason, text.base) != NULL, reason);
    bytes_done(&text);
    return rc;
}

int scenario_expect(struct scenario *s, const struct words *w, struct errctx *err)
{
    if (w->count >= 3 && view_is(w->items[1], "wanted_reason")) {
        return expect_reason(s, w);
    }
    if (w->count == 4 && view_is(w->items[1], "state")) {
        return expect_state(s, w, err);
    }
    if (w->count >= 4 && view_is(w->items[1], "action")) {
        return expect_action(s, w, err);
    }
    if (w->count == 4 || w->count == 5) {
        return expect_figure(s, w, err);
    }
    return errctx_set(err, ERR_PARSE, "EXPECT wants a figure, a comparison and a number");
}
