/* "Why?" in sentences: why a target is where it is, why it is not scraped, why it is not moved, why there are so many
 * shards. Nothing is decided or guessed here: the sentences are made of the last plan's reasons, the last decision
 * about the target, and the figures that the plan compared. */
#include "api/answers.h"
#include "base/timebase.h"
#include "model/wire.h"

#include <stdio.h>
#include <stdlib.h>

#define TARGETS_MAX 20

static void say(struct json_writer *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(struct json_writer *w, const char *fmt, ...)
{
    char text[5120]; /* a split target names the shards of all its parts */
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    json_str(w, text);
}

static const struct view_shard *find_shard(const struct api_view *v, const char *id)
{
    for (size_t i = 0; i < v->shard_count; i++) {
        if (v->shards[i].id == id) {
            return &v->shards[i];
        }
    }
    return NULL;
}

/* ---------------------------------------------------------------- where it is */

static void say_where(struct json_writer *w, const struct view_target *t)
{
    char list[512] = "";
    for (unsigned i = 0; i < t->shard_count; i++) {
        size_t len = strlen(list);
        snprintf(list + len, sizeof(list) - len, "%s%s", i > 0 ? ", " : "", t->shards[i]);
    }
    if (t->shard_count == 0) {
        say(w, "No shard scrapes it.");
    } else if (t->part_count == 0) {
        say(w, "It is given to %s.", list);
    }
    if (t->reason[0] != '\0') {
        say(w, "%s: %s.", ledger_state_name(t->state), t->reason);
    } else {
        say(w, "Its state is %s.", ledger_state_name(t->state));
    }
}

static void say_decision(struct json_writer *w, const struct view_target *t)
{
    const struct view_decision *d = &t->decision;
    char at[TIMEBASE_TEXT_MAX];
    if (d->at_ms == 0) {
        if (t->shard_count > 0 && t->part_count == 0) {
            say(w, "It was found there when this process took over; nothing was decided about it since.");
        }
        return;
    }
    say(w, "Last decision, %s: %s%s%s%s%s%s%s.", timebase_format(d->at_ms, at), plan_action_name(d->type),
        d->from[0] != '\0' ? " from " : "", d->from, d->to[0] != '\0' ? " to " : "", d->to,
        d->reason[0] != '\0' ? ", because: " : "", d->reason);
}

static void say_health(struct json_writer *w, const struct api_view *v, const struct view_target *t)
{
    char at[TIMEBASE_TEXT_MAX];
    if (v->stop_reason[0] != '\0') {
        say(w, "All scraping is stopped: %s.", v->stop_reason);
    } else if (t->health == TARGET_HEALTH_DOWN) {
        say(w, "Its last scrape, %s, failed: %s.", timebase_format(t->last_scrape_ms, at),
            t->error[0] != '\0' ? t->error : "no reason is known");
    } else if (t->last_scrape_ms == 0) {
        say(w, "No scrape of it has been seen yet.");
    } else {
        say(w, "Its last scrape, %s, was good: %llu series, %llu scraped.", timebase_format(t->last_scrape_ms, at),
            (unsigned long long)t->series, (unsigned long long)t->scraped);
    }
    for (unsigned i = 0; i < t->shard_count; i++) {
        const struct view_shard *s = find_shard(v, t->shards[i]);
        if (s != NULL && s->health != SHARD_HEALTH_READY) {
            say(w, "Shard %s is %s%s%s.", s->id, shard_health_name(s->health), s->error[0] != '\0' ? ": " : "",
                s->error);
        }
    }
}

static void say_parts(struct json_writer *w, const struct view_target *t)
{
    for (unsigned i = 0; i < t->part_count; i++) {
        const struct view_part *p = &t->parts[i];
        say(w, "Part %u of %u%s, on %s: %s, %s, %llu series%s%s%s%s.", p->target->part, p->target->parts,
            p->is_coming ? " (to take over)" : "", p->shard_count > 0 ? p->shards[0] : "no shard",
            ledger_state_name(p->state), target_health_name(p->health), (unsigned long long)p->series,
            p->reason[0] != '\0' ? "; " : "", p->reason, p->error[0] != '\0' ? "; " : "", p->error);
    }
}

/* ---------------------------------------------------------------- why it stays */

static double fill_of(const struct view_shard *s)
{
    double series = s->limit_series > 0 ? (double)s->load_series / (double)s->limit_series : 0;
    double scraped = s->limit_scraped > 0 ? (double)s->load_scraped / (double)s->limit_scraped : 0;
    return series > scraped ? series : scraped;
}

static void say_stays(struct json_writer *w, const struct api_view *v, const struct view_target *t)
{
    const struct plan_limits *l = &v->limits;
    const struct view_shard *s = t->shard_count > 0 ? find_shard(v, t->shards[0]) : NULL;
    if (v->blocked[0] != '\0') {
        say(w, "Nothing is moved: %s.", v->blocked);
        return;
    }
    if (t->state != LEDGER_ASSIGNED || s == NULL || t->part_count > 0) {
        return;
    }
    double fill = fill_of(s);
    bool relieves = l->relieve && l->moves_per_round > 0;
    if (t->last_move_ms > 0 && v->built_ms - t->last_move_ms < l->move_cool_down_ms) {
        say(w, "It moved %llu s ago; a moved target stays for %llu s.",
            (unsigned long long)((v->built_ms - t->last_move_ms) / 1000),
            (unsigned long long)(l->move_cool_down_ms / 1000));
    }
    if (fill > l->high && !relieves) {
        say(w,
            "%s is at %.0f %% of its limit, over the high mark of %.0f %%, but moving off full shards is switched off.",
            s->id, fill * 100, l->high * 100);
    } else if (fill > l->high) {
        say(w,
            "%s is at %.0f %% of its limit, over the high mark of %.0f %%: targets leave it, at most %u moves begin in "
            "a "
            "round, where another shard has room below the low mark of %.0f %%.",
            s->id, fill * 100, l->high * 100, l->moves_per_round, l->low * 100);
    } else {
        say(w,
            "%s is at %.0f %% of its limit, not over the high mark of %.0f %%: there is no need to move anything off "
            "it.",
            s->id, fill * 100, l->high * 100);
    }
}

/* ---------------------------------------------------------------- one target */

static void put_target(struct json_writer *w, const struct api_view *v, const struct view_target *t)
{
    json_object_begin(w);
    json_kv_str(w, "job", t->target->job);
    json_kv_str(w, "url", t->target->url);
    json_key(w, "hash");
    json_u64(w, t->target->hash);
    json_kv_str(w, "state", ledger_state_name(t->state));
    json_key(w, "why");
    json_array_begin(w);
    say_where(w, t);
    say_parts(w, t);
    say_decision(w, t);
    say_health(w, v, t);
    say_stays(w, v, t);
    json_array_end(w);
    json_object_end(w);
}

static void put_reject(struct json_writer *w, const struct view_target *t)
{
    struct view address = t->discovered != NULL ? labels_get(t->discovered, VIEW("__address__")) : VIEW("");
    json_object_begin(w);
    json_kv_str(w, "job", t->job);
    json_key(w, "address");
    json_view(w, address);
    json_kv_str(w, "state", ledger_state_name(t->state));
    json_key(w, "why");
    json_array_begin(w);
    if (t->state == LEDGER_DROPPED) {
        say(w, "It was discovered, and the job's relabelling dropped it.");
    } else if (t->state == LEDGER_DUPLICATE) {
        say(w, "It was discovered twice with the same labels and URL; the other one counts.");
    } else {
        say(w, "It was discovered, but Prometheus would refuse it: %s.", t->error);
    }
    json_array_end(w);
    json_object_end(w);
}

static bool matches(const struct why_query *q, const struct view_target *t)
{
    return (q->job.len == 0 || view_is(q->job, t->target->job)) &&
           (q->url.len == 0 || view_is(q->url, t->target->url)) && (!q->has_hash || q->hash == t->target->hash);
}

/* A rejected one has no hash and no URL: its address has to be part of the one asked for. */
static bool reject_matches(const struct why_query *q, const struct view_target *t)
{
    struct view address = t->discovered != NULL ? labels_get(t->discovered, VIEW("__address__")) : VIEW("");
    if (q->has_hash || (q->job.len > 0 && !view_is(q->job, t->job))) {
        return false;
    }
    return q->url.len == 0 || (address.len > 0 && memmem(q->url.base, q->url.len, address.base, address.len) != NULL);
}

static size_t put_targets(struct json_writer *w, const struct api_view *v, const struct why_query *q)
{
    size_t found = 0;
    for (size_t i = 0; i < v->target_count; i++) {
        bool is_good = i < v->good_count;
        if (is_good ? !matches(q, &v->targets[i]) : !reject_matches(q, &v->targets[i])) {
            continue;
        }
        if (found++ < TARGETS_MAX && is_good) {
            put_target(w, v, &v->targets[i]);
        } else if (found <= TARGETS_MAX) {
            put_reject(w, &v->targets[i]);
        }
    }
    return found;
}

/* Limits that are learnt, one sentence a shard; many shards differ little, so the first ones do. */
static void say_memory(struct json_writer *w, const struct api_view *v)
{
    unsigned said = 0;
    for (size_t i = 0; i < v->shard_count && said < TARGETS_MAX; i++) {
        const struct view_shard *s = &v->shards[i];
        if (s->limited_by_memory && s->bytes_per_series > 0) {
            say(w,
                "The limit of %s, %llu series, comes from memory: %llu MB resident with %llu series in the head, %.0f "
                "bytes for each.",
                s->id, (unsigned long long)s->limit_series, (unsigned long long)(s->info.resident_bytes >> 20),
                (unsigned long long)s->info.resident_series, s->bytes_per_series);
            said++;
        } else if (s->limited_by_memory) {
            say(w,
                "The limit of %s, %llu series, is a guess from --shard.max-memory: nothing is learnt of its memory "
                "yet.",
                s->id, (unsigned long long)s->limit_series);
            said++;
        }
    }
}

void answer_why(const struct api_view *v, const struct why_query *q, struct bytes *out)
{
    struct json_writer w;
    size_t found = 0;
    bool about_target = q->job.len > 0 || q->url.len > 0 || q->has_hash;
    json_writer_init(&w, out);
    wire_success_begin(&w);
    json_object_begin(&w);
    json_key(&w, "targets");
    json_array_begin(&w);
    if (about_target) {
        found = put_targets(&w, v, q);
    }
    json_array_end(&w);
    json_kv_u64(&w, "found", found);
    json_key(&w, "why");
    json_array_begin(&w);
    if (about_target && found == 0) {
        say(&w, "Discovery knows no such target%s.", v->discovered ? "" : " yet: not every job has been discovered");
    } else if (!about_target) {
        const char *reason = v->wanted_reason, *rest = strstr(reason, ": ");
        bool counts = reason[0] >= '0' && reason[0] <= '9' && rest != NULL; /* "3 shards: 60300 series need ..." */
        say(&w, "%u shard%s wanted: %s.", v->wanted, v->wanted == 1 ? " is" : "s are",
            reason[0] == '\0' ? "no round yet"
            : counts          ? rest + 2
                              : reason);
        if (v->blocked[0] != '\0') {
            say(&w, "Nothing is done at present: %s.", v->blocked);
        } else if (!v->discovered) {
            say(&w, "Nothing is done at present: the first discovery of every job is not done yet.");
        }
        say_memory(&w, v);
        if (v->version_mixture[0] != '\0') {
            say(&w, "The shards run different versions of Prometheus: %s.", v->version_mixture);
        }
    } else if (found > TARGETS_MAX) {
        say(&w, "%zu targets match, %d are shown; a job with a URL or a hash names one.", found, TARGETS_MAX);
    }
    json_array_end(&w);
    json_object_end(&w);
    wire_success_end(&w);
}
