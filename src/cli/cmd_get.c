/* kvass get: an operator's view of a running kvass, over its API. */
#include "base/mem.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/fetch.h"
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

static void print_shards(const json_t *data, bool colour)
{
    struct table t;
    size_t i;
    json_t *s;
    table_init(&t, "SHARD|HEALTH|+TARGETS|+SERIES|+LIMIT|+USED|+HEAD|PROMETHEUS|ERROR");
    json_array_foreach(json_object_get(data, "shards"), i, s)
    {
        char used[16];
        double limit = number_of(s, "limitSeries"), load = number_of(s, "loadSeries");
        snprintf(used, sizeof(used), limit > 0 ? "%.0f%%" : "-", limit > 0 ? 100 * load / limit : 0);
        table_cell(&t, text_of(s, "id"));
        table_cell(&t, text_of(s, "health"));
        table_number(&t, number_of(s, "targets"));
        table_number(&t, load);
        table_number(&t, limit);
        table_cell(&t, used);
        table_number(&t, number_of(s, "headSeries"));
        table_cell(&t, text_of(s, "prometheusUrl"));
        table_cell(&t, text_of(s, "error"));
    }
    table_print(&t, stdout, colour);
    table_done(&t);
    printf("\nwanted: %.0f (%s)\n", number_of(data, "wanted"), text_of(data, "wantedReason"));
    if (*text_of(data, "mixedVersions") != '\0') {
        printf("versions differ: %s\n", text_of(data, "mixedVersions"));
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
        table_number(&t, number_of(x, "series"));
        table_number(&t, number_of(x, "totalSeries"));
        table_cell(&t, json_string_value(json_array_get(json_object_get(x, "shards"), 0)));
        table_cell(&t, *text_of(x, "lastError") != '\0' ? text_of(x, "lastError") : text_of(x, "reason"));
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

static void print_sentences(const json_t *list, const char *indent)
{
    size_t i;
    json_t *line;
    json_array_foreach(list, i, line)
    {
        printf("%s%s\n", indent, json_string_value(line) != NULL ? json_string_value(line) : "");
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
        printf("%s %s (%s)\n", text_of(t, "job"), *url != '\0' ? url : text_of(t, "address"), text_of(t, "state"));
        print_sentences(json_object_get(t, "why"), "  ");
    }
    print_sentences(json_object_get(data, "why"), "");
}

static const struct noun {
    const char *name, *path;
    void (*print)(const json_t *data, bool colour); /* NULL: the answer is text */
} NOUNS[] = {
    {"shards", "/api/v1/shards", print_shards},
    {"targets", "/api/v1/targets", print_targets},
    {"moves", "/api/v1/moves", print_moves},
    {"why", "/api/v1/why", print_why},
    {"metrics", "/metrics", NULL},
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

static int show(const struct noun *noun, const char *server, const struct question *q, const char *token, bool as_json)
{
    struct errctx err = ERRCTX_INIT;
    struct bytes body;
    json_t *root = NULL;
    const json_t *data = NULL;
    char *url = make_url(server, noun, q);
    int rc = fetch(NULL, url, token, &body, &err);
    free(url);
    if (rc == 0 && noun->print != NULL && !as_json) {
        root = wire_parse(bytes_view(&body), FETCH_BYTES_MAX, &err);
        data = root != NULL ? wire_data(root, &err) : NULL;
        rc = err.code;
    }
    if (rc != 0) {
        fprintf(stderr, "kvass get %s: %s\n", noun->name, err.msg);
    } else if (data != NULL) {
        noun->print(data, isatty(STDOUT_FILENO) != 0);
    } else {
        printf("%s%s", bytes_view(&body).base, as_json ? "\n" : "");
    }
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
        "kvass get shards|targets|moves|why|metrics [--server=URL] [--job=JOB] [--target=URL] [--output=table|json] "
        "[--watch]",
        "Shows what a running kvass does, and why: without a target, why there are so many shards. A bearer token is "
        "taken from the environment variable KVASS_TOKEN."};
    int count = args_parse(argc, argv, &HELP, specs, sizeof(specs) / sizeof(specs[0]), what, 1);
    if (count < 0) {
        return count == -2 ? 0 : EXIT_USAGE;
    }
    const struct noun *noun = find_noun(what[0]);
    bool as_json = strcmp(format, "json") == 0;
    if (noun == NULL || (!as_json && strcmp(format, "table") != 0)) {
        fprintf(
            stderr,
            "kvass get: expected one of shards, targets, moves, why, metrics and a format table or json\nusage: %s\n",
            HELP.usage);
        return EXIT_USAGE;
    }
    curl_net_init();
    int rc = show(noun, server, &q, token, as_json);
    while (watch) {
        usleep(WATCH_MS * 1000);
        fputs("\033[H\033[2J", stdout);
        rc = show(noun, server, &q, token, as_json);
    }
    return rc;
}
