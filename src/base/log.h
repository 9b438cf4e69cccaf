/* Log lines: one operation, its object, the cause, and what the daemon does next. logfmt (or JSON) to stderr; with
 * journald a <N> priority goes in front. Rooms base, model, configgen, expfmt, relabel and balancer/plan never log:
 * they return an errctx. Thread-safe; a line is one write(2) of at most 16 kB; values are cut at 4 kB, and pairs that
 * do not fit are left out.
 *
 *     log_warn(&ctx, "read target file", "file", path, "err", err.msg, "action", "keep the last good list"); */
#ifndef KVASS_BASE_LOG_H
#define KVASS_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

/* Lives on the owner object; parents are printed first. NULL is an empty context. */
struct logctx {
    const struct logctx *parent;
    const char *key, *value;
};

void log_setup(enum log_level min, enum log_format format, bool journal_priorities);
bool log_enabled(enum log_level level);

/* Pairs of const char * key and value, ended by NULL; a NULL value skips its pair. */
void log_line(enum log_level level, const struct logctx *ctx, const char *op, ...) __attribute__((sentinel));

#define log_debug(ctx, ...) (log_enabled(LOG_LEVEL_DEBUG) ? log_line(LOG_LEVEL_DEBUG, ctx, __VA_ARGS__, NULL) : (void)0)
#define log_info(ctx, ...)  log_line(LOG_LEVEL_INFO, ctx, __VA_ARGS__, NULL)
#define log_warn(ctx, ...)  log_line(LOG_LEVEL_WARN, ctx, __VA_ARGS__, NULL)
#define log_error(ctx, ...) log_line(LOG_LEVEL_ERROR, ctx, __VA_ARGS__, NULL)

/* A number as text for a pair; the text lives until eight further calls in this thread. */
const char *log_num(int64_t n);

/* Lines of one kind at most one per interval: true when the line may be written now. *suppressed counts the others
 * since then and is reset on true. */
struct log_limit {
    int64_t next_ms;
    uint64_t suppressed;
};
bool log_limit_pass(struct log_limit *limit, int64_t now_ms, int64_t interval_ms, uint64_t *ret_suppressed);

#endif
