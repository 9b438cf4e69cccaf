/* Shared by the tests of counting: inputs that end at an unreadable page, and every split of them. */
#ifndef KVASS_TESTS_EXPFMT_TEST_H
#define KVASS_TESTS_EXPFMT_TEST_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "expfmt/counter_impl.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct guarded {
    char *map, *base; /* base + len is the first byte of a page that cannot be read */
    size_t map_len;
};

static inline struct guarded guard(const char *bytes, size_t len)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (len / page + 1) * page;
    struct guarded g = {.map_len = room + page};
    g.map = mmap(NULL, g.map_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.map != MAP_FAILED);
    g.base = g.map + room - len;
    memcpy(g.base, bytes, len);
    assert_int_equal(mprotect(g.map + room, page, PROT_NONE), 0);
    return g;
}

static inline void unguard(struct guarded *g)
{
    munmap(g->map, g->map_len);
}

struct count {
    int code;
    uint64_t scraped, series;
    char msg[ERRCTX_MSG_MAX];
};

/* The body in two pieces, [0, split) and the rest; split = SIZE_MAX: byte by byte. The last piece ends at a guard
 * page. */
static inline struct count count_split(struct counter *c, enum exposition_format format, const struct labels *target,
                                       const char *body, size_t len, size_t split)
{
    struct count n = {0};
    struct errctx err = ERRCTX_INIT;
    struct counter_result result;
    struct guarded g = guard(body, len);
    counter_start(c, format, target);
    for (size_t at = 0; at < len;) {
        size_t piece = split == SIZE_MAX ? 1 : at < split && split < len ? split - at : len - at;
        struct errctx ignored = ERRCTX_INIT;
        int rc = counter_feed(c, g.base + at, piece, &ignored);
        assert_int_equal(rc, ignored.code);
        at += piece;
    }
    n.code = counter_finish(c, &result, &err);
    n.scraped = result.scraped;
    n.series = result.series;
    memcpy(n.msg, err.msg, sizeof(n.msg));
    assert_int_equal(result.body_bytes, len);
    unguard(&g);
    return n;
}

static inline void assert_count(const struct count *got, const struct count *want, const char *body)
{
    if (got->code != want->code || got->scraped != want->scraped || got->series != want->series) {
        fail_msg("body '%s': got %d %lu %lu (%s), want %d %lu %lu", body, got->code, (unsigned long)got->scraped,
                 (unsigned long)got->series, got->msg, want->code, (unsigned long)want->scraped,
                 (unsigned long)want->series);
    }
}

/* The whole, every split in two, and byte by byte: all the same. */
static inline struct count count_all_splits(struct counter *c, enum exposition_format format,
                                            const struct labels *target, const char *body, size_t len)
{
    struct count want = count_split(c, format, target, body, len, len);
    for (size_t split = 1; split < len; split++) {
        struct count got = count_split(c, format, target, body, len, split);
        assert_count(&got, &want, body);
        assert_string_equal(got.msg, want.msg);
    }
    struct count got = count_split(c, format, target, body, len, SIZE_MAX);
    assert_count(&got, &want, body);
    assert_string_equal(got.msg, want.msg);
    return want;
}

static inline struct labels *test_target(void)
{
    const struct label items[] = {{VIEW("job"), VIEW("j")}, {VIEW("instance"), VIEW("i")}};
    return labels_make(items, 2);
}

/* One row of a golden table: what 2.42 and 3.x say of a body. */
struct golden {
    const char *body;
    size_t len;
    struct count want2, want3;
};

#define BODY(literal) literal, sizeof(literal) - 1
#define OK(n) {0, n, n, ""}
#define BROKEN(n) {ERR_PARSE, n, n, ""}          /* syntax, after n good samples */
#define REFUSED(n) {ERR_INVALID, (n) + 1, n, ""} /* parsed, but its label set is refused */
#define BOTH(verdict) verdict, verdict

static inline void check_golden(const struct golden *rows, size_t count, enum exposition_format format)
{
    struct labels *target = test_target();
    for (int major = PROMETHEUS_2; major <= PROMETHEUS_3_8; major += PROMETHEUS_3_8 - PROMETHEUS_2) {
        struct counter_conf conf = {.mode = COUNT_STRICT,
                                    .major = (enum prometheus_major)major,
                                    .utf8_names = major >= PROMETHEUS_3,
                                    .native_histograms = true};
        struct counter *c = counter_new(&conf);
        conf.mode = COUNT_FAST;
        struct counter *fast = counter_new(&conf);
        for (size_t i = 0; i < count; i++) {
            const struct count *want = major == PROMETHEUS_2 ? &rows[i].want2 : &rows[i].want3;
            struct count got = count_all_splits(c, format, target, rows[i].body, rows[i].len);
            assert_count(&got, want, rows[i].body);
            if (want->code == 0) {
                got = count_all_splits(fast, format, target, rows[i].body, rows[i].len);
                assert_count(&got, want, rows[i].body);
            }
        }
        counter_free(&c);
        counter_free(&fast);
    }
    labels_unref(target);
}

#endif
