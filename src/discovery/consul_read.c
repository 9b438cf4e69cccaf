/* What a Consul agent answers: see consul_read.h.
 *
 * Labels and addresses are Prometheus': the service's own address wins over its node's, tags stand between separators
 * on both sides, health is the worst of the checks as Consul's own client folds them. An instance whose fields have the
 * wrong type is left out and counted; an answer that is no list at all is refused whole. */
#include "discovery/consul_read.h"
#include "discovery/sd_group.h"

#define PORT_MAX INT32_MAX /* what Consul stores; no judgement of ours */

bool consul_index_step(struct view header, uint64_t *index)
{
    uint64_t n = 0;
    bool ok = header.len != 0 && header.len < 20;
    for (size_t i = 0; ok && i < header.len; i++) {
        ok = header.base[i] >= '0' && header.base[i] <= '9';
        n = n * 10 + (uint64_t)(header.base[i] - '0');
    }
    if (ok && n != 0 && n == *index) {
        return false;
    }
    *index = ok && n >= *index ? n : 0;
    return true;
}

int consul_read_datacenter(struct view body, struct arena *arena, const char **ret, struct errctx *err)
{
    json_t *root;
    int rc = sd_json_load("the answer", body, JSON_DECODE_INT_AS_REAL, &root, err);
    if (rc != 0) {
        return rc;
    }
    const json_t *name = json_object_get(json_object_get(root, "Config"), "Datacenter");
    if (json_is_string(name)) {
        *ret = arena_strdup(arena, json_string_value(name));
    } else {
        rc = errctx_set(err, ERR_INVALID, "the agent does not tell its Config.Datacenter");
    }
    json_decref(root);
    return rc;
}

static const char *health_of(const json_t *checks)
{
    static const char *const STATES[] = {"passing", "warning", "critical", "maintenance"};
    size_t worst = 0;
    for (size_t i = 0; i < json_array_size(checks); i++) {
        const json_t *check = json_array_get(checks, i);
        struct view id, status;
        size_t at = 0;
        if (!sd_json_text(check, "CheckID", &id) || !sd_json_text(check, "Status", &status)) {
            return NULL;
        }
        if (view_is(id, "_node_maintenance") || view_has_prefix(id, VIEW("_service_maintenance:"))) {
            at = 3;
        } else {
            while (at < 3 && !view_is(status, STATES[at])) {
                at++;
            }
            if (at == 3) {
                return ""; /* a state nobody knows */
            }
        }
        worst = at > worst ? at : worst;
    }
    return STATES[worst];
}

static void put_tags(struct sd_group *g, const json_t *service, const char *separator)
{
    const json_t *list;
    struct bytes text;
    bytes_init(&text, SD_GROUP_LABEL_BYTES_MAX + 1); /* one more than a label takes */
    bytes_append_str(&text, separator);
    if (!sd_json_list(service, "Tags", &list)) {
        sd_group_bad(g);
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *tag = json_array_get(list, i);
        if (!json_is_string(tag)) {
            sd_group_bad(g);
        }
        bytes_append(&text, json_string_value(tag), json_string_length(tag));
        bytes_append_str(&text, i + 1 < json_array_size(list) ? separator : "");
    }
    bytes_append_str(&text, separator);
    if (bytes_check(&text, NULL) != 0) {
        sd_group_bad(g);
    }
    sd_group_put(g, "__meta_consul_tags", arena_view(g->arena, bytes_view(&text)));
    bytes_done(&text);
}

static void put_map(struct sd_group *g, const char *prefix, const json_t *object, const char *key)
{
    const json_t *map;
    if (!sd_json_object(object, key, &map)) {
        sd_group_bad(g);
    }
    sd_group_put_map(g, prefix, map);
}

static void put_instance(struct sd_group *g, const json_t *entry, const char *separator)
{
    const json_t *node, *service, *checks;
    struct view own = {0}, host = {0};
    uint64_t port = 0;
    bool ok = sd_json_object(entry, "Node", &node) && sd_json_object(entry, "Service", &service) &&
              sd_json_list(entry, "Checks", &checks) && node != NULL && service != NULL;
    ok = ok && sd_json_text(service, "Address", &own) && sd_json_text(node, "Address", &host) &&
         sd_json_uint(service, "Port", PORT_MAX, &port);
    const char *health = ok ? health_of(checks) : NULL;
    if (health == NULL) {
        sd_group_bad(g);
        return;
    }
    sd_group_put_address(g, own.len != 0 ? own : host, port);
    sd_group_put(g, "__meta_consul_address", host);
    sd_group_put_text(g, "__meta_consul_node", node, "Node");
    sd_group_put_text(g, "__meta_consul_namespace", service, "Namespace");
    sd_group_put_text(g, "__meta_consul_partition", service, "Partition");
    put_tags(g, service, separator);
    sd_group_put(g, "__meta_consul_service_address", own);
    sd_group_put_uint(g, "__meta_consul_service_port", port);
    sd_group_put_text(g, "__meta_consul_service_id", service, "ID");
    sd_group_put(g, "__meta_consul_health", view_of(health));
    put_map(g, "__meta_consul_metadata_", node, "Meta");
    put_map(g, "__meta_consul_service_metadata_", service, "Meta");
    put_map(g, "__meta_consul_tagged_address_", node, "TaggedAddresses");
}

int consul_read_instances(const struct consul_instances *of, struct view body, struct target_group **ret,
                          size_t *ret_skipped, struct errctx *err)
{
    json_t *root;
    int rc = sd_json_load("the answer", body, JSON_DECODE_INT_AS_REAL, &root, err);
    if (rc == 0 && !json_is_array(root) && !json_is_null(root)) {
        rc = errctx_set(err, ERR_INVALID, "expected a list of instances");
        json_decref(root);
    }
    if (rc != 0) {
        return rc;
    }
    const struct label common[] = {{VIEW("__meta_consul_service"), view_of(of->service)},
                                   {VIEW("__meta_consul_dc"), view_of(of->datacenter)}};
    struct sd_group g;
    sd_group_init(&g);
    for (size_t i = 0; i < json_array_size(root); i++) {
        sd_group_begin(&g);
        put_instance(&g, json_array_get(root, i), of->tag_separator);
        sd_group_end(&g);
    }
    *ret = sd_group_finish(&g, of->service, labels_make(common, 2));
    *ret_skipped = g.skipped;
    sd_group_done(&g);
    json_decref(root);
    return 0;
}

static bool has_tag(const json_t *list, const char *tag)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (json_is_string(item) && strcmp(json_string_value(item), tag) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_wanted(const struct consul_wanted *w, const char *name, const json_t *tags)
{
    bool is_named = w->name_count == 0;
    for (size_t i = 0; i < w->name_count && !is_named; i++) {
        is_named = strcmp(w->names[i], name) == 0;
    }
    for (size_t i = 0; i < w->tag_count && is_named; i++) {
        is_named = has_tag(tags, w->tags[i]);
    }
    return is_named;
}

int consul_read_services(const struct consul_wanted *wanted, struct view body,
                         void (*on_service)(void *data, const char *name, bool is_wanted), void *data,
                         struct errctx *err)
{
    json_t *root, *tags;
    const char *name;
    int rc = sd_json_load("the answer", body, JSON_DECODE_INT_AS_REAL, &root, err);
    if (rc == 0 && !json_is_object(root) && !json_is_null(root)) {
        rc = errctx_set(err, ERR_INVALID, "expected an object of services");
        json_decref(root);
    }
    if (rc != 0) {
        return rc;
    }
    json_object_foreach(root, name, tags)
    {
        on_service(data, name, is_wanted(wanted, name, tags));
    }
    json_decref(root);
    return 0;
}
