/* From groups to targets: defaults, params, ports, validation in Prometheus' words, duplicates, limit, order. */
#include "base/bytes.h"
#include "base/intern.h"
#include "discovery/target_build.h"

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

static struct job_conf job;

static int setup(void **state)
{
    (void)state;
    job = (struct job_conf){.name = intern("j"),
                            .file = "f.yml",
                            .base_dir = "",
                            .interval_ms = 60000,
                            .timeout_ms = 10000,
                            .metrics_path = "/metrics",
                            .scheme = "http"};
    return 0;
}

/* "a=1,b=2" */
static struct labels *labels_of(const char *text)
{
    struct label items[16];
    size_t count = 0;
    for (const char *at = text; *at != '\0'; count++) {
        size_t len = strcspn(at, ","), name = strcspn(at, "=");
        items[count] = (struct label){view_make(at, name), view_make(at + name + 1, len - name - 1)};
        at += len + (at[len] == ',');
    }
    return labels_make(items, count);
}

static struct target_group *group_of(const char *source, const char *common, const char *const *targets, size_t count)
{
    struct labels *list[16];
    for (size_t i = 0; i < count; i++) {
        list[i] = labels_of(targets[i]);
    }
    return target_group_new(source, labels_of(common), list, count);
}

static const char *text_of(const struct labels *l)
{
    static char buf[2048];
    size_t len = 0;
    buf[0] = '\0';
    for (size_t i = 0; i < labels_count(l); i++) {
        struct label at = labels_at(l, i);
        len += (size_t)snprintf(buf + len, sizeof(buf) - len, "%s%.*s=%.*s", i > 0 ? "," : "", VIEW_FMT(at.name),
                                VIEW_FMT(at.value));
    }
    return buf;
}

static struct built_job build(enum prometheus_major major, const char *common, const char *const *targets, size_t count)
{
    struct built_job b;
    struct target_group *g = group_of("0", common, targets, count);
    target_build(&job, major, NULL, &g, 1, &b);
    target_group_unref(g);
    assert_int_equal(b.count, count);
    assert_ptr_equal(b.job, job.name);
    return b;
}

static void test_defaults(void **state)
{
    (void)state;
    const char *t = "__address__=h,__meta_x=m,a=own";
    struct built_job b = build(PROMETHEUS_2, "a=group,b=group,__meta_y=n", &t, 1);
    assert_int_equal(b.good, 1);
    assert_int_equal(b.items[0].state, LEDGER_PENDING);
    assert_string_equal(
        text_of(b.items[0].discovered),
        "__address__=h,__meta_x=m,__meta_y=n,__metrics_path__=/metrics,__scheme__=http,__scrape_interval__=1m,"
        "__scrape_timeout__=10s,a=own,b=group,job=j");
    assert_string_equal(text_of(b.items[0].target->labels),
                        "__address__=h:80,__metrics_path__=/metrics,__scheme__=http,__scrape_interval__=1m,"
                        "__scrape_timeout__=10s,a=own,b=group,instance=h:80,job=j");
    assert_string_equal(b.items[0].target->url, "http://h:80/metrics");
    assert_int_equal(b.items[0].target->interval_ms, 60000);
    assert_true(b.items[0].target->hash ==
                target_hash(b.items[0].target->labels, "http://h:80/metrics", 60000, 10000, 60000, 10000));
    built_job_done(&b);
    b = build(PROMETHEUS_3, "", &t, 1);
    assert_string_equal(b.items[0].target->url, "http://h/metrics");
    built_job_done(&b);
}

static void test_overrides(void **state)
{
    (void)state;
    const char *t =
        "__address__=h:1,__scheme__=https,__metrics_path__=/p,__scrape_interval__=30s,__scrape_timeout__=5s,job=x,"
        "instance=i";
    struct built_job b = build(PROMETHEUS_2, "job=y", &t, 1);
    assert_string_equal(b.items[0].target->url, "https://h:1/p");
    assert_int_equal(b.items[0].target->interval_ms, 30000);
    assert_int_equal(b.items[0].target->timeout_ms, 5000);
    assert_true(view_is(labels_get(b.items[0].target->labels, VIEW("job")), "x"));
    assert_true(view_is(labels_get(b.items[0].target->labels, VIEW("instance")), "i"));
    assert_string_equal(b.items[0].target->job, "j");
    built_job_done(&b);
}

static void test_params(void **state)
{
    (void)state;
    struct label params[] = {{VIEW("m"), VIEW("1")}, {VIEW("m"), VIEW("2")}, {VIEW("n"), VIEW("3")}};
    job.params = params;
    job.param_count = 3;
    const char *t = "__address__=h:1,__param_m=own";
    struct built_job b = build(PROMETHEUS_2, "", &t, 1);
    assert_string_equal(b.items[0].target->url, "http://h:1/metrics?m=1&m=2&n=3");
    built_job_done(&b);
    b = build(PROMETHEUS_3, "", &t, 1);
    assert_string_equal(b.items[0].target->url, "http://h:1/metrics?m=own&m=2&n=3");
    built_job_done(&b);
}

static const struct {
    const char *target, *want_address; /* NULL = refused */
    const char *error;
} ADDRESSES[] = {
    {"__address__=h", "h:80", NULL},
    {"__address__=h,__scheme__=https", "h:443", NULL},
    {"__address__=[::1]", "[::1]:80", NULL},
    {"__address__=::1", "::1", NULL},
    {"__address__=h:", "h:", NULL},
    {"__address__=[::1]:9", "[::1]:9", NULL},
    {"__address__=[::1", "[::1", NULL},
    {"__address__=a]b", "a]b", NULL},
    {"__address__=h:1,__scheme__=ftp", "h:1", NULL},
    {"a=b", NULL, "no address"},
    {"__address__=h,__scheme__=ftp", NULL, "invalid scheme: \"http\""},
    {"__address__=a/b:80", NULL, "\"a/b:80\" is not a valid hostname"},
    {"__address__=a\"\x01/b", NULL, "\"a\\\"\\x01/b:80\" is not a valid hostname"},
    {"__address__=h,__scrape_interval__=x", NULL, "error parsing scrape interval: not a valid duration string: \"x\""},
    {"__address__=h,__scrape_interval__=0s", NULL, "scrape interval cannot be 0"},
    {"__address__=h,__scrape_timeout__=0", NULL, "scrape timeout cannot be 0"},
    {"__address__=h,__scrape_interval__=1s,__scrape_timeout__=3s", NULL,
     "scrape timeout cannot be greater than scrape interval (\"3s\" > \"1s\")"},
    {"__address__=h,a=\xff", NULL, "invalid label value for \"a\": \"\\xff\""},
};

static void test_addresses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ADDRESSES) / sizeof(ADDRESSES[0]); i++) {
        struct built_job b = build(PROMETHEUS_2, "", &ADDRESSES[i].target, 1);
        if (ADDRESSES[i].want_address != NULL) {
            assert_int_equal(b.items[0].state, LEDGER_PENDING);
            assert_true(view_is(labels_get(b.items[0].target->labels, VIEW("__address__")), ADDRESSES[i].want_address));
        } else {
            assert_int_equal(b.items[0].state, LEDGER_INVALID);
            assert_null(b.items[0].target);
            assert_string_equal(b.items[0].error, ADDRESSES[i].error);
            assert_int_equal(b.good, 0);
        }
        built_job_done(&b);
    }
}

static void test_bad_ones_cost_themselves(void **state)
{
    (void)state;
    const char *t[] = {"__address__=a:1", "x=y", "__address__=b:1", "__address__=c/d"};
    struct built_job b = build(PROMETHEUS_2, "", t, 4);
    assert_int_equal(b.good, 2);
    built_job_done(&b);
}

static void test_rules(void **state)
{
    (void)state;
    struct relabel_spec specs[2];
    struct view source = VIEW("__meta_keep");
    struct relabel_rules *rules = NULL;
    relabel_spec_init(&specs[0]);
    specs[0].action = RELABEL_KEEP;
    specs[0].source_labels = &source;
    specs[0].source_label_count = 1;
    specs[0].regex = VIEW("yes");
    relabel_spec_init(&specs[1]);
    specs[1].target_label = VIEW("__tmp_x");
    specs[1].replacement = VIEW("t");
    assert_int_equal(relabel_rules_compile(specs, 2, PROMETHEUS_2, "r", &rules, NULL), 0);
    const char *t[] = {"__address__=a:1,__meta_keep=yes", "__address__=b:1", "__meta_keep=no"};
    struct target_group *g = group_of("0", "", t, 3);
    struct built_job b;
    target_build(&job, PROMETHEUS_2, rules, &g, 1, &b);
    assert_int_equal(b.good, 1);
    assert_int_equal(b.items[0].state, LEDGER_PENDING);
    assert_int_equal(b.items[1].state, LEDGER_DROPPED);
    assert_int_equal(b.items[2].state, LEDGER_DROPPED);
    assert_true(view_is(labels_get(b.items[0].target->labels, VIEW("__tmp_x")), "t"));
    assert_null(labels_get(b.items[0].target->labels, VIEW("__meta_keep")).base);
    assert_true(view_is(labels_get(b.items[0].target->discovered, VIEW("__meta_keep")), "yes"));
    built_job_done(&b);
    target_group_unref(g);
    relabel_rules_free(&rules);
}

static void test_duplicates(void **state)
{
    (void)state;
    const char *t[] = {"__address__=a,__meta_n=1", "__address__=a:80,__meta_n=2", "__address__=a,x=1",
                       "__address__=a,__meta_n=3"};
    struct built_job b = build(PROMETHEUS_2, "", t, 4);
    assert_int_equal(b.good, 2);
    size_t duplicates = 0;
    for (size_t i = 0; i < 4; i++) {
        duplicates += b.items[i].state == LEDGER_DUPLICATE;
        assert_non_null(b.items[i].target);
    }
    assert_int_equal(duplicates, 2);
    built_job_done(&b);
}

static void test_limit(void **state)
{
    (void)state;
    const char *t[] = {"__address__=a:1", "__address__=a:1", "__address__=b:1", "bad=x"};
    job.target_limit = 2;
    struct built_job b = build(PROMETHEUS_2, "", t, 4);
    assert_int_equal(b.good, 2);
    built_job_done(&b);
    job.target_limit = 1;
    b = build(PROMETHEUS_2, "", t, 4);
    assert_int_equal(b.good, 0);
    size_t over = 0;
    for (size_t i = 0; i < 4; i++) {
        over += b.items[i].state == LEDGER_OVER_LIMIT && b.items[i].target != NULL;
    }
    assert_int_equal(over, 2);
    built_job_done(&b);
}

/* Every order of groups and of targets in them gives the same list. */
static void test_order_does_not_matter(void **state)
{
    (void)state;
    const char *one[] = {"__address__=a", "__address__=b,__meta_m=1", "x=y"},
               *two[] = {"__address__=b,__meta_m=0", "__address__=c/d"};
    const char *one_back[] = {"x=y", "__address__=b,__meta_m=1", "__address__=a"};
    struct target_group *g = group_of("0", "", one, 3), *h = group_of("1", "", two, 2),
                        *r = group_of("0", "", one_back, 3);
    struct target_group *there[] = {g, h}, *back[] = {h, r};
    struct built_job a, b;
    target_build(&job, PROMETHEUS_2, NULL, there, 2, &a);
    target_build(&job, PROMETHEUS_2, NULL, back, 2, &b);
    assert_int_equal(a.count, b.count);
    for (size_t i = 0; i < a.count; i++) {
        assert_int_equal(a.items[i].state, b.items[i].state);
        assert_true(labels_equal(a.items[i].discovered, b.items[i].discovered));
        assert_true(i == 0 || a.items[i - 1].state <= a.items[i].state);
    }
    built_job_done(&a);
    built_job_done(&b);
    target_group_unref(g);
    target_group_unref(h);
    target_group_unref(r);
}

/* Only the balancer makes parts; the public label alone is the user's own affair. */
static void test_no_parts(void **state)
{
    (void)state;
    const char *t = "__address__=h:1,__kvass_parts__=2,kvass_part=1";
    struct built_job b = build(PROMETHEUS_2, "", &t, 1);
    assert_int_equal(b.good, 1);
    assert_false(target_is_part(b.items[0].target));
    assert_null(labels_get(b.items[0].target->labels, VIEW("__kvass_parts__")).base);
    assert_true(view_is(labels_get(b.items[0].target->labels, VIEW("kvass_part")), "1"));
    built_job_done(&b);
}

static void test_nothing(void **state)
{
    (void)state;
    struct built_job b;
    target_build(&job, PROMETHEUS_2, NULL, NULL, 0, &b);
    assert_int_equal(b.count, 0);
    assert_int_equal(b.good, 0);
    built_job_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_defaults, setup),
        cmocka_unit_test_setup(test_overrides, setup),
        cmocka_unit_test_setup(test_params, setup),
        cmocka_unit_test_setup(test_addresses, setup),
        cmocka_unit_test_setup(test_bad_ones_cost_themselves, setup),
        cmocka_unit_test_setup(test_rules, setup),
        cmocka_unit_test_setup(test_duplicates, setup),
        cmocka_unit_test_setup(test_limit, setup),
        cmocka_unit_test_setup(test_order_does_not_matter, setup),
        cmocka_unit_test_setup(test_no_parts, setup),
        cmocka_unit_test_setup(test_nothing, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
