/* A remote shard against a scripted HTTP client and a clock of its own: what is asked when, what is pushed in which
 * order and how often, what proves a move, what a Go sidecar's answers mean, and what bad answers cost. */
#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/intern.h"
#include "base/mem.h"
#include "model/wire.h"
#include "shard/remote.h"

#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------------------------- the scripted HTTP client
 */

struct http_call {
    char url[256], header[64];
    char *body;
    bool post, open;
    http_done_fn *done;
    void *data;
};

static struct http_call calls[512];
static size_t call_count;

struct http_call *http_client_send(struct http_client *c, const struct http_request *req, http_done_fn *on_done,
                                   void *data)
{
    assert_null(c);
    assert_true(req->timeout_ms > 0);
    assert_true(req->answer_bytes_max > 0);
    assert_true(call_count < 512);
    struct http_call *call = &calls[call_count++];
    snprintf(call->url, sizeof(call->url), "%s", req->url);
    snprintf(call->header, sizeof(call->header), "%s", req->headers[1] != NULL ? req->headers[1] : "");
    call->post = req->method != NULL && strcmp(req->method, "POST") == 0;
    call->body = mem_dup(req->body.base != NULL ? req->body.base : "", req->body.len);
    call->open = true;
    call->done = on_done;
    call->data = data;
    return call;
}

void http_call_cancel(struct http_call *call)
{
    assert_true(call->open);
    call->open = false;
}

static struct http_call *open_call(void)
{
    struct http_call *found = NULL;
    for (size_t i = 0; i < call_count; i++) {
        if (calls[i].open) {
            assert_null(found); /* one at a time */
            found = &calls[i];
        }
    }
    return found;
}

static bool ends_with(const char *text, const char *tail)
{
    size_t len = strlen(text), n = strlen(tail);
    return len >= n && strcmp(text + len - n, tail) == 0;
}

/* The call under way is this one. */
static struct http_call *expect(const char *method, const char *path)
{
    struct http_call *call = open_call();
    assert_non_null(call);
    if (!ends_with(call->url, path)) {
        assert_string_equal(call->url, path);
    }
    assert_int_equal(call->post, strcmp(method, "POST") == 0);
    return call;
}

static void respond(struct http_call *call, int status, const char *body)
{
    struct http_answer a = {.status = status, .body = view_of(body)};
    if (status == 0) {
        (void)errctx_set(&a.err, ERR_TIMEOUT, "%s", body);
        a.body = VIEW("");
    }
    call->open = false;
    call->done(call->data, &a);
}

static void data(struct http_call *call, const char *json)
{
    char *body = mem_printf("{\"status\":\"success\",\"data\":%s}", json);
    respond(call, 200, body);
    free(body);
}

/* ------------------------------------------------------------------------------------------------------------ the
 * world */

#define INFO    "/api/v1/shard/runtimeinfo/"
#define FULL    "/api/v1/shard/targets/?full=true"
#define STATUS  "/api/v1/shard/targets/status/"
#define EXTRA   "/api/v1/status/extra_config/"
#define CONFIG  "/api/v1/status/config/"
#define TARGETS "/api/v1/shard/targets/"
#define BUILD   "/api/v1/status/buildinfo"

static const char YAML[] = "scrape_configs: [{job_name: a, static_configs: [{targets: ['h:1']}]}]\n";

static struct world {
    struct remote_lanes *lanes;
    struct shard *shard;
    struct promconf *conf;
    struct target *targets[3];
    int64_t now_ms;
    unsigned changes, news, conflicts;
    char conflict[200], stopped[64];
} w;

static int64_t now(void *unused)
{
    (void)unused;
    return w.now_ms;
}

static void on_status(void *unused, struct shard *s, const struct target *t, const struct target_status *st)
{
    (void)unused, (void)s, (void)t, (void)st;
    w.news++;
}

static void on_change(void *unused, struct shard *s)
{
    (void)unused, (void)s;
    w.changes++;
}

static void on_conflict(void *unused, struct shard *s, const char *message)
{
    (void)unused, (void)s;
    w.conflicts++;
    snprintf(w.conflict, sizeof(w.conflict), "%s", message);
}

static void on_stopped(void *unused, struct shard *s, const char *reason)
{
    (void)unused, (void)s;
    snprintf(w.stopped, sizeof(w.stopped), "%s", reason);
}

static size_t find(void *unused, uint64_t hash, const struct target **ret, size_t max)
{
    (void)unused;
    size_t count = 0;
    for (size_t i = 0; i < 3 && count < max; i++) {
        if (w.targets[i]->hash == hash) {
            ret[count++] = w.targets[i];
        }
    }
    return count;
}

static struct target *make_target(uint64_t hash)
{
    const struct label labels[] = {{VIEW("__address__"), VIEW("h:1")}, {VIEW("__scheme__"), VIEW("http")}};
    return target_new_with_hash(intern("a"), hash, labels_make(labels, 2), "http://h:1/metrics", 10000, 5000);
}

static void make_shard(bool ask_version)
{
    const struct remote_env env = {.lanes = w.lanes,
                                   .poll_ms = 10000,
                                   .ask_version = ask_version,
                                   .find = find,
                                   .on_status = on_status,
                                   .on_change = on_change,
                                   .on_conflict = on_conflict,
                                   .on_stopped = on_stopped,
                                   .now_ms = now};
    w.shard = remote_shard_new(&env, intern("s-0"), intern(""), 0, intern("http://s0"));
}

static int setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof(w));
    call_count = 0;
    w.now_ms = 1000000;
    assert_int_equal(promconf_parse("/x/prometheus.yml", view_of(YAML), NULL, &w.conf, NULL), 0);
    w.targets[0] = make_target(1);
    w.targets[1] = make_target(UINT64_C(18446744073709551615));
    w.targets[2] = make_target(3);
    w.lanes = remote_lanes_new(2);
    make_shard(false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    w.shard->ops->free(w.shard);
    remote_lanes_free(&w.lanes);
    for (size_t i = 0; i < 3; i++) {
        target_unref(w.targets[i]);
    }
    promconf_unref(w.conf);
    for (size_t i = 0; i < call_count; i++) {
        free(calls[i].body);
    }
    return 0;
}

static void pass(int64_t ms)
{
    w.now_ms += ms;
    remote_shard_tick(w.shard);
}

static const struct shard_info *info(void)
{
    return w.shard->ops->info(w.shard);
}

#define STATUS_JSON(hash, health, times, good)                                                                         \
    "\"" hash                                                                                                          \
    "\":{\"lastError\":\"\",\"lastScrape\":\"2026-01-02T03:04:05Z\",\"lastScrapeDuration\":0.1,\"health\":\"" health   \
    "\",\"series\":10,\"totalSeries\":11,\"TargetState\":\"\",\"ScrapeTimes\":" #times good "}"

static void read_ours(const char *runtime, const char *full, const char *statuses)
{
    data(expect("GET", INFO), runtime);
    if (full != NULL) {
        data(expect("GET", FULL), full);
    }
    data(expect("GET", STATUS), statuses);
    if (open_call() != NULL && ends_with(open_call()->url, EXTRA)) {
        data(expect("GET", EXTRA), "{\"json\":\"{}\"}");
    }
}

static void assign(const int *which, size_t count, uint64_t generation, uint64_t epoch)
{
    struct assignment items[3];
    for (size_t i = 0; i < count; i++) {
        items[i] = (struct assignment){w.targets[which[i]], ASSIGNMENT_ASSIGNED, 5};
    }
    w.shard->ops->set_assignment(w.shard, items, count, generation, epoch);
}

static uint32_t good_of(int which)
{
    const struct target_status *s = w.shard->ops->status(w.shard, w.targets[which]->job, w.targets[which]->hash);
    return s != NULL ? s->good_scrapes : UINT32_MAX;
}

static char *hash_of_conf(const char *rest)
{
    return mem_printf("{\"ConfigHash\":\"%s\",%s}", w.conf->hash, rest);
}

/* --------------------------------------------------------------------------------------------------------------- tests
 */

/* It is read whole before anything is known of it, and nothing is pushed before a wish. */
static void test_first_reading(void **state)
{
    (void)state;
    size_t count;
    w.shard->ops->set_config(w.shard, w.conf, 1);
    data(expect("GET", INFO), "{\"ConfigHash\":\"x\",\"generation\":7,\"epoch\":4}");
    assert_int_equal(info()->last_seen_ms, 0);
    assert_int_equal(info()->health, SHARD_HEALTH_UNKNOWN);
    data(expect("GET", FULL), "{\"Targets\":{\"b\":[{\"hash\":9,\"labels\":{\"__address__\":\"h:9\"}}]}}");
    data(expect("GET", STATUS), "{" STATUS_JSON("9", "up", 8, ",\"goodScrapes\":6") "}");
    data(expect("GET", EXTRA), "{\"json\":\"{\\\"stopScrapeReason\\\":\\\"lunch\\\"}\"}");
    assert_string_equal(w.stopped, "lunch");
    assert_true(info()->last_seen_ms > 0);
    assert_int_equal(info()->health, SHARD_HEALTH_READY);
    assert_int_equal(info()->generation, 7);
    assert_int_equal(w.changes, 1);
    const struct assignment *items = w.shard->ops->assignment(w.shard, &count);
    assert_int_equal(count, 1);
    assert_int_equal(items[0].target->hash, 9);
    const struct target_status *s = w.shard->ops->status(w.shard, intern("b"), 9);
    assert_int_equal(s->good_scrapes, 6);
    assert_int_equal(s->series, 10);
    assert_null(open_call());
    pass(9000);
    assert_null(open_call());
    pass(1000);
    expect("GET", INFO);
}

static void read_and_expect_version(void)
{
    read_ours("{}", NULL, "{}");
    (void)expect("GET", BUILD);
}

/* Asked for at the end of a reading, through the shard: at first, until there is an answer, every six readings, and
 * after it was away. What is said there is never a reason to mistrust the rest. */
static void test_version(void **state)
{
    (void)state;
    w.shard->ops->free(w.shard);
    make_shard(true);
    read_ours("{}", "{\"Targets\":{}}", "{}");
    assert_int_equal(info()->health, SHARD_HEALTH_UNKNOWN);
    respond(expect("GET", BUILD), 502, "Prometheus is not up");
    assert_int_equal(info()->health, SHARD_HEALTH_READY);
    assert_string_equal(info()->error, "");
    assert_false(info()->version_answered);
    pass(10000);
    unsigned changes = w.changes;
    read_and_expect_version();
    data(expect("GET", BUILD), "{\"version\":\"2.53.3+ds1\",\"goVersion\":\"go1.19\"}");
    assert_string_equal(info()->prometheus_version, "2.53.3+ds1");
    assert_true(info()->version_answered);
    assert_int_equal(w.changes, changes + 1);
    for (int i = 0; i < 5; i++) {
        pass(10000);
        read_ours("{}", NULL, "{}");
        assert_null(open_call());
        assert_string_equal(info()->prometheus_version, "2.53.3+ds1");
    }
    pass(10000);
    read_and_expect_version();
    data(expect("GET", BUILD), "{\"version\":\"2.53.3+ds1\"}");
    assert_int_equal(w.changes, changes + 1); /* no news */
    pass(10000);
    respond(expect("GET", INFO), 0, "refused");
    pass(1000);
    read_and_expect_version();
    data(expect("GET", BUILD), "{\"version\":\"3.5.0\"}");
    assert_string_equal(info()->prometheus_version, "3.5.0");
    assert_int_equal(w.changes, changes + 2);
}

/* An agent has no such path; a text that is no version, or longer than any, is none. */
static void test_version_of_others(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
    } ROWS[] = {{404, "no such path"},
                {400, "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"unsupported path\"}"},
                {200, "{\"status\":\"success\",\"data\":{}}"},
                {200, "{\"status\":\"success\",\"data\":[]}"},
                {200, "{\"status\":\"success\",\"data\":{\"version\":5}}"},
                {200, "{\"status\":\"success\",\"data\":{\"version\":\"2.42.0+0123456789012345678901234567890\"}}"}};
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        w.shard->ops->free(w.shard);
        make_shard(true);
        read_ours("{}", "{\"Targets\":{}}", "{}");
        respond(expect("GET", BUILD), ROWS[i].status, ROWS[i].body);
        assert_true(info()->version_answered);
        assert_string_equal(info()->prometheus_version, "");
        assert_int_equal(info()->health, SHARD_HEALTH_READY);
        assert_null(open_call());
    }
}

/* A configuration that was taken and lost before it could be seen is sent again, and holds up no targets meanwhile. */
static void test_configuration_lost_at_once(void **state)
{
    (void)state;
    w.shard->ops->set_config(w.shard, w.conf, 1);
    read_ours("{\"generation\":0,\"ConfigHash\":\"\"}", "{\"Targets\":{}}", "{}");
    assign((const int[]){0}, 1, 5, 3);
    respond(expect("POST", CONFIG), 200, "{\"status\":\"success\"}");
    respond(expect("POST", TARGETS), 200, "{\"status\":\"success\"}");
    const char *empty = "{\"generation\":5,\"configGeneration\":1,\"epoch\":3,\"ConfigHash\":\"\"}";
    pass(500);
    read_ours(empty, NULL, "{}");
    assign((const int[]){0, 1}, 2, 6, 3);
    respond(expect("POST", TARGETS), 200, "{\"status\":\"success\"}");
    for (int64_t waited_ms = 0; open_call() == NULL || !ends_with(open_call()->url, CONFIG); waited_ms += 1000) {
        assert_true(waited_ms < 60000);
        if (open_call() != NULL && ends_with(open_call()->url, INFO)) {
            read_ours(empty, NULL, "{}");
        } else if (open_call() != NULL) {
            respond(open_call(), 200, "{\"status\":\"success\"}");
        }
        pass(1000);
    }
    respond(expect("POST", CONFIG), 200, "{\"status\":\"success\"}");
    assert_string_equal(info()->error, "");
}

/* Configuration before targets; the fencing header; a status before the acknowledgement proves nothing. */
static void test_push_and_proof(void **state)
{
    (void)state;
    w.shard->ops->set_config(w.shard, w.conf, 1);
    read_ours("{\"generation\":0,\"ConfigHash\":\"\"}", "{\"Targets\":{}}", "{}");
    assign((const int[]){0, 1}, 2, 5, 3);
    struct http_call *config = expect("POST", CONFIG);
    assert_non_null(strstr(config->body, "\"rawContent\":\"scrape_configs"));
    assert_string_equal(config->header, "X-Kvass-Epoch: 3");
    respond(config, 200, "{\"status\":\"success\"}");
    struct http_call *push = expect("POST", TARGETS);
    assert_non_null(strstr(push->body, "\"hash\":18446744073709551615"));
    assert_non_null(strstr(push->body, "\"generation\":5,\"epoch\":3"));
    respond(push, 200, "{\"status\":\"success\"}");
    assert_null(open_call());
    pass(500);
    char *still_old = hash_of_conf("\"generation\":4,\"configGeneration\":1,\"epoch\":3");
    read_ours(still_old, NULL, "{" STATUS_JSON("1", "up", 99, ",\"goodScrapes\":99") "}");
    free(still_old);
    assert_int_equal(good_of(0), UINT32_MAX); /* of the assignment before */
    pass(1000);
    char *written = hash_of_conf("\"generation\":5,\"configGeneration\":1,\"epoch\":3");
    read_ours(written, NULL,
              "{" STATUS_JSON("1", "up", 2, ",\"goodScrapes\":2") "," STATUS_JSON("18446744073709551615", "down", 2,
                                                                                  ",\"goodScrapes\":0") "}");
    assert_int_equal(good_of(0), 2);
    assert_int_equal(good_of(1), 0);
    /* settled: readings only */
    for (int i = 0; i < 5; i++) {
        pass(10000);
        read_ours(written, NULL,
                  "{" STATUS_JSON("1", "up", 3, ",\"goodScrapes\":3") "," STATUS_JSON("18446744073709551615", "up", 3,
                                                                                      ",\"goodScrapes\":1") "}");
        assert_null(open_call());
    }
    free(written);
    assert_string_equal(info()->error, "");
}

/* Taken away and given back between two readings: what it told before the push is of the time before. */
static void test_given_back_proves_itself_anew(void **state)
{
    (void)state;
    read_ours("{\"generation\":1}", "{\"Targets\":{\"a\":[{\"hash\":1,\"labels\":{}}]}}",
              "{" STATUS_JSON("1", "up", 50, ",\"goodScrapes\":50") "}");
    assign((const int[]){0}, 1, 2, 1);
    respond(expect("POST", TARGETS), 200, "{\"status\":\"success\"}");
    assert_int_equal(good_of(0), 50); /* it goes on as it was */
    assign(NULL, 0, 3, 1);
    respond(expect("POST", TARGETS), 200, "{\"status\":\"success\"}");
    assign((const int[]){0}, 1, 4, 1);
    respond(expect("POST", TARGETS), 200, "{\"status\":\"success\"}");
    assert_int_equal(good_of(0), UINT32_MAX);
    pass(500);
    read_ours("{\"generation\":3}", NULL, "{" STATUS_JSON("1", "up", 51, ",\"goodScrapes\":51") "}");
    assert_int_equal(good_of(0), UINT32_MAX);
    pass(1000);
    read_ours("{\"generation\":4}", NULL, "{" STATUS_JSON("1", "up", 1, ",\"goodScrapes\":1") "}");
    assert_int_equal(good_of(0), 1);
}

/* A Go sidecar: hashes only, no generations, a ConfigHash of its own that is learnt after our push. */
static void test_go_sidecar(void **state)
{
    (void)state;
    size_t count;
    w.shard->ops->set_config(w.shard, w.conf, 1);
    data(expect("GET", INFO), "{\"headSeries\":5,\"processSeries\":6,\"ConfigHash\":\"111\"}");
    data(expect("GET", FULL), "{" STATUS_JSON("3", "up", 7, "") "," STATUS_JSON("77", "up", 7, "") "}");
    data(expect("GET", EXTRA), "{\"json\":\"{}\"}");
    const struct assignment *items = w.shard->ops->assignment(w.shard, &count);
    assert_int_equal(count, 1); /* 77 is nobody's */
    assert_ptr_equal(items[0].target, w.targets[2]);
    assert_int_equal(good_of(2), 7);
    assign((const int[]){2}, 1, 1, 9);
    respond(expect("POST", CONFIG), 200, "{\"status\":\"success\"}");
    respond(expect("POST", TARGETS), 200, "{\"status\":\"success\"}"); /* 77 has to go */
    pass(500);
    data(expect("GET", INFO), "{\"ConfigHash\":\"222\"}");
    data(expect("GET", STATUS), "{" STATUS_JSON("3", "up", 8, "") "}");
    pass(10000);
    data(expect("GET", INFO), "{\"ConfigHash\":\"222\"}");
    data(expect("GET", STATUS), "{" STATUS_JSON("3", "up", 9, "") "}");
    assert_null(open_call());
    assign((const int[]){2}, 1, 2, 9); /* nothing new: it is spared a reload */
    assert_null(open_call());
    pass(10000);
    data(expect("GET", INFO), "{\"ConfigHash\":\"333\"}"); /* somebody else's configuration */
    data(expect("GET", STATUS), "{" STATUS_JSON("3", "down", 10, "") "}");
    expect("POST", CONFIG);
    assert_int_equal(good_of(2), 0); /* down proves nothing */
}

/* It reads a file of its own: what it runs is accepted. */
static void test_config_refused(void **state)
{
    (void)state;
    w.shard->ops->set_config(w.shard, w.conf, 1);
    read_ours("{\"generation\":1,\"ConfigHash\":\"other\"}", "{\"Targets\":{}}", "{}");
    assign(NULL, 0, 2, 1);
    respond(expect("POST", CONFIG), 400, "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"file\"}");
    respond(expect("POST", TARGETS), 200, "{\"status\":\"success\"}");
    pass(500);
    read_ours("{\"generation\":2,\"ConfigHash\":\"other\"}", NULL, "{}");
    assert_null(open_call());
    assert_non_null(strstr(info()->error, "does not take our configuration"));
}

static void test_conflict_ends_writing(void **state)
{
    (void)state;
    read_ours("{\"generation\":1}", "{\"Targets\":{}}", "{}");
    assign((const int[]){0}, 1, 2, 4);
    respond(expect("POST", TARGETS), 409,
            "{\"status\":\"error\",\"errorType\":\"conflict\",\"error\":\"epoch 4 is older than 6\"}");
    assert_int_equal(w.conflicts, 1);
    assert_non_null(strstr(w.conflict, "epoch 4 is older than 6"));
    for (int i = 0; i < 4; i++) {
        pass(10000);
        read_ours("{\"generation\":1,\"epoch\":6}", NULL, "{}");
        assert_null(open_call());
    }
}

/* The reading shows it as well, before anything is refused. */
static void test_larger_epoch_seen(void **state)
{
    (void)state;
    read_ours("{\"generation\":1}", "{\"Targets\":{}}", "{}");
    assign((const int[]){0}, 1, 2, 4);
    respond(expect("POST", TARGETS), 200, "{\"status\":\"success\"}");
    pass(500);
    read_ours("{\"generation\":9,\"epoch\":5}", NULL, "{}");
    assert_int_equal(w.conflicts, 1);
    assert_null(open_call());
}

/* One missed reading is not death; a failing shard is asked ever more rarely, and nothing is pushed to it. */
static void test_silence(void **state)
{
    (void)state;
    read_ours("{\"generation\":1}", "{\"Targets\":{}}", "{}");
    int64_t seen = info()->last_seen_ms;
    assign((const int[]){0}, 1, 2, 1);
    respond(expect("POST", TARGETS), 200, "{\"status\":\"success\"}");
    pass(500);
    respond(expect("GET", INFO), 0, "timed out");
    assert_int_equal(info()->health, SHARD_HEALTH_READY);
    assert_non_null(strstr(info()->error, "runtimeinfo: timed out"));
    assign((const int[]){0, 1}, 2, 3, 1);
    assert_null(open_call());
    pass(1000);
    respond(expect("GET", INFO), 0, "timed out");
    assert_int_equal(info()->health, SHARD_HEALTH_UNREACHABLE);
    assert_int_equal(w.changes, 2);
    assert_int_equal(info()->last_seen_ms, seen);
    pass(1000);
    assert_null(open_call());
    pass(1000);
    respond(expect("GET", INFO), 0, "timed out");
    pass(3999);
    assert_null(open_call());
    pass(1);
    data(expect("GET", INFO), "{\"generation\":2}");
    data(expect("GET", STATUS), "{" STATUS_JSON("1", "up", 2, ",\"goodScrapes\":2") "}");
    assert_int_equal(info()->health, SHARD_HEALTH_READY);
    assert_int_equal(w.changes, 3);
    expect("POST", TARGETS); /* what was wished meanwhile */
}

/* Bad answers change nothing that is known. */
static void test_bad_answers(void **state)
{
    (void)state;
    static const char *const BODIES[] = {"",
                                         "nonsense",
                                         "{}",
                                         "[]",
                                         "{\"status\":\"success\",\"data\":5}",
                                         "{\"status\":\"success\",\"data\":{\"generation\":-1}}",
                                         "{\"status\":\"error\",\"errorType\":\"internal\",\"error\":\"no\"}",
                                         "{\"status\":\"success\",\"data\":{\"health\":\"mad\"}}"};
    static const char *const STATUSES[] = {
        "{\"status\":\"success\",\"data\":[1]}", "{\"status\":\"success\",\"data\":{\"x\":{}}}",
        "{\"status\":\"success\",\"data\":{\"-1\":{}}}", "{\"status\":\"success\",\"data\":{\"1\":{\"health\":4}}}"};
    size_t count;
    read_ours("{\"generation\":1,\"headSeries\":42}", "{\"Targets\":{\"a\":[{\"hash\":1,\"labels\":{}}]}}",
              "{" STATUS_JSON("1", "up", 5, ",\"goodScrapes\":5") "}");
    for (size_t i = 0; i < sizeof(BODIES) / sizeof(BODIES[0]); i++) {
        pass(30000);
        respond(expect("GET", INFO), 200, BODIES[i]);
        assert_true(info()->error[0] != '\0');
        assert_int_equal(info()->head_series, 42);
        assert_null(open_call());
    }
    for (size_t i = 0; i < sizeof(STATUSES) / sizeof(STATUSES[0]); i++) {
        pass(30000);
        data(expect("GET", INFO), "{\"generation\":1,\"headSeries\":42}");
        respond(expect("GET", STATUS), 200, STATUSES[i]);
        w.shard->ops->assignment(w.shard, &count);
        assert_int_equal(count, 1);
        assert_int_equal(good_of(0), 5);
        if (open_call() != NULL) {
            respond(open_call(), 503, "no");
        }
    }
}

/* It lost what it had acknowledged: pushed again, not at every reading. */
static void test_forgotten_is_pushed_again(void **state)
{
    (void)state;
    read_ours("{\"generation\":1}", "{\"Targets\":{}}", "{}");
    assign((const int[]){0}, 1, 2, 1);
    respond(expect("POST", TARGETS), 200, "{\"status\":\"success\"}");
    pass(500);
    read_ours("{\"generation\":2}", NULL, "{" STATUS_JSON("1", "up", 1, ",\"goodScrapes\":1") "}");
    unsigned pushes = 0;
    for (int i = 0; i < 12; i++) {
        pass(10000);
        for (int k = 0; k < 2; k++) { /* before or after the reading */
            if (open_call() != NULL && open_call()->post) {
                respond(expect("POST", TARGETS), 200, "{\"status\":\"success\"}");
                pushes++;
            } else if (open_call() != NULL) {
                read_ours("{\"generation\":2}", NULL, "{}");
            }
        }
    }
    assert_in_range(pushes, 2, 5);
}

static void test_stop_reason(void **state)
{
    (void)state;
    read_ours("{\"generation\":1}", "{\"Targets\":{}}", "{}");
    assign(NULL, 0, 2, 1);
    respond(expect("POST", TARGETS), 200, "{\"status\":\"success\"}");
    remote_shard_set_stop_reason(w.shard, "fire");
    struct http_call *call = expect("POST", EXTRA);
    assert_string_equal(call->body, "{\"stopScrapeReason\":\"fire\"}");
    respond(call, 200, "{\"status\":\"success\"}");
    pass(70000);
    data(expect("GET", INFO), "{\"generation\":2}");
    data(expect("GET", STATUS), "{}");
    data(expect("GET", EXTRA), "{\"json\":\"{}\"}"); /* it forgot */
    expect("POST", EXTRA);
}

/* After the lock is lost nothing is pushed any more. */
static void test_drop_wish(void **state)
{
    (void)state;
    read_ours("{\"generation\":1}", "{\"Targets\":{}}", "{}");
    assign((const int[]){0}, 1, 2, 1);
    expect("POST", TARGETS);
    w.shard->ops->drop_wish(w.shard);
    expect("GET", INFO);
    read_ours("{\"generation\":1}", NULL, "{}");
    assert_null(open_call());
    w.shard->ops->set_config(w.shard, w.conf, 2);
    assert_null(open_call());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first_reading, setup, teardown),
        cmocka_unit_test_setup_teardown(test_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_version_of_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_configuration_lost_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_push_and_proof, setup, teardown),
        cmocka_unit_test_setup_teardown(test_given_back_proves_itself_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(test_go_sidecar, setup, teardown),
        cmocka_unit_test_setup_teardown(test_config_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_conflict_ends_writing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_larger_epoch_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forgotten_is_pushed_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_reason, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drop_wish, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
