/* What happens to a sample behind the parser: merging with the target's labels, metric_relabel_configs, limits,
 * and the words of each refusal. */
#include "expfmt_test.h"

#include <stdio.h>

struct setup {
    struct counter_conf conf;
    const struct labels *target;
};

static struct count count_with(const struct setup *s, const char *body)
{
    struct counter *c = counter_new(&s->conf);
    struct count n = count_all_splits(c, EXPOSITION_TEXT, s->target, body, strlen(body));
    counter_free(&c);
    return n;
}

static struct relabel_rules *rule(enum relabel_action action, const char *source, const char *regex, const char *target,
                                  const char *replacement)
{
    struct relabel_spec spec;
    struct relabel_rules *rules = NULL;
    struct errctx err = ERRCTX_INIT;
    struct view name = view_of(source);
    relabel_spec_init(&spec);
    spec.action = action;
    if (source != NULL) {
        spec.source_labels = &name;
        spec.source_label_count = 1;
        spec.has_source_labels = true;
    }
    if (regex != NULL) {
        spec.regex = view_of(regex);
        spec.has_regex = true;
    }
    if (target != NULL) {
        spec.target_label = view_of(target);
        spec.has_target_label = true;
    }
    if (replacement != NULL) {
        spec.replacement = view_of(replacement);
        spec.has_replacement = true;
    }
    if (relabel_rules_compile(&spec, 1, PROMETHEUS_2, "metric_relabel_configs", &rules, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    return rules;
}

static void expect(const struct setup *s, const char *body, int code, uint64_t scraped, uint64_t series,
                   const char *msg)
{
    struct count n = count_with(s, body), want = {.code = code, .scraped = scraped, .series = series};
    assert_count(&n, &want, body);
    assert_string_equal(n.msg, msg);
}

static struct setup setup_make(const struct labels *target)
{
    return (struct setup){{.mode = COUNT_STRICT, .major = PROMETHEUS_2}, target};
}

static void test_refusals(void **state)
{
    struct labels *target = test_target();
    struct setup s = setup_make(target);
    (void)state;
    expect(&s, "a 1\nb{x=\"1\",y=\"2\",x=\"3\"} 1\n", ERR_INVALID, 2, 1,
           "label name \"x\" is not unique: invalid sample");
    expect(&s, "a 1\nb{x=\"1\",x=\"3\"} 1 5\n", 0, 2, 2, ""); /* too old to be stored: nobody looks at its labels */
    expect(&s, "a 1\nb{x=\"1\",x=\"3\"} 1 1700000000000\n", ERR_INVALID, 2, 1,
           "label name \"x\" is not unique: invalid sample");
    s.conf.ignore_timestamps = true;
    expect(&s, "a 1\nb{x=\"1\",x=\"3\"} 1 5\n", ERR_INVALID, 2, 1, "label name \"x\" is not unique: invalid sample");
    s.conf.ignore_timestamps = false;
    expect(&s, "a{__name__=\"\"} 1\n", ERR_INVALID, 1, 0, "missing metric name (__name__ label)");
    expect(&s, "\ta{x=\"1\"} 1\n", ERR_INVALID, 1, 0,
           "invalid metric name or label names: {__name__=\"\ta\", instance=\"i\", job=\"j\", x=\"1\"}");
    labels_unref(target);
}

static void test_sample_limit(void **state)
{
    struct labels *target = test_target();
    struct setup s = setup_make(target);
    (void)state;
    s.conf.sample_limit = 2;
    expect(&s, "a 1\nb 1\n", 0, 2, 2, "");
    expect(&s, "a 1\nb 1\nc 1\n", ERR_INVALID, 3, 3, "sample limit exceeded");
    expect(&s, "a 1\nb 1\nc 1\nd{x=\"1\",x=\"2\"} 1\n", ERR_INVALID, 4, 4, "sample limit exceeded");
    expect(&s, "a 1\nb 1\nc 1\nd{__name__=\"-\"} 1\n", ERR_INVALID, 4, 3,
           "invalid metric name or label names: {__name__=\"d\", instance=\"i\", job=\"j\"}");
    expect(&s, "a 1\nd{x=\"1\",x=\"2\"} 1\n", ERR_INVALID, 2, 1, "label name \"x\" is not unique: invalid sample");
    labels_unref(target);
}

static void test_label_limits(void **state)
{
    struct labels *target = test_target();
    struct setup s = setup_make(target);
    (void)state;
    s.conf.label_limit = 4;
    expect(&s, "a{x=\"1\"} 1\n", 0, 1, 1, "");
    expect(&s, "a{x=\"1\",y=\"2\"} 1\n", ERR_INVALID, 1, 0,
           "label_limit exceeded (metric: a, number of labels: 5, limit: 4)");
    expect(&s, "a{x=\"1\",y=\"\"} 1\n", 0, 1, 1, "");
    s = setup_make(target);
    s.conf.label_name_length_limit = 8;
    expect(&s, "a{x234567=\"1\"} 1\n", 0, 1, 1, "");
    expect(&s, "a{x23456789=\"1\"} 1\n", ERR_INVALID, 1, 0,
           "label_name_length_limit exceeded (metric: a, label name: x23456789, length: 9, limit: 8)");
    s = setup_make(target);
    s.conf.label_value_length_limit = 3;
    expect(&s, "a{x=\"\\\\12\"} 1\n", 0, 1, 1, "");
    expect(&s, "a{x=\"1234\"} 1\n", ERR_INVALID, 1, 0,
           "label_value_length_limit exceeded (metric: a, label name: x, value: \"1234\", length: 4, limit: 3)");
    labels_unref(target);
}

static void test_rules(void **state)
{
    struct labels *target = test_target();
    struct setup s = setup_make(target);
    struct relabel_rules *drop_name = rule(RELABEL_DROP, "__name__", "go_.*", NULL, NULL);
    struct relabel_rules *drop_label = rule(RELABEL_DROP, "x", "1", NULL, NULL);
    struct relabel_rules *no_name = rule(RELABEL_LABELDROP, NULL, "__name__", NULL, NULL);
    struct relabel_rules *no_x = rule(RELABEL_LABELDROP, NULL, "x", NULL, NULL);
    struct relabel_rules *copy_back = rule(RELABEL_LABELMAP, NULL, "exported_(.+)", NULL, NULL);
    struct relabel_rules *on_job = rule(RELABEL_KEEP, "job", "j", NULL, NULL);
    struct relabel_rules *bad_name = rule(RELABEL_REPLACE, "__name__", "a", "__name__", "a-b");
    (void)state;
    s.conf.metric_relabel = drop_name;
    expect(&s, "go_x 1\na 1\ngo_y{x=\"1\"} 1\nb_go_ 1\n", 0, 4, 2, "");
    expect(&s, "go_x{x=\"1\",x=\"2\"} 1\n", 0, 1, 0, "");
    expect(&s, "go_x 1\n{\n", ERR_PARSE, 1, 0, "expected a valid start token while parsing: \"{\"");
    s.conf.metric_relabel = drop_label;
    expect(&s, "a{x=\"1\"} 1\na{x=\"2\"} 1\na{x=\"\\1\"} 1\n a{x=\"1\"} 1\n", 0, 4, 2, "");
    s.conf.metric_relabel = no_name;
    expect(&s, "a 1\n", ERR_INVALID, 1, 0, "missing metric name (__name__ label)");
    s.conf.metric_relabel = no_x;
    expect(&s, "a{x=\"1\",x=\"2\"} 1\n", 0, 1, 1, ""); /* the rule resolves the duplicate */
    s.conf.metric_relabel = copy_back; /* the first of two values comes back under a name the target had taken */
    expect(&s, "a{job=\"1\",job=\"2\"} 1\n", 0, 1, 1, "");
    s.conf.metric_relabel = on_job;
    expect(&s, "a 1\na{job=\"other\"} 1\n", 0, 2, 2, "");
    s.conf.honor_labels = true;
    expect(&s, "a 1\na{job=\"other\"} 1\na{job=\"\"} 1\n", 0, 3, 1, "");
    s.conf.honor_labels = false;
    s.conf.metric_relabel = bad_name;
    expect(&s, "b 1\na 1\n", ERR_INVALID, 2, 1,
           "invalid metric name or label names: {__name__=\"a-b\", instance=\"i\", job=\"j\"}");
    relabel_rules_free(&drop_name);
    relabel_rules_free(&drop_label);
    relabel_rules_free(&no_name);
    relabel_rules_free(&no_x);
    relabel_rules_free(&copy_back);
    relabel_rules_free(&on_job);
    relabel_rules_free(&bad_name);
    labels_unref(target);
}

/* [x=1, exported_x=2 with target x=T becomes x=T, exported_x=2, exported_exported_x=1] */
static void test_exported(void **state)
{
    const struct label items[] = {{VIEW("x"), VIEW("T")}, {VIEW("__scheme__"), VIEW("http")}};
    struct labels *target = labels_make(items, 2);
    struct setup s = setup_make(target);
    struct relabel_rules *twice = rule(RELABEL_KEEP, "exported_exported_x", "1", NULL, NULL);
    struct relabel_rules *once = rule(RELABEL_KEEP, "exported_x", "2", NULL, NULL);
    struct relabel_rules *hidden = rule(RELABEL_DROP, "__scheme__", "http", NULL, NULL);
    (void)state;
    s.conf.metric_relabel = twice;
    expect(&s, "a{x=\"1\",exported_x=\"2\"} 1\na{x=\"1\"} 1\n", 0, 2, 1, "");
    s.conf.metric_relabel = once;
    expect(&s, "a{x=\"1\",exported_x=\"2\"} 1\na{x=\"2\"} 1\na{x=\"\",exported_x=\"2\"} 1\na 1\n", 0, 4, 3, "");
    s.conf.metric_relabel = hidden;
    expect(&s, "a 1\n", 0, 1, 1, "");
    relabel_rules_free(&twice);
    relabel_rules_free(&once);
    relabel_rules_free(&hidden);
    labels_unref(target);
}

static void test_le_spelling(void **state)
{
    struct relabel_rules *keep = rule(RELABEL_KEEP, "le", "1\\.0", NULL, NULL);
    struct setup s = setup_make(NULL);
    (void)state;
    s.conf.metric_relabel = keep;
    const char *body =
        "# TYPE a histogram\na_bucket{le=\"1\"} 1\na_bucket{le=\"1.0\"} 1\n# TYPE b gauge\nb{le=\"1\"} 1\n";
    expect(&s, body, 0, 3, 1, "");
    s.conf.major = PROMETHEUS_3;
    s.conf.utf8_names = true;
    expect(&s, body, 0, 3, 2, "");
    relabel_rules_free(&keep);
}

static void check_families(const struct counter_conf *conf, const char *body, const char *want)
{
    struct counter *c = counter_new(conf);
    struct bytes out;
    struct json_writer w;
    for (int round = 0; round < 2; round++) {
        count_split(c, EXPOSITION_TEXT, NULL, body, strlen(body), 3);
        bytes_init(&out, 65536);
        json_writer_init(&w, &out);
        json_object_begin(&w);
        counter_write_families(c, &w);
        json_object_end(&w);
        assert_string_equal(bytes_view(&out).base, want);
        bytes_done(&out);
    }
    counter_free(&c);
}

static void test_families(void **state)
{
    struct relabel_rules *drop = rule(RELABEL_DROP, "__name__", "b", NULL, NULL);
    struct counter_conf conf = {.mode = COUNT_FAST, .major = PROMETHEUS_2, .by_family = true, .metric_relabel = drop};
    (void)state;
    check_families(
        &conf, "b 1\na{x=\"1\"} 1\na{x=\"2\"} 1\nb 2\nab 1\n",
        "{\"a\":{\"scraped\":2,\"total\":2},\"ab\":{\"scraped\":1,\"total\":1},\"b\":{\"scraped\":2,\"total\":0}}");
    relabel_rules_free(&drop);
}

/* Names beyond the bound share one entry. */
static void test_families_bounded(void **state)
{
    struct families f;
    char name[32];
    (void)state;
    families_init(&f);
    families_begin(&f);
    for (unsigned i = 0; i < FAMILIES_MAX + 10; i++) {
        snprintf(name, sizeof(name), "n%u", i);
        families_find(&f, view_of(name))->scraped++;
    }
    assert_int_equal(f.map.len, FAMILIES_MAX);
    assert_int_equal(f.other.scraped, 10);
    families_begin(&f);
    families_find(&f, VIEW("x"))->scraped++;
    assert_int_equal(f.map.len, 1);
    families_done(&f);
}

/* 100,000 labels in one line: neither recursion nor quadratic work. */
static void test_many_labels(void **state)
{
    struct labels *target = test_target();
    struct counter_conf conf = {.mode = COUNT_STRICT, .major = PROMETHEUS_2, .line_bytes_max = (size_t)4 << 20};
    struct counter *c = counter_new(&conf);
    struct bytes body;
    (void)state;
    bytes_init(&body, (size_t)4 << 20);
    bytes_append_str(&body, "a{");
    for (unsigned i = 0; i < 100000; i++) {
        bytes_printf(&body, "l%u=\"v\",", (i * 7919u) % 100000u);
    }
    bytes_append_str(&body, "} 1\n");
    struct count n = count_split(c, EXPOSITION_TEXT, target, body.base, body.len, 100);
    assert_int_equal(n.code, 0);
    assert_int_equal(n.series, 1);
    bytes_done(&body);
    counter_free(&c);
    labels_unref(target);
}

static void put_label(struct bytes *body, unsigned r)
{
    static const char *const NAMES[] = {"job", "instance", "exported_job", "le", "quantile", "a", "__x", "__name__"};
    static const char *const VALUES[] = {"", "v", "j", "a\\\\b", "q\\\"", "1", "1.0", "\\n"};
    bytes_printf(body, "%s=\"%s\",", NAMES[r % 8 == 7 && r / 8 % 8 != 0 ? 5 : r % 8], VALUES[r / 64 % 8]);
}

/* Rules that only keep and drop look at their labels alone; with all labels built they must say the same. */
static uint64_t check_judges(const struct labels *target, struct counter_conf *conf, unsigned *seed)
{
    struct counter *few = counter_new(conf), *all = counter_new(conf);
    struct bytes body;
    uint64_t kept = 0;
    assert_int_equal(few->judge_count, 1);
    all->judge_count = 0;
    bytes_init(&body, 65536);
    for (unsigned i = 0; i < 200; i++) {
        bytes_clear(&body);
        bytes_append_str(&body, i % 2 != 0 ? "# TYPE m histogram\n" : "# TYPE m gauge\n");
        for (unsigned line = 0; line < 6; line++) {
            bytes_append_str(&body, "m{");
            for (unsigned k = 0; k < 3; k++) {
                *seed = *seed * 1664525u + 1013904223u;
                put_label(&body, *seed >> 8);
            }
            bytes_append_str(&body, line % 3 == 0 ? "} NaN\n" : "} 1 5\n");
        }
        struct count want = count_split(all, EXPOSITION_TEXT, target, body.base, body.len, body.len);
        struct count got = count_split(few, EXPOSITION_TEXT, target, body.base, body.len, *seed % body.len);
        assert_count(&got, &want, body.base);
        assert_string_equal(got.msg, want.msg);
        kept += got.series;
    }
    bytes_done(&body);
    counter_free(&few);
    counter_free(&all);
    return kept;
}

static void test_judges(void **state)
{
    static const char *const SOURCES[] = {"job", "instance", "le", "quantile", "a", "__x", "__name__", "none"};
    struct labels *target = test_target();
    unsigned seed = 5;
    uint64_t kept = 0;
    (void)state;
    for (size_t i = 0; i < 8 * 8; i++) {
        struct relabel_rules *rules = rule(i / 8 % 2 != 0 ? RELABEL_KEEP : RELABEL_DROP, SOURCES[i % 8],
                                           i / 8 % 2 != 0 ? "j|v|1|m|a.b|" : "v|1.0|\n", NULL, NULL);
        struct counter_conf conf = {.mode = COUNT_STRICT,
                                    .major = i / 16 % 2 != 0 ? PROMETHEUS_3 : PROMETHEUS_2,
                                    .honor_labels = i / 32 % 2 != 0,
                                    .metric_relabel = rules};
        kept += check_judges(i % 3 == 0 ? NULL : target, &conf, &seed);
        relabel_rules_free(&rules);
    }
    assert_true(kept > 10000);
    struct relabel_rules *rules = rule(RELABEL_KEEP, "exported_job", "j", NULL, NULL);
    struct counter_conf conf = {.major = PROMETHEUS_2, .metric_relabel = rules};
    struct counter *c = counter_new(&conf);
    assert_int_equal(c->judge_count, 0);
    counter_free(&c);
    relabel_rules_free(&rules);
    labels_unref(target);
}

/* The label taken away before the rules: as the rule in the rendered configuration does it. */
static void test_drop_label(void **state)
{
    static const char *const BODIES[] = {
        "a 1\n",
        "a{kvass_part=\"7\"} 1\na{exported_kvass_part=\"7\",x=\"1\"} 1\n",
        "a{kvass_part=\"7\",kvass_part=\"8\"} 1\n",
        "a{kvass_part=\"7\",kvass_part=\"8\",x=\"1\",x=\"2\"} 1\n",
        "a{kvass_part=\"\",job=\"\"} 1\n",
        "a{x=\"1\",y=\"2\"} 1\n",
        "a{x=\"1\",y=\"2\",kvass_part=\"1\"} 1\nb{x=\"1\",y=\"2\",z=\"3\"} 1\n",
    };
    const struct label items[] = {{VIEW("job"), VIEW("j")}, {VIEW("kvass_part"), VIEW("3")}};
    struct labels *target = labels_make(items, 2);
    struct relabel_rules *drop = rule(RELABEL_LABELDROP, NULL, "kvass_part", NULL, NULL);
    (void)state;
    for (size_t i = 0; i < sizeof(BODIES) / sizeof(BODIES[0]) * 24; i++) {
        struct setup s = setup_make(target);
        s.conf.honor_labels = i % 2 != 0;
        s.conf.label_limit = i / 2 % 3 == 0 ? 0 : 3 + i / 2 % 3;
        s.conf.major = i / 6 % 2 != 0 ? PROMETHEUS_3 : PROMETHEUS_2;
        s.target = i / 12 % 2 != 0 ? target : NULL;
        s.conf.metric_relabel = drop;
        struct count want = count_with(&s, BODIES[i / 24]);
        s.conf.metric_relabel = NULL;
        s.conf.drop_label = VIEW("kvass_part");
        expect(&s, BODIES[i / 24], want.code, want.scraped, want.series, want.msg);
    }
    relabel_rules_free(&drop);
    struct setup s = setup_make(target);
    struct relabel_rules *keep = rule(RELABEL_KEEP, "kvass_part", "3", NULL, NULL);
    s.conf.metric_relabel = keep;
    expect(&s, "a 1\n", 0, 1, 1, "");
    s.conf.drop_label = VIEW("kvass_part");
    expect(&s, "a 1\na{kvass_part=\"3\"} 1\n", 0, 2, 0, "");
    relabel_rules_free(&keep);
    labels_unref(target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_sample_limit),     cmocka_unit_test(test_label_limits),
        cmocka_unit_test(test_rules),    cmocka_unit_test(test_exported),         cmocka_unit_test(test_le_spelling),
        cmocka_unit_test(test_families), cmocka_unit_test(test_families_bounded), cmocka_unit_test(test_many_labels),
        cmocka_unit_test(test_judges),   cmocka_unit_test(test_drop_label),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
