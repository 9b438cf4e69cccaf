/* Answers in words: every form of error body, the codes to branch on, URLs and texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "k8s/client_priv.h"

#include <stdlib.h>
#include <string.h>

struct row {
    int status;
    const char *body;
    int code;
    const char *message, *reason;
    bool expired;
};

static const struct row ROWS[] = {
    {409, "{\"kind\":\"Status\",\"reason\":\"Conflict\",\"message\":\"the object has been modified\",\"code\":409}", ERR_CONFLICT,
     "patch pods n/a: 409 Conflict: the object has been modified", "Conflict", false},
    {429, "Too many requests, please try again later.\n", ERR_UNAVAILABLE,
     "patch pods n/a: 429 Too Many Requests: Too many requests, please try again later.", "", false},
    {502, "<html>\r\n<head><TITLE>502 Bad\nGateway</title></head><body>nginx</body></html>", ERR_UNAVAILABLE,
     "patch pods n/a: 502 Bad Gateway (a web page, not an API server's answer): 502 Bad Gateway", "", false},
    {503, "", ERR_UNAVAILABLE, "patch pods n/a: 503 Service Unavailable", "", false},
    {403, "{\"kind\":\"Status\",\"reason\":\"Forbidden\",\"message\":\"pods is\\u0007 forbidden\"}", ERR_UNAUTHORIZED,
     "patch pods n/a: 403 Forbidden: pods is forbidden", "Forbidden", false},
    {401, "{\"kind\":\"Status\",\"reason\":\"Unauthorized\"}", ERR_UNAUTHORIZED, "patch pods n/a: 401 Unauthorized", "Unauthorized", false},
    {404, "{\"kind\":\"Status\",\"reason\":\"NotFound\",\"message\":\"x\"}", ERR_NOT_FOUND, "patch pods n/a: 404 NotFound: x", "NotFound", false},
    {410, "{\"kind\":\"Status\",\"reason\":\"Expired\",\"message\":\"too old\"}", ERR_CONFLICT, "patch pods n/a: 410 Expired: too old", "Expired",
     true},
    {410, "gone", ERR_CONFLICT, "patch pods n/a: 410 Gone: gone", "", true},
    {504, "{\"kind\":\"Status\",\"reason\":\"Timeout\",\"message\":\"m\",\"details\":{\"causes\":[{\"reason\":\"ResourceVersionTooLarge\"}]}}",
     ERR_TIMEOUT, "patch pods n/a: 504 ResourceVersionTooLarge: m", "ResourceVersionTooLarge", true},
    {504, "", ERR_TIMEOUT, "patch pods n/a: 504 Timeout", "", false},
    {422, "{\"kind\":\"Status\",\"reason\":\"Invalid\",\"message\":\"bad\"}", ERR_INVALID, "patch pods n/a: 422 Invalid: bad", "Invalid", false},
    {413, "{}", ERR_LIMIT, "patch pods n/a: 413 Request Entity Too Large: {}", "", false},
    {200, "[]", ERR_PARSE, "patch pods n/a: the answer is no JSON object: it is a value of another kind", "", false},
    {418, "{\"kind\":\"Pot\"}", ERR_INVALID, "patch pods n/a: 418 unexpected status: {\"kind\":\"Pot\"}", "", false},
};

static void test_errors_in_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct k8s_judged j;
        const struct http_answer http = {.status = ROWS[i].status};
        k8s_judge(&http, view_of(ROWS[i].body), "patch pods n/a", true, &j);
        assert_string_equal(j.answer.err.msg, ROWS[i].message);
        assert_int_equal(j.answer.err.code, ROWS[i].code);
        assert_string_equal(j.answer.reason, ROWS[i].reason);
        assert_int_equal(k8s_is_expired(&j.answer), ROWS[i].expired);
        assert_null(j.answer.object);
        k8s_judged_done(&j);
    }
}

static void test_long_messages_are_cut(void **state)
{
    (void)state;
    char body[5000];
    struct k8s_judged j;
    const struct http_answer http = {.status = 500};
    memset(body, 'x', sizeof(body));
    k8s_judge(&http, view_make(body, sizeof(body)), "get pods", true, &j);
    assert_in_range(strlen(j.answer.err.msg), 300, 400);
    k8s_judged_done(&j);
}

static void test_good_answers(void **state)
{
    (void)state;
    struct k8s_judged j;
    const struct http_answer http = {.status = 201, .retry_after_ms = 0};
    k8s_judge(&http, VIEW("{\"spec\":{},\"metadata\":{\"resourceVersion\":\"5\"}}"), "create pods n/a", true, &j);
    assert_int_equal(j.answer.err.code, 0);
    assert_int_equal(k8s_json_int(j.answer.object, "spec.replicas", 0), 0);
    assert_string_equal(k8s_json_str(j.answer.object, "metadata.resourceVersion"), "5");
    assert_string_equal(k8s_json_str(j.answer.object, "metadata.none.deeper"), "");
    k8s_judged_done(&j);
}

static void test_retry_after(void **state)
{
    (void)state;
    struct k8s_judged j;
    struct http_answer http = {.status = 429, .retry_after_ms = 2000};
    k8s_judge(&http, VIEW(""), "get pods", true, &j);
    assert_int_equal(j.answer.retry_after_ms, 2000);
    k8s_judged_done(&j);
    http.retry_after_ms = 0;
    k8s_judge(&http, VIEW("{\"kind\":\"Status\",\"details\":{\"retryAfterSeconds\":3}}"), "get pods", true, &j);
    assert_int_equal(j.answer.retry_after_ms, 3000);
    k8s_judged_done(&j);
    http.retry_after_ms = INT64_MAX;
    k8s_judge(&http, VIEW("{\"kind\":\"Status\",\"details\":{\"retryAfterSeconds\":99999999999}}"), "get pods", true, &j);
    assert_in_range(j.answer.retry_after_ms, 1, 3600 * 1000);
    k8s_judged_done(&j);
}

static void test_a_status_in_an_event(void **state)
{
    (void)state;
    struct k8s_judged j;
    json_t *status = json_loads("{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\",\"message\":\"too old\"}", 0, NULL);
    k8s_judge_status(status, "watch pods", &j);
    assert_int_equal(j.answer.status, 410);
    assert_true(k8s_is_expired(&j.answer));
    assert_string_equal(j.answer.err.msg, "watch pods: 410 Expired: too old");
    json_decref(status);
    status = json_loads("{\"code\":-1}", 0, NULL);
    k8s_judge_status(status, "watch pods", &j);
    assert_int_equal(j.answer.status, 500);
    json_decref(status);
}

static void test_texts(void **state)
{
    (void)state;
    static const struct {
        const struct k8s_resource *resource;
        const char *namespace, *name, *sub, *url, *what;
    } rows[] = {
        {&K8S_PODS, NULL, NULL, NULL, "https://h/p/api/v1/pods", "get pods"},
        {&K8S_PODS, "n", NULL, NULL, "https://h/p/api/v1/namespaces/n/pods", "get pods in n"},
        {&K8S_STATEFULSETS, "n", "a", "scale", "https://h/p/apis/apps/v1/namespaces/n/statefulsets/a/scale",
         "get statefulsets.apps/scale n/a"},
        {&K8S_NODES, "", "../x?y", "", "https://h/p/api/v1/nodes/..%2Fx%3Fy", "get nodes ../x?y"},
    };
    struct k8s_client c = {.url = (char[]){"https://h/p"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *url = k8s_url(&c, rows[i].resource, rows[i].namespace, rows[i].name, rows[i].sub);
        char *what = k8s_what("get", rows[i].resource, rows[i].namespace, rows[i].name, rows[i].sub);
        assert_string_equal(url, rows[i].url);
        assert_string_equal(what, rows[i].what);
        free(url);
        free(what);
    }
    struct bytes url;
    bytes_init(&url, 1000);
    bytes_append_str(&url, "u");
    k8s_query_add(&url, "labelSelector", "a=b,c in (d)");
    k8s_query_add(&url, "empty", "");
    k8s_query_add(&url, "limit", "5");
    assert_string_equal(url.base, "u?labelSelector=a%3Db%2Cc%20in%20%28d%29&limit=5");
    bytes_done(&url);
}

static void test_times(void **state)
{
    (void)state;
    char text[K8S_MICROTIME_MAX];
    k8s_microtime(1767323045678, text);
    assert_string_equal(text, "2026-01-02T03:04:05.678000Z");
    for (unsigned i = 0; i < 100; i++) {
        assert_in_range(k8s_backoff_ms(0, 800, 30000), 800, 1600);
        assert_in_range(k8s_backoff_ms(2, 800, 30000), 3200, 6400);
        assert_in_range(k8s_backoff_ms(60, 800, 30000), 30000, 60000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_in_words), cmocka_unit_test(test_long_messages_are_cut), cmocka_unit_test(test_good_answers),
        cmocka_unit_test(test_retry_after),     cmocka_unit_test(test_a_status_in_an_event),  cmocka_unit_test(test_texts),
        cmocka_unit_test(test_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
