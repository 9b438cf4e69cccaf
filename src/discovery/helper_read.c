/* The helper's answers are read strictly enough to notice that something else answers, and without trust in sizes. */
#include "discovery/helper_read.h"
#include "base/mem.h"
#include "base/vec.h"
#include "discovery/group_list.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* Prometheus 3.13 and later put the job's histogram options there. */
static bool is_histogram_option(const char *name)
{
    return strcmp(name, "__convert_classic_histograms_to_nhcb__") == 0 ||
           strcmp(name, "__always_scrape_classic_histograms__") == 0 ||
           strcmp(name, "__scrape_native_histograms__") == 0;
}

/* Labels the helper's own job gave the target. */
static bool is_added(const char *name, const char *value, const char *pool)
{
    return (strcmp(name, "job") == 0 && strcmp(value, pool) == 0) ||
           (strcmp(name, "__scheme__") == 0 && strcmp(value, HELPER_SCHEME) == 0) ||
           (strcmp(name, "__metrics_path__") == 0 && strcmp(value, HELPER_METRICS_PATH) == 0) ||
           (strcmp(name, "__scrape_interval__") == 0 && strcmp(value, HELPER_INTERVAL) == 0) ||
           (strcmp(name, "__scrape_timeout__") == 0 && strcmp(value, HELPER_TIMEOUT) == 0) || is_histogram_option(name);
}

static struct labels *read_target(json_t *discovered, const char *pool)
{
    VEC(struct label) items = {0};
    const char *name;
    json_t *value;
    json_object_foreach(discovered, name, value)
    {
        if (json_is_string(value) && !is_added(name, json_string_value(value), pool)) {
            *vec_push(&items) =
                (struct label){view_of(name), view_make(json_string_value(value), json_string_length(value))};
        }
    }
    struct labels *made = labels_make(items.items, items.len);
    vec_done(&items);
    return made;
}

int helper_read_targets(struct view text, const char *pool, struct target_group **ret, struct errctx *err)
{
    json_error_t why;
    json_t *root = json_loadb(text.base, text.len, JSON_ALLOW_NUL, &why);
    json_t *list = json_object_get(json_object_get(root, "data"), "droppedTargets"), *item;
    VEC(struct labels *) targets = {0};
    int rc = 0;
    size_t i;
    if (!json_is_array(list)) {
        rc = errctx_set(err, ERR_PARSE, "the helper's list of targets: %s",
                        root == NULL ? why.text : "no droppedTargets");
    } else if (json_array_size(list) > GROUP_LIST_TARGETS_MAX) {
        rc = errctx_set(err, ERR_LIMIT, "more than %d targets", GROUP_LIST_TARGETS_MAX);
    }
    json_array_foreach(rc == 0 ? list : NULL, i, item)
    {
        json_t *discovered = json_object_get(item, "discoveredLabels");
        if (json_is_object(discovered)) {
            *vec_push(&targets) = read_target(discovered, pool);
        }
    }
    if (rc == 0) {
        *ret = target_group_new(HELPER_SOURCE, NULL, targets.items, targets.len);
    }
    vec_done(&targets);
    json_decref(root);
    return rc;
}

/* The number behind a series whose labels hold all of the given ones; other when there is no such line. */
static int64_t metric_value(struct view text, const char *name, const char *label1, const char *label2, int64_t other)
{
    size_t name_len = strlen(name);
    for (const char *p = text.base, *end = text.base + text.len; p < end;) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        size_t len = (size_t)((lf != NULL ? lf : end) - p);
        if (len > name_len && memcmp(p, name, name_len) == 0 && p[name_len] == '{' &&
            memmem(p, len, label1, strlen(label1)) != NULL &&
            (label2 == NULL || memmem(p, len, label2, strlen(label2)) != NULL)) {
            const char *value = memrchr(p, ' ', len);
            char number[32];
            snprintf(number, sizeof(number), "%.*s", (int)(p + len - value - 1 < 31 ? p + len - value - 1 : 31),
                     value + 1);
            return (int64_t)strtod(number, NULL);
        }
        p += len + 1;
    }
    return other;
}

void helper_read_metrics(struct view text, const char *pool, const char *mechanism, struct helper_figures *ret)
{
    char config[64], of[96];
    snprintf(config, sizeof(config), "config=\"%s\"", pool);
    snprintf(of, sizeof(of), "mechanism=\"%s\"", mechanism);
    ret->discovered = metric_value(text, "prometheus_sd_discovered_targets", config, "name=\"scrape\"", -1);
    ret->refreshes = metric_value(text, "prometheus_sd_refresh_duration_seconds_count", of, config, -1);
    if (ret->refreshes < 0) {
        ret->refreshes = metric_value(text, "prometheus_sd_refresh_duration_seconds_count", of, NULL, 0);
    }
    ret->failures = metric_value(text, "prometheus_sd_refresh_failures_total", of, config, -1);
    if (ret->failures < 0) {
        ret->failures = metric_value(text, "prometheus_sd_refresh_failures_total", of, NULL, 0);
    }
}
