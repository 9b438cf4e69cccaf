/* The scanners: each accepts exactly what the careful parser accepts, wherever a line lies within a step, and
 * reads nothing beyond its input. */
#include "expfmt_test.h"

#include <stdio.h>

static const char *const LINES[] = {
    "a 1\n",
    "a{x=\"1\"} 1\n",
    "go_gc_duration_seconds{quantile=\"0.75\"} 0.000123\n",
    "node_memory_MemTotal_bytes 1.6e+10\n",
    "x{le=\"+Inf\"} 12345678901234567890.5\n",
    "x{le=\"+Inf\",path=\"C:\\\\dir\\\\\",q=\"\\\"\",n=\"\\n\"} -5e-7 1395066363000\n",
    "nan NaN\n",
    "inf{a=\"b\"} +Inf 5\n",
    "# HELP x It's \"quoted\" text\n",
    "# TYPE x counter\n",
    "# TYPE job:x_y:rate5m histogram\n",
    "# TYPE a_name_that_is_longer_than_a_step_has_bytes_and_therefore_no_usual_one_at_all summary\n",
    "# HELP x {a=\"1\"} 5 # \\ \"\n",
    "# HELP x \n",
    "# HELP x\ttext\n",
    "# HELP x \xc3\xa9t\xc3\xa9\n",
    "#\n",
    "#HELP x text\n",
    "#  TYPE  x untyped\n",
    "# a {b=\"c\n",
    "\n",
    "container_cpu_usage_seconds_total{container=\"c\",cpu=\"total\",id=\"/kubepods/pod0c5e\",image=\"k8s.gcr.io/"
    "x:1\",name=\"n\"} 1 1\n",
    "u{x=\"\xc3\xa9t\xc3\xa9\"} 1\n",
    "e{x=\"1\",y=\"1\",} 1\n",
    "lf{x=\"line\nfeed\"} 1\n",
    "job:x:rate5m{job=\"a\"} 0.5\n",
    "f 1 \n",
    "h{_a=\"1\"} .5\n",
    "o 1e99\n",
    "o{a_label_name_longer_than_eight=\"1\",another_label_name_as_long=\"2\",a_label_name_longer_than_eighty=\"3\"} "
    "1\n",
};
static const char *const BROKEN_LINES[] = {
    "# TYPE x foo\n",
    "# TYPE x counter \n",
    "# TYPE x  gauge\n",
    "# TYPE x\n",
    "# TYPE 1x gauge\n",
    "# HELP 1x text\n",
    "# HELP x \xff\n",
    "# HELP x\n",
    "a{x=\"1\"} # 1\n",
    "a{x=\"1\",x=\"2\"} 1\n",
    "a{long_label_name=\"1\",y=\"2\",long_label_name=\"3\"} 1\n",
    "a{__name__=\"x\"} 1\n",
    "a 1.2.3\n",
    "a 1e400\n",
    "a 1e\n",
    "a 1e5.5\n",
    "a 5 1.5\n",
    "a 5 12345678901234567890\n",
    "a 5 6 7\n",
    "a{x=\"\xff\"} 1\n",
    "a=\"x\",b{c=\"1\"} 1\n",
    "a{x=\"1\"}} 1\n",
    "a{x=\"1\"\n",
    "a{x=y} 1\n",
    "a{x=\"1\"y} 1\n",
    "a{,} 1\n",
    "a 1\r\n",
    "a 0x1\n",
    "a -\n",
    "a 1-2\n",
    "a{x=\"1\" 1\n",
    "1a 1\n",
    "{x=\"1\"} 1\n",
    "a\n",
    "a{x:y=\"1\"} 1\n",
};
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static struct counter *counter_with(enum count_mode mode, scan_fn *scan_with)
{
    struct counter_conf conf = {.mode = mode, .major = PROMETHEUS_2};
    struct counter *c = counter_new(&conf);
    counter_set_scan(c, scan_with);
    return c;
}

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Bodies of usual lines with rare and broken ones among them, so that those fall on every place of a step. */
static void body_fill(struct bytes *body, unsigned *seed, bool broken)
{
    bytes_clear(body);
    unsigned lines = 5 + next_random(seed) % 40, at = next_random(seed) % lines;
    for (unsigned i = 0; i < lines; i++) {
        unsigned r = next_random(seed);
        if (broken && i == at) {
            bytes_append_str(body, BROKEN_LINES[r % COUNT_OF(BROKEN_LINES)]);
        } else if (r % 4 == 0) {
            bytes_append_str(body, LINES[(r / 4) % COUNT_OF(LINES)]);
        } else {
            bytes_printf(body, "m%.*s{l%u=\"%u\"} %u\n", (int)(r % 60),
                         "abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_abcdefgh", r % 9, r, r % 1000);
        }
    }
}

/* Bytes that mean something, at places where they may mean something else. */
static void body_spoil(struct bytes *body, unsigned *seed)
{
    static const char BYTES[] = "\"\\#{}=, \n\0+-.eE0a_:\x80\t\r";
    for (unsigned left = next_random(seed) % 4; left > 0; left--) {
        body->base[next_random(seed) % body->len] = BYTES[next_random(seed) % (sizeof(BYTES) - 1)];
    }
}

static void check_variant(const struct scan_variant *v)
{
    struct labels *target = test_target();
    struct counter *careful = counter_with(COUNT_STRICT, NULL), *fast = counter_with(COUNT_FAST, v->count);
    struct counter *strict = v->strict != NULL ? counter_with(COUNT_STRICT, v->strict) : NULL;
    struct bytes body;
    unsigned seed = 7;
    bytes_init(&body, 65536);
    for (int i = 0; i < 6000; i++) {
        body_fill(&body, &seed, i % 2 != 0);
        if (i % 4 == 1) {
            body_spoil(&body, &seed);
        }
        size_t split = i % 3 == 0 ? body.len : next_random(&seed) % body.len;
        struct count want = count_split(careful, EXPOSITION_TEXT, target, body.base, body.len, body.len);
        assert_true(i % 2 != 0 || want.code == 0);
        if (strict != NULL) {
            struct count got = count_split(strict, EXPOSITION_TEXT, target, body.base, body.len, split);
            assert_count(&got, &want, body.base);
            assert_string_equal(got.msg, want.msg);
        }
        if (want.code == 0) {
            struct count got = count_split(fast, EXPOSITION_TEXT, target, body.base, body.len, split);
            assert_count(&got, &want, body.base);
        }
    }
    bytes_done(&body);
    counter_free(&careful);
    counter_free(&fast);
    counter_free(&strict);
    labels_unref(target);
}

static void test_variants(void **state)
{
    struct scan_variant variants[4];
    size_t count = scan_variants(variants);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        print_message("%s\n", variants[i].name);
        check_variant(&variants[i]);
    }
}

/* A usual body is taken by the scanner whole, not handed to the careful parser line by line. */
static void test_takes_usual_lines(void **state)
{
    struct scan_variant variants[4];
    size_t count = scan_variants(variants);
    struct bytes body;
    (void)state;
    bytes_init(&body, 65536);
    bytes_append_str(&body, "\n");
    for (unsigned i = 0; i < 300; i++) {
        bytes_printf(&body, "http_requests_total{method=\"GET\",code=\"%u\",path=\"/a/b c/%u\"} %u.25%s\n", i, i * 17,
                     i,
                     i % 5 == 0   ? "e+06 1395066363000"
                     : i % 7 == 0 ? "e-1"
                                  : "");
    }
    for (size_t i = 0; i < count; i++) {
        static struct scan s;
        s = (struct scan){.line_bytes_max = 1 << 20, .major = PROMETHEUS_2};
        struct guarded g = guard(body.base, body.len);
        variants[i].count(&s, g.base + 1, body.len - 1);
        assert_in_range(s.samples, 298, 300);
        if (variants[i].strict != NULL) {
            variants[i].strict(&s, g.base + 1, body.len - 1);
            assert_in_range(s.samples, 298, 300);
        }
        unguard(&g);
    }
    bytes_done(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_variants), cmocka_unit_test(test_takes_usual_lines)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
