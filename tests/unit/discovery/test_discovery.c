/* The manager over whole configurations: what is built and when, what an edit keeps, what an error leaves alone. A
 * scripted mechanism stands for one that answers late, fails, or changes its groups. */
#include "base/intern.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "base/vec.h"
#include "discovery/discovery.h"

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#define WAIT_MS 20000

/* ---- the scripted mechanism: "test_sd_configs: [{name: x}]" */

struct discoverer {
    char name[32];
    struct discovery_sink sink;
};

static VEC(struct discoverer *) running;
static int starts, stops;

static int scripted_check(const char *file, const char *base_dir, enum prometheus_major major,
                          const struct yaml_node *conf, struct errctx *err)
{
    const struct yaml_node *name = yaml_get(conf, "server");
    (void)base_dir;
    (void)major;
    return name != NULL && name->value.len < 32
               ? 0
               : errctx_set(err, ERR_INVALID, "%s:%d:%d: no server", file, conf->line, conf->column);
}

static int scripted_start(const struct discovery_env *env, const char *file, const struct yaml_node *conf,
                          const struct discovery_sink *sink, struct discoverer **ret, struct errctx *err)
{
    int rc = scripted_check(file, env->base_dir, env->major, conf, err);
    if (rc != 0) {
        return rc;
    }
    struct discoverer *d = mem_calloc(1, sizeof(*d));
    snprintf(d->name, sizeof(d->name), "%s", yaml_get(conf, "server")->value.base);
    d->sink = *sink;
    *vec_push(&running) = d;
    starts++;
    *ret = d;
    return 0;
}

static void scripted_stop(struct discoverer *d)
{
    for (size_t i = 0; i < running.len; i++) {
        if (running.items[i] == d) {
            vec_remove(&running, i);
            break;
        }
    }
    stops++;
    free(d);
}

static const struct mechanism SCRIPTED = {"eureka_sd_configs", scripted_start, scripted_stop, scripted_check};

static struct discoverer *scripted(const char *name)
{
    for (size_t i = 0; i < running.len; i++) {
        if (strcmp(running.items[i]->name, name) == 0) {
            return running.items[i];
        }
    }
    fail_msg("no discoverer %s", name);
    return NULL;
}

/* Delivers one group of `count` targets h<first>... and an ok. */
static void answer(const char *name, const char *source, int first, int count)
{
    struct labels *targets[16];
    struct discoverer *d = scripted(name);
    for (int i = 0; i < count; i++) {
        char address[32];
        snprintf(address, sizeof(address), "h%d:1", first + i);
        struct label item = {VIEW("__address__"), view_of(address)};
        targets[i] = labels_make(&item, 1);
    }
    struct target_group *g = target_group_new(source, NULL, targets, (size_t)count);
    d->sink.on_groups(d->sink.data, &g, 1);
    d->sink.on_ok(d->sink.data);
    target_group_unref(g);
}

/* ---- the manager's consumer: the last build of each job */

struct seen {
    const char *job;
    size_t good, count;
    int builds;
};

static VEC(struct seen) seen;
static struct loop *loop;
static struct discovery *discovery;

static struct seen *seen_of(const char *job)
{
    for (size_t i = 0; i < seen.len; i++) {
        if (strcmp(seen.items[i].job, job) == 0) {
            return &seen.items[i];
        }
    }
    struct seen *s = vec_push(&seen);
    s->job = intern(job);
    return s;
}

static void on_job(void *data, struct built_job *b)
{
    struct seen *s = seen_of(b->job);
    (void)data;
    s->good = b->good;
    s->count = b->count;
    s->builds++;
    built_job_done(b);
}

static void stop_loop(void *data)
{
    (void)data;
    uv_stop(loop_uv(loop));
}

static void run_for(int64_t ms)
{
    int64_t end_ms = timebase_monotonic_ms() + ms;
    struct loop_timer *tick = loop_timer_new(loop, stop_loop, NULL);
    loop_timer_start(tick, 5, 5);
    while (timebase_monotonic_ms() < end_ms) {
        uv_run(loop_uv(loop), UV_RUN_DEFAULT);
    }
    loop_timer_free(&tick);
}

/* Until the job was built more often than `builds` times and has `good` targets. */
static void wait_good(const char *job, int builds, size_t good)
{
    int64_t end_ms = timebase_monotonic_ms() + WAIT_MS;
    while ((seen_of(job)->builds <= builds || seen_of(job)->good != good) && timebase_monotonic_ms() < end_ms) {
        run_for(20);
    }
    assert_int_equal(seen_of(job)->good, good);
    assert_true(seen_of(job)->builds > builds);
}

static int apply(const char *text, struct errctx *err)
{
    struct promconf_options opts = {.major = PROMETHEUS_2};
    struct promconf *conf = NULL;
    struct errctx parse_err = ERRCTX_INIT;
    if (promconf_parse("prometheus.yml", view_of(text), &opts, &conf, &parse_err) != 0) {
        fail_msg("%s", parse_err.msg);
    }
    int rc = discovery_apply(discovery, conf, err);
    promconf_unref(conf);
    return rc;
}

static int setup(void **state)
{
    (void)state;
    const struct discovery_events events = {on_job, NULL};
    loop = loop_new();
    discovery = discovery_new(loop, NULL, &events);
    starts = stops = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    discovery_free(&discovery);
    assert_int_equal(running.len, 0);
    assert_int_equal(starts, stops);
    vec_done(&running);
    vec_done(&seen);
    loop_free(&loop);
    return 0;
}

#define JOB_A "scrape_configs:\n- job_name: a\n  eureka_sd_configs:\n  - server: http://one\n"
#define JOB_B "- job_name: b\n  static_configs:\n  - targets: [h1, h2]\n"

static void test_builds(void **state)
{
    (void)state;
    assert_int_equal(apply(JOB_A JOB_B, NULL), 0);
    assert_int_equal(seen.len, 0); /* never from within */
    wait_good("b", 0, 2);
    assert_int_equal(seen_of("a")->good, 0);
    char what[200] = "x";
    assert_false(discovery_is_initial_done(discovery, timebase_monotonic_ms(), 1000000));
    assert_int_equal(discovery_awaits(discovery, timebase_monotonic_ms(), 1000000, what, sizeof(what)), 1);
    assert_string_equal(what, "job 'a' waits for an answer to its eureka_sd_configs, 1 of 2 jobs are awaited");
    assert_true(discovery_is_initial_done(discovery, timebase_monotonic_ms() + 2000000, 1000000));
    assert_int_equal(discovery_awaits(discovery, timebase_monotonic_ms() + 2000000, 1000000, what, sizeof(what)), 0);
    answer("http://one", "s", 1, 3);
    assert_false(
        discovery_is_initial_done(discovery, timebase_monotonic_ms() + 2000000, 1000000)); /* not handed out yet */
    assert_int_equal(discovery_awaits(discovery, timebase_monotonic_ms(), 1000000, what, sizeof(what)), 1);
    assert_string_equal(what, "the targets of job 'a' are being built, 1 of 2 jobs are awaited");
    wait_good("a", 0, 3);
    assert_true(discovery_is_initial_done(discovery, timebase_monotonic_ms(), 1000000));
    answer("http://one", "t", 4, 2);
    assert_true(discovery_is_initial_done(discovery, timebase_monotonic_ms(), 1000000)); /* changes do not undo it */
    wait_good("a", 1, 5);
    answer("http://one", "s", 0, 0);
    wait_good("a", 2, 2);
}

static void test_same_groups_cause_nothing(void **state)
{
    (void)state;
    assert_int_equal(apply(JOB_A, NULL), 0);
    answer("http://one", "s", 1, 3);
    wait_good("a", 0, 3);
    int builds = seen_of("a")->builds;
    answer("http://one", "s", 1, 3);
    run_for(DISCOVERY_SETTLE_MS + 300);
    assert_int_equal(seen_of("a")->builds, builds);
}

static void test_failure_keeps_groups(void **state)
{
    (void)state;
    struct errctx err = ERRCTX_INIT;
    assert_int_equal(apply(JOB_A, NULL), 0);
    answer("http://one", "s", 1, 3);
    wait_good("a", 0, 3);
    (void)errctx_set(&err, ERR_UNAVAILABLE, "scripted failure");
    scripted("http://one")->sink.on_error(scripted("http://one")->sink.data, &err);
    answer("http://one", "t", 9, 1);
    wait_good("a", 1, 4);
}

static void test_unchanged_jobs_keep_running(void **state)
{
    (void)state;
    assert_int_equal(apply(JOB_A JOB_B, NULL), 0);
    answer("http://one", "s", 1, 3);
    wait_good("a", 0, 3);
    wait_good("b", 0, 2);
    int builds = seen_of("a")->builds;
    assert_int_equal(apply(JOB_A "- job_name: b\n  static_configs:\n  - targets: [h1]\n", NULL), 0);
    wait_good("b", 1, 1);
    assert_int_equal(seen_of("a")->builds, builds);
    assert_int_equal(starts, 1);
    answer("http://one", "s", 1, 1);
    wait_good("a", builds, 1);
}

/* New rules, same discovery: the provider keeps running and its groups are built anew. */
static void test_edited_rules_keep_provider(void **state)
{
    (void)state;
    assert_int_equal(apply(JOB_A, NULL), 0);
    answer("http://one", "s", 1, 3);
    wait_good("a", 0, 3);
    assert_int_equal(
        apply(JOB_A "  relabel_configs:\n  - {source_labels: [__address__], regex: 'h1:.*', action: drop}\n", NULL), 0);
    wait_good("a", 1, 2);
    assert_int_equal(starts, 1);
    assert_int_equal(stops, 0);
}

/* Another server: the old targets stay until it has answered. */
static void test_replaced_provider(void **state)
{
    (void)state;
    assert_int_equal(apply(JOB_A, NULL), 0);
    answer("http://one", "s", 1, 3);
    wait_good("a", 0, 3);
    assert_int_equal(apply("scrape_configs:\n- job_name: a\n  eureka_sd_configs:\n  - server: http://two\n", NULL), 0);
    assert_int_equal(stops, 1);
    wait_good("a", 1, 3);
    /* a further edit meanwhile changes nothing about that */
    assert_int_equal(
        apply("scrape_configs:\n- job_name: a\n  eureka_sd_configs:\n  - server: http://two\n  metrics_path: /x\n",
              NULL),
        0);
    wait_good("a", 2, 3);
    answer("http://two", "s", 8, 1);
    wait_good("a", 3, 1);
}

static void test_vanished_job(void **state)
{
    (void)state;
    assert_int_equal(apply(JOB_A JOB_B, NULL), 0);
    wait_good("b", 0, 2);
    int builds = seen_of("b")->builds;
    assert_int_equal(apply(JOB_A, NULL), 0);
    assert_int_equal(seen_of("b")->good, 2);
    wait_good("b", builds, 0);
    assert_int_equal(seen_of("b")->builds, builds + 1);
    run_for(100);
    assert_int_equal(seen_of("b")->builds, builds + 1);
}

static void test_errors_change_nothing(void **state)
{
    (void)state;
    static const char *const BAD[][2] = {
        {JOB_B
         "  eureka_sd_configs:\n  - server: http://three\n- job_name: c\n  hetzner_sd_configs:\n  - role: robot\n",
         "job 'c': hetzner_sd_configs: this version does not run it; expected one of static_configs, "
         "file_sd_configs, "},
        {JOB_B "  eureka_sd_configs:\n  - server: http://three\n- job_name: c\n  eureka_sd_configs:\n  - "
               "refresh_interval: 3s\n",
         "no server"},
    };
    assert_int_equal(apply(JOB_A JOB_B, NULL), 0);
    answer("http://one", "s", 1, 3);
    wait_good("a", 0, 3);
    for (size_t i = 0; i < 2; i++) {
        struct errctx err = ERRCTX_INIT;
        char *text = mem_printf("%s%s", JOB_A, BAD[i][0]);
        assert_true(apply(text, &err) != 0);
        free(text);
        if (strstr(err.msg, BAD[i][1]) == NULL) {
            fail_msg("%s", err.msg);
        }
        assert_int_equal(running.len, 1);
    }
    answer("http://one", "s", 1, 4);
    wait_good("a", 1, 4);
}

struct told {
    size_t jobs[8], count;
};

static void on_failing(void *data, size_t job, const struct errctx *err)
{
    struct told *t = data;
    assert_non_null(strstr(err->msg, "no server"));
    assert_true(t->count < 8);
    t->jobs[t->count++] = job;
}

/* All that fail are known after one look, and looking changes nothing. */
static void test_each_failing(void **state)
{
    static const char TEXT[] =
        JOB_A "- job_name: x\n  eureka_sd_configs: [{}]\n" JOB_B
              "- job_name: y\n  eureka_sd_configs: [{}]\n- job_name: z\n  eureka_sd_configs: [{}]\n";
    struct promconf_options opts = {.major = PROMETHEUS_2};
    struct promconf *conf = NULL;
    struct told told = {0};
    (void)state;
    assert_int_equal(apply(JOB_A, NULL), 0);
    answer("http://one", "s", 1, 3);
    wait_good("a", 0, 3);
    assert_int_equal(promconf_parse("prometheus.yml", view_of(TEXT), &opts, &conf, NULL), 0);
    assert_true(discovery_apply(discovery, conf, NULL) != 0);
    assert_int_equal(discovery_failed_job(discovery), 1);
    discovery_each_failing(discovery, conf, 2, on_failing, &told);
    assert_int_equal(told.count, 2);
    assert_int_equal(told.jobs[0], 3);
    assert_int_equal(told.jobs[1], 4);
    assert_int_equal(running.len, 1);
    promconf_unref(conf);
    answer("http://one", "s", 1, 4);
    wait_good("a", 1, 4);
}

static void test_job_without_discovery(void **state)
{
    (void)state;
    assert_int_equal(apply("scrape_configs:\n- job_name: a\n", NULL), 0);
    wait_good("a", 0, 0);
    assert_true(discovery_is_initial_done(discovery, timebase_monotonic_ms(), 1000));
}

int main(void)
{
    mechanism_register(&SCRIPTED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_builds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_same_groups_cause_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failure_keeps_groups, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unchanged_jobs_keep_running, setup, teardown),
        cmocka_unit_test_setup_teardown(test_edited_rules_keep_provider, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replaced_provider, setup, teardown),
        cmocka_unit_test_setup_teardown(test_vanished_job, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors_change_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_failing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_job_without_discovery, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
