/* What a split target is, in one state and one sentence, after the plan spoke of its parts: parts are not discovered
 * targets, so the ledger counts the whole, once, by the worst of its running parts; a take-over under way is a move. */
#include "balancer/reconcile_priv.h"
#include "base/bytes.h"
#include "base/metrics.h"

#define REASON_MAX 4096

static int by_part(const void *a, const void *b)
{
    const struct registry_entry *const *x = a, *const *y = b;
    return (*x)->target->parts != (*y)->target->parts ? (int)(*x)->target->parts - (int)(*y)->target->parts
                                                      : (int)(*x)->target->part - (int)(*y)->target->part;
}

static void say_part(const struct reconcile *r, const struct registry_entry *p, struct bytes *out)
{
    bool is_first = true;
    bytes_printf(out, "%u ", p->target->part);
    vec_foreach(o, &p->owners) {
        const struct reconcile_group *g = groups_find(&r->groups, o->group);
        bytes_append_str(out, is_first ? "on " : " and ");
        if (g != NULL && g->replicas.len > 0) {
            bytes_append_str(out, g->replicas.items[0].shard->id);
        } else {
            bytes_printf(out, "shard-%u", o->group % GROUPS_STRIDE);
        }
        is_first = false;
    }
    if (is_first) {
        bytes_printf(out, "nowhere%s%s%s", p->reason != NULL ? " (" : "", p->reason != NULL ? p->reason : "",
                     p->reason != NULL ? ")" : "");
    }
}

static void say_split(const struct reconcile *r, const struct registry_entry *e, struct bytes *out)
{
    const struct split *s = &e->giant->split;
    bool is_first = true;
    if (s->running == 1) {
        bytes_append_str(out, e->reason != NULL ? e->reason : "");
    } else {
        bytes_printf(out, "split into %u parts: ", s->running);
    }
    vec_foreach(p, &e->giant->parts) {
        if ((*p)->target->parts == s->running) {
            bytes_append_str(out, is_first ? "" : ", ");
            say_part(r, *p, out);
            is_first = false;
        }
    }
    if (s->reason[0] != '\0') {
        bytes_printf(out, "%s%s", out->len > 0 ? "; " : "", s->reason);
    }
}

/* Health and last error of a target that is scraped by its parts. */
static void take_health(struct registry_entry *e)
{
    bool is_down = false, is_unknown = false;
    const char *error = NULL;
    vec_foreach(pp, &e->giant->parts) {
        const struct registry_entry *p = *pp;
        if (p->target->parts != e->giant->split.running) {
            continue;
        }
        is_down = is_down || p->health == TARGET_HEALTH_DOWN;
        is_unknown = is_unknown || p->health == TARGET_HEALTH_UNKNOWN;
        error = error == NULL ? p->error : error;
        if (p->last_scrape_ms > e->last_scrape_ms) {
            e->last_scrape_ms = p->last_scrape_ms;
            e->last_duration_us = p->last_duration_us;
        }
    }
    e->health = is_down ? TARGET_HEALTH_DOWN : is_unknown ? TARGET_HEALTH_UNKNOWN : TARGET_HEALTH_UP;
    char *copy = error != NULL ? mem_strdup(error) : NULL;
    free(e->error);
    e->error = copy;
}

static void state_of_whole(struct registry_entry *e)
{
    struct giant *g = e->giant;
    bool coming_held = false;
    if (g->parts.len > 1) {
        qsort(g->parts.items, g->parts.len, sizeof(*g->parts.items), by_part);
    }
    if (g->split.running > 1) {
        e->state = LEDGER_ASSIGNED;
        take_health(e);
    }
    vec_foreach(p, &g->parts) {
        bool is_running = (*p)->target->parts == g->split.running;
        coming_held = coming_held || (!is_running && (*p)->owners.len > 0);
        if (is_running && split_badness((*p)->state) > split_badness(e->state)) {
            e->state = (*p)->state;
        }
    }
    coming_held = coming_held || (g->split.coming == 1 && e->owners.len > 0);
    if (e->vanished_ms != 0) {
        e->state = LEDGER_LEAVING;
    } else if (e->state == LEDGER_ASSIGNED && coming_held) {
        e->state = LEDGER_IN_TRANSFER;
    }
}

void reconcile_split_states(struct reconcile *r)
{
    vec_foreach(ep, &r->registry.giants) {
        struct registry_entry *e = *ep;
        struct bytes text;
        state_of_whole(e);
        if (e->giant->split.running == 1 && e->giant->split.reason[0] == '\0') {
            continue;
        }
        bytes_init(&text, REASON_MAX);
        say_split(r, e, &text);
        free(e->reason);
        e->reason = mem_dup(text.len > 0 ? text.base : "", text.len);
        bytes_done(&text);
    }
    metric_set(METRIC_BALANCER_SPLIT_TARGETS, (double)r->registry.giants.len);
    metric_set(METRIC_BALANCER_TARGET_PARTS, (double)r->registry.part_count);
}
