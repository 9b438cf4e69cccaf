/* What the Prometheus beside the sidecar is: its version, asked for unless an option names it, and, before 3.8, whether
 * a flag of its turns native histograms on; both change what it accepts and what a scrape counts. It may be upgraded,
 * or started with other flags, so it is asked again now and then, and after it was away.
 *
 * What it says is taken together, so that an upgrade is one reload. A question that stays open takes nothing back: what
 * was known goes on. */
#include "api/sidecar_impl.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "model/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS         5000
#define AGAIN_MS         60000
#define TIMEOUT_MS       5000
#define ANSWER_BYTES_MAX ((size_t)1 << 20)

static const struct logctx LOG = {NULL, "component", "sidecar"};

static const char FEATURE[] = "native-histograms";

bool sidecar_native_histograms(const struct sidecar *sc)
{
    return sc->major < PROMETHEUS_3_8 && sc->native_histograms;
}

static bool is_auto(const struct sidecar *sc)
{
    return strcmp(sc->o->prometheus_version, "auto") == 0;
}

/* ---------------------------------------------------------------- what it said */

/* False: no change, or one that is not understood. */
static bool take_version(struct sidecar *sc, const char *version)
{
    struct errctx err = ERRCTX_INIT;
    enum prometheus_major major = sc->major;
    if (version[0] == '\0' || strcmp(version, sc->version) == 0) {
        return false;
    }
    int rc = prometheus_version_parse(version, &major, &err);
    log_info(&LOG, "prometheus found", "url", sc->o->prometheus_url, "version", version, "rules",
             rc == 0 ? prometheus_major_name(major) : NULL, "err", rc != 0 ? err.msg : NULL);
    if (rc != 0) {
        return false;
    }
    snprintf(sc->version, sizeof(sc->version), "%s", version);
    local_shard_set_version(sc->shard, version);
    sc->major = major;
    return true;
}

static void told(struct sidecar *sc, bool native_histograms)
{
    struct errctx err = ERRCTX_INIT;
    enum prometheus_major major_before = sc->major;
    bool native_before = sidecar_native_histograms(sc), flag_before = sc->native_histograms;
    bool is_new = take_version(sc, sc->told);
    sc->native_histograms = native_histograms;
    bool native = sidecar_native_histograms(sc);
    if (native != native_before) {
        log_info(&LOG, "prometheus found", "url", sc->o->prometheus_url, FEATURE, native ? "on" : "off");
    }
    if (sc->major != major_before || native != native_before) {
        (void)!sidecar_reload(sc, &err); /* it logs */
    }
    if (is_new || native_histograms != flag_before) {
        sidecar_save(sc);
    }
}

static void ask_again(struct sidecar *sc, bool is_final)
{
    sc->next_version_ms = timebase_monotonic_ms() + (is_final ? AGAIN_MS : RETRY_MS);
}

static bool is_refusal(const struct http_answer *answer)
{
    return answer->status >= 400 && answer->status < 500; /* vmagent has no such paths */
}

/* "data" of a good answer, a reference of the caller's; else NULL. */
static json_t *data_of(const struct http_answer *answer)
{
    json_t *root = answer->status == 200 ? wire_parse(answer->body, ANSWER_BYTES_MAX, NULL) : NULL;
    json_t *found = json_incref(json_object_get(root, "data"));
    json_decref(root);
    return found;
}

/* ---------------------------------------------------------------- the questions */

static void ask(struct sidecar *sc, const char *path, http_done_fn *done)
{
    char *url = mem_printf("%s%s", sc->shard->prometheus_url, path);
    const struct http_request req = {.url = url, .timeout_ms = TIMEOUT_MS, .answer_bytes_max = ANSWER_BYTES_MAX};
    sc->version_call = http_client_send(sc->d.http, &req, done, sc);
    free(url);
}

/* The list is what all --enable-feature say, with commas between. */
static bool has_feature(const char *list)
{
    const size_t len = sizeof(FEATURE) - 1;
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, FEATURE, len) == 0 && (at[len] == ',' || at[len] == '\0')) {
            return true;
        }
    }
    return false;
}

static void on_flags(void *data, const struct http_answer *answer)
{
    struct sidecar *sc = data;
    json_t *flags = data_of(answer);
    sc->version_call = NULL;
    ask_again(sc, flags != NULL || is_refusal(answer));
    told(sc, flags != NULL ? has_feature(json_string_value(json_object_get(flags, "enable-feature")))
                           : sc->native_histograms);
    json_decref(flags);
}

static void ask_flags(struct sidecar *sc)
{
    ask(sc, "/api/v1/status/flags", on_flags);
}

static void on_version(void *data, const struct http_answer *answer)
{
    struct sidecar *sc = data;
    json_t *root = data_of(answer);
    const char *version = json_string_value(json_object_get(root, "version"));
    sc->version_call = NULL;
    if (version != NULL) {
        snprintf(sc->told, sizeof(sc->told), "%s", version);
        ask_flags(sc);
    } else {
        ask_again(sc, is_refusal(answer));
        if (is_refusal(answer)) {
            local_shard_set_version(sc->shard, "");
        }
    }
    json_decref(root);
}

void sidecar_ask_version(struct sidecar *sc)
{
    enum shard_health health = sc->shard->ops->info(sc->shard)->health;
    bool came_back = health == SHARD_HEALTH_READY && sc->last_health != SHARD_HEALTH_READY;
    sc->last_health = health;
    sc->next_version_ms = came_back ? 0 : sc->next_version_ms;
    if (sc->version_call != NULL || timebase_monotonic_ms() < sc->next_version_ms) {
        return;
    }
    if (is_auto(sc)) {
        ask(sc, "/api/v1/status/buildinfo", on_version);
    } else {
        ask_flags(sc);
    }
}
