/* Properties of plans over thousands of random states with fixed seeds: what must hold whatever the input. The states
 * are partly absurd on purpose (owners on groups that do not exist, double owners, heads out of proportion). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "balancer/plan.h"
#include "base/intern.h"
#include "base/vec.h"

#include <stdio.h>
#include <string.h>

#define STATES 6000

struct rng {
    uint64_t state;
};

static uint64_t draw(struct rng *r, uint64_t below)
{
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return below == 0 ? 0 : (r->state >> 11) % below;
}

static bool chance(struct rng *r, unsigned percent)
{
    return draw(r, 100) < percent;
}

/* ---- random states ---- */

#define TARGETS_MAX 60
#define GROUPS_MAX  10
#define OWNERS_MAX  4

struct state {
    struct plan_input in;
    bool everywhere; /* some targets belong on every group */
    struct plan_group groups[GROUPS_MAX * 4];
    struct plan_target targets[TARGETS_MAX];
    struct plan_owner owners[TARGETS_MAX][GROUPS_MAX * 4];
    struct plan_take_over take_overs[TARGETS_MAX];
};

static const char *const JOBS[] = {"api", "node", "pods"};
static const char *const ZONES[] = {"", "a", "b"};
#define NOW INT64_C(1700000000000)

static void make_limits(struct rng *r, struct plan_limits *l)
{
    plan_limits_default(l);
    l->series = chance(r, 10) ? 0 : 10000 + draw(r, 20000);
    l->scraped = chance(r, 50) ? 0 : 10000 + draw(r, 30000);
    l->moves_per_round = (uint32_t)draw(r, 20);
    l->min_groups = (uint32_t)draw(r, 4);
    l->max_groups = chance(r, 20) ? (uint32_t)draw(r, 12) : 50;
    l->max_idle_ms = chance(r, 50) ? 600000 : 0;
    l->failover_per_round = (uint32_t)draw(r, 10);
    l->even_out_threshold = chance(r, 50) ? 1.3 : 0;
    l->relieve = chance(r, 90);
}

static void make_group(struct rng *r, struct plan_group *g, uint32_t id, bool calm)
{
    static const enum shard_health healths[] = {SHARD_HEALTH_UNKNOWN, SHARD_HEALTH_STARTING, SHARD_HEALTH_UNREACHABLE};
    *g = (struct plan_group){
        .id = id, .health = SHARD_HEALTH_READY, .last_seen_ms = NOW - 1000, .zone = ZONES[draw(r, 3)]};
    if (!calm && chance(r, 25)) {
        g->health = healths[draw(r, 3)];
        g->last_seen_ms = chance(r, 20) ? 0 : NOW - (int64_t)draw(r, 600000);
    }
    g->capacity_series = chance(r, 10) ? 5000 + draw(r, 30000) : 0;
    g->head_series = chance(r, 50) ? draw(r, 40000) : 0;
    g->left_series = chance(r, 20) ? draw(r, 10000) : 0;
    g->whole_only = chance(r, 10);
    g->idle_since_ms = chance(r, 40) ? NOW - (int64_t)draw(r, 1200000) : 0;
}

static void make_owner(struct rng *r, struct plan_owner *o, uint32_t group, bool calm)
{
    *o = (struct plan_owner){.group = group, .state = OWNER_ASSIGNED, .health = (enum target_health)draw(r, 3)};
    if (!calm && chance(r, 30)) {
        o->state = chance(r, 50) ? OWNER_IN_TRANSFER : OWNER_LEAVING;
    }
    o->scrapes = (uint32_t)draw(r, 12);
    o->good_scrapes = o->scrapes > 0 && chance(r, 70) ? 1 + (uint32_t)draw(r, o->scrapes) : 0;
    o->since_ms = NOW - (int64_t)draw(r, 1000000);
}

static void make_target(struct rng *r, struct state *s, size_t i, bool calm)
{
    struct plan_target *t = &s->targets[i];
    *t = (struct plan_target){
        .job = intern(JOBS[draw(r, 3)]),
        .hash = r->state,
        .place_key = draw(r, 40),
        .size_known = chance(r, 85),
        .explored = chance(r, 80),
        .health = (enum target_health)draw(r, 3),
        .interval_ms = chance(r, 10) ? 300000 : 15000,
        .last_move_ms = chance(r, 20) ? NOW - (int64_t)draw(r, 1200000) : 0,
        .want_replicas = (uint32_t)(chance(r, 80) ? draw(r, 2) : 1 + draw(r, 3)),
        .zone = ZONES[draw(r, 3)],
        .owners = s->owners[i],
    };
    t->series = t->size_known ? draw(r, chance(r, 5) ? 60000 : 4000) : 0;
    t->scraped = t->size_known ? t->series + draw(r, 500) : 0;
    t->want_replicas = s->everywhere && chance(r, 10) ? PLAN_EVERY_GROUP : t->want_replicas;
    t->is_part = chance(r, 20);
    t->pinned = chance(r, 5);
    if (t->is_part && chance(r, 50)) {
        s->take_overs[i] = (struct plan_take_over){
            .gang = 1 + draw(r, 3),
            .is_optional = chance(r, 20),
            .follows = chance(r, 50),
            .group = (uint32_t)draw(r, s->in.group_count + 1),
            .series = draw(r, 4000),
            .scraped = draw(r, 4000),
        };
        t->take_over = &s->take_overs[i];
    }
    t->vanished = !calm && chance(r, 10);
    t->gone = t->vanished && chance(r, 50);
    uint32_t count = chance(r, 60) ? 1 : calm ? 0 : (uint32_t)draw(r, OWNERS_MAX);
    uint32_t first = (uint32_t)draw(r, s->in.group_count + 1);
    uint32_t groups = (uint32_t)s->in.group_count + (calm ? 0 : 1);
    for (uint32_t k = 0; k < count && k < groups; k++) {
        make_owner(r, &s->owners[i][t->owner_count++], (first + k) % groups, calm);
    }
}

static struct state *make_state(struct rng *r, bool calm)
{
    struct state *s = mem_calloc(1, sizeof(*s));
    make_limits(r, &s->in.limits);
    s->in.now_ms = NOW;
    s->in.groups = s->groups;
    s->in.targets = s->targets;
    s->in.group_count = draw(r, GROUPS_MAX);
    s->in.target_count = draw(r, TARGETS_MAX);
    s->everywhere = chance(r, 20);
    s->in.complete = calm || chance(r, 70);
    for (uint32_t i = 0; i < s->in.group_count; i++) {
        make_group(r, &s->groups[i], i, calm);
    }
    s->in.desired_groups = (uint32_t)s->in.group_count + (!calm && chance(r, 20) ? (uint32_t)draw(r, 3) : 0);
    for (size_t i = 0; i < s->in.target_count; i++) {
        make_target(r, s, i, calm);
    }
    return s;
}

/* ---- what a plan does ---- */

static size_t find_target(const struct plan_input *in, const struct plan_action *a)
{
    for (size_t i = 0; i < in->target_count; i++) {
        if (in->targets[i].job == a->job && in->targets[i].hash == a->hash) {
            return i;
        }
    }
    fail_msg("an action names a target that is not there");
    return 0;
}

static const struct plan_group *find_group(const struct plan_input *in, uint32_t id)
{
    for (size_t i = 0; i < in->group_count; i++) {
        if (in->groups[i].id == id) {
            return &in->groups[i];
        }
    }
    return NULL;
}

static struct plan_owner *find_owner(struct plan_target *t, uint32_t group)
{
    for (uint32_t i = 0; i < t->owner_count; i++) {
        if (t->owners[i].group == group && t->owners[i].state != OWNER_LEAVING) {
            return &t->owners[i];
        }
    }
    return NULL;
}

static void remove_owner(struct plan_target *t, uint32_t group)
{
    for (uint32_t i = 0; i < t->owner_count; i++) {
        if (t->owners[i].group == group) {
            t->owners[i] = t->owners[--t->owner_count];
            return;
        }
    }
}

static void add_owner(struct plan_target *t, uint32_t group)
{
    remove_owner(t, group); /* one that is leaving comes back */
    t->owners[t->owner_count++] = (struct plan_owner){.group = group, .since_ms = NOW};
}

/* Applies a plan to the wish, checking that every action can be applied at all. */
static void apply(struct state *s, const struct plan *p)
{
    struct plan_input *in = &s->in;
    for (size_t i = 0; i < p->action_count; i++) {
        const struct plan_action *a = &p->actions[i];
        struct plan_target *t = &in->targets[find_target(in, a)];
        assert_non_null(a->reason);
        switch (a->type) {
        case PLAN_ASSIGN:
            assert_null(find_owner(t, (uint32_t)a->to));
            add_owner(t, (uint32_t)a->to);
            break;
        case PLAN_MOVE_START:
            assert_non_null(find_owner(t, (uint32_t)a->from));
            assert_null(find_owner(t, (uint32_t)a->to));
            find_owner(t, (uint32_t)a->from)->state = OWNER_IN_TRANSFER;
            add_owner(t, (uint32_t)a->to);
            t->last_move_ms = in->now_ms;
            break;
        case PLAN_MOVE_FINISH:
            assert_non_null(find_owner(t, (uint32_t)a->from));
            assert_non_null(find_owner(t, (uint32_t)a->to));
            assert_true(find_owner(t, (uint32_t)a->to)->scrapes > 0);
            remove_owner(t, (uint32_t)a->from);
            break;
        case PLAN_MOVE_UNDO:
            assert_non_null(find_owner(t, (uint32_t)a->from));
            find_owner(t, (uint32_t)a->from)->state = OWNER_ASSIGNED;
            if (a->to >= 0) {
                remove_owner(t, (uint32_t)a->to);
            }
            break;
        case PLAN_FORGET:
            assert_true((t->gone && in->complete) || (t->vanished && strstr(a->reason, "new labels") != NULL));
            t->owner_count = 0;
            break;
        }
    }
}

static bool is_lost(const struct plan_input *in, uint32_t group)
{
    const struct plan_group *g = find_group(in, group);
    if (g == NULL) {
        return group >= in->desired_groups;
    }
    bool silent = g->health != SHARD_HEALTH_READY && g->last_seen_ms > 0 &&
                  in->now_ms - g->last_seen_ms > in->limits.failover_grace_ms;
    return silent || (g->health == SHARD_HEALTH_UNKNOWN && g->id >= in->desired_groups && in->complete);
}

static uint32_t count_holders(const struct plan_input *in, const struct plan_target *t)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < t->owner_count; i++) {
        count += t->owners[i].state != OWNER_LEAVING && !is_lost(in, t->owners[i].group);
    }
    return count;
}

/* ---- properties ---- */

/* Every target is in exactly one state, the ledger is their count, and states agree with what the plan leaves behind.
 */
static void check_ledger(const struct plan_input *in, const struct plan *p)
{
    uint64_t counted[LEDGER_STATE_COUNT] = {0}, sum = 0;
    for (size_t i = 0; i < in->target_count; i++) {
        assert_in_range(p->target_states[i], 0, LEDGER_STATE_COUNT - 1);
        counted[p->target_states[i]]++;
    }
    for (int s = 0; s < LEDGER_STATE_COUNT; s++) {
        assert_int_equal(counted[s], p->ledger[s]);
        sum += p->ledger[s];
    }
    assert_int_equal(sum, in->target_count);
}

static void check_states(const struct plan_input *in, const struct plan *p)
{
    for (size_t i = 0; i < in->target_count; i++) {
        const struct plan_target *t = &in->targets[i];
        uint32_t holders = count_holders(in, t);
        enum ledger_state state = p->target_states[i];
        if (t->gone || t->vanished) {
            assert_int_equal(state, LEDGER_LEAVING);
        } else if (state == LEDGER_ASSIGNED) {
            assert_true(holders > 0);
        } else if (state == LEDGER_PENDING || state == LEDGER_EXPLORING) {
            assert_int_equal(holders, 0);
            assert_non_null(p->target_reasons[i]);
        } else if (state == LEDGER_IN_TRANSFER) {
            assert_true(holders > 1);
        }
    }
}

/* Nothing loses its last scraper, and nobody gets more than one new owner per missing replica. */
static void check_holders(const struct plan_input *before, const struct plan_input *after)
{
    for (size_t i = 0; i < before->target_count; i++) {
        const struct plan_target *t = &before->targets[i];
        uint32_t had = count_holders(before, t), has = count_holders(after, &after->targets[i]);
        uint32_t want = t->want_replicas > 1 ? t->want_replicas : 1;
        if (!t->vanished) {
            assert_true(has >= (had < want ? had : want));
        }
    }
}

/* What the plan adds to a group leaves it below the low mark, or it is the only one there and below the limit. Label
 * edits stay on their shard up to the high mark, and targets of every group up to the limit. */
static void check_limits(const struct plan_input *in, const struct plan *p)
{
    for (size_t i = 0; i < p->action_count; i++) {
        const struct plan_action *a = &p->actions[i];
        if ((a->type != PLAN_ASSIGN && a->type != PLAN_MOVE_START) || strstr(a->reason, "same endpoint") != NULL ||
            strstr(a->reason, "every shard") != NULL || strstr(a->reason, "takes over from") != NULL) {
            continue;
        }
        size_t at = 0;
        while (in->groups[at].id != (uint32_t)a->to) {
            at++;
        }
        const struct plan_group *g = &in->groups[at];
        assert_int_equal(g->health, SHARD_HEALTH_READY);
        uint64_t limit = g->capacity_series != 0 ? g->capacity_series : in->limits.series;
        double low = (double)limit * in->limits.low;
        uint64_t scraped = g->capacity_scraped != 0 ? g->capacity_scraped : in->limits.scraped;
        bool alone = p->loads[at].targets == 1;
        bool has_kept = false; /* targets that are placed by other rules may come on top */
        for (size_t k = 0; k < p->action_count; k++) {
            has_kept =
                has_kept || (p->actions[k].to == a->to && (strstr(p->actions[k].reason, "same endpoint") != NULL ||
                                                           strstr(p->actions[k].reason, "every shard") != NULL ||
                                                           strstr(p->actions[k].reason, "takes over from") != NULL));
        }
        for (size_t k = 0; k < in->target_count; k++) {
            has_kept =
                has_kept || in->targets[k].want_replicas == PLAN_EVERY_GROUP; /* they leave empty groups "empty" */
        }
        if (has_kept) {
            continue;
        }
        assert_true(limit == 0 || (double)p->loads[at].series <= (alone ? (double)limit : low));
        assert_true(scraped == 0 ||
                    (double)p->loads[at].scraped <= (alone ? (double)scraped : (double)scraped * in->limits.low));
    }
}

/* A gang is placed as a whole or not at all, and no part goes where whole targets only are taken. */
static void check_gangs(const struct plan_input *in, const struct plan *p)
{
    for (size_t i = 0; i < p->action_count; i++) {
        const struct plan_action *a = &p->actions[i];
        const struct plan_target *t = &in->targets[find_target(in, a)];
        assert_false(a->type == PLAN_MOVE_START && t->pinned);
        if (a->type != PLAN_ASSIGN && a->type != PLAN_MOVE_START) {
            continue;
        }
        assert_false(t->is_part && find_group(in, (uint32_t)a->to)->whole_only);
        for (size_t k = 0; k < in->target_count && a->type == PLAN_ASSIGN && t->take_over != NULL; k++) {
            const struct plan_target *other = &in->targets[k];
            enum ledger_state state = p->target_states[k];
            bool is_of_gang =
                other->job == t->job && other->take_over != NULL && other->take_over->gang == t->take_over->gang;
            if (is_of_gang && !other->vanished) {
                assert_true(state != LEDGER_PENDING && state != LEDGER_EXPLORING);
                assert_true(state != LEDGER_TOO_BIG || other->owner_count > 0);
            }
        }
    }
}

static void check_scale(const struct plan_input *in, const struct plan *p)
{
    uint32_t desired = in->desired_groups, floor = in->limits.min_groups;
    assert_non_null(p->wanted_reason);
    assert_true(p->wanted_groups >= floor || p->wanted_groups >= desired);
    uint32_t bound = desired * 2 > desired + 10 ? desired * 2 : desired + 10;
    assert_true(p->wanted_groups <= bound || p->wanted_groups == floor);
    if (in->limits.max_groups > 0 && p->wanted_groups > in->limits.max_groups) {
        assert_true(p->wanted_groups <= desired || p->wanted_groups == floor);
    }
    if (p->wanted_groups >= desired) {
        return;
    }
    assert_int_equal(p->wanted_groups, desired - 1);
    assert_true(p->wanted_groups >= floor && in->complete && in->limits.max_idle_ms > 0);
    assert_int_equal(in->group_count, desired);
    for (size_t i = 0; i < in->group_count; i++) {
        assert_int_equal(in->groups[i].health, SHARD_HEALTH_READY);
    }
    const struct plan_group *last = find_group(in, desired - 1);
    assert_true(last->idle_since_ms > 0 && in->now_ms - last->idle_since_ms >= in->limits.max_idle_ms);
    for (size_t i = 0; i < in->target_count; i++) {
        assert_true(p->target_states[i] != LEDGER_PENDING && p->target_states[i] != LEDGER_EXPLORING);
        for (uint32_t k = 0; k < in->targets[i].owner_count; k++) {
            assert_true(in->targets[i].owners[k].group != last->id);
        }
    }
    for (size_t i = 0; i < p->action_count; i++) {
        assert_true(p->actions[i].to != (int32_t)last->id);
    }
}

static struct state *state_copy(const struct state *s)
{
    struct state *c = mem_dup(s, sizeof(*s));
    c->in.groups = c->groups;
    c->in.targets = c->targets;
    for (size_t i = 0; i < c->in.target_count; i++) {
        size_t row =
            (size_t)(s->targets[i].owners - &s->owners[0][0]) / (sizeof(s->owners[0]) / sizeof(s->owners[0][0]));
        c->targets[i].owners = c->owners[row];
        c->targets[i].take_over = s->targets[i].take_over != NULL ? &c->take_overs[row] : NULL;
    }
    return c;
}

static void test_invariants_hold(void **unused)
{
    (void)unused;
    struct rng rng = {20261124};
    for (int n = 0; n < STATES; n++) {
        struct state *s = make_state(&rng, false);
        struct state *before = state_copy(s);
        struct plan *p = plan_build(&s->in);
        uint32_t starts = 0;
        for (size_t i = 0; i < p->action_count; i++) {
            starts += p->actions[i].type == PLAN_MOVE_START;
        }
        assert_true(starts <= s->in.limits.moves_per_round);
        check_ledger(&s->in, p);
        check_limits(&s->in, p);
        check_gangs(&s->in, p);
        check_scale(&s->in, p);
        apply(s, p);
        check_states(&s->in, p);
        check_holders(&before->in, &s->in);
        plan_free(&p);
        free(before);
        free(s);
    }
}

static void shuffle(struct rng *r, void *base, size_t count, size_t size)
{
    char tmp[512];
    assert_true(size <= sizeof(tmp));
    for (size_t i = count; i > 1; i--) {
        size_t k = (size_t)draw(r, i);
        char *a = (char *)base + (i - 1) * size, *b = (char *)base + k * size;
        memcpy(tmp, a, size);
        memcpy(a, b, size);
        memcpy(b, tmp, size);
    }
}

static void test_order_does_not_matter(void **unused)
{
    (void)unused;
    struct rng rng = {4711};
    for (int n = 0; n < STATES; n++) {
        struct state *s = make_state(&rng, chance(&rng, 30)), *c = state_copy(s);
        shuffle(&rng, c->targets, c->in.target_count, sizeof(c->targets[0]));
        shuffle(&rng, c->groups, c->in.group_count, sizeof(c->groups[0]));
        for (size_t i = 0; i < c->in.target_count; i++) {
            shuffle(&rng, c->targets[i].owners, c->targets[i].owner_count, sizeof(struct plan_owner));
        }
        struct plan *a = plan_build(&s->in), *b = plan_build(&c->in);
        assert_int_equal(a->action_count, b->action_count);
        for (size_t i = 0; i < a->action_count; i++) {
            const struct plan_action *x = &a->actions[i], *y = &b->actions[i];
            assert_true(x->type == y->type && x->job == y->job && x->hash == y->hash && x->from == y->from &&
                        x->to == y->to);
            assert_string_equal(x->reason, y->reason);
        }
        assert_int_equal(a->wanted_groups, b->wanted_groups);
        assert_string_equal(a->wanted_reason, b->wanted_reason);
        assert_memory_equal(a->ledger, b->ledger, sizeof(a->ledger));
        plan_free(&a);
        plan_free(&b);
        free(s);
        free(c);
    }
}

/* Time passes: every owner scrapes, groups of the wish come up. */
static void live(struct state *s)
{
    struct plan_input *in = &s->in;
    in->now_ms += 60000;
    for (uint32_t i = (uint32_t)in->group_count; i < in->desired_groups && i < GROUPS_MAX * 4; i++) {
        s->groups[i] = (struct plan_group){.id = i, .health = SHARD_HEALTH_READY, .zone = ""};
        in->group_count++;
    }
    for (size_t i = 0; i < in->group_count; i++) {
        s->groups[i].health = SHARD_HEALTH_READY;
        s->groups[i].last_seen_ms = in->now_ms;
        s->groups[i].head_series = s->groups[i].left_series = 0;
    }
    for (size_t i = 0; i < in->target_count; i++) {
        struct plan_target *t = &in->targets[i];
        t->explored = true;
        for (uint32_t k = 0; k < t->owner_count; k++) {
            t->owners[k].scrapes += 4;
            t->owners[k].good_scrapes += t->health == TARGET_HEALTH_DOWN ? 0 : 4;
            t->owners[k].health = t->health == TARGET_HEALTH_DOWN ? TARGET_HEALTH_DOWN : TARGET_HEALTH_UP;
        }
        if (t->gone && t->owner_count == 0) {
            *t = in->targets[--in->target_count];
            i--;
        }
    }
}

/* Whatever the start, plans applied one after the other come to an end, and then nothing is planned any more. */
static void test_settles(void **unused)
{
    (void)unused;
    struct rng rng = {31337};
    for (int n = 0; n < STATES / 3; n++) {
        struct state *s = make_state(&rng, false);
        s->in.complete = true;
        s->in.limits.moves_per_round = 1 + (uint32_t)draw(&rng, 20);
        s->in.limits.failover_per_round = 5;
        s->in.limits.max_groups = 30;
        for (size_t i = 0; i < s->in.target_count; i++) {
            s->targets[i].gone = s->targets[i].vanished;
        }
        int calm = 0, rounds = 0;
        for (; rounds < 200 && calm < 30; rounds++) {
            live(s);
            struct plan *p = plan_build(&s->in);
            calm = p->action_count == 0 && p->wanted_groups == s->in.desired_groups ? calm + 1 : 0;
            apply(s, p);
            if (p->wanted_groups < s->in.desired_groups) {
                s->in.group_count = p->wanted_groups;
            }
            s->in.desired_groups = p->wanted_groups;
            plan_free(&p);
        }
        if (calm < 30) {
            fail_msg("state %d is not settled after %d rounds", n, rounds);
        }
        struct plan *p = plan_build(&s->in);
        assert_int_equal(p->action_count, 0);
        assert_int_equal(p->ledger[LEDGER_IN_TRANSFER], 0);
        assert_int_equal(p->ledger[LEDGER_UNREACHABLE], 0);
        assert_int_equal(p->ledger[LEDGER_EXPLORING], 0);
        plan_free(&p);
        free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_invariants_hold),
        cmocka_unit_test(test_order_does_not_matter),
        cmocka_unit_test(test_settles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
