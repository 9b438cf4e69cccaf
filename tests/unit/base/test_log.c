/* Log lines, read back from where stderr points. */
#include "base/log.h"
#include "base_test.h"

#include <fcntl.h>
#include <jansson.h>
#include <unistd.h>

static int saved_stderr = -1, capture_fd = -1;

static void capture_begin(void)
{
    char path[] = "log_capture_XXXXXX";
    capture_fd = mkstemp(path);
    assert_true(capture_fd >= 0);
    unlink(path);
    saved_stderr = dup(STDERR_FILENO);
    dup2(capture_fd, STDERR_FILENO);
}

/* What was logged since capture_begin. */
static char *capture_end(void)
{
    static char text[65536];
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    ssize_t n = pread(capture_fd, text, sizeof(text) - 1, 0);
    close(capture_fd);
    assert_true(n >= 0);
    text[n] = '\0';
    return text;
}

/* The line without its time stamp, which is checked for its form only. */
static const char *after_stamp(const char *line)
{
    assert_memory_equal(line, "ts=20", 5);
    assert_int_equal(line[strlen("ts=2026-01-02T03:04:05.678")], 'Z');
    return line + strlen("ts=2026-01-02T03:04:05.678Z ");
}

static void test_logfmt(void **state)
{
    (void)state;
    struct logctx outer = {NULL, "component", "proxy"}, inner = {&outer, "shard", "prom-3"};
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT, false);
    capture_begin();
    log_warn(&inner, "scrape", "err", "timed out after 5 ms", "job", "<all>", "next", "", "none", (const char *)NULL,
             "n", log_num(-7), "path", "a\\b", "line", "x\ny");
    char *text = capture_end();
    assert_string_equal(after_stamp(text),
        "level=warn component=proxy shard=prom-3 op=scrape err=\"timed out after 5 ms\" "
                                           "job=<all> next=\"\" n=-7 path=\"a\\\\b\" line=\"x\\ny\"\n");
}

static void test_levels_and_priorities(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_WARN, LOG_FORMAT_LOGFMT, true);
    capture_begin();
    log_debug(NULL, "no");
    log_info(NULL, "no");
    log_warn(NULL, "w");
    log_error(NULL, "e");
    char *text = capture_end();
    assert_memory_equal(text, "<4>ts=", 6);
    char *second = strchr(text, '\n') + 1;
    assert_memory_equal(second, "<3>ts=", 6);
    assert_contains(second, " level=error op=e\n");
    assert_null(strstr(text, "op=no"));
    assert_int_equal(strlen(strchr(second, '\n')), 1);
}

static void test_json(void **state)
{
    (void)state;
    struct logctx ctx = {NULL, "shard", "a\"b"};
    log_setup(LOG_LEVEL_DEBUG, LOG_FORMAT_JSON, false);
    capture_begin();
    log_debug(&ctx, "read", "err", "bad \xff byte");
    json_t *doc = json_loads(capture_end(), 0, NULL);
    assert_non_null(doc);
    assert_string_equal(json_string_value(json_object_get(doc, "level")), "debug");
    assert_string_equal(json_string_value(json_object_get(doc, "shard")), "a\"b");
    assert_string_equal(json_string_value(json_object_get(doc, "op")), "read");
    assert_string_equal(json_string_value(json_object_get(doc, "err")), "bad \xef\xbf\xbd byte");
    json_decref(doc);
}

/* However long its values are, a line ends, is JSON, and keeps its first pairs. */
static void test_long_lines_stay_whole(void **state)
{
    (void)state;
    char *big = mem_alloc(6001);
    memset(big, 'x', 6000);
    big[6000] = '\0';
    for (int fmt = 0; fmt < 2; fmt++) {
        log_setup(LOG_LEVEL_INFO, fmt == 0 ? LOG_FORMAT_JSON : LOG_FORMAT_LOGFMT, false);
        capture_begin();
        log_info(NULL, "big", "a", big, "b", big, "c", big, "d", big, "e", big, "f", "small");
        char *text = capture_end();
        assert_int_equal(text[strlen(text) - 1], '\n');
        assert_true(strlen(text) <= 16384);
        assert_contains(text, "big");
        if (fmt == 0) {
            json_t *doc = json_loads(text, 0, NULL);
            assert_non_null(doc);
            assert_int_equal(json_string_length(json_object_get(doc, "a")), 4096);
            assert_null(json_object_get(doc, "e"));
            json_decref(doc);
        } else {
            assert_int_equal(text[strlen(text) - 2], '"');
        }
    }
    free(big);
}

static void test_limit(void **state)
{
    (void)state;
    struct log_limit limit = {0};
    uint64_t suppressed = 99;
    assert_true(log_limit_pass(&limit, 1000, 500, &suppressed));
    assert_int_equal(suppressed, 0);
    assert_false(log_limit_pass(&limit, 1001, 500, &suppressed));
    assert_false(log_limit_pass(&limit, 1499, 500, NULL));
    assert_true(log_limit_pass(&limit, 1500, 500, &suppressed));
    assert_int_equal(suppressed, 2);
    assert_true(log_limit_pass(&limit, 5000, 500, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logfmt), cmocka_unit_test(test_levels_and_priorities), cmocka_unit_test(test_json),
        cmocka_unit_test(test_long_lines_stay_whole), cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
