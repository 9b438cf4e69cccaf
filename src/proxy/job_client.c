/* Prepared clients of jobs: see job_client.h. */
#include "proxy/job_client.h"
#include "base/vec.h"
#include "model/part.h"

#define COUNTER_POOL_MAX 64

struct job_client {
    unsigned refs;
    const char *job; /* interned */
    struct promconf *conf;
    const struct job_conf *job_conf; /* in conf */
    uint64_t text_hash;
    enum prometheus_major major;
    struct relabel_rules *metric_relabel;
    struct http_profile *profile;
    struct counter_conf counter_conf;
    VEC(struct counter *) pool;
};

struct job_clients {
    enum count_mode mode;
    size_t line_bytes_max;
    bool split;
    VEC(struct job_client *) items;
};

struct job_clients *job_clients_new(enum count_mode mode, size_t line_bytes_max, bool split)
{
    struct job_clients *clients = mem_calloc(1, sizeof(*clients));
    clients->mode = mode;
    clients->line_bytes_max = line_bytes_max;
    clients->split = split;
    return clients;
}

void job_clients_free(struct job_clients **clients)
{
    if (*clients == NULL) {
        return;
    }
    vec_foreach(c, &(*clients)->items) {
        job_client_unref(*c);
    }
    vec_done(&(*clients)->items);
    free(*clients);
    *clients = NULL;
}

static void fill_counter_conf(struct job_client *c, const struct job_clients *clients)
{
    const struct job_conf *j = c->job_conf;
    c->counter_conf = (struct counter_conf){
        .mode = clients->mode,
        .major = c->major,
        .honor_labels = j->honor_labels,
        .ignore_timestamps = !j->honor_timestamps,
        .utf8_names = j->utf8_names,
        .native_histograms = j->native_histograms,
        .always_classic = j->always_classic,
        .sample_limit = j->sample_limit,
        .label_limit = j->label_limit,
        .label_name_length_limit = j->label_name_length_limit,
        .label_value_length_limit = j->label_value_length_limit,
        .body_size_limit = j->body_size_limit,
        .line_bytes_max = clients->line_bytes_max,
        .metric_relabel = c->metric_relabel,
        .drop_label = clients->split ? VIEW(PART_LABEL) : VIEW(""),
    };
}

static struct job_client *client_new(struct job_clients *clients, struct promconf *conf, const struct job_conf *j)
{
    struct job_client *c = mem_calloc(1, sizeof(*c));
    c->refs = 1;
    c->job = j->name;
    c->conf = promconf_ref(conf);
    c->job_conf = j;
    c->text_hash = j->text_hash;
    c->major = conf->major;
    /* The rules were compiled when the configuration was accepted, so they compile again. */
    invariant(relabel_rules_compile(j->metric_relabel, j->metric_relabel_count, conf->major, "metric_relabel_configs",
                                    &c->metric_relabel, NULL) == 0);
    c->profile = http_profile_new(&j->http);
    fill_counter_conf(c, clients);
    return c;
}

static bool is_current(const struct job_client *c, const struct promconf *conf, const struct job_conf *j)
{
    return c->text_hash == j->text_hash && c->major == conf->major;
}

struct job_client *job_client_get(struct job_clients *clients, struct promconf *conf, const char *job_interned)
{
    struct job_client **slot = NULL;
    vec_foreach(c, &clients->items) {
        if ((*c)->job == job_interned) {
            slot = c;
            break;
        }
    }
    if (slot != NULL && (*slot)->conf == conf) {
        (*slot)->refs++;
        return *slot;
    }
    const struct job_conf *j = promconf_job(conf, job_interned);
    if (j == NULL && slot != NULL) {
        (*slot)->refs++; /* a job that has just been removed: its last targets are leaving, and are served as before */
        return *slot;
    }
    if (j == NULL) {
        return NULL;
    }
    if (slot == NULL) {
        slot = vec_push(&clients->items);
        *slot = client_new(clients, conf, j);
    } else if (is_current(*slot, conf, j)) {
        promconf_unref((*slot)->conf);
        (*slot)->conf = promconf_ref(conf);
        (*slot)->job_conf = j;
    } else {
        job_client_unref(*slot);
        *slot = client_new(clients, conf, j);
    }
    (*slot)->refs++;
    return *slot;
}

void job_client_unref(struct job_client *c)
{
    if (c == NULL || --c->refs != 0) {
        return;
    }
    vec_foreach(counter, &c->pool) {
        counter_free(counter);
    }
    vec_done(&c->pool);
    relabel_rules_free(&c->metric_relabel);
    http_profile_free(&c->profile);
    promconf_unref(c->conf);
    free(c);
}

const struct job_conf *job_client_conf(const struct job_client *c)
{
    return c->job_conf;
}

struct http_profile *job_client_profile(struct job_client *c)
{
    return c->profile;
}

enum prometheus_major job_client_major(const struct job_client *c)
{
    return c->major;
}

struct counter *job_client_counter_get(struct job_client *c)
{
    return c->pool.len > 0 ? c->pool.items[--c->pool.len] : counter_new(&c->counter_conf);
}

/* What is forwarded of a whole depends on its being good, so that one is counted strictly. */
struct counter *job_client_counter_for(const struct job_client *c, enum counter_use use, bool by_family)
{
    struct counter_conf conf = c->counter_conf;
    conf.by_family = by_family;
    if (use != COUNTER_OF_TARGET) {
        conf.drop_label = VIEW(PART_LABEL);
        /* a server of 2.x may take them in without our knowing; if it does not, it does not ask for them either */
        conf.native_histograms = conf.native_histograms || conf.major == PROMETHEUS_2;
    }
    if (use == COUNTER_OF_PART) {
        conf.body_size_limit = 0;
    }
    if (use == COUNTER_OF_WHOLE) {
        conf.mode = COUNT_STRICT;
        conf.sample_limit = 0;
    }
    return counter_new(&conf);
}

void job_client_counter_put(struct job_client *c, struct counter *counter)
{
    if (c->pool.len < COUNTER_POOL_MAX) {
        *vec_push(&c->pool) = counter;
    } else {
        counter_free(&counter);
    }
}
