#include "proxy_test.h"

#include "base/intern.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "net/listener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

static void on_record(void *data, const struct scrape_record *record)
{
    struct rig *r = data;
    r->last = *record;
    r->records++;
}

struct proxy_table *rig_table(struct rig *r)
{
    struct proxy_table *t = proxy_table_new(r->promconf, 1);
    const struct assignment a = {.target = r->target};
    proxy_table_add(t, intern("shard-0"), &a, 1);
    return t;
}

static void make_target(struct rig *r)
{
    const struct label items[] = {
        {VIEW("__address__"), VIEW("x")}, {VIEW("instance"), VIEW("x")}, {VIEW("job"), VIEW("j")}};
    r->target = target_new(intern("j"), labels_make(items, 3), NULL, r->url, 30000, 20000, 30000, 20000);
}

void rig_start(struct rig *r, const char *yaml, raw_handler_fn *handler, void *data)
{
    const struct promconf_options opts = {.major = PROMETHEUS_2};
    struct errctx err = ERRCTX_INIT;
    int fd = -1;
    bool inherited;
    if (r->upstream.port == 0) {
        raw_server_start(&r->upstream, handler, data);
    }
    if (r->url == NULL) {
        r->url = mem_printf("%s://127.0.0.1:%u/metrics", r->upstream.tls != NULL ? "https" : "http", r->upstream.port);
    }
    char *text = mem_printf("scrape_configs:\n- {job_name: j%s%s}\n", yaml[0] != '\0' ? ", " : "", yaml);
    if (promconf_parse("/p.yml", view_of(text), &opts, &r->promconf, &err) != 0) {
        fail_msg("%s: %s", text, err.msg);
    }
    free(text);
    make_target(r);
    r->control = loop_new();
    if (r->conf.threads == 0) {
        r->conf.threads = 1;
    }
    invariant(listener_open("127.0.0.1:0", NULL, &fd, &inherited, NULL) == 0);
    r->port = listener_port(fd);
    struct proxy_table *t = rig_table(r);
    const struct proxy_events events = {on_record, r};
    if (proxy_new(r->control, &fd, 1, &r->conf, t, &events, &r->proxy, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    proxy_table_unref(t);
}

void rig_stop(struct rig *r)
{
    proxy_free(&r->proxy, 0);
    raw_server_stop(&r->upstream);
    loop_free(&r->control);
    target_unref(r->target);
    promconf_unref(r->promconf);
    free(r->url);
}

char *rig_request(const struct rig *r, const char *method, const char *version, const char *headers)
{
    const char *rest = strstr(r->url, "://") + 3;
    const char *port = strncmp(r->url, "https", 5) == 0 && strchr(rest, ':') == NULL ? ":443" : "";
    size_t host = strcspn(rest, "/");
    return mem_printf("%s http://%.*s%s%s?_hash=%llu&_jobName=j&_scheme=http HTTP/%s\r\nHost: x\r\n%s\r\n", method,
                      (int)host, rest, port, rest + host, (unsigned long long)r->target->hash, version, headers);
}

void rig_get(struct rig *r, const char *headers, struct reply *ret)
{
    char *request = rig_request(r, "GET", "1.1", headers);
    fetch(r->port, request, ret);
    free(request);
}

static void set_flag(void *data)
{
    *(bool *)data = true;
}

bool rig_wait_records(struct rig *r, unsigned count)
{
    bool late = false;
    struct loop_timer *limit = loop_timer_new(r->control, set_flag, &late);
    loop_timer_start(limit, 15000, 10);
    while (r->records < count && !late) {
        uv_run(loop_uv(r->control), UV_RUN_ONCE);
    }
    loop_timer_free(&limit);
    return r->records >= count;
}

void rig_pump(struct rig *r, int64_t ms)
{
    bool over = false;
    struct loop_timer *limit = loop_timer_new(r->control, set_flag, &over);
    loop_timer_start(limit, ms > 0 ? ms : 1, 10); /* repeated: the first may come before the wait */
    while (!over) {
        uv_run(loop_uv(r->control), UV_RUN_ONCE);
    }
    loop_timer_free(&limit);
}

size_t resident_kb(void)
{
    char line[256];
    size_t kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, "VmRSS:", 6) == 0) {
            kb = strtoul(line + 6, NULL, 10);
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return kb;
}

struct bytes gzip_of(struct view text)
{
    struct bytes out;
    z_stream z = {0};
    bytes_init(&out, (size_t)256 << 20);
    invariant(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    size_t room = deflateBound(&z, text.len);
    z.next_in = (Bytef *)(uintptr_t)text.base;
    z.avail_in = (uInt)text.len;
    z.next_out = (Bytef *)bytes_reserve(&out, room);
    z.avail_out = (uInt)room;
    invariant(deflate(&z, Z_FINISH) == Z_STREAM_END);
    bytes_commit(&out, z.total_out);
    deflateEnd(&z);
    return out;
}

struct bytes zstd_of(struct view text, int window_log)
{
    struct bytes out;
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_inBuffer in = {text.base, text.len, 0};
    ZSTD_outBuffer to = {0};
    bytes_init(&out, (size_t)256 << 20);
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
    if (window_log != 0) {
        ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, window_log);
    }
    to.size = ZSTD_compressBound(text.len);
    to.dst = bytes_reserve(&out, to.size);
    ZSTD_compressStream2(c, &to, &in, ZSTD_e_flush); /* the size is not in the frame: the window decides */
    invariant(ZSTD_compressStream2(c, &to, &in, ZSTD_e_end) == 0);
    bytes_commit(&out, to.pos);
    ZSTD_freeCCtx(c);
    return out;
}
