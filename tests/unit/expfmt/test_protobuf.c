/* Delimited protobuf: the reference's table of samples a metric, broken and truncated families, families larger
 * than the limit for a line, native histograms; each with every split. */
#include "expfmt_test.h"

enum { COUNTER, GAUGE, SUMMARY, UNTYPED, HISTOGRAM, GAUGE_HISTOGRAM };

/* Messages as byte strings on a test's arena: nesting is function nesting. */
static struct arena *arena;

static struct view join(struct view a, struct view b)
{
    char *out = arena_alloc(arena, a.len + b.len + 1);
    memcpy(out, a.base, a.len);
    memcpy(out + a.len, b.base, b.len);
    return view_make(out, a.len + b.len);
}

static struct view varint(uint64_t n)
{
    char *out = arena_alloc(arena, 10);
    size_t len = 0;
    for (; n > 127; n >>= 7) {
        out[len++] = (char)((n & 127) | 128);
    }
    out[len++] = (char)n;
    return view_make(out, len);
}

static struct view put_varint(unsigned number, uint64_t value)
{
    return join(varint(number << 3), varint(value));
}

static struct view put_double(unsigned number, double value)
{
    char *out = arena_alloc(arena, 8);
    memcpy(out, &value, 8);
    return join(varint(number << 3 | 1), view_make(out, 8));
}

static struct view put(unsigned number, struct view bytes)
{
    return join(join(varint(number << 3 | 2), varint(bytes.len)), bytes);
}

static struct view label(const char *name, const char *value)
{
    return put(1, join(put(1, view_of(name)), put(2, view_of(value))));
}

static struct view family(const char *name, unsigned type, struct view metrics)
{
    struct view head = join(join(put(1, view_of(name)), put(2, VIEW("help"))), put_varint(3, type));
    struct view message = join(head, metrics);
    return join(varint(message.len), message);
}

static struct view metric(struct view content)
{
    return put(4, content);
}

static struct view bucket(double bound)
{
    return put(3, join(put_varint(1, 1), put_double(2, bound)));
}

static struct view native(unsigned spanned)
{
    struct view span = put(12, join(put_varint(1, 0), put_varint(2, spanned)));
    struct view head = join(join(put_varint(1, 3), put_double(2, 1.5)), put_varint(5, 6));
    return put(7, join(join(head, span), put(13, VIEW("\x02\x02")))); /* buckets of 1 and 2 */
}

static struct view counter_metric(const char *x)
{
    return metric(join(label("x", x), put(3, put_double(1, 5))));
}

struct setup {
    int major;
    bool native_histograms, always_classic;
    size_t line_bytes_max;
};

static void expect(const struct setup *s, struct view body, int code, uint64_t scraped, uint64_t series)
{
    struct counter_conf conf = {.mode = COUNT_STRICT,
                                .major = (enum prometheus_major)s->major,
                                .utf8_names = s->major >= PROMETHEUS_3,
                                .native_histograms = s->native_histograms,
                                .always_classic = s->always_classic,
                                .line_bytes_max = s->line_bytes_max};
    struct counter *c = counter_new(&conf);
    struct labels *target = test_target();
    struct count n = count_all_splits(c, EXPOSITION_PROTOBUF, target, body.base, body.len), want = {.code = code};
    want.scraped = scraped;
    want.series = series;
    assert_count(&n, &want, "protobuf");
    labels_unref(target);
    counter_free(&c);
}

static void expect_both(struct view body, int code, uint64_t scraped, uint64_t series)
{
    expect(&(struct setup){.major = PROMETHEUS_2, .native_histograms = true}, body, code, scraped, series);
    expect(&(struct setup){.major = PROMETHEUS_3_8, .native_histograms = true}, body, code, scraped, series);
}

static void test_samples(void **state)
{
    (void)state;
    expect_both(VIEW(""), 0, 0, 0);
    expect_both(VIEW("\0"), 0, 0, 0);
    expect_both(family("c", COUNTER, join(counter_metric("1"), counter_metric("2"))), 0, 2, 2);
    expect_both(family("g", GAUGE, metric(put(2, put_double(1, 1)))), 0, 1, 1);
    expect_both(family("g", GAUGE, metric(VIEW(""))), 0, 1, 1);
    expect_both(family("u", UNTYPED, metric(put(5, VIEW("")))), 0, 1, 1);
    struct view quantile = put(3, put_double(1, 0.5));
    expect_both(family("s", SUMMARY, metric(put(4, join(quantile, quantile)))), 0, 4, 4);
    expect_both(family("h", HISTOGRAM, metric(put(7, VIEW("")))), 0, 3, 3);
    expect_both(family("h", HISTOGRAM, metric(put(7, join(bucket(0.1), bucket(1))))), 0, 5, 5);
    expect_both(family("h", HISTOGRAM, metric(put(7, join(bucket(0.1), bucket(1.0 / 0.0))))), 0, 4, 4);
    expect_both(family("h", HISTOGRAM, metric(put(7, join(bucket(1.0 / 0.0), bucket(1))))), 0, 3, 3);
    expect_both(family("h", GAUGE_HISTOGRAM, metric(put(7, bucket(1)))), 0, 4, 4);
    expect_both(family("", GAUGE, VIEW("")), 0, 0, 0); /* no metrics: never looked at */
}

static void test_native(void **state)
{
    struct view one = family("h", HISTOGRAM, metric(native(2)));
    struct view mixed = family("h", HISTOGRAM, metric(join(native(2), put(7, bucket(1)))));
    (void)state;
    expect_both(one, 0, 1, 1);
    expect(&(struct setup){.major = PROMETHEUS_2}, one, ERR_INVALID, 1, 0); /* feature off: the storage refuses it */
    expect(&(struct setup){.major = PROMETHEUS_3_8}, one, 0, 3, 3);           /* off: as a classic one */
    expect_both(mixed, 0, 1, 1);
    expect(&(struct setup){.major = PROMETHEUS_3_8, .native_histograms = true, .always_classic = true}, mixed, 0, 5, 5);
    expect_both(family("h", HISTOGRAM, metric(native(3))), ERR_INVALID, 1, 0); /* spans and buckets disagree */
}

static void test_refused(void **state)
{
    struct view good = family("c", COUNTER, counter_metric("1"));
    (void)state;
    expect_both(join(good, family("c", COUNTER, metric(join(label("x", "1"), label("x", "2"))))), ERR_INVALID, 2, 1);
    expect_both(join(good, family("", GAUGE, metric(VIEW("")))), ERR_PARSE, 1, 1);
    expect_both(join(good, family("c", 9, metric(VIEW("")))), ERR_PARSE, 1, 1);
    expect_both(join(good, family("c", COUNTER, join(counter_metric("1"), counter_metric("\xff")))), ERR_PARSE, 2, 2);
    expect(&(struct setup){.major = PROMETHEUS_2}, join(good, family("a.b", COUNTER, counter_metric("1"))), ERR_PARSE, 1, 1);
    expect(&(struct setup){.major = PROMETHEUS_3_8}, join(good, family("a.b", COUNTER, counter_metric("1"))), 0, 2, 2);
    expect_both(join(good, VIEW("\x80\x80\x80\x80\x80\x01")), ERR_PARSE, 1, 1);
    expect_both(join(good, VIEW("\x80")), ERR_PARSE, 1, 1);
    /* a wrong wire type: of the family both versions drop everything, of a metric 3.x keeps what came before */
    struct view second = metric(put(3, put_varint(1, 5)));
    expect(&(struct setup){.major = PROMETHEUS_2}, join(good, family("d", COUNTER, join(counter_metric("1"), second))), ERR_PARSE,
           1, 1);
    expect(&(struct setup){.major = PROMETHEUS_3_8}, join(good, family("d", COUNTER, join(counter_metric("1"), second))), ERR_PARSE,
           2, 2);
    struct view late = join(counter_metric("1"), put_varint(1, 5));
    expect_both(join(good, family("d", COUNTER, late)), ERR_PARSE, 1, 1);
}

static void test_truncation(void **state)
{
    struct view good = family("c", COUNTER, counter_metric("1"));
    struct view body = join(good, family("d", COUNTER, join(counter_metric("1"), counter_metric("2"))));
    (void)state;
    for (size_t len = good.len + 1; len < body.len; len++) {
        expect_both(view_make(body.base, len), ERR_PARSE, 1, 1);
        expect(&(struct setup){.major = PROMETHEUS_3_8, .line_bytes_max = 24}, view_make(body.base, len), ERR_PARSE, 1, 1);
    }
}

/* Families beyond the limit for a line are walked metric by metric. */
static void test_large_family(void **state)
{
    struct view metrics = VIEW("");
    (void)state;
    for (int i = 0; i < 20; i++) {
        metrics = join(metrics, counter_metric("1"));
    }
    struct view large = family("c", COUNTER, metrics), good = family("d", COUNTER, counter_metric("1"));
    const struct setup small2 = {.major = PROMETHEUS_2, .line_bytes_max = 64}, small3 = {.major = PROMETHEUS_3_8, .line_bytes_max = 64};
    expect(&small2, join(join(good, large), good), 0, 22, 22);
    expect(&small3, join(join(good, large), good), 0, 22, 22);
    expect(&small2, join(good, family("c", COUNTER, join(metrics, metric(put_varint(1, 5))))), ERR_PARSE, 1, 1);
    expect(&small3, join(good, family("c", COUNTER, join(metrics, metric(put_varint(1, 5))))), ERR_PARSE, 21, 21);
    expect(&small2, join(good, family("c", COUNTER, join(metrics, put(1, VIEW("late"))))), ERR_LIMIT, 1, 1);
    char value[100] = {0};
    memset(value, 'v', sizeof(value) - 1);
    expect(&small2, join(good, family("c", COUNTER, counter_metric(value))), ERR_LIMIT, 1, 1);
}

static int setup(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_samples), TEST(test_native), TEST(test_refused), TEST(test_truncation), TEST(test_large_family),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
