/* Durations and sizes: the tables are Prometheus 2.42's answers (promtool) and Go's. */
#include "base/duration.h"
#include "base_test.h"

#define DAY INT64_C(86400000)

static void test_prometheus_good(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
        const char *printed;
    } TABLE[] = {
        {"0", 0, "0s"},           {"0s", 0, "0s"},           {"1ms", 1, "1ms"},       {"15s", 15000, "15s"},
        {"90s", 90000, "1m30s"},  {"1m30s", 90000, "1m30s"}, {"36h", DAY * 3 / 2, "1d12h"},
        {"7d", 7 * DAY, "1w"},    {"8d", 8 * DAY, "8d"},     {"1w", 7 * DAY, "1w"},   {"365d", 365 * DAY, "1y"},
        {"1y", 365 * DAY, "1y"},  {"2w", 14 * DAY, "2w"},    {"1h30m", 5400000, "1h30m"},
        {"1d2h3m4s5ms", DAY + 7200000 + 180000 + 4005, "1d2h3m4s5ms"},
        {"1y2w3d", (365 + 14 + 3) * DAY, "382d"},            {"010s", 10000, "10s"},
        {"9223372036s", INT64_C(9223372036000), "106751d23h47m16s"},
    };
    for (size_t i = 0; i < sizeof(TABLE) / sizeof(TABLE[0]); i++) {
        char buf[DURATION_TEXT_MAX];
        int64_t ms = -1;
        assert_int_equal(duration_parse_prometheus(view_of(TABLE[i].text), &ms, NULL), 0);
        assert_int_equal(ms, TABLE[i].ms);
        assert_string_equal(duration_format_prometheus(ms, buf), TABLE[i].printed);
    }
}

static void test_prometheus_bad(void **state)
{
    (void)state;
    static const char *const TABLE[] = {"",    "15",   "1.5s", "30s1m", "-1s", "+1s", " 1s", "1s ", "1S", "1m1m",
                                        "1 s", "s",    "1x",   "00",    "1ms1s", "300y", "99999999999999999999s",
                                        "1us", "0x1s", "1h-1m"};
    for (size_t i = 0; i < sizeof(TABLE) / sizeof(TABLE[0]); i++) {
        struct errctx err = ERRCTX_INIT;
        int64_t ms = 42;
        assert_int_equal(duration_parse_prometheus(view_of(TABLE[i]), &ms, &err), ERR_PARSE);
        assert_int_equal(ms, 42); /* untouched */
        assert_true(err.msg[0] != '\0');
    }
}

static void test_go(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } GOOD[] = {{"0", 0},        {"10s", 10000},     {"1h30m", 5400000}, {"1.5s", 1500},   {"300ms", 300}, {"30s1m",
        90000},
                {".5s", 500},    {"1.h", 3600000},   {"0.4ms", 0},       {"0.6ms", 1},     {"1d", DAY},    {"1w",
                    7 * DAY}};
    static const char *const BAD[] = {"", "10", "s", "1..5s", ".", ".s", "1s2", "1 s", "-1s", "1e3s", "9e9y", "300y",
        "1hh"};
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
        int64_t ms = -1;
        assert_int_equal(duration_parse_go(view_of(GOOD[i].text), &ms, NULL), 0);
        assert_int_equal(ms, GOOD[i].ms);
    }
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        int64_t ms = 42;
        assert_int_equal(duration_parse_go(view_of(BAD[i]), &ms, NULL), ERR_PARSE);
        assert_int_equal(ms, 42);
    }
}

/* A view has no NUL behind it. */
static void test_views_end_where_they_end(void **state)
{
    (void)state;
    int64_t ms;
    uint64_t size;
    assert_int_equal(duration_parse_prometheus(view_make("10s5", 3), &ms, NULL), 0);
    assert_int_equal(ms, 10000);
    assert_int_equal(duration_parse_go(view_make("10ms", 3), &ms, NULL), 0);
    assert_int_equal(ms, 600000);
    assert_int_equal(size_parse(view_make("10KBB", 4), &size, NULL), 0);
    assert_int_equal(size, 10240);
}

static void test_size(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } GOOD[] = {{"0B", 0},        {"1B", 1},           {"1KB", 1024},      {"1KiB", 1024},
                {"10MB", 10485760}, {"1.5GB", 1610612736}, {"1KB512B", 1536}, {".5KB", 512},
                {"1.KB", 1024},   {"7EB", UINT64_C(7) << 60}, {"2TiB", UINT64_C(2) << 40}, {"010PB",
                    UINT64_C(10) << 50}};
    static const char *const BAD[] = {"", "100", "kb", "10Mi", "10mb", "10 MB", "-1KB", "8EB", "99999999999999999999B",
                                      "B", ".B", "1KB5", "1ZB", "1MBx"};
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
        uint64_t bytes = 1234567;
        assert_int_equal(size_parse(view_of(GOOD[i].text), &bytes, NULL), 0);
        assert_int_equal(bytes, GOOD[i].bytes);
    }
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        uint64_t bytes = 42;
        assert_int_equal(size_parse(view_of(BAD[i]), &bytes, NULL), ERR_PARSE);
        assert_int_equal(bytes, 42);
    }
}

static void test_size_prints_and_reads_back(void **state)
{
    (void)state;
    static const uint64_t SIZES[] = {0, 1, 1023, 1024, 1536, 1048576, UINT64_C(5) << 40, (UINT64_C(1) << 60) + 1};
    char buf[DURATION_TEXT_MAX];
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
        uint64_t back;
        assert_int_equal(size_parse(view_of(size_format(SIZES[i], buf)), &back, NULL), 0);
        assert_int_equal(back, SIZES[i]);
    }
    assert_string_equal(size_format(64 << 20, buf), "64MB");
    assert_string_equal(duration_format_prometheus(-5, buf), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prometheus_good), cmocka_unit_test(test_prometheus_bad), cmocka_unit_test(test_go),
        cmocka_unit_test(test_views_end_where_they_end), cmocka_unit_test(test_size),
        cmocka_unit_test(test_size_prints_and_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
