/* Durable state.
 *
 * JSON because an operator in trouble wants to read it (`tail -c +25 state | zstd -d`), one object a line because a
 * state of a hundred thousand targets is then read and written in constant memory; zstd because labels repeat; a
 * checksum because a half-written file must be noticed, not believed. Writing is atomic, so a bad file means a broken
 * disk, a foreign file or a newer kvass; none of these may stop us from starting, and none may be overwritten unseen
 * (guarantee 19): it is set aside. The file before the newest is kept for that day: an assignment that is one write old
 * is worth more than none.
 *
 * Numbers that fill 64 bits are written as strings. Keys that are not known are skipped, so that fields can be added.
 */
#include "shard/state.h"
#include "base/files.h"
#include "base/intern.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "model/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------------- the
 * object */

struct state *state_new(void)
{
    return mem_calloc(1, sizeof(struct state));
}

void state_free(struct state **handle)
{
    struct state *s = *handle;
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < s->shard_count; i++) {
        for (size_t k = 0; k < s->shards[i].target_count; k++) {
            target_unref(s->shards[i].targets[k].a.target);
        }
        free(s->shards[i].targets);
    }
    free(s->shards);
    free(s->loads);
    free(s->fallback);
    free(s->stop_reason);
    free(s->config_text);
    free(s);
    *handle = NULL;
}

/* One more zeroed element in an array that doubles at powers of two. */
static void *grow(void *items, size_t count, size_t size)
{
    if (count == 0 || (count & (count - 1)) == 0) {
        items = mem_realloc(items, (count == 0 ? 1 : count * 2) * size);
    }
    memset((char *)items + count * size, 0, size);
    return items;
}

struct state_shard *state_add_shard(struct state *s, const char *id)
{
    s->shards = grow(s->shards, s->shard_count, sizeof(*s->shards));
    struct state_shard *shard = &s->shards[s->shard_count++];
    shard->id = intern(id);
    return shard;
}

void state_add_target(struct state_shard *shard, const struct assignment *a, const struct target_status *status)
{
    shard->targets = grow(shard->targets, shard->target_count, sizeof(*shard->targets));
    struct state_target *t = &shard->targets[shard->target_count++];
    t->a = *a;
    t->a.target = target_ref(a->target);
    t->status = *status;
}

struct state_load *state_add_load(struct state *s, const char *job, uint64_t place_key)
{
    s->loads = grow(s->loads, s->load_count, sizeof(*s->loads));
    struct state_load *load = &s->loads[s->load_count++];
    load->job = intern(job);
    load->place_key = place_key;
    return load;
}

const struct state_shard *state_find_shard(const struct state *s, const char *id)
{
    for (size_t i = 0; i < s->shard_count; i++) {
        if (strcmp(s->shards[i].id, id) == 0) {
            return &s->shards[i];
        }
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------------
 * files */

int state_save(const char *path, const struct state *s, struct errctx *err)
{
    struct bytes out;
    bytes_init(&out, STATE_FILE_BYTES_MAX);
    int rc = state_encode(s, &out, err);
    char *old_path = mem_printf("%s.old", path);
    rc = rc == 0 ? files_write_keeping(path, old_path, bytes_view(&out), 0600, err) : rc;
    free(old_path);
    bytes_done(&out);
    return rc;
}

/* Renames what cannot be used; the message gets the new name. */
static int set_aside(const char *path, int code, struct errctx *err)
{
    char *aside = mem_printf("%s.bad-%lld", path, (long long)timebase_realtime_ms());
    if (rename(path, aside) == 0) {
        (void)errctx_prefix(err, code, "%s (set aside as %s)", path, aside);
    } else {
        (void)errctx_prefix(err, code, "%s (cannot be set aside: %s)", path, strerror(errno));
    }
    free(aside);
    return code;
}

/* A file of ours or of an older Kvass, judged by decode. */
static int read_file(const char *path, int (*decode)(struct view, const void *, struct state **, struct errctx *),
                     const void *arg, struct state **ret, struct errctx *err)
{
    struct bytes text;
    bytes_init(&text, STATE_FILE_BYTES_MAX);
    int rc = files_read(path, &text, err);
    if (rc == 0) {
        rc = decode(bytes_view(&text), arg, ret, err);
        rc = rc != 0 ? set_aside(path, rc, err) : 0;
    } else if (rc == ERR_LIMIT) {
        rc = set_aside(path, rc, err);
    }
    bytes_done(&text);
    return rc;
}

static int decode_own(struct view file, const void *arg, struct state **ret, struct errctx *err)
{
    (void)arg;
    return state_decode(file, ret, err);
}

int state_read(const char *path, struct state **ret, struct errctx *err)
{
    struct errctx why = ERRCTX_INIT, why_old = ERRCTX_INIT;
    int rc = read_file(path, decode_own, NULL, ret, &why);
    if (rc == 0) {
        return 0;
    }
    char *old_path = mem_printf("%s.old", path);
    int rc_old = read_file(old_path, decode_own, NULL, ret, &why_old);
    free(old_path);
    if (rc_old == 0) {
        (*ret)->fallback = mem_strdup(why.msg);
        return 0;
    }
    if (rc == ERR_NOT_FOUND) {
        return errctx_set(err, rc_old, "%s", why_old.msg);
    }
    return rc_old == ERR_NOT_FOUND ? errctx_set(err, rc, "%s", why.msg)
                                   : errctx_set(err, rc, "%s; %s", why.msg, why_old.msg);
}

static int decode_old(struct view file, const void *shard_id, struct state **ret, struct errctx *err)
{
    struct assignment *items = NULL;
    const struct target_status unknown = {0};
    size_t count = 0;
    int64_t idle_ms = 0;
    struct errctx why = ERRCTX_INIT;
    json_t *root = wire_parse(file, STATE_FILE_BYTES_MAX, &why);
    int rc = root == NULL ? why.code : wire_read_old_store(root, &items, &count, &idle_ms, &why);
    if (rc == 0) {
        struct state *s = state_new();
        struct state_shard *shard = state_add_shard(s, shard_id);
        shard->idle_since_ms = idle_ms;
        for (size_t i = 0; i < count; i++) {
            state_add_target(shard, &items[i], &unknown);
        }
        wire_targets_free(items, count);
        *ret = s;
    }
    json_decref(root);
    return rc == 0 ? 0 : errctx_set(err, rc, "%s", why.msg);
}

int state_import(const char *dir, const char *shard_id, struct state **ret, struct errctx *err)
{
    static const char *const NAMES[] = {"kvass-shard.json", "targets.json"};
    int rc = ERR_NOT_FOUND;
    for (size_t i = 0; i < 2 && rc == ERR_NOT_FOUND; i++) {
        char *path = mem_printf("%s/%s", dir, NAMES[i]);
        errctx_clear(err);
        rc = read_file(path, decode_old, shard_id, ret, err);
        free(path);
    }
    return rc;
}
