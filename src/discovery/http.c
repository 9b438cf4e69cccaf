/* http_sd_configs: target lists from an HTTP server.
 *
 * The request is the one Prometheus makes (GET, Accept, X-Prometheus-Refresh-Interval-Seconds, at most refresh_interval
 * for the whole of it), with the item's own TLS, credentials and proxy; an item that names no proxy takes that of
 * SCRAPE_PROXY. An answer counts when its status is 200, its type application/json and every group in it is good: half
 * a list would take targets away silently, so anything else keeps the last good list, whole. */
#include "base/hash.h"
#include "base/mem.h"
#include "base/vec.h"
#include "configgen/promconf_values.h"
#include "discovery/http_list.h"
#include "discovery/poll.h"
#include "discovery/sd_api.h"

#include <stdio.h>
#include <stdlib.h>

#define KEY                "http_sd_configs"
#define REFRESH_DEFAULT_MS (60 * 1000)

struct discoverer {
    struct sd_api *api;
    struct poll *poll;
    struct http_call *call; /* under way */
    char *url;
    int64_t refresh_ms;
    enum prometheus_major major;
    uint64_t hash; /* of the last good list; 0 is "none yet" */
    size_t group_count;
};

/* Sends the groups, and an empty one for each that the list had more before. */
static void deliver(struct discoverer *d, struct group_list *list)
{
    VEC(struct target_group *) groups = {0};
    for (size_t i = 0; i < list->count; i++) {
        *vec_push(&groups) = list->items[i];
    }
    for (size_t i = list->count; i < d->group_count; i++) {
        *vec_push(&groups) = group_list_tombstone(d->url, i);
    }
    d->group_count = list->count;
    poll_end(d->poll, groups.items, groups.len);
    for (size_t i = list->count; i < groups.len; i++) {
        target_group_unref(groups.items[i]);
    }
    vec_done(&groups);
}

static void on_answer(void *data, const struct http_answer *answer)
{
    struct discoverer *d = data;
    struct group_list list = {0};
    struct errctx err = ERRCTX_INIT;
    d->call = NULL;
    uint64_t hash = hash_pair(hash_view(answer->body), hash_view(answer->content_type)) | 1;
    int rc = sd_api_check(d->api, answer, &err);
    if (rc == 0 && hash == d->hash) {
        poll_end(d->poll, NULL, 0);
        return;
    }
    if (rc == 0) {
        rc = http_list_read(d->url, d->major, answer->content_type, answer->body, &list, &err);
    }
    if (rc != 0) {
        poll_fail(d->poll, &err);
        return;
    }
    d->hash = hash;
    deliver(d, &list);
    group_list_done(&list);
}

static void refresh(void *data)
{
    struct discoverer *d = data;
    d->call = sd_api_get(d->api, "", d->refresh_ms, on_answer, d);
}

/* Go's shortest form of a number of seconds with at most three digits behind the point. */
static char *seconds_header(int64_t ms)
{
    char text[8] = "";
    if (ms % 1000 != 0) {
        int len = snprintf(text, sizeof(text), ".%03d", (int)(ms % 1000));
        while (text[len - 1] == '0') {
            text[--len] = '\0';
        }
    }
    return mem_printf("X-Prometheus-Refresh-Interval-Seconds: %lld%s", (long long)(ms / 1000), text);
}

static int open_api(struct discoverer *d, const struct discovery_env *env, const char *file,
                    const struct yaml_node *conf, struct errctx *err)
{
    struct arena *arena = arena_new();
    struct http_client_conf http;
    int rc = sd_api_read_http(arena, env, file, conf, &http, err);
    if (rc == 0) {
        bool has_proxy = http.proxy.from_environment || (http.proxy.url != NULL && http.proxy.url[0] != '\0');
        if (!has_proxy) {
            http.proxy.url = env->calls.proxy_fallback;
        }
        char *interval = seconds_header(d->refresh_ms);
        const char *const headers[] = {"Accept: application/json", interval, NULL};
        const struct sd_api_conf api = {.base_url = d->url, .headers = headers};
        d->api = sd_api_new(env, &http, &api);
        free(interval);
    }
    arena_free(&arena);
    return rc;
}

static void stop(struct discoverer *d)
{
    if (d->call != NULL) {
        http_call_cancel(d->call);
    }
    poll_free(&d->poll);
    sd_api_free(&d->api);
    free(d->url);
    free(d);
}

static int start(const struct discovery_env *env, const char *file, const struct yaml_node *conf,
                 const struct discovery_sink *sink, struct discoverer **ret, struct errctx *err)
{
    int rc = promconf_sd_check(KEY, file, env->base_dir, env->major, conf, err);
    if (rc != 0) {
        return rc;
    }
    struct discoverer *d = mem_calloc(1, sizeof(*d));
    d->url = mem_strdup(conf_string(conf, "url", ""));
    d->refresh_ms = conf_duration(conf, "refresh_interval");
    d->refresh_ms = d->refresh_ms != 0 ? d->refresh_ms : REFRESH_DEFAULT_MS;
    d->major = env->major;
    rc = open_api(d, env, file, conf, err);
    if (rc != 0) {
        stop(d);
        return rc;
    }
    const struct poll_conf poll = {
        .mechanism = KEY, .object = d->url, .interval_ms = d->refresh_ms, .refresh = refresh, .data = d};
    d->poll = poll_new(env, sink, &poll);
    *ret = d;
    return 0;
}

static int check(const char *file, const char *base_dir, enum prometheus_major major, const struct yaml_node *conf,
                 struct errctx *err)
{
    return promconf_sd_check(KEY, file, base_dir, major, conf, err);
}

const struct mechanism mechanism_http = {.key = KEY, .start = start, .stop = stop, .check = check};
