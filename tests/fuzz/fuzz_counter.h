/* Running a counter over one input in pieces, and comparing what came out. */
#ifndef KVASS_TESTS_FUZZ_COUNTER_H
#define KVASS_TESTS_FUZZ_COUNTER_H

#include "base/invariant.h"
#include "base/mem.h"
#include "expfmt/counter_impl.h"

#include <stdint.h>
#include <stdlib.h>

struct outcome {
    int code;
    uint64_t scraped, series;
    char msg[ERRCTX_MSG_MAX];
};

/* Pieces of pseudo-random length below `piece_max`; 0: the whole at once. Every piece is a block of its own on the
 * heap, so that a sanitizer sees reads beyond it. */
static inline struct outcome outcome_of(struct counter *c, enum exposition_format format, const struct labels *target,
                                        const uint8_t *data, size_t size, unsigned piece_max)
{
    struct outcome o = {0};
    struct errctx err = ERRCTX_INIT;
    struct counter_result result;
    uint32_t random = piece_max * 2654435761u + 1;
    counter_start(c, format, target);
    for (size_t at = 0; at < size;) {
        random = random * 1664525u + 1013904223u;
        size_t n = piece_max == 0 ? size : 1 + (random >> 8) % piece_max;
        n = n < size - at ? n : size - at;
        char *piece = mem_dup(data + at, n);
        struct errctx ignored = ERRCTX_INIT;
        int rc = counter_feed(c, piece, n, &ignored);
        invariant(rc == 0 || ignored.msg[0] != '\0');
        free(piece);
        at += n;
    }
    o.code = counter_finish(c, &result, &err);
    o.scraped = result.scraped;
    o.series = result.series;
    memcpy(o.msg, err.msg, sizeof(o.msg));
    invariant(result.body_bytes == size && result.series <= result.scraped);
    invariant((o.code == 0) == (err.code == 0));
    return o;
}

static inline void outcome_same(const struct outcome *a, const struct outcome *b)
{
    invariant(a->code == b->code);
    invariant(a->scraped == b->scraped);
    invariant(a->series == b->series);
    invariant(strcmp(a->msg, b->msg) == 0);
}

#endif
