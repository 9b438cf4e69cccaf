/* kvass get: an operator's view of a running kvass, over its API. */
#include "base/mem.h"
#include "base/nearest.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/fetch.h"
#include "cli/metrics_page.h"
#include "cli/table.h"
#include "model/wire.h"
#include "net/curl_loop.h"

#include <jansson.h>
#include <unistd.h>

#define WATCH_MS 2000

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : "";
}

static double number_of(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static void number_or_dash(struct table *t, bool known, double n)
{
    if (known) {
        table_number(t, n);
    } else {
        table_cell(t, "-");
    }
}

static void print_shards(const json_t *data, bool colour)
{
    struct table t;
    size_t i;
    json_t *s;
    bool any_estimated = false;
    table_init(&t, "SHARD|HEALTH|+TARGETS|+SERIES|+LIMIT|+USED|+HEAD|PROMETHEUS|ERROR");
    json_array_foreach(json_object_get(data, "shards"), i, s)
    {
        char used[16], series[32];
        bool estimated = number_of(s, "estimatedTargets") > 0;
        any_estimated = any_estimated || estimated;
        double limit = number_of(s, "limitSeries"), load = number_of(s, "loadSeries");
        snprintf(used, sizeof(used), limit > 0 ? "%s%.0f%%" : "-", estimated ? "~" : "",
                 limit > 0 ? 100 * load / limit : 0);
        snprintf(series, sizeof(series), "%s%.0f", estimated ? "~" : "", load);
        table_cell(&t, text_of(s, "id"));
        table_cell(&t, text_of(s, "health"));
        table_number(&t, number_of(s, "targets"));
        table_cell(&t, series);
        table_number(&t, limit);
        table_cell(&t, used);
        table_number(&t, number_of(s, "headSeries"));
        table_cell(&t, text_of(s, "prometheusUrl"));
        table_cell(&t, text_of(s, "error"));
    }
    table_print(&t, stdout, colour);
    table_done(&t);
    const char *reason = text_of(data, "wantedReason");
    if (reason[0] >= '0' && reason[0] <= '9') { /* "3 shards: 60300 series need ..." */
        printf("\nwanted: %s\n", reason);
    } else {
        printf("\nwanted: %.0f (%s)\n", number_of(data, "wanted"), *reason != '\0' ? reason : "no round yet");
    }
    if (any_estimated) {
        printf("~ holds targets that have not been measured yet, taken for the median of their job\n");
    }
    if (*text_of(data, "mixedVersions") != '\0') {
        printf("versions differ: %s\n", text_of(data, "mixedVersions"));
    }
}

/* Below their target, in its columns. */
static void put_parts(struct table *t, const json_t *target)
{
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(target, "parts"), i, p)
    {
        char name[64];
        snprintf(name, sizeof(name), "  part %.0f of %.0f%s", number_of(p, "part"), number_of(p, "of"),
                 json_is_true(json_object_get(p, "coming")) ? ", to take over" : "");
        table_cell(t, "");
        table_cell(t, name);
        table_cell(t, text_of(p, "state"));
        table_cell(t, text_of(p, "health"));
        table_number(t, number_of(p, "series"));
        table_number(t, number_of(p, "totalSeries"));
        table_cell(t, json_string_value(json_array_get(json_object_get(p, "shards"), 0)));
        table_cell(t, *text_of(p, "lastError") != '\0' ? text_of(p, "lastError") : text_of(p, "reason"));
    }
}

static void print_targets(const json_t *data, bool colour)
{
    struct table t;
    size_t i;
    json_t *x;
    table_init(&t, "JOB|URL|STATE|HEALTH|+SERIES|+SCRAPED|SHARD|WHY");
    json_array_foreach(json_object_get(data, "activeTargets"), i, x)
    {
        table_cell(&t, text_of(x, "scrapePool"));
        table_cell(&t, text_of(x, "scrapeUrl"));
        table_cell(&t, text_of(x, "state"));
        table_cell(&t, text_of(x, "health"));
        bool measured = !json_is_false(json_object_get(x, "measured"));
        bool is_split = json_array_size(json_object_get(x, "parts")) > 0;
        number_or_dash(&t, measured, number_of(x, "series"));
        number_or_dash(&t, measured, number_of(x, "totalSeries"));
        table_cell(&t, is_split ? "" : json_string_value(json_array_get(json_object_get(x, "shards"), 0)));
        table_cell(&t, *text_of(x, "lastError") != '\0' ? text_of(x, "lastError") : text_of(x, "reason"));
        put_parts(&t, x);
    }
    table_print(&t, stdout, colour);
    table_done(&t);
    printf("\n%zu dropped, invalid or duplicate\n", json_array_size(json_object_get(data, "droppedTargets")));
}

static void print_moves(const json_t *data, bool colour)
{
    struct table t;
    size_t i;
    json_t *m;
    table_init(&t, "STARTED|ENDED|STATE|JOB|URL|FROM|TO|REASON");
    json_array_foreach(data, i, m)
    {
        static const char *const KEYS[] = {"startedAt", "endedAt", "state", "job", "url", "from", "to", "reason"};
        for (size_t k = 0; k < sizeof(KEYS) / sizeof(KEYS[0]); k++) {
            table_cell(&t, text_of(m, KEYS[k]));
        }
    }
    table_print(&t, stdout, colour);
    table_done(&t);
}

static void print_line(const char *before, const char *text)
{
    char *line = mem_strdup(text);
    text_make_printable(line);
    printf("%s%s\n", before, line);
    free(line);
}

static void print_sentences(const json_t *list, const char *indent)
{
    size_t i;
    json_t *line;
    json_array_foreach(list, i, line)
    {
        print_line(indent, json_string_value(line) != NULL ? json_string_value(line) : "");
    }
}

static void print_why(const json_t *data, bool colour)
{
    size_t i;
    json_t *t;
    (void)colour;
    json_array_foreach(json_object_get(data, "targets"), i, t)
    {
        const char *url = text_of(t, "url");
        char *head = mem_printf("%s %s (%s)", text_of(t, "job"), *url != '\0' ? url : text_of(t, "address"),
                                text_of(t, "state"));
        print_line("", head);
        free(head);
        print_sentences(json_object_get(t, "why"), "  ");
    }
    print_sentences(json_object_get(data, "why"), "");
}

static void print_metrics(const json_t *data, bool colour)
{
    metrics_page_print(data, stdout, colour);
}

static const struct noun {
    const char *name, *path;
    void (*print)(const json_t *data, bool colour);
} NOUNS[] = {
    {"shards", "/api/v1/shards", print_shards}, {"targets", "/api/v1/targets", print_targets},
    {"moves", "/api/v1/moves", print_moves},    {"why", "/api/v1/why", print_why},
    {"metrics", "/metrics", print_metrics}, /* a text, read by metrics_page.h */
};

/* Of `why`: what to ask about. */
struct question {
    const char *job, *url, *hash; /* NULL = not given */
};

static void append_parameter(struct bytes *url, const char *name, const char *value)
{
    if (value == NULL) {
        return;
    }
    bytes_printf(url, "%c%s=", memchr(url->base, '?', url->len) != NULL ? '&' : '?', name);
    for (const char *p = value; *p != '\0'; p++) {
        bytes_printf(url, "%%%02X", (unsigned char)*p);
    }
}

/* An option that the answer would not heed, or NULL. */
static const char *unheeded_option(const struct noun *noun, const struct question *q)
{
    bool is_why = strcmp(noun->name, "why") == 0;
    if (q->job != NULL && !is_why && strcmp(noun->name, "targets") != 0) {
        return "job";
    }
    return is_why ? NULL : q->url != NULL ? "target" : q->hash != NULL ? "hash" : NULL;
}

static char *make_url(const char *server, const struct noun *noun, const struct question *q)
{
    struct bytes url;
    bytes_init(&url, 65536);
    bytes_printf(&url, "%s%s", server, noun->path);
    append_parameter(&url, "job", q->job);
    append_parameter(&url, "url", q->url);
    append_parameter(&url, "hash", q->hash);
    return bytes_take(&url, NULL);
}

static bool is_page(const struct noun *noun)
{
    return strncmp(noun->path, "/api/", 5) != 0;
}

/* A sidecar has one shard and no balancer: what it does not know goes to its Prometheus, whose answers would be
 * misread. */
static bool is_sidecar(const char *server, const char *token)
{
    struct errctx err = ERRCTX_INIT;
    struct bytes body;
    char *url = mem_printf("%s/api/v1/shard/runtimeinfo/", server);
    int rc = fetch(NULL, url, token, &body, &err);
    bytes_done(&body);
    free(url);
    return rc == 0;
}

/* A list of targets without their states, or an empty one, may be that of a Prometheus behind a sidecar. */
static bool is_surely_ours(const struct noun *noun, const json_t *data)
{
    const json_t *first = json_array_get(json_object_get(data, "activeTargets"), 0);
    return strcmp(noun->name, "targets") != 0 || json_object_get(first, "state") != NULL;
}

/* The answer, for -o json as it came. ret_root is NULL when it is not needed. */
static int get_answer(const struct noun *noun, const char *url, const char *token, struct bytes *body,
                      json_t **ret_root, struct errctx *err)
{
    int rc = fetch(NULL, url, token, body, err);
    if (rc != 0) {
        return rc;
    }
    *ret_root =
        is_page(noun) ? metrics_page_parse(bytes_view(body), err) : wire_parse(bytes_view(body), FETCH_BYTES_MAX, err);
    return *ret_root == NULL || wire_data(*ret_root, err) == NULL ? err->code : 0;
}

static void print_answer(const struct noun *noun, const json_t *root, struct view body, bool as_json)
{
    struct errctx err = ERRCTX_INIT;
    if (!as_json) {
        noun->print(wire_data(root, &err), terminal_has_colour());
    } else if (is_page(noun)) {
        json_dumpf(root, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        printf("%.*s\n", VIEW_FMT(body));
    }
}

static int show(const struct noun *noun, const char *server, const struct question *q, const char *token, bool as_json)
{
    struct errctx err = ERRCTX_INIT;
    struct bytes body;
    json_t *root = NULL;
    char *url = make_url(server, noun, q);
    int rc = get_answer(noun, url, token, &body, &root, &err);
    bool doubtful = rc != 0 || !is_surely_ours(noun, wire_data(root, &err));
    if (doubtful && !is_page(noun) && is_sidecar(server, token)) {
        rc = ERR_NOT_FOUND;
        fprintf(stderr,
                "kvass get %s: %s is a sidecar, with one shard and no balancer: ask the coordinator that drives it, by "
                "--server=URL\n",
                noun->name, server);
    } else if (rc != 0) {
        fprintf(stderr, "kvass get %s: %s\n", noun->name, err.msg);
    } else {
        print_answer(noun, root, bytes_view(&body), as_json);
    }
    free(url);
    json_decref(root);
    bytes_done(&body);
    return rc == 0 ? 0 : 1;
}

static const struct noun *find_noun(const char *name)
{
    for (size_t i = 0; name != NULL && i < sizeof(NOUNS) / sizeof(NOUNS[0]); i++) {
        if (strcmp(NOUNS[i].name, name) == 0) {
            return &NOUNS[i];
        }
    }
    return NULL;
}

static int unknown_noun(const char *name, const char *usage)
{
    struct nearest n;
    nearest_begin(&n, view_of(name != NULL ? name : ""));
    for (size_t i = 0; i < sizeof(NOUNS) / sizeof(NOUNS[0]); i++) {
        nearest_consider(&n, NOUNS[i].name);
    }
    if (n.best != NULL) {
        fprintf(stderr, "kvass get: unknown '%s'; did you mean '%s'?\n", name, n.best);
    } else {
        fprintf(stderr, "kvass get: expected one of shards, targets, moves, why, metrics\nusage: %s\n", usage);
    }
    return EXIT_USAGE;
}

static void clear_screen(void)
{
    fputs(terminal_moves_cursor() ? "\033[H\033[2J" : "\n", stdout);
}

int cmd_get(int argc, char **argv)
{
    const char *server = "http://127.0.0.1:9089", *format = "table", *token = getenv("KVASS_TOKEN"), *what[1] = {NULL};
    struct question q = {NULL, NULL, NULL};
    bool watch = false;
    const struct arg_spec specs[] = {
        {"server", "URL", &server, NULL, "API of the running kvass (default http://127.0.0.1:9089)"},
        {"job", "JOB", &q.job, NULL, "why: the job of the target asked about; targets: a regular expression"},
        {"target", "URL", &q.url, NULL, "why: the scrape URL of the target asked about"},
        {"hash", "HASH", &q.hash, NULL, "why: the hash of the target asked about"},
        {"output", "FORMAT", &format, NULL, "table or json (default table)"},
        {"watch", NULL, NULL, &watch, "again every two seconds, until interrupted"},
    };
    static const struct command_help HELP = {
        "kvass get shards|targets|moves|why|metrics [--server=URL] [-o table|json] [--watch]\n"
        "       kvass get targets [--job=JOB] ...\n"
        "       kvass get why [--job=JOB] [--target=URL] [--hash=HASH] ...",
        "Shows what a running kvass does, and why: without a target, why there are so many shards.\n"
        "A bearer token is taken from the environment variable KVASS_TOKEN."};
    int count = args_parse(argc, argv, &HELP, specs, sizeof(specs) / sizeof(specs[0]), what, 1);
    if (count < 0) {
        return count == -2 ? 0 : EXIT_USAGE;
    }
    const struct noun *noun = count > 0 ? find_noun(what[0]) : NULL;
    bool as_json = strcmp(format, "json") == 0;
    if (noun == NULL) {
        return unknown_noun(what[0], HELP.usage);
    }
    if (!as_json && strcmp(format, "table") != 0) {
        fprintf(stderr, "kvass get: '%s' is no format: table or json\nusage: %s\n", format, HELP.usage);
        return EXIT_USAGE;
    }
    if (unheeded_option(noun, &q) != NULL) {
        fprintf(stderr, "kvass get: --%s is no option of '%s'\nusage: %s\n", unheeded_option(noun, &q), noun->name,
                HELP.usage);
        return EXIT_USAGE;
    }
    curl_net_init();
    int rc = show(noun, server, &q, token, as_json);
    while (watch && fflush(stdout) == 0 && ferror(stdout) == 0) { /* until nobody reads it */
        usleep(WATCH_MS * 1000);
        clear_screen();
        rc = show(noun, server, &q, token, as_json);
    }
    return rc;
}
