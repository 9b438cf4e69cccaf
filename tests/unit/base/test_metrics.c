/* The metrics registry. With an argument it prints the page instead, for promtool to judge (tests/integration). */
#include "base/metrics.h"
#include "base_test.h"

#include <math.h>
#include <pthread.h>

/* Any row of a kind with that many labels; METRIC_COUNT when the table has none. */
static enum metric_id find_metric(enum metric_kind kind, bool labelled)
{
    for (int id = 0; id < METRIC_COUNT; id++) {
        const struct metric_info *info = metric_info((enum metric_id)id);
        if (info->kind == kind && (info->labels[0] != '\0') == labelled && id != METRIC_BUILD_INFO) {
            return (enum metric_id)id;
        }
    }
    return METRIC_COUNT;
}

static char *page(void)
{
    struct bytes out;
    bytes_init(&out, 64 << 20);
    metrics_write(&out);
    assert_int_equal(bytes_check(&out, NULL), 0);
    return bytes_take(&out, NULL);
}

static struct metric_cell *cell_with(enum metric_id id, const char *value)
{
    return metric_cell(id, value, value, value, value); /* more than the row names is not read */
}

static void test_process_and_build(void **state)
{
    (void)state;
    char *text = page();
    assert_contains(text, "# TYPE kvass_build_info gauge\nkvass_build_info{version=\"" PACKAGE_VERSION "\"} 1\n");
    assert_contains(text, "\nprocess_resident_memory_bytes ");
    assert_contains(text, "\nprocess_open_fds ");
    assert_contains(text, "\nprocess_cpu_seconds_total ");
    free(text);
}

static void test_same_labels_same_cell(void **state)
{
    (void)state;
    struct metric_cell *a = metric_cell(METRIC_BUILD_INFO, "x"), *b = metric_cell(METRIC_BUILD_INFO, "y");
    assert_ptr_equal(a, metric_cell(METRIC_BUILD_INFO, "x"));
    assert_ptr_not_equal(a, b);
    metric_cell_set(a, 2.5);
    metric_cell_add(a, 1);
    assert_true(metric_cell_get(a) == 3.5);
    metric_forget(METRIC_BUILD_INFO);
    char *text = page();
    assert_null(strstr(text, "version=\"x\""));
    free(text);
}

static void test_values_and_escapes(void **state)
{
    (void)state;
    metric_set(METRIC_BUILD_INFO, (double)NAN, "nan");
    metric_set(METRIC_BUILD_INFO, -(double)INFINITY, "inf");
    metric_set(METRIC_BUILD_INFO, 0.1, "a\\b\"c\nd");
    metric_set(METRIC_BUILD_INFO, 12345678901234.0, "bad \xff\xc3\xa9");
    metric_set(METRIC_BUILD_INFO, 1, (const char *)NULL);
    char *text = page();
    assert_contains(text, "{version=\"nan\"} NaN\n");
    assert_contains(text, "{version=\"inf\"} -Inf\n");
    assert_contains(text, "{version=\"a\\\\b\\\"c\\nd\"} 0.10000000000000001\n");
    assert_contains(text, "{version=\"bad \xef\xbf\xbd\xc3\xa9\"} 12345678901234\n");
    assert_contains(text, "{version=\"\"} 1\n");
    free(text);
    metric_forget(METRIC_BUILD_INFO);
}

static void test_series_are_bounded(void **state)
{
    (void)state;
    char *huge = mem_alloc(5001);
    memset(huge, 'x', 5000);
    huge[5000] = '\0';
    for (int i = 0; i < METRIC_SERIES_MAX + 50; i++) {
        char name[32];
        snprintf(name, sizeof(name), "v%d", i);
        metric_add(METRIC_BUILD_INFO, 1, name);
    }
    metric_add(METRIC_BUILD_INFO, 1, huge);
    assert_true(metric_cell_get(metric_cell(METRIC_BUILD_INFO, "other")) == 51);
    metric_forget(METRIC_BUILD_INFO);
    free(huge);
}

#define THREADS   4
#define ADDITIONS 20000

static void *add_many(void *data)
{
    (void)data;
    struct metric_cell *cell = metric_cell(METRIC_BUILD_INFO, "threads");
    for (int i = 0; i < ADDITIONS; i++) {
        metric_cell_add(cell, 1);
    }
    return NULL;
}

static void test_threads_lose_nothing(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_true(metric_cell_get(metric_cell(METRIC_BUILD_INFO, "threads")) == THREADS * ADDITIONS);
    metric_forget(METRIC_BUILD_INFO);
}

/* A metric without labels is there from the start; a labelled one once it has a series. */
static void test_absent_series(void **state)
{
    (void)state;
    char *text = page();
    enum metric_id bare = find_metric(METRIC_KIND_COUNTER, false), labelled = find_metric(METRIC_KIND_COUNTER, true);
    if (bare != METRIC_COUNT) {
        char *line = mem_printf("\n%s 0\n", metric_info(bare)->name);
        assert_contains(text, line);
        free(line);
    }
    if (labelled != METRIC_COUNT) {
        assert_null(strstr(text, metric_info(labelled)->name));
    }
    free(text);
}

static void test_histogram(void **state)
{
    (void)state;
    enum metric_id id = find_metric(METRIC_KIND_HISTOGRAM, true);
    if (id == METRIC_COUNT) {
        id = find_metric(METRIC_KIND_HISTOGRAM, false);
    }
    if (id == METRIC_COUNT) {
        skip();
    }
    struct metric_cell *cell = cell_with(id, "t");
    metric_cell_observe(cell, 0.001); /* bounds are inclusive */
    metric_cell_observe(cell, 0.3);
    metric_cell_observe(cell, 1000);
    char *text = page();
    const char *name = metric_info(id)->name;
    char *count = mem_printf("%s_count", name), *sum = mem_printf("%s_sum", name);
    assert_contains(strstr(text, count), " 3\n");
    assert_contains(strstr(text, sum), " 1000.301");
    assert_contains(text, "le=\"0.001\"} 1\n");
    assert_contains(text, "le=\"0.1\"} 1\n");
    assert_contains(text, "le=\"0.5\"} 2\n");
    assert_contains(text, "le=\"10\"} 2\n");
    assert_contains(text, "le=\"+Inf\"} 3\n");
    free(count);
    free(sum);
    free(text);
}

static void test_rows_are_sorted_and_distinct(void **state)
{
    (void)state;
    for (int id = 1; id < METRIC_COUNT; id++) {
        const char *before = metric_info((enum metric_id)(id - 1))->name, *name = metric_info((enum metric_id)id)->name;
        if (strcmp(before, name) >= 0) {
            fail_msg("%s stands behind %s", name, before);
        }
    }
}

static void print_full_page(void)
{
    for (int i = 0; i < METRIC_COUNT; i++) {
        enum metric_id id = (enum metric_id)i;
        struct metric_cell *cell = cell_with(id, "a \"quoted\\\nvalue\xff");
        if (metric_info(id)->kind == METRIC_KIND_HISTOGRAM) {
            metric_cell_observe(cell, 0.2);
        } else {
            metric_cell_add(cell, 1.5);
        }
    }
    char *text = page();
    fputs(text, stdout);
    free(text);
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        print_full_page();
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_absent_series), /* first: before any series exists */
        cmocka_unit_test(test_process_and_build),
        cmocka_unit_test(test_same_labels_same_cell),
        cmocka_unit_test(test_values_and_escapes),
        cmocka_unit_test(test_series_are_bounded),
        cmocka_unit_test(test_threads_lose_nothing),
        cmocka_unit_test(test_histogram),
        cmocka_unit_test(test_rows_are_sorted_and_distinct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
