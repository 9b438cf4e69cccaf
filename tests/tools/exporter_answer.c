/* The test exporter's requests: parsed as far as a client in a test needs, answered by path. */
#include "base/hash.h"
#include "base/invariant.h"
#include "base/json_writer.h"
#include "base/mem.h"
#include "base/timebase.h"
#include "exporter_priv.h"

#include <stdio.h>
#include <string.h>

bool target_equal(const void *entry, const void *key)
{
    return strcmp(((const struct vtarget *)entry)->name, key) == 0;
}

static struct vtarget *target_get(const char *name, bool create)
{
    uint64_t hash = hash_view(view_of(name));
    struct vtarget *t = hashmap_get(&server.targets, hash, name);
    if (t == NULL && create && server.targets.len < TARGETS_MAX) {
        t = mem_calloc(1, sizeof(*t));
        snprintf(t->name, sizeof(t->name), "%s", name);
        hashmap_add(&server.targets, hash, t);
    }
    return t;
}


struct request {
    struct view method, path, query, accept, accept_encoding, authorization;
    size_t body_bytes;
    bool close;
};

static struct view trim(struct view v)
{
    while (v.len > 0 && (*v.base == ' ' || *v.base == '\t')) {
        v.base++;
        v.len--;
    }
    return v;
}

static struct view split(struct view *rest, const char *sep)
{
    const char *at = rest->len != 0 ? memmem(rest->base, rest->len, sep, strlen(sep)) : NULL;
    struct view first = view_make(rest->base, at != NULL ? (size_t)(at - rest->base) : rest->len);
    size_t used = first.len + (at != NULL ? strlen(sep) : 0);
    rest->base += used;
    rest->len -= used;
    return first;
}

static void parse_header(struct request *r, struct view line)
{
    struct view value = line, name = split(&value, ":");
    value = trim(value);
    if (name.len == 6 && strncasecmp(name.base, "accept", 6) == 0) {
        r->accept = value;
    } else if (name.len == 15 && strncasecmp(name.base, "accept-encoding", 15) == 0) {
        r->accept_encoding = value;
    } else if (name.len == 13 && strncasecmp(name.base, "authorization", 13) == 0) {
        r->authorization = value;
    } else if (name.len == 14 && strncasecmp(name.base, "content-length", 14) == 0) {
        for (size_t i = 0; i < value.len && value.base[i] >= '0' && value.base[i] <= '9' && i < 8; i++) {
            r->body_bytes = r->body_bytes * 10 + (size_t)(value.base[i] - '0');
        }
    } else if (name.len == 10 && strncasecmp(name.base, "connection", 10) == 0) {
        r->close = value.len >= 5 && strncasecmp(value.base, "close", 5) == 0;
    }
}

static void parse_request(struct request *r, struct view head)
{
    struct view line = split(&head, "\r\n");
    memset(r, 0, sizeof(*r));
    r->method = split(&line, " ");
    struct view uri = split(&line, " ");
    if (view_has_prefix(uri, VIEW("http://"))) {
        uri.base += 7;
        uri.len -= 7;
        const char *slash = memchr(uri.base, '/', uri.len);
        uri = slash != NULL ? view_make(slash, uri.len - (size_t)(slash - uri.base)) : VIEW("/");
    }
    r->path = split(&uri, "?");
    r->query = uri;
    bool http10 = view_is(line, "HTTP/1.0");
    while (head.len > 0) {
        parse_header(r, split(&head, "\r\n"));
    }
    r->close = r->close || http10;
}

static void respond(struct conn *c, int status, const char *reason, const char *content_type, struct view content)
{
    bytes_printf(&c->out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", status, reason,
                 content_type, content.len);
    bytes_append_view(&c->out, content);
    c->body_done = true;
}

static void write_target_stats(struct json_writer *w, const struct vtarget *t)
{
    json_key(w, t->name);
    json_object_begin(w);
    json_kv_u64(w, "scrapes", t->scrapes);
    json_kv_i64(w, "last_ms", t->last_ms);
    json_kv_i64(w, "gap_max_ms", t->gap_max_ms);
    json_object_end(w);
}

static void answer_stats(struct conn *c, const struct request *r)
{
    struct bytes text;
    struct json_writer w;
    size_t it = 0;
    bytes_init(&text, (size_t)64 << 20);
    json_writer_init(&w, &text);
    json_object_begin(&w);
    json_kv_u64(&w, "accepted", server.accepted);
    json_kv_u64(&w, "connections", server.open);
    json_kv_u64(&w, "requests", server.requests);
    json_kv_u64(&w, "scrapes", server.scrapes);
    json_kv_u64(&w, "faults", server.faults);
    json_kv_u64(&w, "cancelled", server.cancelled);
    json_kv_u64(&w, "bytes_sent", server.bytes_sent);
    json_kv_view(&w, "last_scrape_request", bytes_view(&server.last_request));
    json_key(&w, "listeners");
    json_array_begin(&w);
    for (size_t i = 0; i < server.listener_count; i++) {
        json_object_begin(&w);
        json_kv_u64(&w, "port", server.listeners[i].port);
        json_kv_u64(&w, "series", server.listeners[i].spec.series);
        json_kv_u64(&w, "scrapes", server.listeners[i].scrapes);
        json_object_end(&w);
    }
    json_array_end(&w);
    json_key(&w, "targets");
    json_object_begin(&w);
    bool all = view_is(r->query, "targets=1");
    for (struct vtarget *t; all && (t = hashmap_next(&server.targets, &it)) != NULL;) {
        write_target_stats(&w, t);
    }
    json_object_end(&w);
    json_object_end(&w);
    c->out.max = OUT_MAX + text.len;
    respond(c, 200, "OK", "application/json", bytes_view(&text));
    bytes_done(&text);
}

static void answer_control(struct conn *c, const struct request *r)
{
    char name[SPEC_TEXT_MAX] = "";
    struct errctx err = ERRCTX_INIT;
    struct spec scratch = c->from->spec;
    struct spec *spec = &c->from->spec;
    if (spec_parse_query(&scratch, r->query, name, &err) != 0) {
        respond(c, 400, "Bad Request", "text/plain", view_of(err.msg));
        return;
    }
    struct vtarget *t = name[0] != '\0' ? target_get(name, true) : NULL;
    if (t != NULL) {
        t->spec = t->has_spec ? t->spec : c->from->spec;
        t->has_spec = true;
        spec = &t->spec;
    }
    invariant(spec_parse_query(spec, r->query, name, NULL) == 0);
    respond(c, 204, "No Content", "text/plain", VIEW(""));
}

static void count_scrape(struct conn *c, struct vtarget *t)
{
    server.scrapes++;
    c->from->scrapes++;
    if (t != NULL) {
        int64_t now_ms = timebase_monotonic_ms();
        int64_t gap_ms = t->last_ms != 0 ? now_ms - t->last_ms : 0;
        t->gap_max_ms = gap_ms > t->gap_max_ms ? gap_ms : t->gap_max_ms;
        t->last_ms = now_ms;
        t->scrapes++;
    }
}

/* Answers that are a head and no exposition. True when s was one of them. */
static bool answer_without_body(struct conn *c, const struct request *r, const struct spec *s)
{
    char text[32];
    if (s->authorization[0] != '\0' && !view_is(r->authorization, s->authorization)) {
        respond(c, 401, "Unauthorized", "text/plain", VIEW("401\n"));
        return true;
    }
    switch (s->fault) {
    case FAULT_STATUS:
        snprintf(text, sizeof(text), "%u\n", (unsigned)s->fault_arg);
        respond(c, (int)s->fault_arg, "Fault", "text/plain", view_of(text));
        return true;
    case FAULT_REDIRECT:
        bytes_printf(&c->out, "HTTP/1.1 302 Found\r\nLocation: %.*s\r\nContent-Length: 0\r\n\r\n", VIEW_FMT(r->path));
        c->body_done = true;
        return true;
    case FAULT_NOTHING:
    case FAULT_RESET:
    case FAULT_STALL:
        conn_act(c);
        return true;
    default:
        return false;
    }
}

static void put_head(struct conn *c, const struct spec *s, uint64_t length, uint64_t samples)
{
    const char *encoding = body_content_encoding(s->encoding);
    const char *type = s->fault == FAULT_HTML ? "text/html; charset=utf-8" : body_content_type(s->format);
    bytes_printf(&c->out, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n", type);
    if (encoding != NULL) {
        bytes_printf(&c->out, "Content-Encoding: %s\r\n", encoding);
    }
    if (samples != UINT64_MAX) {
        bytes_printf(&c->out, "X-Samples: %llu\r\n", (unsigned long long)samples);
    }
    if (c->chunked) {
        bytes_append_str(&c->out, "Transfer-Encoding: chunked\r\n\r\n");
    } else {
        bytes_printf(&c->out, "Content-Length: %llu\r\n\r\n", (unsigned long long)length);
    }
}

static void answer_body(struct conn *c, const struct request *r, struct spec *s)
{
    bool endless = s->fault == FAULT_ENDLESS;
    spec_negotiate(s, r->accept, r->accept_encoding);
    if (endless || s->size_bytes != 0) {
        s->format = SPEC_FORMAT_TEXT;
        c->stream = stream_new(endless ? UINT64_MAX : s->size_bytes, s->encoding);
        c->chunked = s->chunked || endless || s->encoding != SPEC_ENCODING_IDENTITY;
    } else {
        c->body = body_get(s);
        c->chunked = s->chunked;
    }
    uint64_t length = c->body != NULL ? c->body->len : s->size_bytes;
    c->cut = s->fault == FAULT_HALF_BODY ? length / 2 : fault_has_cut(s->fault) ? s->fault_arg : UINT64_MAX;
    c->cut = fault_has_cut(s->fault) && !c->chunked && c->cut >= length ? length - 1 : c->cut;
    put_head(c, s, length, endless ? UINT64_MAX : c->body != NULL ? c->body->samples : s->size_bytes / STREAM_LINE_BYTES);
}

static void answer_scrape(struct conn *c, const struct request *r)
{
    char name[SPEC_TEXT_MAX] = "";
    struct errctx err = ERRCTX_INIT;
    struct spec s = c->from->spec, ignored = s;
    struct view path = r->path;
    if (view_has_prefix(path, VIEW("/t/"))) {
        path.base += 3;
        path.len -= 3;
        struct view first = split(&path, "/");
        snprintf(name, sizeof(name), "%.*s", VIEW_FMT(first));
    }
    int rc = spec_parse_query(&ignored, r->query, name, &err);
    struct vtarget *t = name[0] != '\0' ? target_get(name, true) : NULL;
    s = t != NULL && t->has_spec ? t->spec : s;
    if (rc != 0 || spec_parse_query(&s, r->query, NULL, &err) != 0) {
        respond(c, 400, "Bad Request", "text/plain", view_of(err.msg));
        return;
    }
    count_scrape(c, t);
    server.faults += s.fault != FAULT_NONE;
    c->fault = s.fault;
    c->rate_bytes_s = s.rate_bytes_s;
    c->start_ms = s.delay_ms != 0 ? timebase_monotonic_ms() + (int64_t)s.delay_ms : 0;
    if (!answer_without_body(c, r, &s)) {
        answer_body(c, r, &s);
    }
}

static void answer(struct conn *c, struct view head)
{
    struct request r;
    parse_request(&r, head);
    server.requests++;
    c->busy = true;
    c->body_done = c->chunked = c->held = false;
    c->off = 0;
    c->body_sent = c->rate_bytes_s = 0;
    c->allowance = 0;
    c->cut = UINT64_MAX;
    c->fault = FAULT_NONE;
    c->start_ms = 0;
    c->close_after = r.close;
    c->out.max = OUT_MAX;
    if (view_is(r.path, "/metrics") || view_has_prefix(r.path, VIEW("/t/"))) {
        bytes_clear(&server.last_request);
        bytes_append_view(&server.last_request, head);
        answer_scrape(c, &r);
    } else if (view_is(r.path, "/control") && view_is(r.method, "POST")) {
        answer_control(c, &r);
    } else if (view_is(r.path, "/stats")) {
        answer_stats(c, &r);
    } else {
        respond(c, 404, "Not Found", "text/plain", VIEW("not found\n"));
    }
}

/* Takes whole requests out of `in` as long as nothing is being answered. */
void conn_serve(struct conn *c)
{
    while (c->at.fd >= 0 && !c->busy && c->in.len > 0) {
        struct request r;
        const char *end = memmem(c->in.base, c->in.len, "\r\n\r\n", 4);
        if (end == NULL) {
            break;
        }
        size_t head = (size_t)(end - c->in.base) + 2;
        parse_request(&r, view_make(c->in.base, head));
        if (c->in.len < head + 2 + r.body_bytes) {
            break;
        }
        answer(c, view_make(c->in.base, head));
        bytes_consume(&c->in, head + 2 + r.body_bytes);
        if (c->at.fd >= 0) {
            conn_pump(c);
        }
    }
}
