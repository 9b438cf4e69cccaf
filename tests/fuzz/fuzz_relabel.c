/* Rules and labels from bytes: processing keeps a label set a label set, and a fast pattern never differs from the
 * engine.
 *
 * Lines; \x01 stands for a line feed inside one. "l NAME=VALUE" is a label, "r
 * ACTION<tab>SOURCES<tab>REGEX<tab>TARGET<tab> REPLACEMENT<tab>MODULUS" a rule (sources parted by commas). */
#include "base/invariant.h"
#include "base/mem.h"
#include "base/vec.h"
#include "relabel/pattern.h"
#include "relabel/relabel.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RULES_MAX  12
#define LABELS_MAX 40

struct input {
    struct relabel_spec specs[RULES_MAX];
    struct view sources[RULES_MAX][4];
    size_t spec_count;
    struct label labels[LABELS_MAX];
    size_t label_count;
};

static struct view cut(struct view *rest, char at)
{
    const char *hit = rest->len != 0 ? memchr(rest->base, at, rest->len) : NULL;
    struct view head = view_make(rest->base, hit != NULL ? (size_t)(hit - rest->base) : rest->len);
    size_t taken = head.len + (hit != NULL);
    *rest = view_make(rest->base + taken, rest->len - taken);
    return head;
}

static void read_rule(struct input *in, struct view line)
{
    struct relabel_spec *s = &in->specs[in->spec_count];
    relabel_spec_init(s);
    if (relabel_action_parse(cut(&line, '\t'), &s->action, NULL) != 0) {
        return;
    }
    struct view sources = cut(&line, '\t');
    while (sources.len != 0 && s->source_label_count < 4) {
        in->sources[in->spec_count][s->source_label_count++] = cut(&sources, ',');
    }
    s->source_labels = in->sources[in->spec_count];
    s->regex = cut(&line, '\t');
    s->target_label = cut(&line, '\t');
    s->replacement = cut(&line, '\t');
    s->modulus = line.len;
    in->spec_count++;
}

static void read_line(struct input *in, struct view line)
{
    if (line.len < 2) {
        return;
    }
    struct view rest = view_make(line.base + 2, line.len - 2);
    if (line.base[0] == 'r' && in->spec_count < RULES_MAX) {
        read_rule(in, rest);
    } else if (line.base[0] == 'l' && in->label_count < LABELS_MAX) {
        struct view name = cut(&rest, '=');
        in->labels[in->label_count++] = (struct label){name, rest};
    }
}

static void compare_forms(struct arena *arena, struct view re, enum prometheus_major major, struct view text)
{
    struct pattern *fast = NULL, *engine = NULL;
    struct view a[20], b[20];
    if (pattern_compile(arena, re, major, true, &fast, NULL) == 0 && pattern_is_fast(fast)) {
        invariant(pattern_compile(arena, re, major, false, &engine, NULL) == 0);
        bool is_match = pattern_match(fast, text, a, 20);
        invariant(is_match == pattern_match(engine, text, b, 20));
        for (int i = 0; is_match && i < 20; i++) {
            invariant(view_equal(a[i], b[i]) && (a[i].base == NULL) == (b[i].base == NULL));
        }
    }
    pattern_free(fast);
    pattern_free(engine);
}

static void run(const struct input *in, struct arena *arena, enum prometheus_major major)
{
    struct relabel_rules *rules = NULL;
    struct errctx err = ERRCTX_INIT;
    struct labels_builder b;
    if (relabel_rules_compile(in->specs, in->spec_count, major, "rules", &rules, &err) != 0) {
        invariant(err.code == ERR_INVALID || err.code == ERR_LIMIT);
        return;
    }
    labels_builder_init(&b, arena);
    for (size_t i = 0; i < in->label_count; i++) {
        labels_builder_set(&b, in->labels[i].name, in->labels[i].value);
    }
    bool kept = relabel_process(rules, &b);
    for (size_t i = 0; i < b.len; i++) {
        invariant(b.items[i].value.len != 0 && (i == 0 || view_compare(b.items[i - 1].name, b.items[i].name) < 0));
    }
    struct view name = labels_builder_get(&b, VIEW("__name__"));
    invariant(!relabel_rules_name_only(rules) || name.base == NULL || relabel_name_kept(rules, name) == kept);
    struct labels *l = labels_builder_build(&b);
    invariant(labels_count(l) == b.len);
    labels_unref(l);
    labels_builder_done(&b);
    relabel_rules_free(&rules);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input *in = mem_calloc(1, sizeof(*in));
    char *text = mem_dup(data, size < 4096 ? size : 4096);
    struct arena *arena = arena_new();
    for (size_t i = 0; i < size && i < 4096; i++) {
        text[i] = (char)(text[i] == '\x01' ? '\n' : text[i] == '\n' ? '\x02' : text[i]);
    }
    struct view rest = view_make(text, size < 4096 ? size : 4096);
    while (rest.len != 0) {
        read_line(in, cut(&rest, '\x02'));
    }
    for (enum prometheus_major major = PROMETHEUS_2; major <= PROMETHEUS_3_8; major++) {
        run(in, arena, major);
        for (size_t i = 0; i < in->spec_count; i++) {
            for (size_t k = 0; k < in->label_count; k++) {
                compare_forms(arena, in->specs[i].regex, major, in->labels[k].value);
            }
        }
    }
    arena_free(&arena);
    free(text);
    free(in);
    return 0;
}
