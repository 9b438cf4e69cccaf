/* The pieces of one sample line. The array of labels is kept from line to line: after the first few lines nothing
 * allocates. */
#include "expfmt/sample.h"

#include "base/mem.h"

#include <stdlib.h>

#define TIME_MIN_MS INT64_C(1577836800000) /* 2020 */
#define TIME_MAX_MS INT64_C(4102444800000) /* 2100 */

void sample_reset(struct sample *s)
{
    s->name = view_make(NULL, 0);
    s->label_count = 0;
    s->escaped = false;
    s->quoted = false;
    s->unstorable = false;
    s->stale = false;
    s->half = false;
}

void sample_set_time(struct sample *s, int64_t time_ms)
{
    s->unstorable = time_ms < TIME_MIN_MS || time_ms > TIME_MAX_MS;
}

void sample_done(struct sample *s)
{
    MEM_FREE(s->labels);
    s->label_count = s->label_cap = 0;
}

void sample_add_label(struct sample *s, struct view name, struct view value)
{
    if (s->label_count == s->label_cap) {
        s->label_cap = s->label_cap != 0 ? s->label_cap * 2 : 16;
        s->labels = mem_realloc(s->labels, s->label_cap * sizeof(s->labels[0]));
    }
    s->labels[s->label_count++] = (struct sample_label){name, value};
}

bool sample_type_parse(struct view text, enum sample_type *ret)
{
    static const struct {
        struct view name;
        enum sample_type type;
    } TYPES[] = {
        {{"counter", 7}, SAMPLE_TYPE_OTHER},
        {{"gauge", 5}, SAMPLE_TYPE_OTHER},
        {{"histogram", 9}, SAMPLE_TYPE_HISTOGRAM},
        {{"summary", 7}, SAMPLE_TYPE_SUMMARY},
        {{"untyped", 7}, SAMPLE_TYPE_OTHER},
    };
    for (size_t i = 0; i < sizeof(TYPES) / sizeof(TYPES[0]); i++) {
        if (view_equal(text, TYPES[i].name)) {
            *ret = TYPES[i].type;
            return true;
        }
    }
    return false;
}
