/* Writing the API's JSON, and the first step of reading it.
 *
 * Hashes are full unsigned 64-bit numbers on this wire, half of them beyond what jansson's signed integers hold. So
 * output never goes through jansson, and input passes quote_integers first: a number of 19 or more digits comes out
 * between quotes. It copies everything else as it is, knows strings and escapes, and leaves alone what is no plain
 * positive integer, so that a text which is not JSON does not become JSON. Positions in messages are those of the
 * original text. */
#include "model/wire.h"
#include "base/timebase.h"
#include "base/vec.h"

#define QUOTED_DIGITS_MIN 19

/* A tree costs much more than its text: {} is two bytes, and 300 in memory. A text is refused by what its tree would
 * weigh, before the tree is made. */
#define WEIGHT_MAX_LEAST ((size_t)4 << 20)
#define BYTES_PER_WEIGHT 16
#define CONTAINER_WEIGHT 4

struct quoting {
    struct view in;
    struct bytes *out;
    VEC(size_t) inserted; /* places in out of the quotes put in */
    size_t weight;        /* of the tree: a member or an element each, a container four */
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Index behind the string whose opening quote is at `at`. */
static size_t string_end(struct view in, size_t at)
{
    for (at++; at < in.len; at++) {
        if (in.base[at] == '\\') {
            at++;
        } else if (in.base[at] == '"') {
            return at + 1;
        }
    }
    return in.len;
}

static bool is_key_or_fraction(struct view in, size_t at)
{
    while (at < in.len && memchr(" \t\r\n", in.base[at], 4) != NULL) {
        at++;
    }
    return at < in.len && memchr(":.eE", in.base[at], 4) != NULL;
}

static size_t number_end(struct view in, size_t at)
{
    while (at < in.len && (is_digit(in.base[at]) || memchr("+-.eE", in.base[at], 5) != NULL)) {
        at++;
    }
    return at;
}

static void put_number(struct quoting *q, size_t from, size_t to)
{
    size_t digits = 0;
    while (from + digits < to && is_digit(q->in.base[from + digits])) {
        digits++;
    }
    bool quote =
        digits >= QUOTED_DIGITS_MIN && from + digits == to && q->in.base[from] != '0' && !is_key_or_fraction(q->in, to);
    if (quote) {
        *vec_push(&q->inserted) = q->out->len;
        bytes_append_char(q->out, '"');
    }
    bytes_append(q->out, q->in.base + from, to - from);
    if (quote) {
        *vec_push(&q->inserted) = q->out->len;
        bytes_append_char(q->out, '"');
    }
}

static void quote_integers(struct quoting *q)
{
    size_t at = 0, copied = 0;
    while (at < q->in.len) {
        char c = q->in.base[at];
        if (c == '"') {
            at = string_end(q->in, at);
        } else if (is_digit(c) || c == '-') {
            size_t end = number_end(q->in, at);
            bytes_append(q->out, q->in.base + copied, at - copied);
            put_number(q, at, end);
            at = copied = end;
        } else {
            q->weight += c == '{' || c == '[' ? CONTAINER_WEIGHT : c == ',' || c == ':';
            at++;
        }
    }
    bytes_append(q->out, q->in.base + copied, q->in.len - copied);
}

static int fail_at(const struct quoting *q, const json_error_t *error, struct errctx *err)
{
    size_t place = error->position > 0 ? (size_t)error->position : 0, quotes = 0, line = 1, column = 1;
    while (quotes < q->inserted.len && q->inserted.items[quotes] < place) {
        quotes++;
    }
    place -= quotes < place ? quotes : place;
    for (size_t i = 0; i < place && i < q->in.len; i++) {
        bool is_newline = q->in.base[i] == '\n';
        line += is_newline;
        column = is_newline ? 1 : column + 1;
    }
    return errctx_set(err, ERR_PARSE, "JSON, line %zu column %zu: %s", line, column, error->text);
}

json_t *wire_parse(struct view text, size_t max_bytes, struct errctx *err)
{
    if (text.len > max_bytes) {
        (void)errctx_set(err, ERR_LIMIT, "JSON of %zu bytes; at most %zu are accepted", text.len, max_bytes);
        return NULL;
    }
    struct bytes quoted;
    json_error_t error = {0};
    bytes_init(&quoted, text.len + text.len / 8 + 8);
    struct quoting q = {.in = text, .out = &quoted};
    quote_integers(&q);
    size_t weight_max =
        max_bytes / BYTES_PER_WEIGHT > WEIGHT_MAX_LEAST ? max_bytes / BYTES_PER_WEIGHT : WEIGHT_MAX_LEAST;
    json_t *root = NULL;
    if (q.weight > weight_max) {
        (void)errctx_set(err, ERR_LIMIT, "JSON of too many members and elements: weighs %zu, at most %zu are accepted",
                         q.weight, weight_max);
    } else {
        root = json_loadb(bytes_view(&quoted).base, quoted.len, JSON_ALLOW_NUL, &error);
        if (root == NULL) {
            (void)fail_at(&q, &error, err);
        }
    }
    vec_done(&q.inserted);
    bytes_done(&quoted);
    return root;
}

static bool parse_u64(const char *digits, size_t len, uint64_t *ret)
{
    uint64_t n = 0;
    for (size_t i = 0; i < len; i++) {
        uint64_t digit = (uint64_t)(unsigned char)digits[i] - '0';
        if (digit > 9 || n > (UINT64_MAX - digit) / 10) {
            return false;
        }
        n = n * 10 + digit;
    }
    *ret = n;
    return len != 0;
}

bool wire_u64(const json_t *value, uint64_t *ret)
{
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *ret = (uint64_t)json_integer_value(value);
        return true;
    }
    uint64_t n;
    if (json_is_string(value) && parse_u64(json_string_value(value), json_string_length(value), &n)) {
        *ret = n;
        return true;
    }
    return false;
}

bool wire_key_u64(const char *key, uint64_t *ret)
{
    return parse_u64(key, strlen(key), ret);
}

void wire_success_begin(struct json_writer *w)
{
    json_object_begin(w);
    json_kv_str(w, "status", "success");
    json_key(w, "data");
}

void wire_success_end(struct json_writer *w)
{
    json_object_end(w);
}

void wire_success_empty(struct json_writer *w)
{
    json_object_begin(w);
    json_kv_str(w, "status", "success");
    json_object_end(w);
}

void wire_error(struct json_writer *w, const char *error_type, const char *message)
{
    json_object_begin(w);
    json_kv_str(w, "status", "error");
    json_kv_str(w, "errorType", error_type);
    json_kv_str(w, "error", message);
    json_object_end(w);
}

void wire_write_labels(struct json_writer *w, const struct labels *labels)
{
    json_object_begin(w);
    for (size_t i = 0; i < labels_count(labels); i++) {
        struct label at = labels_at(labels, i);
        json_key_view(w, at.name);
        json_view(w, at.value);
    }
    json_object_end(w);
}

void wire_write_target(struct json_writer *w, const struct assignment *a, const struct target_status *s)
{
    json_object_begin(w);
    json_kv_u64(w, "hash", a->target->hash);
    json_key(w, "labels");
    wire_write_labels(w, a->target->labels);
    json_kv_u64(w, "series", s != NULL ? s->series : 0);
    json_kv_u64(w, "totalSeries", s != NULL ? s->scraped : 0);
    json_kv_str(w, "TargetState", assignment_state_wire(a->state));
    json_object_end(w);
}

static void put_time(struct json_writer *w, const char *key, int64_t realtime_ms)
{
    char text[TIMEBASE_TEXT_MAX];
    json_kv_str(w, key, realtime_ms != 0 ? timebase_format(realtime_ms, text) : "0001-01-01T00:00:00Z");
}

void wire_write_status(struct json_writer *w, enum assignment_state state, const struct target_status *s)
{
    json_object_begin(w);
    json_kv_str(w, "lastError", s->error);
    put_time(w, "lastScrape", s->last_scrape_ms);
    json_kv_double(w, "lastScrapeDuration", (double)s->last_duration_us / 1e6);
    json_kv_str(w, "health", target_health_name(s->health));
    json_kv_u64(w, "series", s->series);
    json_kv_u64(w, "totalSeries", s->scraped);
    if (s->whole_scraped != 0) {
        json_kv_u64(w, "wholeSeries", s->whole_series);
        json_kv_u64(w, "wholeTotalSeries", s->whole_scraped);
    }
    json_kv_str(w, "TargetState", assignment_state_wire(state));
    json_kv_u64(w, "ScrapeTimes", s->scrapes);
    json_kv_u64(w, "goodScrapes", s->good_scrapes);
    json_key(w, "shards");
    json_array_begin(w);
    json_array_end(w);
    json_object_end(w);
}

void wire_write_runtimeinfo(struct json_writer *w, const struct shard_info *info)
{
    json_object_begin(w);
    json_kv_u64(w, "headSeries", info->head_series);
    json_kv_u64(w, "processSeries", info->process_series);
    json_kv_str(w, "ConfigHash", info->config_hash);
    if (info->idle_since_ms != 0) {
        put_time(w, "IdleStartAt", info->idle_since_ms);
    }
    if (info->resident_bytes != 0) {
        json_kv_u64(w, "residentBytes", info->resident_bytes);
        json_kv_u64(w, "residentSeries", info->resident_series);
        put_time(w, "processStartAt", info->process_started_ms);
    }
    json_kv_str(w, "health", shard_health_name(info->health));
    json_kv_u64(w, "generation", info->generation);
    json_kv_u64(w, "epoch", info->epoch);
    json_kv_u64(w, "configGeneration", info->config_generation);
    if (info->parts_max > 1) {
        json_kv_u64(w, "maxParts", info->parts_max);
    }
    if (info->error[0] != '\0') {
        json_kv_str(w, "error", info->error);
    }
    json_object_end(w);
}

static void put_jobs(struct json_writer *w, const struct assignment *items, size_t count)
{
    json_key(w, "Targets");
    json_object_begin(w);
    for (size_t i = 0; i < count; i++) {
        const char *job = items[i].target->job;
        if (i == 0 || job != items[i - 1].target->job) {
            json_key(w, job);
            json_array_begin(w);
        }
        wire_write_target(w, &items[i], NULL);
        if (i + 1 == count || job != items[i + 1].target->job) {
            json_array_end(w);
        }
    }
    json_object_end(w);
}

static void put_numbers(struct json_writer *w, uint64_t generation, uint64_t epoch)
{
    json_kv_u64(w, "generation", generation);
    if (epoch != 0) {
        json_kv_u64(w, "epoch", epoch);
    }
}

void wire_write_targets(struct json_writer *w, const struct assignment *items, size_t count)
{
    json_object_begin(w);
    put_jobs(w, items, count);
    json_object_end(w);
}

void wire_write_push(struct json_writer *w, const struct assignment *items, size_t count, uint64_t generation,
                     uint64_t epoch)
{
    json_object_begin(w);
    put_jobs(w, items, count);
    put_numbers(w, generation, epoch);
    json_object_end(w);
}

void wire_write_config(struct json_writer *w, struct view text, uint64_t generation, uint64_t epoch)
{
    json_object_begin(w);
    json_kv_view(w, "rawContent", text);
    put_numbers(w, generation, epoch);
    json_object_end(w);
}

void wire_write_extra_config(struct json_writer *w, const char *stop_reason)
{
    json_object_begin(w);
    json_kv_str(w, "stopScrapeReason", stop_reason);
    json_object_end(w);
}
