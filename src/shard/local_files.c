/* A local shard: its files.
 *
 * Every write renders what has to be and touches the disk only when bytes differ. Target files come before
 * prometheus.yml, so that a reload never meets a job without its list. A marker file stands beside prometheus.yml from
 * before its change until Prometheus acknowledged the reload: whoever dies in between finds it and reloads again
 * (guarantee 16).
 *
 * A job that leaves the configuration is not dropped at once: Prometheus writes no stale markers for a job that
 * vanishes, but does for one whose list becomes empty (guarantee 42). So the new configuration is first rendered
 * together with the old job, empty, and without it when two intervals and the usual grace have passed.
 *
 * Target files are not synced to the disk one by one (at some milliseconds each, thousands of jobs would stall the
 * loop): every start renders them all anew and compares, so a power cut costs nothing that is not made again.
 *
 * A failed write (disk full, folder gone) is kept as a sentence, retried every few seconds, and holds back the
 * acknowledgement. */
#include "base/files.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "shard/local_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WRITE_RETRY_MS   5000
#define CONFIG_BYTES_MAX ((size_t)1 << 30)
#define FILE_MODE        0640
#define FOLDER_MODE      0750

static struct local_job *job_find(struct local_shard *s, const char *name)
{
    vec_foreach(j, &s->jobs) {
        if (j->conf->name == name) {
            return j;
        }
    }
    return NULL;
}

static void job_done(struct local_job *j)
{
    promconf_unref(j->owner);
    free(j->path);
}

static char *job_path(const struct local_shard *s, const char *job)
{
    char *name = render_target_file_name(job);
    char *path = mem_printf("%s/%s.json", s->target_dir, name);
    free(name);
    return path;
}

void local_files_job_changed(struct local_shard *s, const char *job)
{
    struct local_job *j = job_find(s, job);
    if (j != NULL) {
        j->dirty = true;
    } else {
        local_mark_left(s, job);
    }
    if (s->env.form == TARGET_FORM_STATIC) {
        s->config_dirty = true;
    }
}

/* Jobs of the old configuration that the new one lacks stay, retired; the old configuration lives on for their sake. */
static void retire_missing(struct local_shard *s, struct promconf *old, const struct promconf *conf)
{
    for (size_t i = s->jobs.len; i-- > 0;) {
        struct local_job *j = &s->jobs.items[i];
        if (promconf_job(conf, j->conf->name) != NULL) {
            job_done(j);
            vec_remove(&s->jobs, i);
        } else if (j->owner == NULL) {
            j->owner = promconf_ref(old);
            j->dirty = true;
            j->retired_ms = 0;
            local_leave_job(s, j->conf->name);
            log_info(&s->log, "job removed", "scrape_job", j->conf->name, "action",
                     "empty its target list, drop it when its series have ended");
        }
    }
    s->retired = s->jobs.len;
}

void local_files_all_changed(struct local_shard *s)
{
    vec_foreach(j, &s->jobs) {
        j->dirty = true;
    }
    s->config_dirty = true;
}

void local_files_set_config(struct local_shard *s, struct promconf *conf)
{
    struct promconf *old = s->conf;
    s->conf = promconf_ref(conf);
    if (old != NULL) {
        retire_missing(s, old, conf);
    }
    for (size_t i = 0; i < conf->job_count; i++) {
        struct local_job *j = vec_push(&s->jobs);
        j->conf = &conf->jobs[i];
        j->path = job_path(s, j->conf->name);
        j->dirty = true;
    }
    s->config_dirty = true;
    promconf_unref(old);
}

void local_files_done(struct local_shard *s)
{
    vec_foreach(j, &s->jobs) {
        job_done(j);
    }
    vec_done(&s->jobs);
    promconf_unref(s->conf);
}

/* ----------------------------------------------------------------------------------------------------------------
 * writing */

static void render_options_fill(const struct local_shard *s, struct render_options *opts)
{
    const char *address = strstr(s->url, "://");
    *opts = (struct render_options){.proxy_url = s->env.proxy_url,
                                    .form = s->env.form,
                                    .target_dir = s->target_dir,
                                    .shard_id = s->base.id,
                                    .replica = s->base.replica[0] != '\0' ? s->base.replica : NULL,
                                    .drop_rules = s->env.drop_rules,
                                    .split = s->env.parts_max > 1,
                                    .server = s->env.server,
                                    .self_monitor = s->env.self_monitor,
                                    .prometheus_address = address != NULL ? address + 3 : s->url};
}

/* The run of a job in the sorted view. */
static const struct assignment *job_slice(struct local_shard *s, const char *job, size_t *ret_count)
{
    size_t count, low = 0;
    const struct assignment *items = local_view(s, &count);
    for (size_t high = count; low < high;) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(items[mid].target->job, job) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    size_t end = low;
    while (end < count && items[end].target->job == job) {
        end++;
    }
    *ret_count = end - low;
    return count != 0 ? items + low : NULL;
}

static int make_folders(struct local_shard *s, struct errctx *err)
{
    int rc = files_make_dirs(s->target_dir, FOLDER_MODE, err);
    bool ours = s->env.config_path == NULL;
    if (rc == 0 && s->env.gid != (gid_t)-1 &&
        ((ours && chown(s->dir, (uid_t)-1, s->env.gid) != 0) || chown(s->target_dir, (uid_t)-1, s->env.gid) != 0)) {
        rc = errctx_set_errno(err, errno, "chown(%s)", s->target_dir);
    }
    return rc;
}

static int write_job(struct local_shard *s, const struct render_options *opts, struct local_job *j, struct errctx *err)
{
    struct bytes text;
    size_t count = 0;
    bool changed = false;
    const struct assignment *items = j->owner == NULL ? job_slice(s, j->conf->name, &count) : NULL;
    bytes_init(&text, CONFIG_BYTES_MAX);
    int rc = render_target_file(j->conf, opts, items, count, &text, err);
    if (rc == 0) {
        rc = files_remake_if_changed(j->path, bytes_view(&text), FILE_MODE, s->env.gid, &changed, err);
    }
    bytes_done(&text);
    if (rc != 0 || changed) {
        metric_add(METRIC_SHARD_FILE_WRITES, 1, rc == 0 ? "success" : "failure");
    }
    if (rc == 0) {
        j->dirty = false;
        local_mark_left(s, j->conf->name);
    }
    return rc;
}

/* The configuration with the retired jobs behind its own; a view of both, owning neither. */
static int render_merged(struct local_shard *s, const struct render_options *opts, struct bytes *text,
                         struct errctx *err)
{
    struct promconf merged = *s->conf;
    struct job_conf *jobs = mem_calloc(s->conf->job_count + s->retired, sizeof(*jobs));
    size_t count, n = s->conf->job_count;
    const struct assignment *items = local_view(s, &count);
    if (n != 0) {
        memcpy(jobs, s->conf->jobs, n * sizeof(*jobs));
    }
    for (size_t i = 0; i < s->retired; i++) {
        jobs[n++] = *s->jobs.items[i].conf;
    }
    merged.jobs = jobs;
    merged.job_count = n;
    int rc = render_config(&merged, opts, items, count, text, err);
    free(jobs);
    return rc;
}

static bool file_holds(const char *path, struct view content)
{
    struct bytes old;
    bytes_init(&old, content.len + 1);
    bool same = files_read(path, &old, NULL) == 0 && view_equal(bytes_view(&old), content);
    bytes_done(&old);
    return same;
}

/* Prometheus takes an inotify instance for each job that has a list in a file, and does not discover the job at all
 * when there is none left (2.42 to 3.5); the kernel counts them by user. */
static void check_watches(const struct local_shard *s, const struct render_options *opts)
{
    struct bytes text;
    size_t servers = s->env.config_path == NULL ? s->base.group + 1 : 1; /* of this user, here: those we start */
    if (opts->form != TARGET_FORM_FILE) {
        return;
    }
    bytes_init(&text, 64);
    if (files_read("/proc/sys/fs/inotify/max_user_instances", &text, NULL) == 0) {
        long long limit = strtoll(bytes_view(&text).base, NULL, 10);
        size_t needed = servers * s->jobs.len;
        if (limit > 0 && needed > (size_t)limit) {
            log_warn(&s->log, "too few inotify instances", "needed", log_num((int64_t)needed), "limit", log_num(limit),
                     "err", "Prometheus will not discover all jobs", "remedy",
                     "sysctl fs.inotify.max_user_instances=1024, or inject.targets=static");
        }
    }
    bytes_done(&text);
}

static int write_config(struct local_shard *s, const struct render_options *opts, struct errctx *err)
{
    struct bytes text;
    bytes_init(&text, CONFIG_BYTES_MAX);
    int rc = render_merged(s, opts, &text, err);
    if (rc == 0 && !file_holds(s->config_path, bytes_view(&text))) {
        rc = files_write_atomic(s->pending_path, VIEW(""), FILE_MODE, (gid_t)-1, err);
        rc = rc == 0 ? files_write_atomic(s->config_path, bytes_view(&text), FILE_MODE, s->env.gid, err) : rc;
        metric_add(METRIC_SHARD_FILE_WRITES, 1, rc == 0 ? "success" : "failure");
        if (rc == 0) {
            check_watches(s, opts);
            s->written_seq++;
            local_calls_want_reload(s);
        }
    }
    bytes_done(&text);
    s->config_dirty = rc != 0;
    return rc;
}

static int write_dirty(struct local_shard *s, struct errctx *err)
{
    struct render_options opts;
    bool any = s->config_dirty;
    vec_foreach(j, &s->jobs) {
        any = any || (j->dirty && s->env.form == TARGET_FORM_FILE);
    }
    int rc = any ? make_folders(s, err) : 0;
    render_options_fill(s, &opts);
    for (size_t i = 0; i < s->jobs.len; i++) {
        struct local_job *j = &s->jobs.items[i];
        if (j->dirty && s->env.form == TARGET_FORM_FILE && write_job(s, &opts, j, err) != 0) {
            rc = ERR_IO;
        }
    }
    return rc == 0 && s->config_dirty ? write_config(s, &opts, err) : rc;
}

void local_files_flush(struct local_shard *s)
{
    struct errctx err = ERRCTX_INIT;
    if (s->conf == NULL || !s->assigned) {
        return;
    }
    int rc = write_dirty(s, &err);
    if (rc != 0) {
        if (strncmp(s->write_error, err.msg, sizeof(s->write_error) - 1) != 0) {
            log_error(&s->log, "write shard files", "err", err.msg, "action", "try again");
        }
        s->next_write_ms = local_now_ms(s) + WRITE_RETRY_MS;
    }
    snprintf(s->write_error, sizeof(s->write_error), "%.255s", rc != 0 ? err.msg : "");
    local_show_error(s);
    if (!s->reload_pending) {
        local_files_reloaded(s);
    }
}

/* ------------------------------------------------------------------------------------------------------------ after a
 * reload */

void local_files_reloaded(struct local_shard *s)
{
    if (s->config_dirty || s->write_error[0] != '\0') {
        return;
    }
    if (s->env.form == TARGET_FORM_STATIC) {
        local_mark_left(s, NULL);
    }
    for (size_t i = 0; i < s->retired; i++) {
        struct local_job *j = &s->jobs.items[i];
        j->retired_ms = j->retired_ms != 0 ? j->retired_ms : local_now_ms(s);
    }
    local_acknowledge(s);
}

void local_files_retire_due(struct local_shard *s, int64_t now_ms)
{
    bool any = false;
    for (size_t i = s->retired; i-- > 0;) {
        struct local_job *j = &s->jobs.items[i];
        if (j->retired_ms == 0 || now_ms < j->retired_ms + s->env.leave_ms + 2 * j->conf->interval_ms) {
            continue;
        }
        if (s->env.form == TARGET_FORM_FILE && unlink(j->path) != 0 && errno != ENOENT) {
            log_warn(&s->log, "remove target file", "path", j->path, "err", strerror(errno), "action", "leave it");
        }
        job_done(j);
        vec_remove(&s->jobs, i);
        s->retired--;
        any = true;
    }
    if (any) {
        s->config_dirty = true;
        local_files_flush(s);
    }
}
