/* kubernetes_sd_configs: the mechanism.
 *
 * A running item opens the watches its role needs, one set per namespace, shared with other items through the watch
 * cache. When all of them have synced, every object of the role's resource is built into its group; from then on a
 * change marks what it touches (the object's own group, or every group that looked it up), and a timer builds what is
 * marked, a portion at a time, so that neither a burst of events nor a first list of 50,000 pods holds up the loop.
 *
 * Other than in Prometheus, a changed label of a pod shows in the endpoints that it backs, not only a changed phase. */
#include "k8s/sd.h"

#include "base/files.h"
#include "base/hash.h"
#include "base/hashmap.h"
#include "base/mem.h"

#include <stdlib.h>

#define SETTLE_MS      200
#define PORTION        1000
#define NAMES_PER_SETS 1000000 /* groups built with one dictionary of names, which only grows */
#define NAMESPACE_FILE K8S_ACCOUNT_FOLDER "/namespace"

const char SD_POD_SCHEMA[] =
    "metadata(uid! labels annotations ownerReferences(kind name controller)) "
    "spec(nodeName containers(name image ports(name containerPort protocol)) "
    "initContainers(name image ports(name containerPort protocol))) "
    "status(podIP! hostIP phase conditions(type status) containerStatuses(name containerID!) "
    "initContainerStatuses(name containerID!))";
static const char SERVICE_SCHEMA[] =
    "metadata(labels annotations) spec(type clusterIP externalName loadBalancerIP ports(name port protocol) ipFamilies "
    "ipFamilyPolicy) status(loadBalancer(ingress(ip)))";
static const char ENDPOINTS_SCHEMA[] =
    "metadata(labels annotations) subsets(addresses(ip! hostname nodeName targetRef(kind namespace name!)) "
    "notReadyAddresses(ip! hostname nodeName targetRef(kind namespace name!)) ports(name port protocol))";
static const char SLICE_SCHEMA[] =
    "metadata(labels annotations) addressType endpoints(addresses! conditions(ready serving terminating) hostname "
    "nodeName zone targetRef(kind namespace name!) deprecatedTopology topology) ports(name port protocol appProtocol)";
static const char NODE_SCHEMA[] = "metadata(labels annotations) spec(providerID!) status(addresses(type address!) "
                                  "daemonEndpoints(kubeletEndpoint(Port)) conditions(type status))";
static const char INGRESS_SCHEMA[] =
    "metadata(labels annotations) spec(ingressClassName rules(host http(paths(path))) tls(hosts))";
static const char NAMESPACE_SCHEMA[] = "metadata(labels annotations)";
static const char OWNED_SCHEMA[] = "metadata(ownerReferences(kind name controller))";

static const struct role {
    const struct k8s_resource *resource;
    const char *schema, *source; /* what sources begin with */
    void (*build)(struct sd_build *b, const struct k8s_object *o);
} ROLES[] = {
    [SD_NODE] = {&K8S_NODES, NODE_SCHEMA, "node", sd_build_node},
    [SD_POD] = {&K8S_PODS, SD_POD_SCHEMA, "pod", sd_build_pod},
    [SD_SERVICE] = {&K8S_SERVICES, SERVICE_SCHEMA, "svc", sd_build_service},
    [SD_ENDPOINTS] = {&K8S_ENDPOINTS, ENDPOINTS_SCHEMA, "endpoints", sd_build_endpoints},
    [SD_SLICE] = {&K8S_SLICES, SLICE_SCHEMA, "endpointslice", sd_build_slice},
    [SD_INGRESS] = {&K8S_INGRESSES, INGRESS_SCHEMA, "ingress", sd_build_ingress},
};

/* One watch of a scope, with where it belongs. */
struct scope_watch {
    struct sd_scope *scope;
    enum sd_kind kind;
    const struct k8s_resource *resource;
};

struct sd_scope {
    struct discoverer *owner;
    const char *namespace; /* "" = all */
    struct k8s_watcher *watchers[SD_KIND_COUNT];
    struct scope_watch watches[SD_KIND_COUNT];
};

/* An object of the role's resource. */
struct item {
    char *source;
    const char *name; /* in source */
    size_t namespace_len;
    struct sd_scope *scope;
    bool is_marked;
    uint64_t *related;
    size_t related_count;
};

struct discoverer {
    struct discovery_sink sink;
    struct sd_config conf;
    enum prometheus_major major;
    struct k8s_client *client;
    VEC(struct sd_scope *) scopes;
    struct hashmap items; /* by source */
    VEC(struct item *) marked;
    VEC(uint64_t) changed; /* related objects */
    struct loop_timer *timer;
    bool is_timer_set, is_synced, has_answered;
    struct label_names *names;
    size_t built;
};

/* --- items */

static bool source_equal(const void *entry, const void *key)
{
    return strcmp(((const struct item *)entry)->source, key) == 0;
}

static void schedule(struct discoverer *d, int64_t ms)
{
    if (!d->is_timer_set) {
        d->is_timer_set = true;
        loop_timer_start(d->timer, ms, 0);
    }
}

static void mark(struct discoverer *d, struct item *i)
{
    if (!i->is_marked) {
        i->is_marked = true;
        *vec_push(&d->marked) = i;
    }
}

static void item_mark(struct sd_scope *s, const struct k8s_object *o)
{
    struct discoverer *d = s->owner;
    struct view namespace = k8s_object_namespace(o), name = k8s_object_name(o);
    char *source = mem_printf("%s/%.*s%s%.*s", ROLES[d->conf.role].source, VIEW_FMT(namespace),
                              namespace.len != 0 ? "/" : "", VIEW_FMT(name));
    struct item *i = hashmap_get(&d->items, hash_view(view_of(source)), source);
    if (i == NULL) {
        i = mem_calloc(1, sizeof(*i));
        i->source = source;
        i->name = source + strlen(source) - name.len;
        i->namespace_len = namespace.len;
        i->scope = s;
        hashmap_add(&d->items, hash_view(view_of(source)), i);
    } else {
        free(source);
    }
    mark(d, i);
}

static void item_free(struct item *i)
{
    free(i->source);
    free(i->related);
    free(i);
}

static const struct k8s_object *item_object(const struct item *i)
{
    size_t len = i->namespace_len;
    struct view namespace = len != 0 ? view_make(i->name - 1 - len, len) : VIEW("");
    return k8s_watcher_find(i->scope->watchers[SD_KIND_MAIN], namespace, view_of(i->name));
}

/* --- building */

uint64_t sd_related(enum sd_kind kind, struct view namespace, struct view name)
{
    return (hash_view(name) * 31 + hash_view(namespace)) * 31 + (uint64_t)kind;
}

const struct k8s_object *sd_find(struct sd_build *b, enum sd_kind kind, struct view namespace, struct view name)
{
    if (b->watchers[kind] == NULL) {
        return NULL;
    }
    *vec_push(&b->related) = sd_related(kind, namespace, name);
    return k8s_watcher_find(b->watchers[kind], namespace, name);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Sorted, each once, kept with the item. */
static void keep_related(struct item *i, uint64_t *all, size_t count)
{
    size_t n = 0;
    if (count != 0) {
        qsort(all, count, sizeof(*all), compare_u64);
    }
    for (size_t k = 0; k < count; k++) {
        if (n == 0 || all[n - 1] != all[k]) {
            all[n++] = all[k];
        }
    }
    free(i->related);
    i->related = n != 0 ? mem_dup(all, n * sizeof(*all)) : NULL;
    i->related_count = n;
}

static struct target_group *item_build(struct discoverer *d, struct sd_build *b, struct item *i)
{
    const struct k8s_object *o = item_object(i);
    if (o == NULL) {
        return target_group_new(i->source, NULL, NULL, 0);
    }
    if (++d->built % NAMES_PER_SETS == 0) {
        label_names_unref(d->names);
        d->names = label_names_new();
    }
    b->names = d->names;
    b->watchers = i->scope->watchers;
    vec_clear(&b->related);
    vec_clear(&b->labels);
    vec_clear(&b->targets);
    ROLES[d->conf.role].build(b, o);
    struct labels *common = sd_take(b, 0);
    struct target_group *g = target_group_new(i->source, common, b->targets.items, b->targets.len);
    keep_related(i, b->related.items, b->related.len);
    arena_reset(b->arena);
    return g;
}

static void build_portion(struct discoverer *d)
{
    struct target_group *groups[PORTION];
    struct sd_build b = {.conf = &d->conf, .major = d->major, .arena = arena_new()};
    size_t count = 0;
    while (d->marked.len != 0 && count < PORTION) {
        struct item *i = d->marked.items[--d->marked.len];
        i->is_marked = false;
        groups[count++] = item_build(d, &b, i);
        if (item_object(i) == NULL) {
            hashmap_remove(&d->items, hash_view(view_of(i->source)), i->source);
            item_free(i);
        }
    }
    vec_done(&b.related);
    vec_done(&b.labels);
    vec_done(&b.targets);
    arena_free(&b.arena);
    d->sink.on_groups(d->sink.data, groups, count);
    for (size_t i = 0; i < count; i++) {
        target_group_unref(groups[i]);
    }
}

/* Marks the items that looked up something that has changed. */
static void mark_related(struct discoverer *d)
{
    if (d->changed.len == 0) {
        return;
    }
    qsort(d->changed.items, d->changed.len, sizeof(uint64_t), compare_u64);
    size_t it = 0;
    for (struct item *i; (i = hashmap_next(&d->items, &it)) != NULL;) {
        for (size_t k = 0; k < i->related_count && !i->is_marked; k++) {
            if (bsearch(&i->related[k], d->changed.items, d->changed.len, sizeof(uint64_t), compare_u64) != NULL) {
                mark(d, i);
            }
        }
    }
    vec_clear(&d->changed);
}

static void on_timer(void *data)
{
    struct discoverer *d = data;
    d->is_timer_set = false;
    mark_related(d);
    if (d->marked.len != 0) {
        build_portion(d);
    }
    if (d->marked.len != 0) {
        schedule(d, 0);
    } else if (!d->has_answered) {
        d->has_answered = true;
        d->sink.on_ok(d->sink.data);
    }
}

/* --- watches */

static void all_synced(struct discoverer *d)
{
    for (size_t i = 0; i < d->scopes.len; i++) {
        struct sd_scope *s = d->scopes.items[i];
        const struct k8s_object *o;
        size_t it = 0;
        while ((o = k8s_watcher_next(s->watchers[SD_KIND_MAIN], &it)) != NULL) {
            item_mark(s, o);
        }
    }
    d->is_synced = true;
    schedule(d, 0);
}

static void on_synced(void *data)
{
    struct discoverer *d = ((struct scope_watch *)data)->scope->owner;
    for (size_t i = 0; i < d->scopes.len; i++) {
        for (size_t k = 0; k < SD_KIND_COUNT; k++) {
            struct k8s_watcher *w = d->scopes.items[i]->watchers[k];
            if (w != NULL && !k8s_watcher_is_synced(w)) {
                return;
            }
        }
    }
    if (!d->is_synced) {
        all_synced(d);
    }
}

static void on_change(void *data, enum k8s_change change, const struct k8s_object *before, const struct k8s_object *now)
{
    const struct scope_watch *w = data;
    struct discoverer *d = w->scope->owner;
    const struct k8s_object *o = now != NULL ? now : before;
    (void)change;
    if (!d->is_synced) {
        return; /* everything is built once all watches have synced */
    }
    if (w->kind == SD_KIND_MAIN) {
        item_mark(w->scope, o);
    } else {
        *vec_push(&d->changed) = sd_related(w->kind, k8s_object_namespace(o), k8s_object_name(o));
    }
    schedule(d, SETTLE_MS);
}

static void watch_open(struct scope_watch *w);

static void on_error(void *data, const struct k8s_answer *a)
{
    struct scope_watch *w = data;
    struct discoverer *d = w->scope->owner;
    if (a->status == 404 && d->conf.role == SD_SLICE && w->kind == SD_KIND_MAIN && !d->is_synced) {
        w->resource = w->resource == &K8S_SLICES ? &K8S_SLICES_BETA : &K8S_SLICES; /* servers before 1.21 */
        k8s_watch_close(&w->scope->watchers[w->kind]);
        watch_open(w);
        if (w->resource == &K8S_SLICES_BETA) {
            return;
        }
    }
    d->sink.on_error(d->sink.data, &a->err);
}

static void watch_open(struct scope_watch *w)
{
    static const struct {
        enum sd_role role; /* whose selector counts; SD_ROLE_COUNT: none */
        const char *schema;
    } KINDS[] = {
        [SD_KIND_POD] = {SD_POD, SD_POD_SCHEMA},
        [SD_KIND_SERVICE] = {SD_SERVICE, SERVICE_SCHEMA},
        [SD_KIND_NODE] = {SD_NODE, NODE_SCHEMA},
        [SD_KIND_NAMESPACE] = {SD_ROLE_COUNT, NAMESPACE_SCHEMA},
        [SD_KIND_REPLICASET] = {SD_ROLE_COUNT, OWNED_SCHEMA},
        [SD_KIND_JOB] = {SD_ROLE_COUNT, OWNED_SCHEMA},
    };
    struct discoverer *d = w->scope->owner;
    bool is_main = w->kind == SD_KIND_MAIN;
    enum sd_role role = is_main ? d->conf.role : KINDS[w->kind].role;
    bool is_cluster_wide = w->resource == &K8S_NODES || w->resource == &K8S_NAMESPACES;
    const struct k8s_watch_spec spec = {
        .resource = w->resource,
        .namespace = is_cluster_wide ? "" : w->scope->namespace,
        .label_selector = role < SD_ROLE_COUNT ? d->conf.selectors[role].label : NULL,
        .field_selector = role < SD_ROLE_COUNT ? d->conf.selectors[role].field : NULL,
        .schema = is_main ? ROLES[d->conf.role].schema : KINDS[w->kind].schema,
    };
    const struct k8s_watch_events events = {on_synced, on_change, on_error, w};
    w->scope->watchers[w->kind] = k8s_watch_open(d->client, &spec, &events);
}

static void scope_watch(struct sd_scope *s, enum sd_kind kind, const struct k8s_resource *resource, bool wanted)
{
    s->watches[kind] = (struct scope_watch){.scope = s, .kind = kind, .resource = resource};
    if (wanted) {
        watch_open(&s->watches[kind]);
    }
}

static void scope_new(struct discoverer *d, const char *namespace)
{
    const struct sd_config *c = &d->conf;
    struct sd_scope *s = mem_calloc(1, sizeof(*s));
    bool backed = c->role == SD_ENDPOINTS || c->role == SD_SLICE, has_pods = backed || c->role == SD_POD;
    *vec_push(&d->scopes) = s;
    s->owner = d;
    s->namespace = namespace;
    scope_watch(s, SD_KIND_MAIN, ROLES[c->role].resource, true);
    scope_watch(s, SD_KIND_POD, &K8S_PODS, backed);
    scope_watch(s, SD_KIND_SERVICE, &K8S_SERVICES, backed);
    scope_watch(s, SD_KIND_NODE, &K8S_NODES, has_pods && c->attach_node);
    scope_watch(s, SD_KIND_NAMESPACE, &K8S_NAMESPACES, c->role != SD_NODE && c->attach_namespace);
    scope_watch(s, SD_KIND_REPLICASET, &K8S_REPLICASETS, has_pods && c->attach_deployment);
    scope_watch(s, SD_KIND_JOB, &K8S_JOBS, has_pods && c->attach_cronjob);
}

/* --- life */

static void add_namespace(struct sd_config *c, struct view name)
{
    for (size_t i = 0; i < c->namespace_count; i++) {
        if (view_is(name, c->namespaces[i])) {
            return;
        }
    }
    c->namespaces[c->namespace_count++] = arena_view(c->arena, name).base;
}

static int add_own_namespace(struct sd_config *c, struct errctx *err)
{
    struct bytes text;
    bytes_init(&text, 4096);
    int rc = files_read(NAMESPACE_FILE, &text, err);
    struct view name = bytes_view(&text);
    while (name.len != 0 && (unsigned char)name.base[name.len - 1] <= ' ') {
        name.len--;
    }
    if (rc != 0) {
        rc = errctx_prefix(err, rc, "namespaces.own_namespace");
    } else if (name.len == 0) {
        rc = errctx_set(err, ERR_INVALID, "namespaces.own_namespace: %s is empty", NAMESPACE_FILE);
    } else {
        add_namespace(c, name);
    }
    bytes_done(&text);
    return rc;
}

static void stop(struct discoverer *d)
{
    for (size_t i = 0; i < d->scopes.len; i++) {
        for (size_t k = 0; k < SD_KIND_COUNT; k++) {
            k8s_watch_close(&d->scopes.items[i]->watchers[k]);
        }
        free(d->scopes.items[i]);
    }
    size_t it = 0;
    for (struct item *i; (i = hashmap_next(&d->items, &it)) != NULL;) {
        item_free(i);
    }
    hashmap_done(&d->items);
    vec_done(&d->scopes);
    vec_done(&d->marked);
    vec_done(&d->changed);
    loop_timer_free(&d->timer);
    label_names_unref(d->names);
    sd_client_put(d->client);
    sd_config_done(&d->conf);
    free(d);
}

static int start(const struct discovery_env *env, const char *file, const struct yaml_node *conf,
                 const struct discovery_sink *sink, struct discoverer **ret, struct errctx *err)
{
    struct sd_config c;
    struct k8s_client *client = NULL;
    int rc = sd_config_read(file, env->base_dir, conf, &c, err);
    if (rc != 0) {
        return rc;
    }
    rc = c.own_namespace ? add_own_namespace(&c, err) : 0;
    rc = rc == 0 ? sd_client_get(env, &c, &client, err) : rc;
    if (rc != 0) {
        sd_config_done(&c);
        return errctx_prefix(err, rc, "%s:%d:%d: kubernetes_sd_configs", file, conf->line, conf->column);
    }
    struct discoverer *d = mem_calloc(1, sizeof(*d));
    d->sink = *sink;
    d->conf = c;
    d->major = env->major;
    d->client = client;
    d->names = label_names_new();
    d->timer = loop_timer_new(env->loop, on_timer, d);
    hashmap_init(&d->items, source_equal);
    for (size_t i = 0; i < c.namespace_count && c.role != SD_NODE; i++) {
        scope_new(d, c.namespaces[i]);
    }
    if (d->scopes.len == 0) {
        scope_new(d, "");
    }
    *ret = d;
    return 0;
}

static int check(const char *file, const char *base_dir, enum prometheus_major major, const struct yaml_node *conf,
                 struct errctx *err)
{
    struct sd_config c;
    (void)major;
    int rc = sd_config_read(file, base_dir, conf, &c, err);
    if (rc == 0) {
        sd_config_done(&c);
    }
    return rc;
}

const struct mechanism mechanism_kubernetes = {
    .key = "kubernetes_sd_configs", .start = start, .stop = stop, .check = check};
