/* The registry: discovery results replace a job's set, what is missing vanishes but is not forgotten, sizes survive
 * label edits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "balancer/registry.h"
#include "base/intern.h"
#include "model/scrape_record.h"

#include <stdio.h>

static struct target *make_target(const char *job, const char *host, const char *rack)
{
    const struct label items[] = {
        {VIEW("__address__"), view_of(host)}, {VIEW("__metrics_path__"), VIEW("/metrics")},
        {VIEW("__scheme__"), VIEW("http")},   {VIEW("job"), view_of(job)},
        {VIEW("rack"), view_of(rack)},
    };
    struct labels *l = labels_make(items, sizeof(items) / sizeof(items[0]));
    char url[128];
    snprintf(url, sizeof(url), "http://%s/metrics", host);
    return target_new(intern(job), l, NULL, url, 15000, 10000, 15000, 10000);
}

/* A job with the given good targets (ended by NULL). */
static void take(struct registry *r, int64_t now_ms, const char *job, size_t *added, struct target **targets,
                 size_t count)
{
    struct built_job b = {
        .job = intern(job), .items = mem_calloc(count + 1, sizeof(*b.items)), .count = count, .good = count};
    for (size_t i = 0; i < count; i++) {
        b.items[i] = (struct built_target){.state = LEDGER_PENDING, .target = targets[i]};
    }
    registry_take_job(r, &b, now_ms, added);
}

static void record(struct registry *r, const struct target *t, uint64_t series, enum target_health health)
{
    struct scrape_record rec = {
        .job = t->job, .hash = t->hash, .series = series, .scraped = series + 1, .health = health};
    if (health == TARGET_HEALTH_DOWN) {
        snprintf(rec.error, sizeof(rec.error), "connection refused");
    }
    assert_non_null(registry_record(r, &rec));
}

static void tell(struct registry_entry *e, int64_t last_scrape_ms, uint64_t series, int64_t now_ms)
{
    const struct target_status st = {
        .health = TARGET_HEALTH_UP, .last_scrape_ms = last_scrape_ms, .series = series, .scraped = series};
    registry_status(e, &st, now_ms);
}

static void a_clock_that_is_ahead_silences_nobody(void **state)
{
    struct registry r;
    (void)state;
    registry_init(&r);
    struct target *t = make_target("a", "h1:1", "x");
    struct registry_entry *e = registry_restore(&r, t);
    tell(e, 1000, 10, 1500);
    tell(e, 900, 99, 1500); /* older news */
    assert_int_equal(e->series, 10);
    tell(e, INT64_C(253402300799000), 1 << 30, 2000);
    assert_int_equal(e->series, 1 << 30);
    assert_int_equal(e->last_scrape_ms, 2000);
    tell(e, 1900, 99, 2100);
    assert_int_equal(e->series, 1 << 30);
    tell(e, 2050, 11, 2100);
    assert_int_equal(e->series, 11);
    e->last_scrape_ms = INT64_C(253402300799000); /* from a state file, or of a clock that was set back */
    tell(e, 3000, 12, 3100);
    assert_int_equal(e->series, 12);
    assert_int_equal(e->last_scrape_ms, 3000);
    target_unref(t);
    registry_done(&r);
}

static void vanished_targets_stay_until_the_plan_forgets_them(void **state)
{
    struct registry r;
    size_t added;
    (void)state;
    registry_init(&r);
    take(&r, 1000, "a", &added, (struct target *[]){make_target("a", "h1:1", "x"), make_target("a", "h2:1", "x")}, 2);
    assert_int_equal(added, 2);
    take(&r, 2000, "a", &added, (struct target *[]){make_target("a", "h1:1", "x")}, 1);
    assert_int_equal(added, 0);
    assert_int_equal(r.entries.len, 2);
    struct target *gone = make_target("a", "h2:1", "x");
    struct registry_entry *e = registry_find(&r, intern("a"), gone->hash);
    assert_non_null(e);
    assert_int_equal(e->vanished_ms, 2000);
    /* Another job's result does not touch it; its own return heals it. */
    take(&r, 3000, "b", &added, (struct target *[]){make_target("b", "h3:1", "x")}, 1);
    assert_int_equal(e->vanished_ms, 2000);
    take(&r, 4000, "a", &added, (struct target *[]){make_target("a", "h1:1", "x"), gone}, 2);
    assert_int_equal(e->vanished_ms, 0);
    assert_int_equal(added, 0);
    registry_done(&r);
}

static void keep_dropped_targets_bounds_what_is_kept_not_what_is_counted(void **state)
{
    struct registry r;
    size_t added;
    (void)state;
    registry_init(&r);
    for (uint64_t keep = 0; keep < 3; keep++) {
        struct built_job b = {
            .job = intern("a"), .items = mem_calloc(4, sizeof(*b.items)), .count = 4, .keep_dropped = keep};
        for (size_t i = 0; i < 4; i++) {
            b.items[i].state = i == 0 ? LEDGER_INVALID : LEDGER_DROPPED;
            b.items[i].discovered = labels_make(&(struct label){VIEW("__address__"), VIEW("h:1")}, 1);
        }
        registry_take_job(&r, &b, 1000, &added);
        assert_int_equal(r.jobs.items[0]->rejects.len, keep == 0 ? 4 : keep + 1);
        uint64_t ledger[LEDGER_STATE_COUNT] = {[LEDGER_DROPPED] = 10};
        registry_add_rejects(&r, ledger);
        assert_int_equal(ledger[LEDGER_DROPPED], 13);
        assert_int_equal(ledger[LEDGER_INVALID], 1);
    }
    registry_done(&r);
}

static void a_label_edit_inherits_the_size(void **state)
{
    struct registry r;
    size_t added;
    (void)state;
    registry_init(&r);
    struct target *old = make_target("a", "h1:1", "x"), *edited = make_target("a", "h1:1", "y");
    assert_int_equal(old->place_key, edited->place_key);
    assert_true(old->hash != edited->hash);
    uint64_t hash = edited->hash;
    take(&r, 1000, "a", &added, &old, 1);
    record(&r, r.entries.items[0]->target, 500, TARGET_HEALTH_UP);
    take(&r, 2000, "a", &added, &edited, 1);
    assert_int_equal(added, 1);
    const struct registry_entry *e = registry_find(&r, intern("a"), hash);
    assert_true(e->size_known);
    assert_int_equal(e->series, 500);
    assert_int_equal(e->scraped, 501);
    registry_done(&r);
}

static void sizes_are_means_but_jumps_count_at_once(void **state)
{
    struct registry r;
    size_t added;
    (void)state;
    registry_init(&r);
    take(&r, 1000, "a", &added, (struct target *[]){make_target("a", "h1:1", "x")}, 1);
    struct registry_entry *e = r.entries.items[0];
    assert_false(e->size_known);
    record(&r, e->target, 900, TARGET_HEALTH_UP);
    record(&r, e->target, 1000, TARGET_HEALTH_UP);
    record(&r, e->target, 1100, TARGET_HEALTH_UP);
    assert_int_equal(e->series, 1000);
    record(&r, e->target, 0, TARGET_HEALTH_DOWN);
    assert_int_equal(e->series, 1000);
    assert_string_equal(e->error, "connection refused");
    record(&r, e->target, 5000, TARGET_HEALTH_UP);
    assert_int_equal(e->series, 5000);
    assert_null(e->error);
    registry_done(&r);
}

static void owners_come_and_go(void **state)
{
    struct registry r;
    struct target *t = make_target("a", "h1:1", "x");
    (void)state;
    registry_init(&r);
    struct registry_entry *e = registry_restore(&r, t);
    target_unref(t);
    assert_ptr_equal(registry_restore(&r, e->target), e);
    entry_set_owner(e, 3, OWNER_ASSIGNED, 10);
    entry_set_owner(e, 5, OWNER_ASSIGNED, 20);
    entry_set_owner(e, 3, OWNER_ASSIGNED, 30);
    assert_int_equal(entry_owner(e, 3)->since_ms, 10);
    entry_set_owner(e, 3, OWNER_IN_TRANSFER, 40);
    assert_int_equal(entry_owner(e, 3)->since_ms, 40);
    entry_drop_owner(e, 3);
    entry_drop_owner(e, 4);
    assert_null(entry_owner(e, 3));
    assert_int_equal(e->owners.len, 1);
    registry_remove(&r, e);
    assert_int_equal(r.entries.len, 0);
    registry_done(&r);
}

static void removing_keeps_the_others_findable(void **state)
{
    struct registry r;
    size_t added;
    struct target *targets[50];
    uint64_t hashes[50];
    char host[32];
    (void)state;
    registry_init(&r);
    for (int i = 0; i < 50; i++) {
        snprintf(host, sizeof(host), "h%d:1", i);
        targets[i] = make_target("a", host, "x");
        hashes[i] = targets[i]->hash;
    }
    take(&r, 1, "a", &added, targets, 50);
    for (int i = 0; i < 50; i += 2) {
        registry_remove(&r, registry_find(&r, intern("a"), hashes[i]));
    }
    for (int i = 0; i < 50; i++) {
        struct registry_entry *e = registry_find(&r, intern("a"), hashes[i]);
        assert_true((e != NULL) == (i % 2 == 1));
        assert_true(e == NULL || r.entries.items[e->index] == e);
    }
    registry_done(&r);
}

static void parts_live_and_go_with_their_whole(void **state)
{
    struct registry r;
    size_t added;
    (void)state;
    registry_init(&r);
    take(&r, 1000, "a", &added, (struct target *[]){make_target("a", "h1:1", "x"), make_target("a", "h2:1", "x")}, 2);
    struct registry_entry *e = r.entries.items[0];
    record(&r, e->target, 10000, TARGET_HEALTH_UP);
    registry_giant(&r, e)->split.running = 3;
    assert_false(entry_is_planned(e));
    struct registry_entry *part = registry_part(&r, e, 1, 3);
    assert_ptr_equal(registry_part(&r, e, 1, 3), part);
    assert_int_equal(part->series, 3334);
    assert_int_equal(r.part_count, 1);
    assert_int_equal(r.orphan_count, 0);
    assert_true(entry_is_planned(part));
    /* what the proxy tells of the whole body goes to the whole */
    const struct scrape_record rec = {.job = part->target->job,
                                      .hash = part->target->hash,
                                      .health = TARGET_HEALTH_UP,
                                      .series = 5000,
                                      .scraped = 5001,
                                      .whole_series = 20000,
                                      .whole_scraped = 20001};
    assert_ptr_equal(registry_record(&r, &rec), part);
    assert_int_equal(part->series, 5000);
    assert_int_equal(e->series, 20000);
    assert_int_equal(e->scraped, 20001);
    /* discovery knows no parts: they do not vanish by not being discovered */
    take(&r, 2000, "a", &added, (struct target *[]){make_target("a", "h1:1", "x")}, 1);
    assert_int_equal(part->vanished_ms, 0);
    registry_remove(&r, e);
    assert_int_equal(r.orphan_count, 1);
    assert_null(part->whole);
    registry_forget_parts(&r);
    assert_int_equal(r.part_count, 0);
    assert_int_equal(r.orphan_count, 0);
    assert_int_equal(r.entries.len, 1);
    registry_done(&r);
}

static void a_label_edit_keeps_the_number_of_parts(void **state)
{
    struct registry r;
    size_t added;
    (void)state;
    registry_init(&r);
    take(&r, 1000, "a", &added, (struct target *[]){make_target("a", "h1:1", "x")}, 1);
    struct registry_entry *old = r.entries.items[0];
    record(&r, old->target, 20000, TARGET_HEALTH_UP);
    registry_giant(&r, old)->split.running = 4;
    struct target *edited = make_target("a", "h1:1", "y");
    uint64_t hash = edited->hash;
    take(&r, 2000, "a", &added, &edited, 1);
    const struct registry_entry *e = registry_find(&r, intern("a"), hash);
    assert_non_null(e->giant);
    assert_int_equal(e->giant->split.running, 4);
    assert_int_equal(e->series, 20000);
    registry_done(&r);
}

/* What a shard tells is not to be believed in everything. */
static void a_part_in_the_place_of_a_discovered_target_gives_way(void **state)
{
    struct registry r;
    size_t added;
    (void)state;
    registry_init(&r);
    struct target *whole = make_target("a", "h1:1", "x"), *part = target_part(whole, 0, 2);
    struct target *liar =
        target_new_with_hash(whole->job, whole->hash, labels_ref(part->labels), whole->url, 1000, 1000);
    (void)registry_restore(&r, liar);
    assert_int_equal(r.orphan_count, 1);
    target_unref(liar);
    target_unref(part);
    take(&r, 1000, "a", &added, &whole, 1);
    assert_int_equal(r.entries.len, 1);
    assert_int_equal(r.part_count, 0);
    assert_int_equal(r.orphan_count, 0);
    registry_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_live_and_go_with_their_whole),
        cmocka_unit_test(a_label_edit_keeps_the_number_of_parts),
        cmocka_unit_test(a_part_in_the_place_of_a_discovered_target_gives_way),
        cmocka_unit_test(a_clock_that_is_ahead_silences_nobody),
        cmocka_unit_test(vanished_targets_stay_until_the_plan_forgets_them),
        cmocka_unit_test(keep_dropped_targets_bounds_what_is_kept_not_what_is_counted),
        cmocka_unit_test(a_label_edit_inherits_the_size),
        cmocka_unit_test(sizes_are_means_but_jumps_count_at_once),
        cmocka_unit_test(owners_come_and_go),
        cmocka_unit_test(removing_keeps_the_others_findable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
