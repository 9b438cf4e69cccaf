/* A local shard against a Prometheus and a clock that are scripted here: order of files and proxy table, proof of reloads, what
 * leaves and when, health and head figures, and trouble with the disk. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/files.h"
#include "base/intern.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "shard/local.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------- the scripted HTTP client */

struct http_call {
    char url[256];
    bool post, open;
    http_done_fn *done;
    void *data;
};

static struct http_call calls[256];
static size_t call_count;

struct http_call *http_client_send(struct http_client *c, const struct http_request *req, http_done_fn *on_done, void *data)
{
    assert_null(c);
    assert_true(req->timeout_ms > 0);
    assert_true(call_count < 256);
    struct http_call *call = &calls[call_count++];
    snprintf(call->url, sizeof(call->url), "%s", req->url);
    call->post = req->method != NULL && strcmp(req->method, "POST") == 0;
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

static struct http_call *open_call(const char *path)
{
    for (size_t i = 0; i < call_count; i++) {
        size_t len = strlen(calls[i].url), tail = strlen(path);
        if (calls[i].open && len >= tail && strcmp(calls[i].url + len - tail, path) == 0) {
            return &calls[i];
        }
    }
    return NULL;
}

static void answer(const char *path, int status, const char *body)
{
    struct http_call *call = open_call(path);
    struct http_answer a = {.status = status, .body = view_of(body)};
    assert_non_null(call);
    if (status == 0) {
        (void)errctx_set(&a.err, ERR_UNAVAILABLE, "%s", body);
        a.body = VIEW("");
    }
    call->open = false;
    call->done(call->data, &a);
}

static size_t count_calls(const char *path)
{
    size_t n = 0;
    for (size_t i = 0; i < call_count; i++) {
        n += strstr(calls[i].url, path) != NULL;
    }
    return n;
}

/* ------------------------------------------------------------------------------------------------------------ the world */

#define TSDB      "/api/v1/status/tsdb"
#define RELOAD    "/-/reload"
#define TSDB_BODY "{\"status\":\"success\",\"data\":{\"headStats\":{\"numSeries\":4321,\"minTime\":9223372036854775807}}}"

static const char TWO_JOBS[] = "global: {scrape_interval: 10s}\n"
                               "scrape_configs:\n"
                               "  - {job_name: a, static_configs: [{targets: ['h:1']}]}\n"
                               "  - {job_name: b, static_configs: [{targets: ['h:2']}]}\n";
static const char ONE_JOB[] = "global: {scrape_interval: 10s}\n"
                              "scrape_configs:\n"
                              "  - {job_name: a, static_configs: [{targets: ['h:1']}]}\n";

static struct world {
    char folder[PATH_MAX];
    struct loop *loop;
    struct shard *shard;
    struct promconf *two, *one;
    int64_t now_ms;
    size_t published;
    const char *must_lack; /* at publish time the target file of job a may not hold this yet */
    size_t published_count;
} w;

static char *path_of(const char *name)
{
    return mem_printf("%s/s/%s", w.folder, name);
}

static bool file_contains(const char *name, const char *text)
{
    struct bytes b;
    char *path = path_of(name);
    bytes_init(&b, 1 << 20);
    bool yes = files_read(path, &b, NULL) == 0 && b.len != 0 && memmem(b.base, b.len, text, strlen(text)) != NULL;
    bytes_done(&b);
    free(path);
    return yes;
}

static bool file_exists(const char *name)
{
    char *path = path_of(name);
    bool yes = access(path, F_OK) == 0;
    free(path);
    return yes;
}

static void on_publish(void *data)
{
    (void)data;
    w.published++;
    w.shard->ops->assignment(w.shard, &w.published_count);
    if (w.must_lack != NULL) {
        assert_false(file_contains("targets/a.json", w.must_lack));
    }
}

static int64_t fake_now(void *data)
{
    (void)data;
    return w.now_ms;
}

static struct promconf *parse(const char *text)
{
    struct promconf *conf = NULL;
    struct errctx err = ERRCTX_INIT;
    const struct promconf_options opts = {.major = PROMETHEUS_2};
    if (promconf_parse("prometheus.yml", view_of(text), &opts, &conf, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    return conf;
}

static void make_shard_for(enum target_form form, enum render_server server)
{
    const struct local_env env = {.loop = w.loop,
                                  .proxy_url = "http://127.0.0.1:8008",
                                  .form = form,
                                  .gid = (gid_t)-1,
                                  .server = server,
                                  .publish = on_publish,
                                  .now_ms = fake_now};
    char *dir = mem_printf("%s/s", w.folder);
    w.shard = local_shard_new(&env, "shard-0", "", 0, dir, "http://127.0.0.1:9");
    free(dir);
}

static void make_shard(enum target_form form)
{
    make_shard_for(form, RENDER_PROMETHEUS);
}

static int setup_form(enum target_form form)
{
    char name[] = "test_local.XXXXXX";
    memset(&w, 0, sizeof(w));
    memset(calls, 0, sizeof(calls));
    call_count = 0;
    if (mkdtemp(name) == NULL || realpath(name, w.folder) == NULL) {
        return -1;
    }
    w.now_ms = 1000000;
    w.loop = loop_new();
    w.two = parse(TWO_JOBS);
    w.one = parse(ONE_JOB);
    make_shard(form);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    return setup_form(TARGET_FORM_FILE);
}

static int setup_static(void **state)
{
    (void)state;
    return setup_form(TARGET_FORM_STATIC);
}

static int teardown(void **state)
{
    (void)state;
    w.shard->ops->free(w.shard);
    loop_free(&w.loop);
    promconf_unref(w.two);
    promconf_unref(w.one);
    return files_remove_tree(w.folder, NULL);
}

static void pass(int64_t ms)
{
    w.now_ms += ms;
    local_shard_tick(w.shard);
}

static struct target *make_target(const char *job, unsigned n)
{
    char address[32], url[64];
    snprintf(address, sizeof(address), "host%u:80", n);
    snprintf(url, sizeof(url), "http://%s/metrics", address);
    const struct label items[] = {{VIEW("__address__"), view_of(address)}, {VIEW("__scheme__"), VIEW("http")},
                                  {VIEW("__metrics_path__"), VIEW("/metrics")}, {VIEW("instance"), view_of(address)},
                                  {VIEW("job"), view_of(job)}};
    return target_new(intern(job), labels_make(items, 5), NULL, url, 10000, 10000, 10000, 10000);
}

/* Assigns hosts [from, to) of job a, and one of b when asked. */
static void assign(unsigned from, unsigned to, bool with_b, uint64_t generation)
{
    struct assignment items[16] = {0};
    size_t n = 0;
    for (unsigned i = from; i < to; i++) {
        items[n++] = (struct assignment){.target = make_target("a", i)};
    }
    if (with_b) {
        items[n++] = (struct assignment){.target = make_target("b", 99)};
    }
    w.shard->ops->set_assignment(w.shard, items, n, generation, 0);
    for (size_t i = 0; i < n; i++) {
        target_unref(items[i].target);
    }
}

static const struct shard_info *info(void)
{
    return w.shard->ops->info(w.shard);
}

/* Configured, assigned host0 and b's, reloaded, read once. */
static void settle(void)
{
    w.shard->ops->set_config(w.shard, w.two, 1);
    assign(0, 1, true, 1);
    pass(1000);
    answer(RELOAD, 200, "");
    answer(TSDB, 200, TSDB_BODY);
}

static const struct assignment *find(const char *job, unsigned n)
{
    size_t count;
    struct target *t = make_target(job, n);
    const struct assignment *items = w.shard->ops->assignment(w.shard, &count), *found = NULL;
    for (size_t i = 0; i < count; i++) {
        found = items[i].target->job == t->job && items[i].target->hash == t->hash ? &items[i] : found;
    }
    target_unref(t);
    return found;
}

static void scrape(const char *job, unsigned n, int64_t started_ms, bool up, uint64_t series)
{
    struct target *t = make_target(job, n);
    struct scrape_record r = {.shard = intern("shard-0"), .job = t->job, .hash = t->hash, .started_ms = started_ms,
                              .scraped = series + 1, .series = series, .health = up ? TARGET_HEALTH_UP : TARGET_HEALTH_DOWN};
    local_shard_record(w.shard, &r);
    target_unref(t);
}

static const struct target_status *status(const char *job, unsigned n)
{
    struct target *t = make_target(job, n);
    const struct target_status *s = w.shard->ops->status(w.shard, t->job, t->hash);
    target_unref(t);
    return s;
}

/* ------------------------------------------------------------------------------------------------------------- the tests */

static void test_writes_nothing_before_it_knows(void **unused)
{
    (void)unused;
    struct errctx err = ERRCTX_INIT;
    assert_int_equal(local_shard_prepare(w.shard, &err), ERR_AGAIN);
    w.shard->ops->set_config(w.shard, w.two, 1);
    assert_int_equal(local_shard_prepare(w.shard, NULL), ERR_AGAIN);
    assert_false(file_exists("prometheus.yml"));
    assert_false(file_exists("targets/a.json"));
    assign(0, 0, false, 1);
    assert_int_equal(local_shard_prepare(w.shard, NULL), 0);
    assert_true(file_contains("prometheus.yml", "http://127.0.0.1:8008"));
    assert_true(file_contains("targets/a.json", "[]"));
    assert_true(info()->idle_since_ms != 0);
}

static void test_adding_publishes_first(void **unused)
{
    (void)unused;
    struct stat st;
    settle();
    assert_int_equal(info()->idle_since_ms, 0);
    w.must_lack = "host1:80";
    w.published = 0;
    assign(0, 2, true, 2);
    assert_int_equal(w.published, 1);
    assert_int_equal(w.published_count, 3);
    assert_true(file_contains("targets/a.json", "host1:80"));
    assert_true(file_contains("targets/a.json", "_shard"));
    assert_int_equal(info()->generation, 2); /* a list needs no reload */
    assert_int_equal(count_calls(RELOAD), 1);
    char *path = path_of("targets/a.json");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    free(path);
}

static ino_t inode(const char *name)
{
    struct stat st = {0};
    char *path = path_of(name);
    assert_int_equal(stat(path, &st), 0);
    free(path);
    return st.st_ino;
}

static void test_settled_touches_nothing(void **unused)
{
    (void)unused;
    settle();
    ino_t config = inode("prometheus.yml"), a = inode("targets/a.json"), b = inode("targets/b.json");
    size_t reloads = count_calls(RELOAD);
    w.published = 0;
    for (uint64_t round = 2; round < 6; round++) {
        w.shard->ops->set_config(w.shard, w.two, 1);
        assign(0, 1, true, round);
        pass(1000);
    }
    assert_int_equal(local_shard_prepare(w.shard, NULL), 0);
    assert_int_equal(info()->generation, 5);
    assert_int_equal(w.published, 0);
    assert_int_equal(count_calls(RELOAD), reloads);
    assert_true(inode("prometheus.yml") == config && inode("targets/a.json") == a && inode("targets/b.json") == b);
    /* one list changes: the other file stays */
    assign(0, 2, true, 6);
    assert_true(inode("targets/a.json") != a && inode("targets/b.json") == b && inode("prometheus.yml") == config);
}

static void test_removing_serves_for_a_while(void **unused)
{
    (void)unused;
    settle();
    assign(0, 3, true, 2);
    w.published = 0;
    assign(0, 1, true, 3);
    assert_false(file_contains("targets/a.json", "host2:80"));
    assert_int_equal(w.published, 0);
    assert_int_equal(find("a", 2)->state, ASSIGNMENT_LEAVING);
    pass(30000 + 2 * 10000 - 1);
    assert_non_null(find("a", 2));
    assert_int_equal(w.published, 0);
    pass(1);
    assert_null(find("a", 2));
    assert_int_equal(w.published, 1);
    assert_int_equal(w.published_count, 2);
    assert_non_null(find("a", 0));
}

static void test_coming_back_while_leaving(void **unused)
{
    (void)unused;
    settle();
    scrape("a", 0, timebase_realtime_ms(), true, 100);
    assert_int_equal(status("a", 0)->good_scrapes, 1);
    assign(0, 0, true, 2);
    assert_int_equal(find("a", 0)->state, ASSIGNMENT_LEAVING);
    pass(20000);
    int64_t before_ms = timebase_realtime_ms() - 1;
    assign(0, 1, true, 3);
    assert_int_equal(find("a", 0)->state, ASSIGNMENT_ASSIGNED);
    assert_true(file_contains("targets/a.json", "host0:80"));
    assert_int_equal(status("a", 0)->good_scrapes, 0);
    assert_true(status("a", 0)->series == 100);
    scrape("a", 0, before_ms, true, 100); /* began before the write: proves nothing */
    assert_int_equal(status("a", 0)->scrapes, 0);
    scrape("a", 0, timebase_realtime_ms(), true, 100);
    assert_int_equal(status("a", 0)->scrapes, 1);
    pass(100000);
    assert_non_null(find("a", 0));
}

static void test_transfer_is_no_change_of_files(void **unused)
{
    (void)unused;
    settle();
    ino_t a = inode("targets/a.json");
    w.published = 0;
    struct assignment items[] = {{.target = make_target("a", 0), .state = ASSIGNMENT_IN_TRANSFER}, {.target = make_target("b", 99)}};
    w.shard->ops->set_assignment(w.shard, items, 2, 2, 0);
    assert_int_equal(find("a", 0)->state, ASSIGNMENT_IN_TRANSFER);
    assert_true(inode("targets/a.json") == a);
    assert_int_equal(w.published, 0);
    target_unref(items[0].target);
    target_unref(items[1].target);
}

static void test_another_url_of_a_target_reaches_the_proxy(void **unused)
{
    (void)unused;
    settle();
    struct target *t = make_target("a", 0);
    struct assignment changed = {.target = target_new_with_hash(t->job, t->hash, labels_ref(t->labels),
                                                                "http://host0:80/metrics?x=1", 10000, 10000)};
    size_t before = w.published;
    w.shard->ops->set_assignment(w.shard, &changed, 1, 2, 0);
    assert_int_equal(w.published, before + 1);
    assert_string_equal(find("a", 0)->target->url, "http://host0:80/metrics?x=1");
    target_unref(changed.target);
    target_unref(t);
}

static void test_files_elsewhere(void **unused)
{
    (void)unused;
    w.shard->ops->free(w.shard);
    char *out = path_of("out.yml"), *pending = mem_printf("%s/owed", w.folder), *dir = mem_printf("%s/s", w.folder);
    const struct local_env env = {.loop = w.loop, .proxy_url = "http://127.0.0.1:8008", .gid = (gid_t)-1, .publish = on_publish,
                                  .now_ms = fake_now, .config_path = out, .pending_path = pending};
    w.shard = local_shard_new(&env, "shard-0", "", 0, dir, "http://127.0.0.1:9");
    w.shard->ops->set_config(w.shard, w.two, 1);
    assign(0, 1, false, 1);
    assert_true(file_contains("out.yml", "/s/targets/a.json") && file_contains("targets/a.json", "host0:80"));
    assert_false(file_exists("prometheus.yml") || file_exists("reload.pending"));
    assert_int_equal(access(pending, F_OK), 0);
    pass(0);
    answer(RELOAD, 403, "Lifecycle API is not enabled.");
    assert_non_null(strstr(info()->error, "start Prometheus with --web.enable-lifecycle"));
    pass(1000);
    answer(RELOAD, 200, "");
    assert_int_not_equal(access(pending, F_OK), 0);
    size_t reloads = count_calls(RELOAD);
    local_shard_refresh(w.shard); /* nothing differs, Prometheus is asked all the same */
    pass(1000);
    assert_int_equal(count_calls(RELOAD), reloads + 1);
    free(out);
    free(pending);
    free(dir);
}

static void test_reload_until_acknowledged(void **unused)
{
    (void)unused;
    w.shard->ops->set_config(w.shard, w.two, 7);
    assign(0, 1, false, 1);
    assert_true(file_exists("reload.pending"));
    pass(0);
    answer(TSDB, 200, TSDB_BODY);
    assert_true(open_call(RELOAD)->post);
    answer(RELOAD, 500, "failed to reload config: one or more errors occurred\nmore");
    assert_int_equal(info()->config_generation, 0);
    assert_int_equal(info()->generation, 0);
    assert_string_equal(info()->error, "reload: HTTP status 500: failed to reload config: one or more errors occurred");
    pass(999);
    assert_null(open_call(RELOAD));
    pass(1);
    answer(RELOAD, 0, "connection refused");
    pass(1999);
    assert_null(open_call(RELOAD));
    pass(1);
    assert_non_null(open_call(RELOAD));
    /* a change while the call is under way: that call proves nothing about it */
    struct promconf *slower = parse("global: {scrape_interval: 20s}\nscrape_configs: [{job_name: a}, {job_name: b}]\n");
    w.shard->ops->set_config(w.shard, slower, 8);
    answer(RELOAD, 200, "");
    assert_int_equal(info()->config_generation, 0);
    assert_true(file_exists("reload.pending"));
    pass(1000);
    answer(RELOAD, 200, "");
    assert_int_equal(info()->config_generation, 8);
    assert_int_equal(info()->generation, 1);
    assert_string_equal(info()->config_hash, slower->hash);
    promconf_unref(slower);
    assert_string_equal(info()->error, "");
    assert_false(file_exists("reload.pending"));
}

static void test_a_reload_owed_from_before_is_made_up(void **unused)
{
    (void)unused;
    settle();
    char *path = path_of("reload.pending");
    assert_int_equal(files_write_atomic(path, VIEW(""), 0640, (gid_t)-1, NULL), 0);
    free(path);
    w.shard->ops->free(w.shard);
    call_count = 0;
    make_shard(TARGET_FORM_FILE);
    w.shard->ops->set_config(w.shard, w.two, 1);
    assign(0, 1, true, 1);
    assert_int_equal(info()->config_generation, 0);
    pass(1000);
    answer(RELOAD, 200, "");
    assert_int_equal(info()->config_generation, 1);
    assert_false(file_exists("reload.pending"));
    /* and without one there is no reload for the same file */
    w.shard->ops->free(w.shard);
    call_count = 0;
    make_shard(TARGET_FORM_FILE);
    w.shard->ops->set_config(w.shard, w.two, 1);
    assign(0, 1, true, 1);
    pass(1000);
    assert_int_equal(count_calls(RELOAD), 0);
    assert_int_equal(info()->config_generation, 1);
}

static void test_trouble_with_the_disk(void **unused)
{
    (void)unused;
    settle();
    assign(0, 2, true, 2);
    char *targets = path_of("targets"), *aside = path_of("aside");
    assert_int_equal(rename(targets, aside), 0);
    assert_int_equal(files_write_atomic(targets, VIEW("in the way"), 0640, (gid_t)-1, NULL), 0);
    assign(0, 1, true, 3);
    assert_int_equal(info()->generation, 2);
    assert_non_null(strstr(info()->error, "targets"));
    /* not written, so Prometheus still scrapes it: it is served for as long as that lasts */
    pass(200000);
    assert_non_null(find("a", 1));
    assert_int_equal(unlink(targets), 0);
    assert_int_equal(rename(aside, targets), 0);
    pass(5000);
    assert_int_equal(info()->generation, 3);
    assert_string_equal(info()->error, "");
    assert_false(file_contains("targets/a.json", "host1:80"));
    pass(49999);
    assert_non_null(find("a", 1));
    pass(1);
    assert_null(find("a", 1));
    free(targets);
    free(aside);
}

static void test_a_job_is_emptied_before_it_goes(void **unused)
{
    (void)unused;
    settle();
    w.shard->ops->set_config(w.shard, w.one, 2);
    assert_true(file_contains("targets/b.json", "[]"));
    assert_true(file_contains("prometheus.yml", "/b.json"));
    assert_int_equal(find("b", 99)->state, ASSIGNMENT_LEAVING);
    assign(0, 1, false, 2);
    if (open_call(RELOAD) == NULL) {
        pass(1000);
    }
    if (open_call(RELOAD) != NULL) {
        answer(RELOAD, 200, "");
    }
    assert_int_equal(info()->config_generation, 2);
    pass(45000);
    assert_true(file_contains("prometheus.yml", "/b.json"));
    pass(6000);
    assert_false(file_contains("prometheus.yml", "/b.json"));
    assert_false(file_exists("targets/b.json"));
    assert_true(file_contains("prometheus.yml", "/a.json"));
    assert_null(find("b", 99));
    pass(1000);
    answer(RELOAD, 200, "");
    assert_int_equal(info()->config_generation, 2);
}

static void test_a_job_that_returns_in_time_stays(void **unused)
{
    (void)unused;
    settle();
    w.shard->ops->set_config(w.shard, w.one, 2);
    assign(0, 1, false, 2);
    w.shard->ops->set_config(w.shard, w.two, 3);
    assign(0, 1, true, 3);
    assert_true(file_contains("targets/b.json", "host99:80"));
    pass(100000);
    assert_true(file_contains("targets/b.json", "host99:80"));
    assert_true(file_contains("prometheus.yml", "/b.json"));
    assert_int_equal(find("b", 99)->state, ASSIGNMENT_ASSIGNED);
}

static void test_records(void **unused)
{
    (void)unused;
    settle();
    int64_t now_ms = timebase_realtime_ms();
    assert_null(status("a", 0));
    scrape("a", 0, now_ms, true, 100);
    scrape("b", 99, now_ms, true, 10);
    scrape("a", 5, now_ms, true, 1000); /* not ours */
    assert_true(status("a", 0)->series == 100 && status("a", 0)->health == TARGET_HEALTH_UP);
    assert_true(info()->process_series == 101 + 11);
    scrape("a", 0, now_ms, false, 0);
    assert_int_equal(status("a", 0)->health, TARGET_HEALTH_DOWN);
    assert_true(info()->process_series == 101 + 11);
    assert_null(status("a", 5));
    assign(0, 1, false, 2);
    pass(60000);
    assert_true(info()->process_series == 101);
}

static void test_head_and_health(void **unused)
{
    (void)unused;
    assert_int_equal(info()->health, SHARD_HEALTH_UNKNOWN);
    pass(0);
    answer(TSDB, 0, "connection refused");
    assert_int_equal(info()->health, SHARD_HEALTH_STARTING);
    pass(1000);
    answer(TSDB, 503, "Service Unavailable");
    assert_int_equal(info()->health, SHARD_HEALTH_STARTING);
    assert_non_null(strstr(info()->error, "503"));
    pass(1000);
    answer(TSDB, 200, TSDB_BODY);
    assert_int_equal(info()->health, SHARD_HEALTH_READY);
    assert_true(info()->head_series == 4321);
    assert_string_equal(info()->error, "");
    assert_true(info()->last_seen_ms > 0);
    /* one reading at a time, however long it takes */
    pass(10000);
    size_t sent = call_count;
    pass(100000);
    assert_int_equal(call_count, sent);
    answer(TSDB, 0, "timed out after 5000 ms");
    assert_int_equal(info()->health, SHARD_HEALTH_UNREACHABLE);
    assert_true(info()->head_series == 4321);
}

static void test_head_from_elsewhere(void **unused)
{
    (void)unused;
    settle();
    scrape("a", 0, timebase_realtime_ms(), true, 55);
    pass(10000);
    answer(TSDB, 404, "not found");
    answer("/metrics", 200, "# TYPE x gauge\nprometheus_tsdb_head_series_created_total 9\nprometheus_tsdb_head_series 1.234e+03\nx 1\n");
    assert_true(info()->head_series == 1234);
    assert_int_equal(info()->health, SHARD_HEALTH_READY);
    pass(10000);
    answer("/metrics", 200, "vm_something 1\n");
    assert_true(info()->head_series == 55);
    pass(10000);
    answer("/-/ready", 200, "");
    assert_true(info()->head_series == 55);
}

static void test_head_of_an_agent(void **unused)
{
    (void)unused;
    settle();
    pass(10000);
    answer(TSDB, 404, "not found");
    answer("/metrics", 200, "prometheus_agent_active_series 77\nprometheus_agent_active_series_x 78\n");
    assert_true(info()->head_series == 77);
}

/* Its answer to a reload comes before it has read the file. */
static void test_vmagent_tells_a_refusal_later(void **unused)
{
    (void)unused;
    w.shard->ops->free(w.shard);
    make_shard_for(TARGET_FORM_FILE, RENDER_VMAGENT);
    w.shard->ops->set_config(w.shard, w.two, 1);
    assign(0, 1, true, 1);
    scrape("a", 0, timebase_realtime_ms(), true, 55);
    pass(1000);
    answer(RELOAD, 200, "");
    answer("/metrics", 200, "vm_promscrape_config_last_reload_successful 0\n");
    assert_non_null(strstr(info()->error, "refuses the file"));
    assert_int_equal(info()->health, SHARD_HEALTH_READY);
    assert_true(info()->head_series == 55);
    pass(10000);
    answer("/metrics", 200, "vm_promscrape_config_last_reload_successful 1\n");
    assert_string_equal(info()->error, "");
    pass(10000);
    answer("/metrics", 200, "up 1\n"); /* 1.79 does not tell */
    assert_string_equal(info()->error, "");
    assert_int_equal(count_calls(TSDB), 0);
}

static void test_nonsense_for_an_answer(void **unused)
{
    (void)unused;
    static const char *const bodies[] = {"", "<html>", "[]", "{\"data\":null}", "{\"data\":{\"headStats\":{\"numSeries\":\"x\"}}}",
                                         "{\"data\":{\"headStats\":{\"numSeries\":-1}}}"};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        pass(10000);
        if (open_call(TSDB) != NULL) {
            answer(TSDB, 200, bodies[i]);
        } else {
            answer(open_call("/metrics") != NULL ? "/metrics" : "/-/ready", 200, "prometheus_tsdb_head_series NaN\n");
        }
        assert_true(info()->head_series == 0);
    }
}

static void test_an_older_epoch_is_refused(void **unused)
{
    (void)unused;
    settle();
    struct assignment one = {.target = make_target("a", 4)};
    w.shard->ops->set_assignment(w.shard, &one, 1, 9, 5);
    assert_non_null(find("a", 4));
    assign(0, 0, false, 10); /* epoch 0 */
    assert_int_equal(find("a", 4)->state, ASSIGNMENT_ASSIGNED);
    assert_int_equal(info()->generation, 9);
    assert_true(info()->epoch == 5);
    target_unref(one.target);
}

static void test_restored_targets_keep_their_proof(void **unused)
{
    (void)unused;
    struct assignment items[] = {{.target = make_target("a", 0), .since_ms = 5},
                                 {.target = make_target("a", 1), .state = ASSIGNMENT_LEAVING, .since_ms = 5}};
    struct target_status statuses[2] = {{.scrapes = 4, .good_scrapes = 3, .series = 10, .scraped = 12, .history = {10}, .history_len = 1}};
    local_shard_restore(w.shard, items, statuses, 2, 41, 0);
    w.shard->ops->set_config(w.shard, w.two, 1);
    assert_true(file_contains("targets/a.json", "host0:80"));
    assert_false(file_contains("targets/a.json", "host1:80"));
    assert_int_equal(status("a", 0)->good_scrapes, 3);
    assert_true(info()->process_series == 12);
    assert_int_equal(w.published, 0);
    assign(0, 1, false, 42); /* nothing new, but the proxy has not heard of what was restored */
    assert_true(w.published == 1 && w.published_count == 2);
    assign(0, 1, false, 43);
    assert_int_equal(w.published, 1);
    assert_int_equal(status("a", 0)->good_scrapes, 3);
    assert_non_null(find("a", 1));
    pass(50000);
    assert_null(find("a", 1));
    target_unref(items[0].target);
    target_unref(items[1].target);
}

static void test_moving_to_another_url(void **unused)
{
    (void)unused;
    settle();
    pass(10000);
    assert_non_null(open_call("9" TSDB));
    w.shard->prometheus_url = "http://127.0.0.1:10";
    pass(1);
    assert_null(open_call(":9" TSDB));
    answer(":10" TSDB, 200, TSDB_BODY);
    assert_int_equal(info()->health, SHARD_HEALTH_READY);
}

static void test_static_form(void **unused)
{
    (void)unused;
    settle();
    assert_false(file_exists("targets/a.json"));
    assert_true(file_contains("prometheus.yml", "host0:80"));
    assert_int_equal(info()->generation, 1);
    assign(0, 2, true, 2);
    assert_true(file_contains("prometheus.yml", "host1:80"));
    assert_int_equal(info()->generation, 1); /* not before the reload */
    pass(1000);
    answer(RELOAD, 200, "");
    assert_int_equal(info()->generation, 2);
    assign(0, 1, true, 3);
    pass(1000);
    /* Prometheus has not reloaded: it goes on scraping what left, so that is served */
    pass(100000);
    assert_non_null(find("a", 1));
    answer(RELOAD, 200, "");
    pass(49999);
    assert_non_null(find("a", 1));
    pass(1);
    assert_null(find("a", 1));
    /* a removed job is emptied first here too */
    w.shard->ops->set_config(w.shard, w.one, 2);
    assert_true(file_contains("prometheus.yml", "job_name: b"));
    assert_false(file_contains("prometheus.yml", "host99:80"));
    pass(1000);
    answer(RELOAD, 200, "");
    pass(51000);
    assert_false(file_contains("prometheus.yml", "job_name: b"));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_writes_nothing_before_it_knows),
        CASE(test_adding_publishes_first),
        CASE(test_settled_touches_nothing),
        CASE(test_removing_serves_for_a_while),
        CASE(test_coming_back_while_leaving),
        CASE(test_transfer_is_no_change_of_files),
        CASE(test_another_url_of_a_target_reaches_the_proxy),
        CASE(test_files_elsewhere),
        CASE(test_reload_until_acknowledged),
        CASE(test_a_reload_owed_from_before_is_made_up),
        CASE(test_trouble_with_the_disk),
        CASE(test_a_job_is_emptied_before_it_goes),
        CASE(test_a_job_that_returns_in_time_stays),
        CASE(test_records),
        CASE(test_head_and_health),
        CASE(test_head_from_elsewhere),
        CASE(test_head_of_an_agent),
        CASE(test_vmagent_tells_a_refusal_later),
        CASE(test_nonsense_for_an_answer),
        CASE(test_an_older_epoch_is_refused),
        CASE(test_restored_targets_keep_their_proof),
        CASE(test_moving_to_another_url),
        cmocka_unit_test_setup_teardown(test_static_form, setup_static, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
