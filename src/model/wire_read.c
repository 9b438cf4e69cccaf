/* Reading the API's JSON into our types.
 *
 * Written for two writers: ours, and the Go sidecar, which leaves fields out, writes null for an empty map or list, and
 * year 1 for "never". A missing or null field has its zero value; a field of the wrong type is refused with its name,
 * since guessing there would move targets. Nothing is kept of a refused text. */
#include "base/duration.h"
#include "base/intern.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "base/vec.h"
#include "model/wire.h"

#define JOB_NAME_BYTES_MAX     4096
#define JOBS_MAX               100000
#define EXTRA_CONFIG_BYTES_MAX 65536
/* No limit is higher, and sums over a million targets stay numbers. */
#define SERIES_MAX UINT64_C(1000000000000)

static int wrong_type(struct errctx *err, const char *key, const char *expected)
{
    return errctx_set(err, ERR_INVALID, "%s: expected %s", key, expected);
}

static int read_u64(const json_t *object, const char *key, uint64_t *ret, struct errctx *err)
{
    const json_t *value = json_object_get(object, key);
    *ret = 0;
    if (value == NULL || json_is_null(value) || wire_u64(value, ret)) {
        return 0;
    }
    return wrong_type(err, key, "an unsigned integer");
}

static int read_str(const json_t *object, const char *key, const char **ret, struct errctx *err)
{
    const json_t *value = json_object_get(object, key);
    *ret = "";
    if (value == NULL || json_is_null(value)) {
        return 0;
    }
    if (!json_is_string(value)) {
        return wrong_type(err, key, "a string");
    }
    *ret = json_string_value(value);
    return 0;
}

/* 0 when absent, or before 1970: Go's zero time. */
static int read_time(const json_t *object, const char *key, int64_t *ret_ms, struct errctx *err)
{
    const char *text;
    int rc = read_str(object, key, &text, err);
    if (rc == 0) {
        int64_t ms = text[0] != '\0' ? timebase_parse(text) : 0;
        *ret_ms = ms > 0 ? ms : 0;
    }
    return rc;
}

static int read_state(const json_t *object, enum assignment_state *ret, struct errctx *err)
{
    const char *text;
    int rc = read_str(object, "TargetState", &text, err);
    if (rc != 0) {
        return rc;
    }
    for (int i = ASSIGNMENT_ASSIGNED; i <= ASSIGNMENT_LEAVING; i++) {
        if (strcmp(text, assignment_state_wire((enum assignment_state)i)) == 0) {
            *ret = (enum assignment_state)i;
            return 0;
        }
    }
    return wrong_type(err, "TargetState", "\"\", \"in_transfer\" or \"leaving\"");
}

static int code_of(const char *error_type)
{
    static const struct {
        const char *type;
        int code;
    } CODES[] = {
        {"bad_data", ERR_INVALID},  {"unauthorized", ERR_UNAUTHORIZED}, {"not_found", ERR_NOT_FOUND},
        {"conflict", ERR_CONFLICT}, {"too_large", ERR_LIMIT},           {"timeout", ERR_TIMEOUT},
    };
    for (size_t i = 0; i < sizeof(CODES) / sizeof(CODES[0]); i++) {
        if (strcmp(CODES[i].type, error_type) == 0) {
            return CODES[i].code;
        }
    }
    return ERR_UNAVAILABLE;
}

const json_t *wire_data(const json_t *root, struct errctx *err)
{
    const char *status, *type, *message;
    if (!json_is_object(root) || read_str(root, "status", &status, NULL) != 0 ||
        read_str(root, "errorType", &type, NULL) != 0 || read_str(root, "error", &message, NULL) != 0) {
        (void)errctx_set(err, ERR_PARSE, "not an answer of this API: no status");
        return NULL;
    }
    if (strcmp(status, "success") == 0) {
        const json_t *data = json_object_get(root, "data");
        return data != NULL ? data : json_null();
    }
    if (strcmp(status, "error") != 0) {
        (void)errctx_set(err, ERR_PARSE, "not an answer of this API: status '%.32s'", status);
        return NULL;
    }
    (void)errctx_set(err, code_of(type), "%s: %s", type[0] != '\0' ? type : "error", message);
    return NULL;
}

int wire_read_labels(const json_t *object, struct labels **ret, struct errctx *err)
{
    const char *name;
    json_t *value;
    VEC(struct label) items = {0};
    int rc = object == NULL || json_is_null(object) || json_is_object(object)
                 ? 0
                 : wrong_type(err, "labels", "an object of strings");
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        if (!json_is_string(value)) {
            rc = errctx_set(err, ERR_INVALID, "label '%.64s': expected a string", name);
            break;
        }
        *vec_push(&items) =
            (struct label){view_of(name), view_make(json_string_value(value), json_string_length(value))};
    }
    if (rc == 0) {
        *ret = labels_make(items.items, items.len);
    }
    vec_done(&items);
    return rc;
}

static int64_t duration_label(const struct labels *labels, const char *name)
{
    struct view text = labels_get(labels, view_of(name));
    int64_t ms = 0;
    return text.len != 0 && duration_parse_prometheus(text, &ms, NULL) == 0 ? ms : 0;
}

static int read_target(const char *job, const json_t *object, struct assignment *ret, struct errctx *err)
{
    uint64_t hash;
    struct labels *labels = NULL;
    if (!json_is_object(object)) {
        return wrong_type(err, "target", "an object");
    }
    if (!wire_u64(json_object_get(object, "hash"), &hash)) {
        return wrong_type(err, "hash", "an unsigned integer");
    }
    int rc = read_state(object, &ret->state, err);
    if (rc == 0) {
        rc = wire_read_labels(json_object_get(object, "labels"), &labels, err);
    }
    if (rc != 0) {
        return rc;
    }
    char *url = target_url(labels, NULL, 0);
    ret->target = target_new_with_hash(job, hash, labels, url, duration_label(labels, "__scrape_interval__"),
                                       duration_label(labels, "__scrape_timeout__"));
    free(url);
    return 0;
}

void wire_targets_free(struct assignment *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        target_unref(items[i].target);
    }
    free(items);
}

struct target_list {
    struct assignment *items;
    size_t len, cap;
};

static int read_job(const char *name, const json_t *list, struct target_list *to, struct errctx *err)
{
    if (json_is_null(list)) {
        return 0;
    }
    if (!json_is_array(list)) {
        return errctx_set(err, ERR_INVALID, "job '%.64s': expected a list of targets", name);
    }
    if (strlen(name) > JOB_NAME_BYTES_MAX) {
        return errctx_set(err, ERR_LIMIT, "job name of %zu bytes; at most %d are accepted", strlen(name),
                          JOB_NAME_BYTES_MAX);
    }
    const char *job = intern(name);
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct assignment item = {0};
        int rc = read_target(job, json_array_get(list, i), &item, err);
        if (rc != 0) {
            return errctx_prefix(err, rc, "job '%.64s', target %zu", name, i);
        }
        *vec_push(to) = item;
    }
    return 0;
}

static int read_jobs(const json_t *jobs, struct assignment **ret, size_t *ret_count, struct errctx *err)
{
    const char *name;
    json_t *list;
    struct target_list all = {0};
    int rc = jobs == NULL || json_is_null(jobs) || json_is_object(jobs)
                 ? 0
                 : wrong_type(err, "Targets", "an object of lists");
    if (rc == 0 && json_object_size(jobs) > JOBS_MAX) {
        rc = errctx_set(err, ERR_LIMIT, "%zu jobs; at most %d are accepted", json_object_size(jobs), JOBS_MAX);
    }
    if (rc == 0) {
        json_object_foreach((json_t *)(uintptr_t)jobs, name, list)
        {
            rc = read_job(name, list, &all, err);
            if (rc != 0) {
                break;
            }
        }
    }
    if (rc != 0) {
        wire_targets_free(all.items, all.len);
        return rc;
    }
    *ret = all.items != NULL ? all.items : mem_alloc(1);
    *ret_count = all.len;
    return 0;
}

int wire_read_targets(const json_t *root, struct assignment **ret, size_t *ret_count, struct errctx *err)
{
    if (!json_is_object(root)) {
        return wrong_type(err, "body", "an object with Targets");
    }
    if (json_object_get(root, "Targets") == NULL) { /* a misspelt key must not empty a shard */
        return errctx_set(err, ERR_INVALID, "Targets: missing; expected an object of lists, {} for no target");
    }
    return read_jobs(json_object_get(root, "Targets"), ret, ret_count, err);
}

int wire_read_old_store(const json_t *root, struct assignment **ret, size_t *ret_count, int64_t *ret_idle_since_ms,
                        struct errctx *err)
{
    if (!json_is_object(root)) {
        return wrong_type(err, "store", "an object");
    }
    /* in the older form every value is a list, a job named Targets too */
    const json_t *targets = json_object_get(root, "Targets");
    bool is_new = json_is_object(targets) || json_object_get(root, "IdleAt") != NULL;
    int64_t idle_since_ms = 0;
    int rc = is_new ? read_time(root, "IdleAt", &idle_since_ms, err) : 0;
    if (rc == 0) {
        rc = read_jobs(is_new ? targets : root, ret, ret_count, err);
    }
    if (rc == 0) {
        *ret_idle_since_ms = idle_since_ms;
    }
    return rc;
}

static int read_health(const json_t *object, enum target_health *ret, struct errctx *err)
{
    const char *text;
    int rc = read_str(object, "health", &text, err);
    if (rc != 0) {
        return rc;
    }
    *ret = TARGET_HEALTH_UNKNOWN;
    for (int i = TARGET_HEALTH_UNKNOWN; i <= TARGET_HEALTH_DOWN; i++) {
        if (strcmp(text, target_health_name((enum target_health)i)) == 0) {
            *ret = (enum target_health)i;
            return 0;
        }
    }
    return text[0] == '\0' ? 0 : wrong_type(err, "health", "up, down or unknown");
}

static int read_duration(const json_t *object, int64_t *ret_us, struct errctx *err)
{
    const json_t *value = json_object_get(object, "lastScrapeDuration");
    double seconds = json_is_number(value) ? json_number_value(value) : 0;
    if (value != NULL && !json_is_null(value) && !(json_is_number(value) && seconds >= 0 && seconds < 1e9)) {
        return wrong_type(err, "lastScrapeDuration", "seconds");
    }
    *ret_us = (int64_t)(seconds * 1e6 + 0.5);
    return 0;
}

static uint32_t clamp32(uint64_t n)
{
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static int read_scrapes(const json_t *object, struct target_status *s, struct errctx *err)
{
    uint64_t scrapes = 0, good = 0;
    int rc = read_u64(object, "ScrapeTimes", &scrapes, err);
    if (rc == 0) {
        rc = read_u64(object, "goodScrapes", &good, err);
    }
    if (json_object_get(object, "goodScrapes") == NULL && s->health == TARGET_HEALTH_UP) {
        good = scrapes;
    }
    s->scrapes = clamp32(scrapes);
    s->good_scrapes = clamp32(good);
    return rc;
}

int wire_read_status(const json_t *object, enum assignment_state *ret_state, struct target_status *ret,
                     struct errctx *err)
{
    struct target_status s = {0};
    enum assignment_state state = ASSIGNMENT_ASSIGNED;
    const char *error = "";
    if (!json_is_object(object)) {
        return wrong_type(err, "status", "an object");
    }
    int rc = read_health(object, &s.health, err);
    rc = rc != 0 ? rc : read_state(object, &state, err);
    rc = rc != 0 ? rc : read_str(object, "lastError", &error, err);
    rc = rc != 0 ? rc : read_time(object, "lastScrape", &s.last_scrape_ms, err);
    rc = rc != 0 ? rc : read_duration(object, &s.last_duration_us, err);
    rc = rc != 0 ? rc : read_u64(object, "series", &s.series, err);
    rc = rc != 0 ? rc : read_u64(object, "totalSeries", &s.scraped, err);
    rc = rc != 0 ? rc : read_u64(object, "wholeSeries", &s.whole_series, err);
    rc = rc != 0 ? rc : read_u64(object, "wholeTotalSeries", &s.whole_scraped, err);
    rc = rc != 0 ? rc : read_scrapes(object, &s, err);
    if (rc != 0) {
        return rc;
    }
    strncpy(s.error, error, sizeof(s.error) - 1);
    uint64_t *const figures[] = {&s.series, &s.scraped, &s.whole_series, &s.whole_scraped};
    for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
        *figures[i] = *figures[i] < SERIES_MAX ? *figures[i] : SERIES_MAX;
    }
    s.history[0] = s.series;
    s.history_len = s.good_scrapes != 0;
    *ret_state = state;
    *ret = s;
    return 0;
}

static int read_shard_health(const json_t *data, enum shard_health *ret, struct errctx *err)
{
    const char *text;
    int rc = read_str(data, "health", &text, err);
    if (rc != 0) {
        return rc;
    }
    *ret = SHARD_HEALTH_READY;
    for (int i = SHARD_HEALTH_UNKNOWN; i <= SHARD_HEALTH_UNREACHABLE; i++) {
        if (strcmp(text, shard_health_name((enum shard_health)i)) == 0) {
            *ret = (enum shard_health)i;
            return 0;
        }
    }
    return text[0] == '\0' ? 0 : wrong_type(err, "health", "unknown, starting, ready or unreachable");
}

int wire_read_runtimeinfo(const json_t *data, struct shard_info *ret, struct errctx *err)
{
    struct shard_info info = {0};
    uint64_t parts_max = 0;
    const char *hash = "", *error = "";
    if (!json_is_object(data)) {
        return wrong_type(err, "runtimeinfo", "an object");
    }
    int rc = read_shard_health(data, &info.health, err);
    rc = rc != 0 ? rc : read_u64(data, "headSeries", &info.head_series, err);
    rc = rc != 0 ? rc : read_u64(data, "processSeries", &info.process_series, err);
    rc = rc != 0 ? rc : read_str(data, "ConfigHash", &hash, err);
    rc = rc != 0 ? rc : read_time(data, "IdleStartAt", &info.idle_since_ms, err);
    rc = rc != 0 ? rc : read_u64(data, "residentBytes", &info.resident_bytes, err);
    rc = rc != 0 ? rc : read_u64(data, "residentSeries", &info.resident_series, err);
    rc = rc != 0 ? rc : read_time(data, "processStartAt", &info.process_started_ms, err);
    rc = rc != 0 ? rc : read_u64(data, "generation", &info.generation, err);
    rc = rc != 0 ? rc : read_u64(data, "epoch", &info.epoch, err);
    rc = rc != 0 ? rc : read_u64(data, "configGeneration", &info.config_generation, err);
    rc = rc != 0 ? rc : read_u64(data, "maxParts", &parts_max, err);
    rc = rc != 0 ? rc : read_str(data, "error", &error, err);
    if (rc == 0 && strlen(hash) >= sizeof(info.config_hash)) {
        rc = errctx_set(err, ERR_LIMIT, "ConfigHash of %zu bytes; at most %zu are accepted", strlen(hash),
                        sizeof(info.config_hash) - 1);
    }
    if (rc != 0) {
        return rc;
    }
    info.parts_max = clamp32(parts_max);
    info.has_generation = json_object_get(data, "generation") != NULL;
    memcpy(info.config_hash, hash, strlen(hash) + 1);
    strncpy(info.error, error, sizeof(info.error) - 1);
    *ret = info;
    return 0;
}

bool wire_is_targets(const json_t *data)
{
    return json_is_object(json_object_get(data, "Targets"));
}

int wire_read_extra_config(const json_t *data, json_t **ret_inner, const char **ret_stop_reason, struct errctx *err)
{
    const char *text, *reason;
    if (!json_is_object(data)) {
        return wrong_type(err, "extra_config", "an object");
    }
    int rc = read_str(data, "json", &text, err);
    if (rc != 0) {
        return rc;
    }
    json_t *inner = wire_parse(text[0] != '\0' ? view_of(text) : VIEW("{}"), EXTRA_CONFIG_BYTES_MAX, err);
    if (inner == NULL) {
        return ERR_PARSE;
    }
    rc = read_str(inner, "stopScrapeReason", &reason, err);
    if (rc != 0) {
        json_decref(inner);
        return rc;
    }
    *ret_inner = inner;
    *ret_stop_reason = reason;
    return 0;
}
