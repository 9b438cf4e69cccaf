/* JSON answers from the view: see answers.h. Shapes of Prometheus and of the Go Kvass where they have one; shards,
 * moves and ledger are ours. */
#include "api/answers.h"
#include "api/samples.h"
#include "base/duration.h"
#include "base/timebase.h"
#include "configgen/render.h"
#include "model/wire.h"

#include <stdio.h>

static void kv_time(struct json_writer *w, const char *key, int64_t ms)
{
    char text[TIMEBASE_TEXT_MAX];
    json_kv_str(w, key, ms > 0 ? timebase_format(ms, text) : "0001-01-01T00:00:00Z");
}

static void kv_duration(struct json_writer *w, const char *key, int64_t ms)
{
    char text[DURATION_TEXT_MAX];
    json_kv_str(w, key, duration_format_prometheus(ms, text));
}

/* ---------------------------------------------------------------- targets */

/* Regexes match anywhere in the job name, any of them. */
static int compile_jobs(const struct target_query *q, struct relabel_rules **ret, struct errctx *err)
{
    struct bytes regex;
    struct view source = VIEW("job");
    struct relabel_spec spec;
    if (q->job_count == 0) {
        *ret = NULL;
        return 0;
    }
    bytes_init(&regex, 65536);
    bytes_append_str(&regex, "(?s).*(?:");
    for (size_t i = 0; i < q->job_count; i++) {
        bytes_printf(&regex, "%s(?:%.*s)", i > 0 ? "|" : "", VIEW_FMT(q->jobs[i]));
    }
    bytes_append_str(&regex, ").*");
    relabel_spec_init(&spec);
    spec.action = RELABEL_KEEP;
    spec.source_labels = &source;
    spec.source_label_count = 1;
    spec.regex = bytes_view(&regex);
    spec.has_regex = spec.has_source_labels = true;
    int rc = relabel_rules_compile(&spec, 1, PROMETHEUS_3, "job", ret, err);
    bytes_done(&regex);
    return rc;
}

static bool job_matches(const struct target_query *q, const struct relabel_rules *rules, const char *job)
{
    if (q->scrape_pool.len > 0 && !view_is(q->scrape_pool, job)) {
        return false;
    }
    if (rules == NULL) {
        return true;
    }
    struct arena *arena = arena_new();
    struct labels_builder b;
    labels_builder_init(&b, arena);
    labels_builder_set(&b, VIEW("job"), view_of(job));
    bool kept = relabel_process(rules, &b);
    labels_builder_done(&b);
    arena_free(&arena);
    return kept;
}

static bool health_matches(const struct target_query *q, enum target_health health)
{
    for (size_t i = 0; i < q->health_count; i++) {
        if (view_is(q->health[i], target_health_name(health))) {
            return true;
        }
    }
    return q->health_count == 0;
}

/* Labels as series carry them: without __*. */
static void write_public_labels(struct json_writer *w, const struct labels *l)
{
    json_object_begin(w);
    for (size_t i = 0; i < labels_count(l); i++) {
        struct label x = labels_at(l, i);
        if (!view_has_prefix(x.name, VIEW("__"))) {
            json_key_view(w, x.name);
            json_view(w, x.value);
        }
    }
    json_object_end(w);
}

static void write_discovered(struct json_writer *w, const struct labels *l)
{
    json_key(w, "discoveredLabels");
    if (l != NULL) {
        wire_write_labels(w, l);
    } else {
        json_object_begin(w);
        json_object_end(w);
    }
}

static void write_shards(struct json_writer *w, const char *const *shards, unsigned count)
{
    json_key(w, "shards");
    json_array_begin(w);
    for (unsigned i = 0; i < count; i++) {
        json_str(w, shards[i]);
    }
    json_array_end(w);
}

/* The targets that scrape a split one, in place of it or about to; only there when it is. */
static void write_parts(struct json_writer *w, const struct view_target *t)
{
    json_key(w, "parts");
    json_array_begin(w);
    for (unsigned i = 0; i < t->part_count; i++) {
        const struct view_part *p = &t->parts[i];
        json_object_begin(w);
        json_kv_u64(w, "part", p->target->part);
        json_kv_u64(w, "of", p->target->parts);
        json_kv_bool(w, "coming", p->is_coming);
        json_key(w, "hash");
        json_u64(w, p->target->hash);
        json_kv_str(w, "state", ledger_state_name(p->state));
        json_kv_str(w, "reason", p->reason);
        json_kv_str(w, "health", target_health_name(p->health));
        json_kv_str(w, "lastError", p->error);
        json_kv_u64(w, "series", p->series);
        json_kv_u64(w, "totalSeries", p->scraped);
        write_shards(w, p->shards, p->shard_count);
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_active(struct json_writer *w, const struct view_target *t)
{
    json_object_begin(w);
    write_discovered(w, t->discovered);
    json_key(w, "labels");
    write_public_labels(w, t->target->labels);
    json_kv_str(w, "scrapePool", t->target->job);
    json_kv_str(w, "scrapeUrl", t->target->url);
    json_kv_str(w, "globalUrl", t->target->url);
    json_kv_str(w, "lastError", t->error);
    kv_time(w, "lastScrape", t->last_scrape_ms);
    json_kv_double(w, "lastScrapeDuration", (double)t->last_duration_us / 1e6);
    json_kv_str(w, "health", target_health_name(t->health));
    kv_duration(w, "scrapeInterval", t->target->interval_ms);
    kv_duration(w, "scrapeTimeout", t->target->timeout_ms);
    json_key(w, "hash");
    json_u64(w, t->target->hash);
    json_kv_u64(w, "series", t->series);
    json_kv_u64(w, "totalSeries", t->scraped);
    json_kv_bool(w, "measured", t->size_known);
    json_kv_str(w, "state", ledger_state_name(t->state));
    json_kv_str(w, "reason", t->reason);
    write_shards(w, t->shards, t->shard_count);
    if (t->part_count > 0) {
        write_parts(w, t);
    }
    json_object_end(w);
}

static void write_dropped(struct json_writer *w, const struct view_target *t)
{
    json_object_begin(w);
    write_discovered(w, t->discovered);
    json_kv_str(w, "scrapePool", t->job);
    json_kv_str(w, "state", ledger_state_name(t->state));
    if (t->error[0] != '\0') {
        json_kv_str(w, "error", t->error);
    }
    json_object_end(w);
}

/* Targets come sorted by job, so one pass over each run of equal jobs is enough. */
static void write_statistics(struct json_writer *w, const struct api_view *v, const bool *matches)
{
    json_key(w, "activeStatistics");
    json_array_begin(w);
    for (size_t i = 0; i < v->good_count;) {
        const char *job = v->targets[i].target->job;
        uint64_t by_health[3] = {0}, total = 0;
        for (; i < v->good_count && v->targets[i].target->job == job; i++) {
            if (matches[i]) {
                by_health[v->targets[i].health]++;
                total++;
            }
        }
        if (total == 0) {
            continue;
        }
        json_object_begin(w);
        json_kv_str(w, "JobName", job);
        json_kv_u64(w, "Total", total);
        json_key(w, "Health");
        json_object_begin(w);
        for (int h = 0; h < 3; h++) {
            if (by_health[h] > 0) {
                json_kv_u64(w, target_health_name((enum target_health)h), by_health[h]);
            }
        }
        json_object_end(w);
        json_object_end(w);
    }
    json_array_end(w);
}

static bool *match_targets(const struct api_view *v, const struct target_query *q, const struct relabel_rules *rules)
{
    bool *matches = mem_calloc(v->target_count + 1, sizeof(*matches));
    const char *job = NULL;
    bool job_ok = false;
    for (size_t i = 0; i < v->target_count; i++) {
        if (v->targets[i].job != job) {
            job = v->targets[i].job;
            job_ok = job_matches(q, rules, job);
        }
        matches[i] = job_ok && (i >= v->good_count || health_matches(q, v->targets[i].health));
    }
    return matches;
}

/* As Prometheus from 2.48 on has it: the count of each job, those that keep_dropped_targets let go included. */
static void write_dropped_counts(struct json_writer *w, const struct api_view *v, const struct target_query *q,
                                 const struct relabel_rules *rules, bool with_dropped)
{
    json_key(w, "droppedTargetCounts");
    json_object_begin(w);
    for (size_t i = 0; with_dropped && i < v->reject_job_count; i++) {
        if (job_matches(q, rules, v->rejects[i].job)) {
            json_kv_u64(w, v->rejects[i].job, v->rejects[i].count);
        }
    }
    json_object_end(w);
}

int answer_targets(const struct api_view *v, const struct target_query *q, struct bytes *out, struct errctx *err)
{
    struct json_writer w;
    struct relabel_rules *rules = NULL;
    int rc = compile_jobs(q, &rules, err);
    if (rc != 0) {
        return rc;
    }
    bool *matches = match_targets(v, q, rules);
    bool any = q->state.len == 0 || view_is(q->state, "any");
    bool with_dropped = !q->statistics_only && (any || view_is(q->state, "dropped"));
    json_writer_init(&w, out);
    wire_success_begin(&w);
    json_object_begin(&w);
    json_key(&w, "activeTargets");
    json_array_begin(&w);
    for (size_t i = 0; !q->statistics_only && (any || view_is(q->state, "active")) && i < v->good_count; i++) {
        if (matches[i]) {
            write_active(&w, &v->targets[i]);
        }
    }
    json_array_end(&w);
    json_key(&w, "droppedTargets");
    json_array_begin(&w);
    for (size_t i = v->good_count; with_dropped && i < v->target_count; i++) {
        if (matches[i]) {
            write_dropped(&w, &v->targets[i]);
        }
    }
    json_array_end(&w);
    write_dropped_counts(&w, v, q, rules, with_dropped);
    if (q->statistics_only || q->statistics_with) {
        write_statistics(&w, v, matches);
    }
    json_object_end(&w);
    wire_success_end(&w);
    free(matches);
    relabel_rules_free(&rules);
    return 0;
}

/* ---------------------------------------------------------------- sums */

void answer_runtimeinfo(const struct api_view *v, struct bytes *out)
{
    struct json_writer w;
    struct shard_info sum = {0};
    for (size_t i = 0; i < v->shard_count; i++) {
        sum.head_series += v->shards[i].info.head_series;
        sum.process_series += v->shards[i].info.process_series;
    }
    if (v->conf != NULL) {
        snprintf(sum.config_hash, sizeof(sum.config_hash), "%s", v->conf->hash);
    }
    sum.config_generation = v->config_generation;
    json_writer_init(&w, out);
    wire_success_begin(&w);
    wire_write_runtimeinfo(&w, &sum);
    wire_success_end(&w);
}

static bool view_contains(struct view hay, struct view needle)
{
    return needle.len == 0 || memmem(hay.base, hay.len, needle.base, needle.len) != NULL;
}

void answer_samples(const struct api_view *v, struct view job_substring, struct family_count *count, struct bytes *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    wire_success_begin(&w);
    json_object_begin(&w);
    for (size_t i = 0; i < v->good_count;) {
        const char *job = v->targets[i].target->job;
        double scraped = 0, series = 0;
        for (; i < v->good_count && v->targets[i].target->job == job; i++) {
            double seconds = (double)v->targets[i].target->interval_ms / 1000;
            if (v->targets[i].health == TARGET_HEALTH_UP && seconds > 0) {
                scraped += (double)v->targets[i].scraped / seconds;
                series += (double)v->targets[i].series / seconds;
            }
        }
        if (!view_contains(view_of(job), job_substring)) {
            continue;
        }
        json_key(&w, job);
        json_object_begin(&w);
        json_kv_double(&w, "scrapedTotal", scraped);
        json_kv_double(&w, "total", series);
        samples_write_families(&w, count, job);
        json_object_end(&w);
    }
    json_object_end(&w);
    wire_success_end(&w);
}

void answer_config(const struct api_view *v, struct bytes *out)
{
    struct json_writer w;
    struct bytes yaml;
    bytes_init(&yaml, (size_t)64 << 20);
    if (v->conf == NULL || promconf_write_redacted(v->conf, &yaml, NULL) != 0) {
        bytes_clear(&yaml);
    }
    json_writer_init(&w, out);
    wire_success_begin(&w);
    json_object_begin(&w);
    json_kv_view(&w, "yaml", bytes_view(&yaml));
    json_object_end(&w);
    wire_success_end(&w);
    bytes_done(&yaml);
}

/* ---------------------------------------------------------------- ours */

static void write_shard(struct json_writer *w, const struct view_shard *s)
{
    json_object_begin(w);
    json_kv_str(w, "id", s->id);
    json_kv_str(w, "replica", s->replica != NULL ? s->replica : "");
    json_kv_u64(w, "group", s->group);
    json_kv_str(w, "health", shard_health_name(s->health));
    json_kv_str(w, "error", s->error);
    json_kv_str(w, "prometheusUrl", s->prometheus_url);
    json_kv_str(w, "prometheusVersion", s->info.prometheus_version);
    json_kv_u64(w, "headSeries", s->info.head_series);
    json_kv_u64(w, "processSeries", s->info.process_series);
    json_kv_u64(w, "loadSeries", s->load_series);
    json_kv_u64(w, "loadScraped", s->load_scraped);
    json_kv_u64(w, "limitSeries", s->limit_series);
    json_kv_u64(w, "limitScraped", s->limit_scraped);
    json_kv_u64(w, "residentBytes", s->info.resident_bytes);
    json_kv_u64(w, "bytesPerSeries", (uint64_t)s->bytes_per_series);
    json_kv_bool(w, "limitedByMemory", s->limited_by_memory);
    json_kv_u64(w, "targets", s->targets);
    json_kv_u64(w, "estimatedTargets", s->estimated);
    json_kv_u64(w, "inTransfer", s->in_transfer);
    json_kv_u64(w, "leaving", s->leaving);
    json_kv_u64(w, "generation", s->info.generation);
    json_kv_u64(w, "configGeneration", s->info.config_generation);
    if (s->info.idle_since_ms > 0) {
        kv_time(w, "idleStartAt", s->info.idle_since_ms);
    }
    kv_time(w, "lastSeen", s->info.last_seen_ms);
    json_object_end(w);
}

void answer_shards(const struct api_view *v, struct bytes *out)
{
    static const char *const ROLES[] = {"acting", "waiting", "standby", "fenced"};
    struct json_writer w;
    json_writer_init(&w, out);
    wire_success_begin(&w);
    json_object_begin(&w);
    json_kv_u64(&w, "wanted", v->wanted);
    json_kv_str(&w, "wantedReason", v->wanted_reason);
    json_kv_u64(&w, "rounds", v->rounds);
    json_kv_str(&w, "role", ROLES[v->role]);
    json_kv_str(&w, "blocked", v->blocked);
    json_kv_u64(&w, "epoch", v->epoch);
    json_kv_str(&w, "rules", v->rules);
    json_kv_str(&w, "mixedVersions", v->version_mixture);
    json_key(&w, "shards");
    json_array_begin(&w);
    for (size_t i = 0; i < v->shard_count; i++) {
        write_shard(&w, &v->shards[i]);
    }
    json_array_end(&w);
    json_object_end(&w);
    wire_success_end(&w);
}

void answer_moves(const struct api_view *v, struct bytes *out)
{
    static const char *const STATES[] = {"running", "finished", "undone"};
    struct json_writer w;
    json_writer_init(&w, out);
    wire_success_begin(&w);
    json_array_begin(&w);
    for (size_t i = 0; i < v->move_count; i++) {
        const struct view_move *m = &v->moves[i];
        json_object_begin(&w);
        kv_time(&w, "startedAt", m->started_ms);
        if (m->ended_ms > 0) {
            kv_time(&w, "endedAt", m->ended_ms);
        }
        json_kv_str(&w, "state", STATES[m->state]);
        json_kv_str(&w, "job", m->job);
        json_kv_u64(&w, "hash", m->hash);
        json_kv_str(&w, "url", m->url);
        json_kv_str(&w, "from", m->from);
        json_kv_str(&w, "to", m->to);
        json_kv_str(&w, "reason", m->reason);
        json_object_end(&w);
    }
    json_array_end(&w);
    wire_success_end(&w);
}

void answer_ledger(const struct api_view *v, struct bytes *out)
{
    struct json_writer w;
    uint64_t sum = 0;
    json_writer_init(&w, out);
    wire_success_begin(&w);
    json_object_begin(&w);
    for (int s = 0; s < LEDGER_STATE_COUNT; s++) {
        json_kv_u64(&w, ledger_state_name((enum ledger_state)s), v->ledger[s]);
        sum += v->ledger[s];
    }
    json_kv_u64(&w, "discovered", sum);
    json_object_end(&w);
    wire_success_end(&w);
}

void answer_reload(const struct api_view *v, struct bytes *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    wire_success_begin(&w);
    json_object_begin(&w);
    json_kv_u64(&w, "generation", v->config_generation);
    json_kv_str(&w, "hash", v->conf != NULL ? v->conf->hash : "");
    json_kv_str(&w, "error", v->last_reload_error);
    json_kv_str(&w, "changes", v->last_reload_diff);
    json_object_end(&w);
    wire_success_end(&w);
}

int answer_querier_config(const struct api_view *v, struct bytes *out, struct errctx *err)
{
    const char **urls = mem_calloc(v->shard_count + 1, sizeof(*urls));
    size_t count = 0;
    for (size_t i = 0; i < v->shard_count; i++) {
        if (v->shards[i].prometheus_url[0] != '\0') {
            urls[count++] = v->shards[i].prometheus_url;
        }
    }
    int rc = render_querier(urls, count, out, err);
    free(urls);
    return rc;
}
