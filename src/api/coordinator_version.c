/* Whose rules the coordinator follows. With --prometheus.version=auto its shards say what they are (shard/remote asks
 * through the sidecar), and the lowest version among them counts: what its rules make of the configuration, every shard
 * takes. So in a rolling upgrade the old rules stay until the last shard is new, and a shard that falls back takes all
 * with it. A shard that is away counts as what it was.
 *
 * At the first start nothing is placed before one shard has said it, or those that answer have none to say, or
 * sd.init-timeout is over; with a store a restart begins with the rules it had. A change is a reload: all or nothing,
 * and when the file does not stand the new rules the running configuration stays. */
#include "api/coordinator_impl.h"
#include "base/metrics.h"
#include "base/timebase.h"

#include <stdio.h>

#define LOOK_MS 50

/* What the shards say, put together. */
struct tally {
    unsigned shards, heard, answered, told; /* heard: have been read */
    enum prometheus_major lowest, highest;
    const struct shard *low, *high; /* the first of each */
    const char *version;            /* what `low` says */
};

static bool is_auto(const struct coordinator *c)
{
    return strcmp(c->o->prometheus_version, "auto") == 0;
}

static void count(struct tally *t, const struct shard *s)
{
    const struct shard_info *info = s->ops->info(s);
    enum prometheus_major major;
    t->shards++;
    t->heard += info->last_seen_ms > 0;
    t->answered += info->version_answered;
    if (prometheus_version_parse(info->prometheus_version, &major, NULL) != 0) {
        return;
    }
    if (t->told == 0 || major < t->lowest) {
        t->lowest = major;
        t->low = s;
        t->version = info->prometheus_version;
    }
    if (t->told == 0 || major > t->highest) {
        t->highest = major;
        t->high = s;
    }
    t->told++;
}

static struct tally ask_around(const struct coordinator *c)
{
    struct tally t = {0};
    size_t group_count;
    const struct reconcile_group *groups = reconcile_groups(c->reconcile, &group_count);
    for (size_t i = 0; i < group_count; i++) {
        vec_foreach(r, &groups[i].replicas) {
            count(&t, r->shard);
        }
    }
    return t;
}

/* Said when it begins, changes and ends. */
static void tell_mixture(struct coordinator *c, const struct tally *t)
{
    char text[sizeof(c->version_mixture)] = "";
    if (t->told > 0 && t->lowest != t->highest) {
        snprintf(text, sizeof(text), "%.60s has Prometheus %s, %.60s has %s: the rules of %s count until all are newer",
                 t->low->id, t->version, t->high->id, t->high->ops->info(t->high)->prometheus_version,
                 prometheus_major_name(t->lowest));
    }
    if (strcmp(text, c->version_mixture) != 0) {
        if (text[0] != '\0') {
            log_warn(c->d.log, "shards of different Prometheus versions", "what", text);
        } else if (t->told > 0) {
            log_info(c->d.log, "all shards follow the same Prometheus rules", "rules",
                     prometheus_major_name(t->lowest));
        }
        snprintf(c->version_mixture, sizeof(c->version_mixture), "%s", text);
        coordinator_drop_view(c);
    }
    metric_set(METRIC_BALANCER_MIXED_VERSIONS, text[0] != '\0');
}

static void settle(struct coordinator *c)
{
    if (!c->version_settled) {
        c->version_settled = true;
        reconcile_kick(c->reconcile);
    }
}

static void take_version(struct coordinator *c, const struct tally *t)
{
    struct errctx err = ERRCTX_INIT;
    bool is_first = c->version[0] == '\0', is_new = t->lowest != c->major || is_first;
    if (strcmp(c->version, t->version) != 0) {
        snprintf(c->version, sizeof(c->version), "%s", t->version);
        coordinator_save_state(c);
    }
    if (is_new) {
        log_info(c->d.log, "prometheus found", "shard", t->low->id, "version", t->version, "rules",
                 prometheus_major_name(t->lowest), "before", is_first ? NULL : prometheus_major_name(c->major));
        c->major = t->lowest;
    }
    if (c->conf != NULL && c->conf->major != c->major && (int)c->major != c->refused_major) {
        c->refused_major = coordinator_reload(c, &err) == 0 ? 0 : (int)c->major; /* it logs */
    }
    settle(c);
}

void coordinator_version_look(struct coordinator *c)
{
    if (!is_auto(c) || c->reconcile == NULL || c->discovery == NULL || c->d.ending) {
        return;
    }
    struct tally t = ask_around(c);
    tell_mixture(c, &t);
    if (t.told > 0) {
        take_version(c, &t);
    } else if (t.answered > 0 && t.answered >= t.heard) {
        settle(c); /* those that were not heard of are waited for elsewhere, within the fail-over grace */
    }
}

static void look(void *data)
{
    coordinator_version_look(data);
}

void coordinator_version_soon(struct coordinator *c)
{
    if (is_auto(c) && c->version_timer != NULL) {
        loop_timer_start(c->version_timer, LOOK_MS, 0);
    }
}

bool coordinator_version_is_settled(const struct coordinator *c, int64_t now_ms)
{
    return c->version_settled || now_ms - c->started_ms > c->o->sd_init_timeout_ms ||
           (c->reconcile != NULL && ask_around(c).shards == 0);
}

void coordinator_version_begin(struct coordinator *c)
{
    const char *text = is_auto(c) ? c->version : c->o->prometheus_version;
    c->version_settled = prometheus_version_parse(text, &c->major, NULL) == 0;
    c->major = c->version_settled ? c->major : PROMETHEUS_2;
    c->started_ms = timebase_monotonic_ms();
    c->version_timer = loop_timer_new(c->d.loop, look, c);
}
