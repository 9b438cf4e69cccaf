/* Operator resources in a daemon: see operator_source.h. A configuration stays all or nothing, but what a tenant of the
 * cluster wrote must never keep the others' from being loaded: so whatever refuses a job of theirs, be it the reader,
 * a mechanism of discovery or a name that is taken, takes its object out and goes on. */
#include "api/operator_source.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "base/vec.h"
#include "k8s/selector.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_STEP_MS 20
#define LOADS_MAX    10 /* of one operator_source_apply: the second is the last unless something else fails then */

/* ---------------------------------------------------------------- options */

/* The items of a text joined by commas, blanks around them left out; empty ones are none. */
static struct view next_item(struct view *rest)
{
    struct view item = {NULL, 0};
    while (rest->len != 0 && item.len == 0) {
        const char *comma = memchr(rest->base, ',', rest->len);
        size_t len = comma != NULL ? (size_t)(comma - rest->base) : rest->len;
        item = view_make(rest->base, len);
        len += comma != NULL;
        *rest = view_make(rest->base + len, rest->len - len);
        while (item.len != 0 && isspace((unsigned char)item.base[0])) {
            item = view_make(item.base + 1, item.len - 1);
        }
        while (item.len != 0 && isspace((unsigned char)item.base[item.len - 1])) {
            item.len--;
        }
    }
    return item;
}

static int read_resources(const char *text, unsigned *ret, struct errctx *err)
{
    struct view rest = view_of(text), item;
    unsigned bits = 0;
    while ((item = next_item(&rest)).len != 0) {
        int r = 0;
        while (r < OPERATOR_RESOURCE_COUNT && !view_is(item, operator_resource_plural((enum operator_resource)r))) {
            r++;
        }
        if (r == OPERATOR_RESOURCE_COUNT) {
            return errctx_set(
                err, ERR_INVALID,
                "operator.resources: \"%.*s\"; expected servicemonitors, podmonitors, probes or scrapeconfigs",
                VIEW_FMT(item));
        }
        bits |= 1u << r;
    }
    *ret = bits;
    return 0;
}

struct names {
    VEC(const char *) list;
    struct arena *arena;
};

static int read_namespaces(const char *text, struct names *ret, struct errctx *err)
{
    struct view rest = view_of(text), item;
    while ((item = next_item(&rest)).len != 0) {
        const char *name = arena_dup(ret->arena, item.base, item.len);
        if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != item.len || item.len > 63) {
            return errctx_set(err, ERR_INVALID, "operator.namespaces: \"%s\" is no name of a namespace", name);
        }
        if (ret->list.len == OPERATOR_NAMESPACES_MAX) {
            return errctx_set(err, ERR_INVALID, "operator.namespaces: more than %d; leave it empty for all",
                              OPERATOR_NAMESPACES_MAX);
        }
        *vec_push(&ret->list) = name;
    }
    return 0;
}

/* The file that kvass itself uses, absolute: jobs are told, whose paths start elsewhere. "" in a cluster. */
static const char *kubeconfig_path(struct arena *arena, const char *option)
{
    const char *list = option[0] != '\0' ? option : getenv("KUBECONFIG");
    if (list == NULL || list[0] == '\0') {
        return "";
    }
    const char *first = option[0] != '\0' ? option : arena_dup(arena, list, strcspn(list, ":"));
    char *resolved = realpath(first, NULL);
    const char *path = arena_strdup(arena, resolved != NULL ? resolved : first);
    free(resolved);
    return path;
}

static const char *instance_name(char host[HOST_NAME_MAX + 1])
{
    const char *pod = getenv("POD_NAME");
    if (pod != NULL && pod[0] != '\0') {
        return pod;
    }
    host[HOST_NAME_MAX] = '\0';
    return gethostname(host, HOST_NAME_MAX) == 0 ? host : "kvass";
}

static int open_with(const struct options *o, struct loop *loop, struct http_client *http, struct operator_conf *conf,
                     struct names *names, struct operator_watch **ret, struct errctx *err)
{
    char host[HOST_NAME_MAX + 1];
    struct k8s_client *client;
    const char *fault = selector_label_fault(view_of(o->operator_selector));
    if (fault != NULL) {
        return errctx_set(err, ERR_INVALID, "operator.selector: %s", fault);
    }
    int rc = read_namespaces(o->operator_namespaces, names, err);
    if (rc != 0) {
        return rc;
    }
    rc = k8s_client_default(loop, http, o->kubeconfig, &client, err);
    if (rc != 0) {
        return errctx_prefix(err, rc, "operator.resources");
    }
    conf->namespaces = names->list.items;
    conf->namespace_count = names->list.len;
    conf->kubeconfig = kubeconfig_path(names->arena, o->kubeconfig);
    conf->instance = instance_name(host);
    *ret = operator_new(loop, client, conf);
    k8s_client_unref(client);
    return 0;
}

int operator_source_open(const struct options *o, struct loop *loop, struct http_client *http,
                         const struct operator_hooks *hooks, struct operator_watch **ret, struct errctx *err)
{
    struct operator_conf conf = {
        .selector = o->operator_selector,
        .secrets = o->operator_secrets,
        .files = o->operator_files,
        .init_timeout_ms = o->sd_init_timeout_ms,
        .on_change = hooks->on_change,
        .may_tell = hooks->may_tell,
        .may_act = hooks->may_act,
        .data = hooks->data,
    };
    int rc = read_resources(o->operator_resources, &conf.resources, err);
    if (rc != 0 || conf.resources == 0) {
        return rc;
    }
    struct names names = {.arena = arena_new()};
    rc = open_with(o, loop, http, &conf, &names, ret, err);
    vec_done(&names.list);
    arena_free(&names.arena);
    return rc;
}

/* ---------------------------------------------------------------- loading */

static void on_step(void *data)
{
    (void)data; /* it ends one turn of the loop */
}

void operator_source_wait(struct operator_watch *op, struct loop *loop, int64_t timeout_ms)
{
    int64_t deadline_ms = timebase_monotonic_ms() + timeout_ms;
    if (op == NULL) {
        return;
    }
    struct loop_timer *step = loop_timer_new(loop, on_step, NULL);
    loop_timer_start(step, WAIT_STEP_MS, WAIT_STEP_MS);
    while (!operator_is_ready(op) && timebase_monotonic_ms() < deadline_ms) {
        uv_run(loop_uv(loop), UV_RUN_ONCE);
    }
    loop_timer_free(&step);
}

struct loading {
    struct operator_watch *op;
    const struct promconf_options *opts;
};

static void on_refused(void *data, size_t i, const struct errctx *err)
{
    struct loading *l = data;
    operator_refuse(l->op, l->opts->extras[i].name, err);
}

static int load(struct operator_watch *op, const char *path, bool again, struct promconf_options *opts,
                struct promconf **ret, struct errctx *err)
{
    struct loading l = {op, opts};
    if (op != NULL) {
        opts->extra_count = operator_jobs(op, opts->major, again, &opts->extras);
        opts->on_extra_refused = on_refused;
        opts->extra_data = &l;
    }
    return promconf_load(path, opts, ret, err);
}

int operator_source_load(struct operator_watch *op, const char *path, struct promconf_options *opts,
                         struct promconf **ret, struct errctx *err)
{
    return load(op, path, false, opts, ret, err);
}

struct failing {
    struct operator_watch *op;
    const struct promconf *conf;
};

static void on_failing(void *data, size_t job, const struct errctx *err)
{
    const struct failing *f = data;
    operator_refuse(f->op, f->conf->jobs[job].file, err);
}

/* A load can take a second with thousands of objects: so all that fail are taken out at once, not one a load, or a
 * tenant with a hundred bad ones would keep the control loop busy for minutes. */
int operator_source_apply(struct operator_watch *op, struct discovery *d, const char *path,
                          struct promconf_options *opts, struct promconf **conf, struct errctx *err)
{
    int rc = discovery_apply(d, *conf, err);
    for (int i = 0; rc != 0 && op != NULL && i < LOADS_MAX; i++) {
        size_t job = discovery_failed_job(d);
        struct promconf *fresh;
        if (job < (*conf)->file_job_count || job >= (*conf)->job_count) {
            return rc;
        }
        struct failing failing = {op, *conf};
        on_failing(&failing, job, err);
        discovery_each_failing(d, *conf, job + 1, on_failing, &failing);
        errctx_clear(err);
        rc = load(op, path, true, opts, &fresh, err);
        if (rc != 0) {
            return rc;
        }
        promconf_unref(*conf);
        *conf = fresh;
        rc = discovery_apply(d, *conf, err);
    }
    return rc;
}
