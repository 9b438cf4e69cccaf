/* logfmt and JSON lines to stderr: see log.h. */
#include "base/log.h"
#include "base/bytes.h"
#include "base/json_writer.h"
#include "base/timebase.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_BYTES_MAX  ((size_t)16384)
#define LINE_END_BYTES  ((size_t)8) /* kept for what ends a line */
#define VALUE_BYTES_MAX ((size_t)4096)

static enum log_level min_level = LOG_LEVEL_INFO;
static enum log_format line_format = LOG_FORMAT_LOGFMT;
static bool with_priority;

static const char *const LEVEL_NAMES[] = {"debug", "info", "warn", "error"};
static const char *const PRIORITIES[] = {"<7>", "<6>", "<4>", "<3>"};

void log_setup(enum log_level min, enum log_format format, bool journal_priorities)
{
    min_level = min;
    line_format = format;
    with_priority = journal_priorities;
}

bool log_enabled(enum log_level level)
{
    return level >= min_level;
}

static bool is_bare(const char *s)
{
    if (*s == '\0') {
        return false;
    }
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f) {
            return false;
        }
    }
    return true;
}

static struct view cut_value(const char *value)
{
    return view_make(value, strnlen(value, VALUE_BYTES_MAX));
}

static void append_pair(struct json_writer *w, const char *key, const char *value)
{
    if (line_format == LOG_FORMAT_JSON) {
        json_kv_view(w, key, cut_value(value));
        return;
    }
    bytes_append_str(w->out, w->comma[w->depth] ? " " : "");
    w->comma[w->depth] = true;
    bytes_append_str(w->out, key);
    bytes_append_char(w->out, '=');
    if (is_bare(value) && cut_value(value).len == strlen(value)) {
        bytes_append_str(w->out, value);
    } else {
        w->comma[w->depth] = false;
        json_view(w, cut_value(value));
    }
}

/* A pair that does not fit is left out whole, so that the line stays well-formed. */
static void put_pair(struct json_writer *w, const char *key, const char *value)
{
    if (value == NULL || w->out->overflow) {
        return;
    }
    struct json_writer before = *w;
    size_t len = w->out->len;
    append_pair(w, key, value);
    if (w->out->overflow) {
        *w = before;
        w->out->len = len;
        w->out->base[len] = '\0';
    }
}

static void put_context(struct json_writer *w, const struct logctx *ctx)
{
    if (ctx != NULL) {
        put_context(w, ctx->parent);
        put_pair(w, ctx->key, ctx->value);
    }
}

void log_line(enum log_level level, const struct logctx *ctx, const char *op, ...)
{
    struct bytes line;
    struct json_writer w;
    char ts[TIMEBASE_TEXT_MAX];
    va_list ap;
    if (!log_enabled(level)) {
        return;
    }
    bytes_init(&line, LINE_BYTES_MAX - LINE_END_BYTES);
    if (with_priority) {
        bytes_append_str(&line, PRIORITIES[level]);
    }
    json_writer_init(&w, &line);
    if (line_format == LOG_FORMAT_JSON) {
        json_object_begin(&w);
    }
    put_pair(&w, "ts", timebase_format(timebase_realtime_ms(), ts));
    put_pair(&w, "level", LEVEL_NAMES[level]);
    put_context(&w, ctx);
    put_pair(&w, "op", op);
    va_start(ap, op);
    for (const char *key; (key = va_arg(ap, const char *)) != NULL;) {
        put_pair(&w, key, va_arg(ap, const char *));
    }
    va_end(ap);
    line.max += LINE_END_BYTES;
    if (line_format == LOG_FORMAT_JSON) {
        json_object_end(&w);
    }
    bytes_append_char(&line, '\n');
    (void)!write(STDERR_FILENO, line.base, line.len);
    bytes_done(&line);
}

const char *log_num(int64_t n)
{
    static __thread char texts[8][24];
    static __thread unsigned next;
    char *text = texts[next++ % 8];
    snprintf(text, sizeof(texts[0]), "%lld", (long long)n);
    return text;
}

bool log_limit_pass(struct log_limit *limit, int64_t now_ms, int64_t interval_ms, uint64_t *ret_suppressed)
{
    if (now_ms < limit->next_ms) {
        limit->suppressed++;
        return false;
    }
    if (ret_suppressed != NULL) {
        *ret_suppressed = limit->suppressed;
    }
    limit->suppressed = 0;
    limit->next_ms = now_ms + interval_ms;
    return true;
}
