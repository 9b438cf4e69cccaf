/* The options: where a value comes from, what is refused with which words, and that no printed form misses a row. */
#include "base/options.h"
#include "base/options_table.h"
#include "base_test.h"

#include <ctype.h>

struct fixture {
    char *dir, *path, *flag;
};

static int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof(*f));
    f->dir = temp_dir_new();
    f->path = mem_printf("%s/kvass.yaml", f->dir);
    f->flag = mem_printf("--kvass.config=%s", f->path);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    temp_dir_free(f->dir);
    free(f->path);
    free(f->flag);
    free(f);
    return 0;
}

static void write_file(const struct fixture *f, const char *text)
{
    assert_int_equal(files_write_atomic(f->path, view_of(text), 0600, (gid_t)-1, NULL), 0);
}

/* Loads with the fixture's file and up to three more flags. */
static int load(const struct fixture *f, enum role role, const char *a, const char *b, const char *c, struct options *o,
                struct errctx *err)
{
    char *argv[] = {mem_strdup("role"), mem_strdup(f->flag), NULL, NULL, NULL};
    const char *more[] = {a, b, c};
    int argc = 2;
    for (int i = 0; i < 3 && more[i] != NULL; i++) {
        argv[argc++] = mem_strdup(more[i]);
    }
    int rc = options_load(role, argc, argv, o, err);
    for (int i = 0; i < argc; i++) {
        free(argv[i]);
    }
    return rc;
}

static void assert_refused(const struct fixture *f, enum role role, const char *flag, const char *value,
    const char *message)
{
    struct errctx err = ERRCTX_INIT;
    struct options o = {.role = 77};
    int rc = load(f, role, flag, value, NULL, &o, &err);
    if (rc >= 0) {
        fail_msg("taken: %s, expected: %s", flag != NULL ? flag : "the file", message);
    }
    assert_int_equal(rc, err.code);
    assert_contains(err.msg, message);
    assert_int_equal(o.role, 77); /* untouched */
}

static void test_rows(void **state)
{
    (void)state;
    for (int i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *row = option_row((enum option_id)i);
        unsigned roles;
        assert_true(row->roles != 0 && (row->roles & ~(unsigned)ROLE_ALL) == 0);
        assert_int_equal(option_find(view_of(row->name), &roles), i); /* so no name stands twice */
        assert_int_equal(roles, row->roles);
        assert_true(isupper((unsigned char)row->help[0]));
        assert_int_equal(row->help[strlen(row->help) - 1], '.');
        assert_true(row->unit[0] != '\0' || row->kind == OPTION_KIND_BOOL);
        for (const char *c = row->name; *c != '\0'; c++) {
            assert_true(islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '.' || *c == '-');
        }
        bool bounded = row->kind == OPTION_KIND_INT || row->kind == OPTION_KIND_DOUBLE ||
                       row->kind == OPTION_KIND_DURATION || row->kind == OPTION_KIND_SIZE;
        assert_int_equal(bounded, row->min < row->max);
    }
    for (size_t i = 0; i < OPTION_ALIAS_COUNT; i++) {
        unsigned roles;
        assert_int_equal(option_find(view_of(OPTION_ALIASES[i].name), &roles), OPTION_ALIASES[i].id);
        assert_int_equal(roles & ~option_row(OPTION_ALIASES[i].id)->roles, 0);
    }
}

static void test_defaults_per_role(void **state)
{
    (void)state;
    struct options o;
    options_default(ROLE_APPLIANCE, &o);
    assert_string_equal(o.web_address, "127.0.0.1:9089");
    assert_int_equal(o.shard_type, SHARD_TYPE_PROCESS);
    assert_int_equal(o.coordinator_interval_ms, 10000);
    assert_int_equal(o.shard_failover_grace_ms, 180000);
    assert_true(o.balance_low_mark == 0.80);
    assert_string_equal(o.shard_prometheus_binary, "prometheus");
    assert_int_equal(o.shard_prometheus_args.len, 0);
    assert_int_equal(o.origins[OPTION_ID_web_address].source, OPTION_FROM_DEFAULT);
    options_done(&o);
    options_default(ROLE_COORDINATOR, &o);
    assert_string_equal(o.web_address, ":9090");
    assert_int_equal(o.shard_type, SHARD_TYPE_K8S);
    assert_string_equal(o.config_file, "prometheus.yml");
    assert_int_equal(o.shard_max_process_series, 1000000);
    assert_int_equal(o.shard_max_shard, 999999);
    options_done(&o);
    options_default(ROLE_SIDECAR, &o);
    assert_string_equal(o.web_address, ":8080");
    assert_string_equal(o.store_path, "/prometheus/");
    assert_true(o.shard_fetch_head_series);
    assert_int_equal(o.proxy_max_body_size_bytes, 1 << 30);
    options_done(&o);
}

/* Each constant of an ENUM stands for its word. */
static void test_enum_words(void **state)
{
    (void)state;
    struct options o;
    options_default(ROLE_APPLIANCE, &o);
#define CHECK_WORD(field, word, constant)                                                                              \
    assert_int_equal(option_set(&o, OPTION_ID_##field, word, NULL), 0);                                                \
    assert_int_equal(o.field, constant)
    CHECK_WORD(shard_type, "process", SHARD_TYPE_PROCESS);
    CHECK_WORD(shard_type, "k8s", SHARD_TYPE_K8S);
    CHECK_WORD(shard_type, "static", SHARD_TYPE_STATIC);
    CHECK_WORD(shard_type, "systemd", SHARD_TYPE_SYSTEMD);
    CHECK_WORD(shard_type, "http", SHARD_TYPE_HTTP);
    CHECK_WORD(scrape_count, "strict", SCRAPE_COUNT_STRICT);
    CHECK_WORD(scrape_count, "fast", SCRAPE_COUNT_FAST);
    CHECK_WORD(inject_targets, "file", INJECT_TARGETS_FILE);
    CHECK_WORD(inject_targets, "static", INJECT_TARGETS_STATIC);
    CHECK_WORD(inject_rules, "keep", INJECT_RULES_KEEP);
    CHECK_WORD(inject_rules, "drop", INJECT_RULES_DROP);
    CHECK_WORD(replica_mode, "mirrored", REPLICA_MODE_MIRRORED);
    CHECK_WORD(replica_mode, "independent", REPLICA_MODE_INDEPENDENT);
    CHECK_WORD(log_level, "debug", OPTION_LOG_DEBUG);
    CHECK_WORD(log_level, "info", OPTION_LOG_INFO);
    CHECK_WORD(log_level, "warn", OPTION_LOG_WARN);
    CHECK_WORD(log_level, "error", OPTION_LOG_ERROR);
    CHECK_WORD(log_format, "logfmt", OPTION_LOG_LOGFMT);
    CHECK_WORD(log_format, "json", OPTION_LOG_JSON);
    options_done(&o);
}

static void test_precedence_and_origins(void **state)
{
    struct fixture *f = *state;
    struct options o;
    write_file(f, "coordinator:\n"
                  "  coordinator.interval: 20s\n"
                  "  move.budget: 7\n"
                  "coordinator.interval: 15s\n"
                  "move.budget: 6\n"
                  "move.scrapes: 5\n"
                  "sidecar:\n"
                  "  web.address: \":1234\"\n");
    assert_int_equal(load(f, ROLE_COORDINATOR, "--move.budget=8", NULL, NULL, &o, NULL), 0);
    assert_int_equal(o.move_budget, 8);
    assert_int_equal(o.coordinator_interval_ms, 20000);
    assert_int_equal(o.move_scrapes, 5);
    assert_string_equal(o.web_address, ":9090");
    assert_string_equal(o.file, f->path);
    assert_int_equal(o.origins[OPTION_ID_move_budget].source, OPTION_FROM_FLAG);
    assert_int_equal(o.origins[OPTION_ID_coordinator_interval].source, OPTION_FROM_FILE);
    assert_int_equal(o.origins[OPTION_ID_coordinator_interval].line, 2);
    assert_int_equal(o.origins[OPTION_ID_move_scrapes].line, 6);
    assert_false(options_is_set(&o, OPTION_ID_web_address));
    assert_true(options_is_set(&o, OPTION_ID_move_scrapes));
    options_done(&o);
    assert_int_equal(load(f, ROLE_SIDECAR, NULL, NULL, NULL, &o, NULL), 0);
    assert_string_equal(o.web_address, ":1234");
    assert_int_equal(o.move_budget, 20); /* not a sidecar's option: not applied */
    options_done(&o);
}

static void test_role_from_file(void **state)
{
    struct fixture *f = *state;
    struct options o;
    write_file(f, "role: sidecar\n");
    assert_int_equal(load(f, ROLE_FROM_FILE, NULL, NULL, NULL, &o, NULL), 0);
    assert_int_equal(o.role, ROLE_SIDECAR);
    options_done(&o);
    assert_int_equal(load(f, ROLE_APPLIANCE, NULL, NULL, NULL, &o, NULL), 0); /* the command wins */
    assert_int_equal(o.role, ROLE_APPLIANCE);
    options_done(&o);
    write_file(f, "");
    assert_refused(f, ROLE_FROM_FILE, NULL, NULL, "'role' is missing");
    write_file(f, "role: boss\n");
    assert_refused(f, ROLE_APPLIANCE, NULL, NULL, "kvass.yaml:1:7: 'boss' is none of");
    write_file(f, "role: sidecar\nrole: sidecar\n");
    assert_refused(f, ROLE_APPLIANCE, NULL, NULL, "'role' is set twice");
}

static void test_flag_forms(void **state)
{
    struct fixture *f = *state;
    struct options o;
    write_file(f, "# nothing\n");
    assert_int_equal(load(f, ROLE_COORDINATOR, "--coordinator.interval", "1m30s", "--dry-run", &o, NULL), 0);
    assert_int_equal(o.coordinator_interval_ms, 90000);
    assert_true(o.dry_run);
    options_done(&o);
    assert_int_equal(load(f, ROLE_SIDECAR, "--shard.fetch-head-series", "false", "--store.path=", &o, NULL), 0);
    assert_false(o.shard_fetch_head_series);
    assert_string_equal(o.store_path, "");
    options_done(&o);
    assert_int_equal(load(f, ROLE_SIDECAR, "--shard.fetch-head-series=F", "--web.api-addr", "[::1]:80", &o, NULL), 0);
    assert_false(o.shard_fetch_head_series);
    assert_string_equal(o.web_address, "[::1]:80");
    options_done(&o);
    assert_int_equal(load(f, ROLE_COORDINATOR, "--shard.max-series=30000", "--move.budget=1", "--move.budget=2", &o,
        NULL), 0);
    assert_int_equal(o.shard_max_head_series, 30000);
    assert_int_equal(o.move_budget, 2);
    options_done(&o);
    assert_int_equal(load(f, ROLE_COORDINATOR, "--nonsense-behind", NULL, NULL, &o, NULL), ERR_INVALID);
    assert_int_equal(load(f, ROLE_COORDINATOR, "--help", "--nonsense", NULL, &o, NULL), OPTIONS_HELP);
    assert_refused(f, ROLE_COORDINATOR, "word", NULL, "unexpected argument 'word'");
    assert_refused(f, ROLE_COORDINATOR, "-x", NULL, "unexpected argument '-x'");
    assert_refused(f, ROLE_COORDINATOR, "--", NULL, "unexpected argument '--'");
    assert_refused(f, ROLE_COORDINATOR, "--config.file", NULL, "flag '--config.file' needs a value (FILE)");
}

static void test_unknown_names(void **state)
{
    struct fixture *f = *state;
    write_file(f, "");
    assert_refused(f, ROLE_COORDINATOR, "--coordinator.intervall=1s", NULL, "did you mean '--coordinator.interval'?");
    assert_refused(f, ROLE_COORDINATOR, "--web.adress=:1", NULL, "did you mean '--web.address'?");
    assert_refused(f, ROLE_SIDECAR, "--web.api-adr=:1", NULL, "did you mean '--web.api-addr'?");
    assert_refused(f, ROLE_COORDINATOR, "--completely-else=1", NULL, "unknown flag '--completely-else'");
    assert_refused(f, ROLE_SIDECAR, "--shard.type=k8s", NULL,
        "is not one of the sidecar but of: appliance, coordinator");
    assert_refused(f, ROLE_APPLIANCE, "--web.api-addr=:1", NULL, "flag '--web.api-addr' is not one of the appliance");
    write_file(f, "log.level: info\n  \nmove.budge: 3\n");
    assert_refused(f, ROLE_COORDINATOR, NULL, NULL,
        "kvass.yaml:3:1: unknown key 'move.budge'; did you mean 'move.budget'?");
    write_file(f, "coordinator:\n  web.proxy-addr: \":1\"\n");
    assert_refused(f, ROLE_COORDINATOR, NULL, NULL,
        "kvass.yaml:2:3: 'web.proxy-addr' is not an option of the coordinator");
    write_file(f, "kvass.config: x\n");
    assert_refused(f, ROLE_COORDINATOR, NULL, NULL, "'kvass.config' can only be a flag");
    char *long_name = mem_alloc(5000);
    memset(long_name, 'y', 4999);
    memcpy(long_name, "--", 2);
    long_name[4999] = '\0';
    assert_refused(f, ROLE_COORDINATOR, long_name, NULL, "unknown flag '--yyy");
    free(long_name);
}

static void test_bounds_name_the_unit(void **state)
{
    struct fixture *f = *state;
    write_file(f, "");
    assert_refused(f, ROLE_COORDINATOR, "--shard.port=0", NULL,
        "'0' is out of bounds: between 1 and 65535 (port number)");
    assert_refused(f, ROLE_COORDINATOR, "--shard.port=99999999999999999999999", NULL, "out of bounds");
    assert_refused(f, ROLE_COORDINATOR, "--coordinator.interval=1ms", NULL, "between 100ms and 1d (duration)");
    assert_refused(f, ROLE_COORDINATOR, "--coordinator.interval=10", NULL, "'10' is not a duration such as 10s");
    assert_refused(f, ROLE_SIDECAR, "--proxy.max-line-size=1B", NULL, "between 1KB and 64MB (size)");
    assert_refused(f, ROLE_SIDECAR, "--proxy.max-line-size=99", NULL, "'99' is not a size");
    assert_refused(f, ROLE_COORDINATOR, "--balance.low-mark=1.5", NULL, "between 0.05 and 1 (share of the limit)");
    assert_refused(f, ROLE_COORDINATOR, "--balance.low-mark=nan", NULL, "'nan' is not a number");
    assert_refused(f, ROLE_COORDINATOR, "--balance.low-mark=", NULL, "'' is not a number");
    assert_refused(f, ROLE_COORDINATOR, "--move.budget=3x", NULL, "'3x' is not a whole number (moves)");
    assert_refused(f, ROLE_COORDINATOR, "--move.budget= 3", NULL, "is not a whole number");
    assert_refused(f, ROLE_COORDINATOR, "--dry-run=maybe", NULL, "'maybe' is neither true nor false");
    assert_refused(f, ROLE_COORDINATOR, "--shard.type=docker", NULL,
        "'docker' is none of process|k8s|static|systemd|http");
    assert_refused(f, ROLE_COORDINATOR, "--shard.type=k8", NULL, "'k8' is none of");
    assert_refused(f, ROLE_COORDINATOR, "--web.address=9090", NULL, "is not an address such as :8080");
    assert_refused(f, ROLE_COORDINATOR, "--web.address=:65536", NULL, "is not an address");
    assert_refused(f, ROLE_COORDINATOR, "--web.address=::1:80", NULL, "stands in brackets");
    assert_refused(f, ROLE_SIDECAR, "--prometheus.url=localhost:9090", NULL, "is not a URL");
    assert_refused(f, ROLE_SIDECAR, "--prometheus.url=http://", NULL, "is not a URL");
    write_file(f, "log.level: info\nmove.scrapes:   0\n");
    assert_refused(f, ROLE_COORDINATOR, NULL, NULL,
        "kvass.yaml:2:17: move.scrapes: '0' is out of bounds: between 1 and 100");
}

static void test_values_that_exclude_each_other(void **state)
{
    struct fixture *f = *state;
    struct options o;
    write_file(f, "balance.high-mark: 0.7\n");
    assert_refused(f, ROLE_COORDINATOR, NULL, NULL, "balance.low-mark (default) is above balance.high-mark (");
    write_file(f, "");
    assert_refused(f, ROLE_COORDINATOR, "--shard.min-shard=5", "--shard.max-shard=4",
        "shard.min-shard (flag) is above");
    assert_refused(f, ROLE_COORDINATOR, "--balance.even-out=1.01", NULL, "neither 0 (off) nor at least 1.05");
    assert_refused(f, ROLE_COORDINATOR, "--shard.type=http", NULL, "shard.http-url must name the shard service");
    static const char *const BAD[] = {"4.0", "2.", "x", "", "2.42.0.1", "2.x.1", "3.5-", "2.1234567"};
    static const char *const GOOD[] = {"auto", "2.x", "3.x", "2.42", "3.5.0", "2.53.3+ds1", "3.0.0-rc.1"};
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        assert_refused(f, ROLE_COORDINATOR, "--prometheus.version", BAD[i], "is none of auto, 2.x, 3.x");
    }
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
        assert_int_equal(load(f, ROLE_COORDINATOR, "--prometheus.version", GOOD[i], NULL, &o, NULL), 0);
        assert_string_equal(o.prometheus_version, GOOD[i]);
        options_done(&o);
    }
}

static void test_environment(void **state)
{
    struct fixture *f = *state;
    struct options o;
    setenv("KVASS_TEST_DIR", "/data", 1);
    unsetenv("KVASS_TEST_NONE");
    write_file(f, "store.path: ${KVASS_TEST_DIR}/x$y$${z}${KVASS_TEST_DIR}\n");
    assert_int_equal(load(f, ROLE_SIDECAR, NULL, NULL, NULL, &o, NULL), 0);
    assert_string_equal(o.store_path, "/data/x$y${z}/data");
    options_done(&o);
    assert_int_equal(load(f, ROLE_SIDECAR, "--store.path=${KVASS_TEST_DIR}", NULL, NULL, &o, NULL), 0);
    assert_string_equal(o.store_path, "${KVASS_TEST_DIR}"); /* a shell did its part already */
    options_done(&o);
    write_file(f, "log.level: info\nstore.path: a${KVASS_TEST_NONE}\n");
    assert_refused(f, ROLE_SIDECAR, NULL, NULL, "kvass.yaml:2:13: the environment has no variable KVASS_TEST_NONE");
    write_file(f, "store.path: ${KVASS_TEST_DIR\n");
    assert_refused(f, ROLE_SIDECAR, NULL, NULL, "'${' without a name and '}'");
    write_file(f, "store.path: ${}\n");
    assert_refused(f, ROLE_SIDECAR, NULL, NULL, "'${' without a name and '}'");
}

static void test_broken_files(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text, *message;
    } TABLE[] = {
        {"log.level: [info]\n", "kvass.yaml:1:12: expected one plain value"},
        {"store:\n  path: x\n", "kvass.yaml:1:1: unknown key 'store'"},
        {"store.path:\n  a: b\n", "kvass.yaml:2:3: expected one plain value"},
        {"log.level: info\nlog.level: warn\n", "kvass.yaml:2:1: 'log.level' is set twice here, first in line 1"},
        {"shard.max-series: 1\nshard.max-head-series: 2\n", "'shard.max-head-series' is set twice here"},
        {"- a\n", "expected keys such as"},
        {"just words\n", "expected keys such as"},
        {"log.level: b: c\n", "kvass.yaml:1:13: mapping values are not allowed"},
        {"log.level: \"info\n", "kvass.yaml:"},
        {"log.level: &x info\nlog.format: *x\n", "kvass.yaml:2:13: aliases are not taken here"},
        {"log.level: info\n---\nlog.level: info\n", "kvass.yaml:2:1: a second document"},
        {"store.path: \"a\\0b\"\n", "a NUL byte"},
        {"? [a, b]\n: x\n", "expected a key"},
        {"coordinator: fast\n", "'coordinator:' holds keys, not a value"},
        {"coordinator:\n  role: sidecar\n", "kvass.yaml:2:3: unknown key 'role'"},
        {"coordinator:\n  sidecar:\n    log.level: info\n", "unknown key 'sidecar'"},
        {"shard.prometheus-args: [a, [b]]\n", "a list holds plain values only"},
        {"store.path: \xff\n", "kvass.yaml:1:"},
        {"sidecar:\n  proxy.threads: 100\n", "kvass.yaml:2:18: proxy.threads: '100' is out of bounds"},
    };
    for (size_t i = 0; i < sizeof(TABLE) / sizeof(TABLE[0]); i++) {
        write_file(f, TABLE[i].text);
        assert_refused(f, ROLE_COORDINATOR, NULL, NULL, TABLE[i].message);
    }
    struct bytes big;
    bytes_init(&big, 4 << 20);
    while (big.len <= 1 << 20) {
        bytes_append_str(&big, "# a comment that goes on and on\n");
    }
    write_file(f, bytes_view(&big).base);
    assert_refused(f, ROLE_COORDINATOR, NULL, NULL, "larger than 1048576 bytes");
    bytes_done(&big);
}

static void test_empty_and_missing_files(void **state)
{
    struct fixture *f = *state;
    struct options o;
    static const char *const EMPTY[] = {"", "\n", "# only words\n", "---\n", "coordinator:\n", "{}\n",
        "\xef\xbb\xbf# BOM\n"};
    for (size_t i = 0; i < sizeof(EMPTY) / sizeof(EMPTY[0]); i++) {
        write_file(f, EMPTY[i]);
        struct errctx err = ERRCTX_INIT;
        if (load(f, ROLE_COORDINATOR, NULL, NULL, NULL, &o, &err) != 0) {
            fail_msg("'%s': %s", EMPTY[i], err.msg);
        }
        options_done(&o);
    }
    assert_int_equal(files_remove_tree(f->path, NULL), 0);
    assert_refused(f, ROLE_COORDINATOR, NULL, NULL, "No such file or directory");
}

static void test_lists(void **state)
{
    struct fixture *f = *state;
    struct options o;
    write_file(f, "shard.prometheus-args: [\"--a=b c\", -d]\n");
    assert_int_equal(load(f, ROLE_APPLIANCE, NULL, NULL, NULL, &o, NULL), 0);
    assert_int_equal(o.shard_prometheus_args.len, 2);
    assert_string_equal(o.shard_prometheus_args.items[0], "--a=b c");
    assert_string_equal(o.shard_prometheus_args.items[1], "-d");
    options_done(&o);
    assert_int_equal(load(f, ROLE_APPLIANCE, "--shard.prometheus-args= x  'y z'\"1 \" ", "--shard.prometheus-args=w",
                          "--shard.prometheus-args=", &o, NULL), 0);
    assert_int_equal(o.shard_prometheus_args.len, 3); /* flags replace the file and add to each other */
    assert_string_equal(o.shard_prometheus_args.items[0], "x");
    assert_string_equal(o.shard_prometheus_args.items[1], "y z1 ");
    assert_string_equal(o.shard_prometheus_args.items[2], "w");
    options_done(&o);
    assert_refused(f, ROLE_APPLIANCE, "--shard.prometheus-args=a 'b", NULL, "a quote is not closed");
    write_file(f, "shard.prometheus-args: a\nappliance:\n  shard.prometheus-args: b c\n");
    assert_int_equal(load(f, ROLE_APPLIANCE, NULL, NULL, NULL, &o, NULL), 0);
    assert_int_equal(o.shard_prometheus_args.len, 2);
    assert_string_equal(o.shard_prometheus_args.items[0], "b");
    options_done(&o);
}

static void test_derived_proxy(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *listen, *proxy;
    } TABLE[] = {{":8009", "http://127.0.0.1:8009"},      {"127.0.0.1:1", "http://127.0.0.1:1"},
                 {"0.0.0.0:2", "http://127.0.0.1:2"},     {"[::]:3", "http://127.0.0.1:3"},
                 {"[fe80::1]:4", "http://[fe80::1]:4"},   {"10.0.0.1:0", ""}};
    struct options o;
    write_file(f, "");
    for (size_t i = 0; i < sizeof(TABLE) / sizeof(TABLE[0]); i++) {
        assert_int_equal(load(f, ROLE_SIDECAR, "--web.proxy-addr", TABLE[i].listen, NULL, &o, NULL), 0);
        assert_string_equal(o.inject_proxy, TABLE[i].proxy);
        options_done(&o);
    }
    assert_int_equal(load(f, ROLE_SIDECAR, "--inject.proxy=http://p:1", NULL, NULL, &o, NULL), 0);
    assert_string_equal(o.inject_proxy, "http://p:1");
    options_done(&o);
}

/* What `config show` prints is a kvass.yaml that means the same. */
static void test_show_reads_back(void **state)
{
    struct fixture *f = *state;
    struct options o, back;
    struct bytes first, second;
    write_file(f, "store.path: \"/a b#c: $${x}\\u00e9\"\nshard.prometheus-args: [\"a b\", \"c\\\"d\", \"\"]\n"
                  "target.grace: 90s\nproxy.max-line-size: 1536B\nweb.token-file: \"null\"\n");
    assert_int_equal(load(f, ROLE_APPLIANCE, "--move.budget=9", NULL, NULL, &o, NULL), 0);
    bytes_init(&first, 1 << 20);
    options_show(&o, &first);
    assert_contains(first.base, "kvass.yaml:1\n");
    assert_contains(first.base, "# flag\n");
    write_file(f, first.base);
    struct errctx err = ERRCTX_INIT;
    if (load(f, ROLE_FROM_FILE, NULL, NULL, NULL, &back, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    bytes_init(&second, 1 << 20);
    for (int id = 1; id < OPTION_COUNT; id++) {
        bytes_clear(&first);
        bytes_clear(&second);
        options_format_value(&o, (enum option_id)id, &first);
        options_format_value(&back, (enum option_id)id, &second);
        assert_string_equal(bytes_view(&first).base, bytes_view(&second).base);
    }
    assert_string_equal(back.store_path, "/a b#c: ${x}\xc3\xa9");
    assert_int_equal(back.target_grace_ms, 90000);
    bytes_done(&first);
    bytes_done(&second);
    options_done(&o);
    options_done(&back);
}

/* The sample with its '#' taken off sets every option of the appliance to its default. */
static void test_sample_is_the_defaults(void **state)
{
    struct fixture *f = *state;
    struct bytes sample, plain, a, b;
    struct options o, defaults;
    bytes_init(&sample, 1 << 20);
    bytes_init(&plain, 1 << 20);
    bytes_init(&a, 1 << 16);
    bytes_init(&b, 1 << 16);
    options_write_sample(&sample);
    write_file(f, sample.base);
    assert_int_equal(load(f, ROLE_APPLIANCE, NULL, NULL, NULL, &o, NULL), 0);
    assert_false(options_is_set(&o, OPTION_ID_web_address));
    options_done(&o);
    for (const char *line = sample.base; *line != '\0'; line = strchr(line, '\n') + 1) {
        bool commented = line[0] == '#' && islower((unsigned char)line[1]);
        bytes_append(&plain, line + commented, (size_t)(strchr(line, '\n') + 1 - line) - commented);
    }
    write_file(f, plain.base);
    struct errctx err = ERRCTX_INIT;
    if (load(f, ROLE_FROM_FILE, NULL, NULL, NULL, &o, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    options_default(ROLE_APPLIANCE, &defaults);
    defaults.inject_proxy = o.inject_proxy; /* the derived one */
    for (int id = 1; id < OPTION_COUNT; id++) {
        bytes_clear(&a);
        bytes_clear(&b);
        options_format_value(&o, (enum option_id)id, &a);
        options_format_value(&defaults, (enum option_id)id, &b);
        assert_string_equal(bytes_view(&a).base, bytes_view(&b).base);
        assert_int_equal(options_is_set(&o, (enum option_id)id),
            (option_row((enum option_id)id)->roles & ROLE_APPLIANCE) != 0);
    }
    options_done(&o);
    options_done(&defaults);
    bytes_done(&sample);
    bytes_done(&plain);
    bytes_done(&a);
    bytes_done(&b);
}

static void test_help_fits_a_terminal(void **state)
{
    (void)state;
    for (unsigned role = ROLE_APPLIANCE; role <= ROLE_SIDECAR; role <<= 1) {
        struct bytes out;
        bytes_init(&out, 1 << 20);
        options_describe((enum role)role, &out);
        for (int i = 0; i < OPTION_COUNT; i++) {
            char *flag = mem_printf("\n  --%s", option_row((enum option_id)i)->name);
            const char *found = strstr(out.base, flag);
            assert_int_equal(found != NULL, (option_row((enum option_id)i)->roles & role) != 0);
            free(flag);
        }
        for (const char *line = out.base; *line != '\0'; line = strchr(line, '\n') + 1) {
            assert_true(strcspn(line, "\n") <= 80);
        }
        bytes_done(&out);
    }
}

int main(void)
{
#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_defaults_per_role),
        cmocka_unit_test(test_enum_words),
        WITH_FILE(test_precedence_and_origins),
        WITH_FILE(test_role_from_file),
        WITH_FILE(test_flag_forms),
        WITH_FILE(test_unknown_names),
        WITH_FILE(test_bounds_name_the_unit),
        WITH_FILE(test_values_that_exclude_each_other),
        WITH_FILE(test_environment),
        WITH_FILE(test_broken_files),
        WITH_FILE(test_empty_and_missing_files),
        WITH_FILE(test_lists),
        WITH_FILE(test_derived_proxy),
        WITH_FILE(test_show_reads_back),
        WITH_FILE(test_sample_is_the_defaults),
        cmocka_unit_test(test_help_fits_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
