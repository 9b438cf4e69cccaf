/* Parts of expositions: each sample in exactly one part, what belongs together in the same, everything else in all, in
 * the body's order; the same bytes out for every split of the bytes in. */
#include "expfmt_test.h"

#include "expfmt/part_filter.h"
#include "expfmt/part_hash.h"
#include "expfmt/wire_format.h"

#include <stdio.h>

#define PARTS_TESTED 4
static const unsigned PARTS[PARTS_TESTED] = {1, 2, 3, 64};

static int collect(void *data, const char *base, size_t len, struct errctx *err)
{
    (void)err;
    assert_true(len > 0);
    bytes_append(data, base, len);
    return 0;
}

/* What a part makes of the body cut in two; split SIZE_MAX: byte by byte. */
static void part_split(struct part_filter *f, enum exposition_format format, unsigned part, unsigned parts,
                       struct view body, size_t split, struct bytes *out)
{
    struct errctx err = ERRCTX_INIT;
    struct guarded g = guard(body.base, body.len);
    bytes_clear(out);
    part_filter_start(f, format, part, parts, collect, out);
    for (size_t at = 0; at < body.len;) {
        size_t piece = split == SIZE_MAX ? 1 : at < split && split < body.len ? split - at : body.len - at;
        if (part_filter_feed(f, g.base + at, piece, &err) != 0) {
            fail_msg("feed: %s", err.msg);
        }
        at += piece;
    }
    if (part_filter_finish(f, &err) != 0) {
        fail_msg("finish: %s (body '%.*s')", err.msg, VIEW_FMT(body));
    }
    unguard(&g);
}

/* Every split gives the same (of many parts, some do); that is left in out. */
static void part_of(struct part_filter *f, enum exposition_format format, unsigned part, unsigned parts,
                    struct view body, struct bytes *out)
{
    struct bytes again;
    bytes_init(&again, (size_t)1 << 24);
    part_split(f, format, part, parts, body, body.len, out);
    for (size_t split = 1; split <= body.len; split += parts < 4 ? 1 : 97) {
        part_split(f, format, part, parts, body, split < body.len ? split : SIZE_MAX, &again);
        assert_int_equal(again.len, out->len);
        assert_memory_equal(bytes_view(&again).base, bytes_view(out).base, out->len);
    }
    bytes_done(&again);
}

/* ---------------------------------------------------------------- lines */

/* A line, and the group of samples it must stay with; 0: no sample, goes to all; -1: to none. */
struct unit {
    const char *text;
    size_t len;
    int group;
};

#define UNIT(literal, group)                                                                                           \
    {                                                                                                                  \
        literal, sizeof(literal) - 1, group                                                                            \
    }
#define GROUPS_MAX   32
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void check_part(const struct unit *units, size_t count, unsigned part, struct view out, int owner[GROUPS_MAX])
{
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        const struct unit *u = &units[i];
        bool here = out.len - at >= u->len && memcmp(out.base + at, u->text, u->len) == 0;
        if (u->group == 0 && !here) {
            fail_msg("part %u lacks '%s' at '%.*s'", part, u->text, (int)(out.len - at), out.base + at);
        }
        if (u->group < 0) {
            continue;
        }
        if (here && u->group > 0) {
            assert_true(owner[u->group] < 0 || owner[u->group] == (int)part);
            owner[u->group] = (int)part;
        }
        if (!here && u->group > 0) {
            assert_true(owner[u->group] != (int)part);
        }
        at += here ? u->len : 0;
    }
    assert_int_equal(at, out.len);
}

static void check_units(enum exposition_format format, enum prometheus_major major, const struct unit *units,
                        size_t count)
{
    struct bytes body, out;
    struct part_filter *f = part_filter_new(major, 0);
    bytes_init(&body, 1 << 20);
    bytes_init(&out, 1 << 20);
    for (size_t i = 0; i < count; i++) {
        bytes_append(&body, units[i].text, units[i].len);
    }
    for (size_t k = 0; k < PARTS_TESTED; k++) {
        int owner[GROUPS_MAX];
        memset(owner, -1, sizeof(owner));
        for (unsigned part = 0; part < PARTS[k]; part++) {
            part_of(f, format, part, PARTS[k], bytes_view(&body), &out);
            check_part(units, count, part, bytes_view(&out), owner);
        }
        for (size_t i = 0; i < count; i++) {
            if (units[i].group > 0 && owner[units[i].group] < 0) {
                fail_msg("no part of %u has '%s'", PARTS[k], units[i].text);
            }
        }
    }
    bytes_done(&body);
    bytes_done(&out);
    part_filter_free(&f);
}

static const struct unit TEXT[] = {
    UNIT("# HELP h some text\n", 0),
    UNIT("# TYPE h histogram\n", 0),
    UNIT("h_bucket{a=\"1\",le=\"0.5\"} 1\n", 1),
    UNIT("h_bucket{le=\"1\",a=\"1\"} 1 1600000000000\n", 1),
    UNIT("h_bucket{ le = \"+Inf\" , a = \"1\" , } 2\n", 1),
    UNIT("h_sum{a=\"1\",b=\"\"} 2\n", 1),
    UNIT("h_count{a=\"1\"} 2\n", 1),
    UNIT("h_bucket{a=\"2\",le=\"+Inf\"} 2\n", 2),
    UNIT("h_sum{a=\"2\"} 2\n", 2),
    UNIT("h_count{a=\"2\"} 2\n", 2),
    UNIT("\n", 0),
    UNIT("  \t\n", 0),
    UNIT("#comment with \"quotes\n", 0),
    UNIT("# TYPE s summary\n", 0),
    UNIT("s{quantile=\"0.5\",x=\"a\\\"b\\\\c\\nd\"} 2\n", 3),
    UNIT("s_sum{x=\"a\\\"b\\\\c\nd\"} 2\n", 3),
    UNIT("s_count{x=\"a\\\"b\\\\c\nd\",y=\"\"} 2\n", 3),
    UNIT("plain 1\n", 4),
    UNIT("plain {} 1\n", 4),
    UNIT("plain\t-1 5\n", 4),
    UNIT("plain {x=\"}\"} 1\n", 5),
    UNIT("plain{x=\"}\"}1\n", 5),
    UNIT("plain_total{x=\"}\"} .5\n", 5),
    UNIT("plain{x=\"\xc3\xa9,y=\\\"\"} +Inf\n", 6),
    UNIT("_total 1\n", 7),
    UNIT("many{a=\"1\",b=\"2\",c=\"3\"} 1\n", 8),
    UNIT("many{c=\"3\",a=\"1\",b=\"2\"} 1\n", 8),
    UNIT("many{b=\"2\",c=\"3\",a=\"1\"} 1\n", 8),
    UNIT("many{b=\"1\",c=\"3\",a=\"2\"} 1\n", 9),
    UNIT("# EOF\n", 0),
    UNIT("last{x=\"1\"} 1", 10),
};

static void test_text(void **state)
{
    (void)state;
    check_units(EXPOSITION_TEXT, PROMETHEUS_2, TEXT, COUNT(TEXT));
    check_units(EXPOSITION_TEXT, PROMETHEUS_3_8, TEXT, COUNT(TEXT));
}

/* A NUL at a line's start is the end: what follows belongs to nobody. */
static void test_text_end(void **state)
{
    static const struct unit UNITS[] = {UNIT("a 1\n", 1), UNIT("b 1\n", 2), UNIT("\0c 1\nd 1\n", -1)};
    static const struct unit COMMENT[] = {UNIT("a 1\n", 1), UNIT("# TYPE a gauge", 0)};
    (void)state;
    check_units(EXPOSITION_TEXT, PROMETHEUS_2, UNITS, COUNT(UNITS));
    check_units(EXPOSITION_TEXT, PROMETHEUS_2, COMMENT, COUNT(COMMENT));
    check_units(EXPOSITION_TEXT, PROMETHEUS_2, NULL, 0);
}

static void test_quoted_names(void **state)
{
    static const struct unit UNITS[] = {
        UNIT("# TYPE \"a.b\nc\" histogram\n", 0),
        UNIT("{\"a.b\nc_bucket\",\"x.y\"=\"1\",le=\"1\"} 1\n", 1),
        UNIT("{\"x.y\"=\"1\",le=\"2\",\"a.b\\nc_bucket\"} 1\n", 1),
        UNIT("{\"a.b\nc_sum\",\"x.y\"=\"1\",} 1\n", 1),
        UNIT("{\"a.b\nc_count\" , \"x.y\" = \"1\" } 1\n", 1),
        UNIT("plain{\"x\"=\"1\",\"le\"=\"2\"} 1\n", 2),
        UNIT("{\"plain_count\",x=\"1\"} 1\n", 2),
        UNIT("plain_sum{x=\"1\"} 1\n", 2),
    };
    (void)state;
    check_units(EXPOSITION_TEXT, PROMETHEUS_3_8, UNITS, COUNT(UNITS));
}

static const struct unit OPENMETRICS[] = {
    UNIT("# TYPE c counter\n", 0),
    UNIT("# HELP c text\n", 0),
    UNIT("c_total{a=\"1\"} 1 1600000000.5 # {trace=\"x\\\"y\"} 0.5 1600000000\n", 1),
    UNIT("c_created{a=\"1\"} 1600000000\n", 1),
    UNIT("c_total{a=\"2\"} 1 # {} 1\n", 2),
    UNIT("c_created{a=\"2\"} 1600000000\n", 2),
    UNIT("# TYPE h_seconds histogram\n", 0),
    UNIT("# UNIT h_seconds seconds\n", 0),
    UNIT("h_seconds_bucket{le=\"1.0\"} 1 # {trace=\"{}\"} 0.5\n", 3),
    UNIT("h_seconds_bucket{le=\"+Inf\"} 1\n", 3),
    UNIT("h_seconds_count 1\n", 3),
    UNIT("h_seconds_sum 1\n", 3),
    UNIT("h_seconds_created 1\n", 3),
    UNIT("# TYPE gh gaugehistogram\n", 0),
    UNIT("gh_bucket{x=\"#\",le=\"+Inf\"} 1\n", 4),
    UNIT("gh_gcount{x=\"#\"} 1\n", 4),
    UNIT("gh_gsum{x=\"#\"} 1\n", 4),
    UNIT("# TYPE i info\n", 0),
    UNIT("i_info{v=\"1\"} 1\n", 5),
    UNIT("# TYPE st stateset\n", 0),
    UNIT("st{st=\"a\"} 1\n", 6),
    UNIT("st{st=\"b\"} 0\n", 7),
    UNIT("# TYPE u unknown\n", 0),
    UNIT("u 1\n", 8),
    UNIT("# EOF", 0),
};

static void test_openmetrics(void **state)
{
    static const struct unit END[] = {UNIT("a 1\n", 1), UNIT("# EOF\n", 0)};
    static const struct unit QUOTED[] = {UNIT("{\"a.b_total\",x=\"1\"} 1\n", 1),
                                         UNIT("{x=\"1\",\"a.b_created\"} 1\n", 1), UNIT("# EOF\n", 0)};
    (void)state;
    check_units(EXPOSITION_OPENMETRICS, PROMETHEUS_2, OPENMETRICS, COUNT(OPENMETRICS));
    check_units(EXPOSITION_OPENMETRICS, PROMETHEUS_3_8, OPENMETRICS, COUNT(OPENMETRICS));
    check_units(EXPOSITION_OPENMETRICS, PROMETHEUS_2, END, COUNT(END));
    check_units(EXPOSITION_OPENMETRICS, PROMETHEUS_3_8, END, COUNT(END));
    check_units(EXPOSITION_OPENMETRICS, PROMETHEUS_3_8, QUOTED, COUNT(QUOTED));
    check_units(EXPOSITION_OPENMETRICS, PROMETHEUS_3_8, NULL, 0);
}

/* A line may have line_bytes_max bytes; one more is refused, whatever the split. */
static void test_line_limit(void **state)
{
    struct bytes body, out;
    (void)state;
    bytes_init(&body, 4096);
    bytes_init(&out, 4096);
    bytes_append_str(&body, "a 1\nb{x=\"");
    while (body.len < 4 + 1023 - 4) {
        bytes_append_char(&body, 'y');
    }
    bytes_append_str(&body, "\"} 1\n"); /* 1024 with the line feed */
    for (int over = 0; over < 2; over++) {
        struct part_filter *f = part_filter_new(PROMETHEUS_2, 1024 - (size_t)over);
        for (size_t piece = 1; piece <= body.len; piece += 37) {
            struct errctx err = ERRCTX_INIT;
            int rc = 0;
            bytes_clear(&out);
            part_filter_start(f, EXPOSITION_TEXT, 0, 1, collect, &out);
            for (size_t at = 0; at < body.len && rc == 0; at += piece) {
                size_t n = body.len - at < piece ? body.len - at : piece;
                rc = part_filter_feed(f, body.base + at, n, &err);
            }
            assert_int_equal(rc, over ? ERR_LIMIT : 0);
            if (!over) {
                assert_int_equal(part_filter_finish(f, &err), 0);
                assert_int_equal(out.len, body.len);
            }
        }
        part_filter_free(&f);
    }
    bytes_done(&body);
    bytes_done(&out);
}

/* ---------------------------------------------------------------- protobuf */

static void put_varint(struct bytes *out, uint64_t n)
{
    for (; n > 127; n >>= 7) {
        bytes_append_char(out, (char)((n & 127) | 128));
    }
    bytes_append_char(out, (char)n);
}

static void put(struct bytes *out, unsigned number, struct view content)
{
    put_varint(out, number << 3 | 2);
    put_varint(out, content.len);
    bytes_append_view(out, content);
}

/* A Metric with the label x and, where there is one, le; its value is unique. */
static void put_metric(struct bytes *family, const char *x, const char *le, uint64_t value)
{
    struct bytes pair, metric;
    const char *items[2][2] = {{"x", x}, {"le", le}};
    bytes_init(&pair, 4096);
    bytes_init(&metric, 4096);
    for (size_t i = 0; i < 2 && items[i][1] != NULL; i++) {
        bytes_clear(&pair);
        put(&pair, 2, view_of(items[i][1])); /* value before name: order does not matter */
        put(&pair, 1, view_of(items[i][0]));
        put(&metric, 1, bytes_view(&pair));
    }
    put_varint(&metric, 6 << 3);
    put_varint(&metric, 1700000000000 + value);
    put(family, 4, bytes_view(&metric));
    bytes_done(&pair);
    bytes_done(&metric);
}

/* A family of `count` metrics; name and type in front, or behind when late. */
static void put_family(struct bytes *body, const char *name, unsigned first, unsigned count, bool late)
{
    struct bytes family, head;
    bytes_init(&family, 1 << 20);
    bytes_init(&head, 4096);
    put(&head, 1, view_of(name));
    put(&head, 2, VIEW("help"));
    put_varint(&head, 3 << 3);
    put_varint(&head, 1);
    put(&head, 99, VIEW("unknown"));
    if (!late) {
        bytes_append_view(&family, bytes_view(&head));
    }
    for (unsigned i = 0; i < count; i++) {
        char x[16];
        snprintf(x, sizeof(x), "%u", i / 2);
        put_metric(&family, x, i % 2 != 0 ? "1" : NULL, first + i);
    }
    if (late) {
        bytes_append_view(&family, bytes_view(&head));
    }
    put_varint(body, family.len);
    bytes_append_view(body, bytes_view(&family));
    bytes_done(&family);
    bytes_done(&head);
}

/* Notes which part each metric came out in, by its value; owner has room for all. */
static void check_families(struct view out, unsigned part, int *owner, size_t metric_count)
{
    const unsigned char *p = (const unsigned char *)out.base, *end = p + out.len;
    while (p < end) {
        uint64_t len, metrics = 0;
        struct wire_field f, in;
        bool named = false, typed = false, helped = false;
        int n = wire_varint(p, (size_t)(end - p), &len);
        assert_true(n > 0 && len <= (uint64_t)(end - p - n));
        struct wire_reader r = wire_reader_make(view_make((const char *)p + n, len));
        while (wire_next(&r, &f)) {
            named = named || f.number == 1;
            helped = helped || f.number == 2;
            typed = typed || f.number == 3;
            if (f.number != 4) {
                continue;
            }
            struct wire_reader m = wire_reader_make(f.bytes);
            metrics++;
            while (wire_next(&m, &in)) {
                if (in.number == 6) {
                    uint64_t value = in.value - 1700000000000;
                    assert_true(value < metric_count);
                    assert_int_equal(owner[value], -1);
                    owner[value] = (int)part;
                }
            }
            assert_false(m.bad);
        }
        assert_true(!r.bad && named && typed && helped && metrics > 0);
        p += (size_t)n + len;
    }
}

static void check_protobuf(size_t line_bytes_max, bool late)
{
    enum { METRICS = 1 + 60 + 2 };
    struct bytes body, out;
    struct part_filter *f = part_filter_new(PROMETHEUS_3, line_bytes_max);
    bytes_init(&body, 1 << 20);
    bytes_init(&out, 1 << 20);
    put_family(&body, "one", 0, 1, late);
    put_family(&body, "many", 1, 60, late);
    put_family(&body, "none", 0, 0, late);
    put_family(&body, "two_total", 61, 2, late);
    for (size_t k = 0; k < PARTS_TESTED; k++) {
        int owner[METRICS];
        memset(owner, -1, sizeof(owner));
        for (unsigned part = 0; part < PARTS[k]; part++) {
            part_of(f, EXPOSITION_PROTOBUF, part, PARTS[k], bytes_view(&body), &out);
            check_families(bytes_view(&out), part, owner, METRICS);
        }
        for (size_t i = 0; i < METRICS; i++) {
            assert_true(owner[i] >= 0);
        }
        for (size_t i = 1; i < 61; i += 2) {
            assert_int_equal(owner[i], owner[i + 1]); /* differ in le alone */
        }
    }
    bytes_done(&body);
    bytes_done(&out);
    part_filter_free(&f);
}

static void test_protobuf(void **state)
{
    (void)state;
    check_protobuf(0, false);
    check_protobuf(0, true);
    check_protobuf(256, false); /* "many" does not fit: it comes out in pieces */
}

static void test_protobuf_broken(void **state)
{
    static const struct view BAD[] = {VIEW("\x02"), VIEW("\x02\x22\x05"), VIEW("\xff\xff\xff\xff\xff\x01"),
                                      VIEW("\xff\xff\x03\x0b"), VIEW("\xff\xff\x03\x22\xff\xff\xff\x7f")};
    struct part_filter *f = part_filter_new(PROMETHEUS_3, 1024);
    (void)state;
    for (size_t i = 0; i < COUNT(BAD); i++) {
        struct errctx err = ERRCTX_INIT;
        struct bytes out;
        bytes_init(&out, 4096);
        part_filter_start(f, EXPOSITION_PROTOBUF, 0, 2, collect, &out);
        int rc = part_filter_feed(f, BAD[i].base, BAD[i].len, &err);
        rc = rc == 0 ? part_filter_finish(f, &err) : rc;
        assert_int_equal(rc, ERR_PARSE);
        assert_int_equal(out.len, 0);
        bytes_done(&out);
    }
    part_filter_free(&f);
}

/* ---------------------------------------------------------------- the contract between releases */

static void test_family_names(void **state)
{
    static const char *const CASES[][2] = {
        {"a", "a"},
        {"a_total", "a"},
        {"a_total_sum", "a"},
        {"a_bucket", "a"},
        {"a_count_bucket", "a"},
        {"_total", "_total"},
        {"_sum_total", "_sum"},
        {"", ""},
        {"atotal", "atotal"},
        {"a_gcount", "a"},
        {"a_info_x", "a_info_x"},
        {"a_created", "a"},
        {"a_gsum", "a"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(CASES); i++) {
        struct view got = part_family_name(view_of(CASES[i][0]));
        assert_true(view_is(got, CASES[i][1]));
    }
}

/* These numbers are shared by sidecars of different releases. */
static void test_numbers(void **state)
{
    (void)state;
    assert_true(part_hash_name(VIEW("http_requests_total")) == xxh64("http_requests", 13, 0));
    assert_true(part_hash_label(VIEW("code=\"200")) == xxh64("code=\"200", 9, 1));
    uint64_t hash = part_hash_name(VIEW("http_requests_total")) + part_hash_label(VIEW("code=\"200"));
    assert_int_equal(part_pick(hash, 63), 26);
    assert_int_equal(part_pick(hash, 26), 0);
    /* those of other implementations of the jump hash */
    assert_int_equal(part_pick(1, 1), 0);
    assert_int_equal(part_pick(42, 57), 43);
    assert_int_equal(part_pick(0xdead10cc, 666), 361);
    assert_int_equal(part_pick(256, 1024), 520);
}

/* Parts are alike in size, and one part more takes from the others without mixing them. */
static void test_pick(void **state)
{
    enum { KEYS = 20000 };
    (void)state;
    for (unsigned parts = 1; parts < 64; parts++) {
        unsigned count[64] = {0}, moved = 0;
        for (unsigned i = 0; i < KEYS; i++) {
            uint64_t hash = xxh64(&i, sizeof(i), 0);
            unsigned part = part_pick(hash, parts), next = part_pick(hash, parts + 1);
            assert_true(part < parts);
            count[part]++;
            moved += next != part;
            assert_true(next == part || next == parts);
        }
        for (unsigned part = 0; part < parts; part++) {
            assert_true(count[part] > KEYS / parts / 2 && count[part] < KEYS / parts * 2);
        }
        assert_true(moved > KEYS / (parts + 1) / 2 && moved < KEYS / (parts + 1) * 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_text_end),
        cmocka_unit_test(test_quoted_names),
        cmocka_unit_test(test_openmetrics),
        cmocka_unit_test(test_line_limit),
        cmocka_unit_test(test_protobuf),
        cmocka_unit_test(test_protobuf_broken),
        cmocka_unit_test(test_family_names),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_pick),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
