/* The configuration of a sidecar: from its file, or pushed. Whatever is wrong with a new one, the one in use stays; at
 * a start without a usable file the last good text is in the state. Without any the sidecar serves its API and waits:
 * the file may be written by a neighbour that starts later. */
#include "api/config_diff.h"
#include "api/sidecar_impl.h"
#include "base/files.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/notify.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONFIG_BYTES_MAX ((size_t)64 << 20)

static const struct logctx LOG = {NULL, "component", "sidecar"};

static const char WAITING[] = "# kvass: waits for the configuration of its coordinator\nscrape_configs: []\n";

/* What one text comes to depends on what Prometheus is, too. */
static bool same_rules(const struct promconf *a, const struct promconf *b)
{
    return a->major == b->major && a->native_histograms == b->native_histograms;
}

/* Names the text in messages; relative paths in it start in the folder of the generated file. */
static char *pushed_path(const struct sidecar *sc)
{
    return mem_printf("%s/pushed", sc->output_dir);
}

static int parse(const struct sidecar *sc, const char *path, struct view text, struct promconf **ret,
                 struct errctx *err)
{
    const struct promconf_options opts = {
        .major = sc->major,
        .native_histograms = sidecar_native_histograms(sc),
        .kubernetes_sa_path = sc->o->inject_kubernetes_sa_path,
    };
    int rc = promconf_parse(path, text, &opts, ret, err);
    return rc == 0 ? 0 : ERR_INVALID;
}

static int parse_pushed(const struct sidecar *sc, struct view text, struct promconf **ret, struct errctx *err)
{
    char *path = pushed_path(sc);
    int rc = parse(sc, path, text, ret, err);
    free(path);
    return rc;
}

/* The proxy first: it knows the jobs before Prometheus can ask for them. */
static void apply(struct sidecar *sc, struct promconf *fresh, struct view text, uint64_t generation)
{
    char *diff = config_diff(sc->conf, fresh);
    log_info(&LOG, "configuration loaded", "from", sc->push_mode ? "coordinator" : sc->o->config_file, "jobs",
             log_num((int64_t)fresh->job_count), "generation", log_num((int64_t)generation), "changes", diff);
    free(diff);
    promconf_unref(sc->conf);
    sc->conf = promconf_ref(fresh);
    sc->config_generation = generation;
    if (text.base != sc->config_text) {
        char *copy = mem_dup(text.base, text.len);
        free(sc->config_text);
        sc->config_text = copy;
        sc->config_len = text.len;
    }
    sidecar_rebind(sc);
    sidecar_publish(sc);
    sc->shard->ops->set_config(sc->shard, fresh, generation);
}

static void remember(struct sidecar *sc, int rc, const struct errctx *err)
{
    free(sc->config_error);
    sc->config_error = mem_strdup(rc == 0 ? "" : err->msg);
    sidecar_drop_view(sc);
    metric_set(METRIC_CONFIGGEN_RELOAD_SUCCESSFUL, rc == 0);
    metric_add(METRIC_CONFIGGEN_RELOADS, 1, rc == 0 ? "true" : "false");
    metric_add(METRIC_SIDECAR_CONFIG_INJECT, 1, rc == 0 ? "true" : "false");
    if (rc != 0) {
        log_error(&LOG, "load configuration", "err", err->msg, "action",
                  sc->conf != NULL ? "the running configuration stays" : "wait for a good one");
    }
}

/* ---------------------------------------------------------------- pushed */

int sidecar_take_config(void *data, const struct wire_push *push, struct view text, struct errctx *err)
{
    struct sidecar *sc = data;
    struct promconf *fresh = NULL;
    if (!sc->push_mode) {
        return errctx_set(err, ERR_INVALID, "the configuration comes from --config.file=%s and cannot be pushed",
                          sc->o->config_file);
    }
    int rc = sidecar_check_epoch(sc, push, err);
    if (rc != 0) {
        log_warn(&LOG, "take configuration", "err", err->msg, "action", "keep the one in use");
        return rc;
    }
    const struct sidecar_change change = {
        .config_text = text.base,
        .config_len = text.len,
        .config_generation = push->generation,
        .epoch = push->has_epoch ? push->epoch : sc->epoch,
    };
    rc = parse_pushed(sc, text, &fresh, err);
    rc = rc == 0 ? sidecar_store(sc, &change, err) : rc;
    if (rc == 0) {
        sc->epoch = change.epoch;
        apply(sc, fresh, text, push->generation);
    }
    promconf_unref(fresh);
    remember(sc, rc, err);
    return rc;
}

/* ---------------------------------------------------------------- from the file */

static int read_file(struct sidecar *sc, struct bytes *text, struct promconf **ret, struct errctx *err)
{
    bytes_init(text, CONFIG_BYTES_MAX);
    (void)daemon_file_changed(sc->o->config_file, &sc->config_stat);
    int rc = files_read(sc->o->config_file, text, err);
    return rc == 0 ? parse(sc, sc->o->config_file, bytes_view(text), ret, err) : rc;
}

static int reload_file(struct sidecar *sc, struct errctx *err)
{
    struct bytes text;
    struct promconf *fresh = NULL;
    int rc = read_file(sc, &text, &fresh, err);
    bool is_same =
        rc == 0 && sc->conf != NULL && strcmp(fresh->hash, sc->conf->hash) == 0 && same_rules(fresh, sc->conf);
    if (rc == 0 && !is_same) {
        struct errctx store_err = ERRCTX_INIT;
        apply(sc, fresh, bytes_view(&text), 0);
        const struct sidecar_change as_it_is = {.epoch = sc->epoch};
        if (sidecar_store(sc, &as_it_is, &store_err) != 0) { /* the file is the truth; the copy is for bad days */
            log_error(&LOG, "save state", "err", store_err.msg, "action", "go on, try again within a minute");
        }
    }
    promconf_unref(fresh);
    bytes_done(&text);
    return rc;
}

/* Pushed: the text in use once more, for Prometheus may be another one now. */
static int reload_pushed(struct sidecar *sc, struct errctx *err)
{
    struct promconf *fresh = NULL;
    struct view text = view_make(sc->config_text, sc->config_len);
    if (sc->config_text == NULL) {
        return 0;
    }
    int rc = parse_pushed(sc, text, &fresh, err);
    if (rc == 0 && !same_rules(fresh, sc->conf)) {
        apply(sc, fresh, text, sc->config_generation);
    }
    promconf_unref(fresh);
    return rc;
}

int sidecar_reload(void *data, struct errctx *err)
{
    struct sidecar *sc = data;
    notify_reloading();
    int rc = sc->push_mode ? reload_pushed(sc, err) : reload_file(sc, err);
    remember(sc, rc, err);
    if (rc == 0) {
        local_shard_refresh(sc->shard);
    }
    notify_ready();
    return rc;
}

void sidecar_watch(void *data)
{
    struct sidecar *sc = data;
    struct errctx err = ERRCTX_INIT;
    struct stat seen = sc->config_stat;
    if (!sc->push_mode && daemon_file_changed(sc->o->config_file, &seen)) {
        (void)!sidecar_reload(sc, &err);
    }
}

/* ---------------------------------------------------------------- the first one */

/* So that a Prometheus can start before its coordinator has been heard of. What is there already stays. */
static void write_waiting(const struct sidecar *sc)
{
    struct errctx err = ERRCTX_INIT;
    if (access(sc->output_path, F_OK) != 0 &&
        files_write_atomic(sc->output_path, view_of(WAITING), 0640, sc->d.gid, &err) != 0) {
        log_error(&LOG, "write shard files", "err", err.msg, "action", "go on without");
    }
}

static int load_stored(struct sidecar *sc, const struct state *st, struct errctx *err)
{
    struct promconf *fresh = NULL;
    struct view text = view_make(st->config_text, st->config_len);
    int rc = sc->push_mode ? parse_pushed(sc, text, &fresh, err) : parse(sc, sc->o->config_file, text, &fresh, err);
    if (rc == 0) {
        apply(sc, fresh, text, sc->push_mode ? st->config_generation : 0);
    }
    promconf_unref(fresh);
    return rc;
}

void sidecar_load_first(struct sidecar *sc, const struct state *st)
{
    struct errctx err = ERRCTX_INIT;
    bool has_stored = st != NULL && st->config_text != NULL;
    int rc = 0;
    if (!sc->push_mode) {
        rc = reload_file(sc, &err);
        remember(sc, rc, &err);
    }
    if ((sc->push_mode || rc != 0) && has_stored) {
        struct errctx stored_err = ERRCTX_INIT;
        if (load_stored(sc, st, &stored_err) != 0) {
            remember(sc, ERR_INVALID, &stored_err);
        } else if (rc != 0) {
            log_warn(&LOG, "load configuration", "action", "use the last good one, from the state");
        }
    }
    if (sc->conf == NULL) {
        write_waiting(sc);
    }
}
