/* A scenario while it runs: what scenario.c and scenario_expect.c share. */
#ifndef KVASS_BALANCER_SCENARIO_RUN_H
#define KVASS_BALANCER_SCENARIO_RUN_H

#include "balancer/scenario.h"

#define WORDS_MAX 32

struct words {
    struct view items[WORDS_MAX];
    size_t count;
};

struct scenario {
    struct world *world;
    const struct scenario_events *events;
    int64_t begin_ms;
    unsigned line, rounds;
    struct view text; /* of the line */
};

struct selection {
    const char *job; /* interned */
    uint32_t from, to;
};

enum field_type { FIELD_U64, FIELD_U32, FIELD_DOUBLE, FIELD_MS, FIELD_BOOL };

struct field {
    const char *key;
    enum field_type type;
    void *place;
};

/* scenario_words.c */
int line_split(struct view line, struct words *ret, struct errctx *err) MUST_CHECK;
bool word_option(struct view word, const char *key, struct view *ret_value);
int word_number(struct view v, double *ret, struct errctx *err) MUST_CHECK;
int word_u32(struct view v, uint32_t most, uint32_t *ret, struct errctx *err) MUST_CHECK;
int word_duration(struct view v, int64_t *ret_ms, struct errctx *err) MUST_CHECK;

/* Words from `first` on are options of these fields; others are errors. */
int fields_read(const struct words *w, size_t first, const struct field *fields, size_t count,
                struct errctx *err) MUST_CHECK;

/* scenario.c */
int selection_read(struct view word, struct selection *ret, struct errctx *err) MUST_CHECK;
bool selection_has(const struct selection *sel, const struct world_target *t);

/* scenario_expect.c */
int scenario_expect(struct scenario *s, const struct words *w, struct errctx *err) MUST_CHECK;

#endif
