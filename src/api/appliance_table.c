/* The proxy table: what workers may scrape, over all local shards; built anew and published whenever an assignment or
 * the configuration changes. */
#include "api/appliance_impl.h"
#include "base/log.h"
#include "shard/local.h"

static const struct logctx LOG = {NULL, "component", "appliance"};

void appliance_publish(void *data)
{
    struct appliance *a = data;
    size_t group_count;
    const struct reconcile_group *groups = reconcile_groups(a->reconcile, &group_count);
    if (a->conf == NULL) {
        return;
    }
    struct proxy_table *t = proxy_table_new(a->conf, ++a->table_generation);
    for (size_t i = 0; i < group_count; i++) {
        vec_foreach(r, &groups[i].replicas) {
            size_t count;
            const struct assignment *items = r->shard->ops->assignment(r->shard, &count);
            proxy_table_add(t, r->shard->id, items, count);
        }
    }
    proxy_table_set_stop_reason(t, a->stop_reason);
    proxy_table_set_families(t, samples_demand_current(&a->samples));
    appliance_drop_view(a);
    proxy_table_unref(a->table);
    a->table = t;
    if (a->d.proxy != NULL) {
        proxy_publish(a->d.proxy, proxy_table_ref(t));
    }
}

void appliance_probe(void *data, const struct target *t)
{
    struct appliance *a = data;
    proxy_probe(a->d.proxy, a->table, t);
}

void appliance_on_record(void *data, const struct scrape_record *r)
{
    struct appliance *a = data;
    struct shard *s = r->shard != NULL ? reconcile_shard_by_id(a->reconcile, r->shard) : NULL;
    if (s != NULL) {
        local_shard_record(s, r);
    }
    reconcile_record(a->reconcile, r);
}

void appliance_count_families(void *data, struct view job_substring, struct family_count **ret_count,
                              size_t *ret_expected, int64_t *ret_until_ms)
{
    struct appliance *a = data;
    char *part = mem_dup(job_substring.base, job_substring.len);
    size_t expected = 0;
    int64_t longest_ms = 0;
    bool is_new;
    vec_foreach(ep, &reconcile_registry(a->reconcile)->entries) {
        const struct registry_entry *e = *ep;
        if (e->owners.len != 0 && e->health == TARGET_HEALTH_UP && strstr(e->target->job, part) != NULL) {
            expected++;
            longest_ms = e->target->interval_ms > longest_ms ? e->target->interval_ms : longest_ms;
        }
    }
    free(part);
    *ret_count = samples_demand_take(&a->samples, job_substring, true, expected, longest_ms, &is_new);
    *ret_expected = a->samples.expected;
    *ret_until_ms = a->samples.until_ms;
    if (is_new) {
        appliance_publish(a);
    }
}

void appliance_set_stop_reason(void *data, const char *reason)
{
    struct appliance *a = data;
    free(a->stop_reason);
    a->stop_reason = mem_strdup(reason);
    appliance_save(a);
    log_warn(&LOG, reason[0] != '\0' ? "stop scraping" : "scrape again", "reason", reason);
    appliance_publish(a);
}
