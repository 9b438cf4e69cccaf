/* Properties of splitting over random lives of simulated systems, with fixed seeds: giants that grow, shrink, vanish,
 * return and get new labels, coordinators that restart, shards that die. What must hold at every moment, and what in
 * the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "balancer/world.h"
#include "base/intern.h"

#include <stdio.h>
#include <string.h>

#define WORLDS     300
#define ROUNDS     250
#define GIANTS_MAX 3
#define LIMIT      8000
#define SETTLE_MAX 1500
#define BOTH_MAX   80 /* rounds that two generations are scraped at once when nothing fails */

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

struct life {
    struct world world;
    struct rng rng;
    uint32_t giants;
    bool with_faults;
    uint32_t both[GIANTS_MAX];    /* rounds in a row that two generations of it are scraped */
    bool was_scraped[GIANTS_MAX]; /* as a whole, by one of them */
};

static const char *giant_job(void)
{
    return intern("giant");
}

static uint64_t giant_size(struct rng *r)
{
    return chance(r, 40) ? 500 + draw(r, 6000) : 6000 + draw(r, 30000);
}

static void life_begin(struct life *l, uint64_t seed, bool with_faults)
{
    struct world_conf conf;
    *l = (struct life){.rng = {seed * 2654435761u + 1}, .with_faults = with_faults};
    world_conf_default(&conf);
    conf.limits.series = LIMIT;
    conf.limits.scraped = 0;
    conf.limits.max_groups = 60;
    conf.limits.max_parts = 2 + (uint32_t)draw(&l->rng, 9);
    conf.limits.move_cool_down_ms = 60000;
    conf.limits.max_idle_ms = chance(&l->rng, 50) ? 300000 : 0;
    conf.limits.even_out_threshold = chance(&l->rng, 50) ? 1.3 : 0;
    conf.head_ms = 300000; /* within the calm of the end */
    world_init(&l->world, &conf);
    world_set_shards(&l->world, 1 + (uint32_t)draw(&l->rng, 4), true);
    uint32_t small = (uint32_t)draw(&l->rng, 20);
    for (uint32_t i = 0; i < small; i++) {
        (void)world_add_target(&l->world, intern("small"), i, 0, 10 + draw(&l->rng, 900));
    }
    l->giants = 1 + (uint32_t)draw(&l->rng, GIANTS_MAX);
    for (uint32_t i = 0; i < l->giants; i++) {
        (void)world_add_target(&l->world, giant_job(), i, 0, giant_size(&l->rng));
    }
}

/* ---- what happens ---- */

static void relabel(struct world *w, struct world_target *t)
{
    struct world_target *next = world_add_target(w, t->job, t->index, (uint32_t)w->now_ms, t->series);
    if (t->is_giant && t->split.running > 1) {
        next->is_giant = true;
        split_init(&next->split);
        next->split.running = t->split.running;
        next->known_series = t->known_series;
        next->known_scraped = t->known_scraped;
        next->size_known = t->size_known;
    }
    t->vanished_ms = w->now_ms;
}

static void disturb(struct life *l)
{
    struct world *w = &l->world;
    uint32_t index = (uint32_t)draw(&l->rng, l->giants);
    struct world_target *t = world_find_target(w, giant_job(), index);
    if (t != NULL && t->vanished_ms == 0 && chance(&l->rng, 5)) {
        t->series = t->scraped = chance(&l->rng, 70) ? t->series * (80 + draw(&l->rng, 50)) / 100 : giant_size(&l->rng);
    }
    if (chance(&l->rng, 1)) {
        world_restart_coordinator(w, (int64_t)draw(&l->rng, 4) * 10000);
    }
    if (!l->with_faults) {
        return;
    }
    if (t != NULL && chance(&l->rng, 1)) {
        t->vanished_ms = t->vanished_ms == 0 ? w->now_ms : 0;
    } else if (t != NULL && t->vanished_ms == 0 && chance(&l->rng, 1)) {
        relabel(w, t);
    } else if (t == NULL && chance(&l->rng, 20)) {
        (void)world_add_target(w, giant_job(), index, 0, giant_size(&l->rng));
    }
    struct world_shard *s = world_find_shard(w, (uint32_t)draw(&l->rng, w->shards.len + 1));
    if (s != NULL && chance(&l->rng, s->mode == WORLD_SHARD_ALIVE ? 1 : 10)) {
        static const enum world_shard_mode MODES[] = {WORLD_SHARD_CRASHED, WORLD_SHARD_PARTITIONED};
        world_set_mode(w, s, s->mode == WORLD_SHARD_ALIVE ? MODES[draw(&l->rng, 2)] : WORLD_SHARD_ALIVE);
    }
}

/* ---- what must hold ---- */

static bool is_scraped(const struct world *w, const struct world_target *t)
{
    vec_foreach(o, &t->owners) {
        const struct world_shard *s = world_find_shard(w, o->shard);
        bool runs = s != NULL && (s->mode == WORLD_SHARD_ALIVE || s->mode == WORLD_SHARD_PARTITIONED);
        if (runs && s->ready_at_ms <= w->now_ms && o->good_scrapes > 0) {
            return true;
        }
    }
    return false;
}

/* Entries of a generation that somebody scrapes; *ret_given: those that some shard was given. */
static uint32_t count_scraped(const struct world *w, const struct world_target *whole, uint32_t generation,
                              uint32_t *ret_given)
{
    uint32_t count = 0;
    *ret_given = 0;
    vec_foreach(t, &w->targets) {
        if (generation == 1 ? *t == whole : (*t)->whole == whole && (*t)->parts == generation) {
            count += is_scraped(w, *t);
            *ret_given += (*t)->owners.len > 0;
        }
    }
    return count;
}

/* Each number once, of the two generations there are; of a whole one, none. */
static void check_entries(const struct world *w, const struct world_target *whole)
{
    uint32_t count = 0, seen[PARTS_MAX + 1][2] = {{0}};
    const struct split *s = &whole->split;
    vec_foreach(t, &w->targets) {
        if ((*t)->whole != whole || (*t)->forgotten) {
            continue;
        }
        assert_true(whole->is_giant && split_has(s, (*t)->parts));
        assert_true((*t)->part < (*t)->parts);
        assert_int_equal(++seen[(*t)->part][(*t)->parts == s->running], 1);
        count++;
    }
    uint32_t wanted = whole->is_giant ? (s->running > 1 ? s->running : 0) + (s->coming > 1 ? s->coming : 0) : 0;
    assert_int_equal(count, wanted);
    assert_true(!whole->is_giant || (s->running <= w->conf.limits.max_parts && s->coming <= w->conf.limits.max_parts));
    assert_true(!whole->is_giant || s->running != s->coming);
}

static void check_giant(struct life *l, uint32_t index, const struct world_target *t)
{
    struct world *w = &l->world;
    uint32_t given = 0, coming_given = 0, running = t->is_giant ? t->split.running : 1;
    bool scraped = count_scraped(w, t, running, &given) == running;
    if (t->is_giant && t->split.coming != 0) {
        scraped = count_scraped(w, t, t->split.coming, &coming_given) == t->split.coming || scraped;
    }
    /* all of the coming one is given out at once, or nothing */
    assert_true(coming_given == 0 || l->with_faults || coming_given == t->split.coming);
    l->both[index] = given > 0 && coming_given > 0 ? l->both[index] + 1 : 0;
    assert_true(l->with_faults || l->both[index] <= BOTH_MAX);
    assert_true(l->with_faults || !l->was_scraped[index] || scraped);
    l->was_scraped[index] = scraped;
}

static void check_ledger(const struct world *w)
{
    uint64_t sum = 0, wholes = 0;
    for (int s = 0; s < LEDGER_STATE_COUNT; s++) {
        sum += w->ledger[s];
    }
    vec_foreach(t, &w->targets) {
        wholes += (*t)->parts == 0 && !(*t)->forgotten;
    }
    assert_true(sum >= wholes); /* what was forgotten in this round counts as leaving for the last time */
    assert_true(sum - wholes <= w->ledger[LEDGER_LEAVING]);
}

static void check(struct life *l)
{
    struct world *w = &l->world;
    check_ledger(w);
    vec_foreach(tp, &w->targets) {
        const struct world_target *t = *tp;
        if (t->parts > 0 || t->forgotten || t->is_found || t->vanished_ms != 0 || !world_is_complete(w)) {
            continue;
        }
        check_entries(w, t);
        if (t->job == giant_job()) {
            check_giant(l, t->index, t);
        }
    }
}

/* ---- the end ---- */

static void settle(struct life *l)
{
    struct world *w = &l->world;
    uint32_t calm = 0;
    vec_foreach(s, &w->shards) {
        world_set_mode(w, *s, WORLD_SHARD_ALIVE);
    }
    for (uint32_t i = 0; i < SETTLE_MAX && calm < 60; i++) {
        uint32_t desired = w->desired;
        world_step(w);
        check(l);
        calm = w->plan->action_count == 0 && w->desired == desired ? calm + 1 : 0;
    }
    assert_int_equal(calm, 60); /* six hundred seconds: whatever waits has been given up or done */
    assert_int_equal(w->doubled, 0);
    assert_int_equal(w->unowned, 0);
    vec_foreach(tp, &w->targets) {
        const struct world_target *t = *tp;
        if (t->forgotten) {
            continue;
        }
        bool is_coming = t->whole != NULL && t->parts == t->whole->split.coming; /* waits for a head to be cut, maybe */
        assert_true(t->state == LEDGER_ASSIGNED || t->state == LEDGER_TOO_BIG || is_coming);
        assert_true(t->parts == 0 || t->owners.len == !is_coming || t->state == LEDGER_TOO_BIG);
        if (t->state == LEDGER_TOO_BIG && t->parts == 0) { /* only what as many parts as allowed cannot hold */
            double most = LIMIT * w->conf.limits.high - w->conf.limits.per_target_overhead;
            assert_true((double)t->known_series / w->conf.limits.max_parts > most - 1);
        }
    }
}

static void live(bool with_faults)
{
    for (uint64_t seed = 1; seed <= WORLDS; seed++) {
        struct life l;
        life_begin(&l, seed, with_faults);
        for (int i = 0; i < ROUNDS; i++) {
            disturb(&l);
            world_step(&l.world);
            check(&l);
        }
        settle(&l);
        world_done(&l.world);
    }
}

static void nothing_is_missed_and_nothing_stays_double(void **state)
{
    (void)state;
    live(false);
}

static void it_settles_after_whatever_failed(void **state)
{
    (void)state;
    live(true);
}

/* The plan of a world with parts and gangs does not depend on the order of its facts. */
static void the_order_of_targets_does_not_matter(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= WORLDS; seed++) {
        struct life l;
        life_begin(&l, seed, true);
        for (int i = 0; i < 40; i++) {
            disturb(&l);
            world_step(&l.world);
            struct arena *arena = arena_new();
            struct plan_input in, other;
            world_snapshot(&l.world, arena, &in);
            other = in;
            other.targets = arena_alloc(arena, (in.target_count + 1) * sizeof(*other.targets));
            for (size_t k = 0; k < in.target_count; k++) {
                other.targets[k] = in.targets[in.target_count - 1 - k];
            }
            struct plan *a = plan_build(&in), *b = plan_build(&other);
            assert_int_equal(a->action_count, b->action_count);
            for (size_t k = 0; k < a->action_count; k++) {
                assert_true(a->actions[k].type == b->actions[k].type && a->actions[k].hash == b->actions[k].hash &&
                            a->actions[k].from == b->actions[k].from && a->actions[k].to == b->actions[k].to);
            }
            assert_int_equal(a->wanted_groups, b->wanted_groups);
            plan_free(&a);
            plan_free(&b);
            arena_free(&arena);
        }
        world_done(&l.world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_missed_and_nothing_stays_double),
        cmocka_unit_test(it_settles_after_whatever_failed),
        cmocka_unit_test(the_order_of_targets_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
