/* dns_sd_configs: targets from SRV, A, AAAA, MX and NS records.
 *
 * Each name is a group of its own: a name that nobody can answer for keeps its last group while the others go on, one
 * that is known not to exist has an empty one. resolv.conf is read at every refresh, as Prometheus does it. */
#include "base/hash.h"
#include "base/mem.h"
#include "base/vec.h"
#include "configgen/promconf_values.h"
#include "discovery/dns_lookup.h"
#include "discovery/poll.h"
#include "discovery/sd_group.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define KEY                "dns_sd_configs"
#define RESOLV_CONF        "/etc/resolv.conf"
#define REFRESH_DEFAULT_MS (30 * 1000)

struct discoverer {
    struct loop *loop;
    struct discovery_sink sink;
    struct poll *poll;
    struct arena *arena;
    const char **names; /* each once */
    size_t name_count;
    enum dns_type type;
    uint64_t port;
    struct dns_lookup *lookup;  /* under way */
    struct arena *lookup_arena; /* of the resolv.conf it uses */
    struct resolv_conf resolv;
    size_t skipped;
    struct errctx err; /* the first of the round */
};

static enum dns_type type_read(const char *text)
{
    static const struct {
        const char *name;
        enum dns_type type;
    } TYPES[] = {{"A", DNS_A}, {"AAAA", DNS_AAAA}, {"MX", DNS_MX}, {"NS", DNS_NS}};
    for (size_t i = 0; i < sizeof(TYPES) / sizeof(TYPES[0]); i++) {
        if (strcasecmp(TYPES[i].name, text) == 0) {
            return TYPES[i].type;
        }
    }
    return DNS_SRV;
}

static void put_record(struct sd_group *g, const char *name, const struct dns_record *record, uint64_t port)
{
    struct view host = view_of(record->text);
    sd_group_begin(g);
    sd_group_put(g, "__meta_dns_name", view_of(name));
    if (record->type == DNS_SRV) {
        port = record->port;
        sd_group_put(g, "__meta_dns_srv_record_target", host);
        sd_group_put_uint(g, "__meta_dns_srv_record_port", port);
    } else if (record->type == DNS_MX) {
        sd_group_put(g, "__meta_dns_mx_record_target", host);
    } else if (record->type == DNS_NS) {
        sd_group_put(g, "__meta_dns_ns_record_target", host);
    }
    while (host.len != 0 && host.base[host.len - 1] == '.') {
        host.len--;
    }
    sd_group_put_address(g, host, port);
    sd_group_end(g);
}

static void deliver(struct discoverer *d, const char *name, const struct dns_records *records)
{
    struct sd_group g;
    sd_group_init(&g);
    for (size_t i = 0; i < records->count; i++) {
        put_record(&g, name, &records->items[i], d->port);
    }
    struct target_group *group = sd_group_finish(&g, name, NULL);
    d->sink.on_groups(d->sink.data, &group, 1);
    d->skipped += g.skipped + records->skipped;
    target_group_unref(group);
    sd_group_done(&g);
}

static void on_name(void *data, size_t name, struct view message, const struct errctx *err)
{
    struct discoverer *d = data;
    struct arena *arena = arena_new();
    struct dns_records records = {0};
    struct errctx own = ERRCTX_INIT;
    int rc = err != NULL ? err->code : message.len != 0 ? dns_message_read(message, arena, &records, &own) : 0;
    if (rc == 0) {
        deliver(d, d->names[name], &records);
    } else {
        errctx_set(&d->err, rc, "%s", err != NULL ? err->msg : own.msg);
    }
    arena_free(&arena);
}

static void end(struct discoverer *d)
{
    dns_lookup_free(&d->lookup);
    arena_free(&d->lookup_arena);
}

static void on_end(void *data)
{
    struct discoverer *d = data;
    end(d);
    poll_skipped(d->poll, d->skipped);
    if (d->err.code != 0) {
        poll_fail(d->poll, &d->err);
    } else {
        poll_end(d->poll, NULL, 0);
    }
}

static void refresh(void *data)
{
    struct discoverer *d = data;
    const struct dns_lookup_conf conf = {.resolv = &d->resolv,
                                         .names = d->names,
                                         .name_count = d->name_count,
                                         .type = d->type,
                                         .on_name = on_name,
                                         .on_end = on_end,
                                         .data = d};
    d->lookup_arena = arena_new();
    d->skipped = 0;
    errctx_clear(&d->err);
    int rc = resolv_conf_load(RESOLV_CONF, d->lookup_arena, &d->resolv, &d->err);
    if (rc == 0) {
        rc = dns_lookup_start(d->loop, &conf, &d->lookup, &d->err);
    }
    if (rc != 0) {
        end(d);
        poll_fail(d->poll, &d->err);
    }
}

static void take_names(struct discoverer *d, const struct yaml_node *conf)
{
    size_t count;
    const char **all = conf_strings(d->arena, conf, "names", &count);
    d->names = arena_alloc(d->arena, (count + 1) * sizeof(*d->names));
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        while (k < d->name_count && strcmp(d->names[k], all[i]) != 0) {
            k++;
        }
        if (k == d->name_count) {
            d->names[d->name_count++] = arena_strdup(d->arena, all[i]);
        }
    }
}

static int start(const struct discovery_env *env, const char *file, const struct yaml_node *conf,
                 const struct discovery_sink *sink, struct discoverer **ret, struct errctx *err)
{
    int rc = promconf_sd_check(KEY, file, env->base_dir, env->major, conf, err);
    if (rc != 0) {
        return rc;
    }
    struct discoverer *d = mem_calloc(1, sizeof(*d));
    int64_t refresh_ms = conf_duration(conf, "refresh_interval");
    d->loop = env->loop;
    d->sink = *sink;
    d->arena = arena_new();
    d->type = type_read(conf_string(conf, "type", "SRV"));
    d->port = conf_uint(conf, "port");
    take_names(d, conf);
    const struct poll_conf poll = {.mechanism = KEY,
                                   .object = d->names[0],
                                   .interval_ms = refresh_ms != 0 ? refresh_ms : REFRESH_DEFAULT_MS,
                                   .refresh = refresh,
                                   .data = d};
    d->poll = poll_new(env, sink, &poll);
    *ret = d;
    return 0;
}

static void stop(struct discoverer *d)
{
    end(d);
    poll_free(&d->poll);
    arena_free(&d->arena);
    free(d);
}

static int check(const char *file, const char *base_dir, enum prometheus_major major, const struct yaml_node *conf,
                 struct errctx *err)
{
    return promconf_sd_check(KEY, file, base_dir, major, conf, err);
}

const struct mechanism mechanism_dns = {.key = KEY, .start = start, .stop = stop, .check = check};
