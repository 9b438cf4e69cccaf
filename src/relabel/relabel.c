/* The relabelling engine.
 *
 * Rules are compiled once (names, patterns, templates) and run on a builder in place; a rule reads its source values
 * without copying where there is one source label, which is the common case. What differs between Prometheus 2.42 and
 * 3.x is decided here by `major`:
 *   .          2.x does not match a line feed, so that (.*) leaves a value with one alone (pattern.c);
 *   names      2.x wants legacy names as replace targets, 3.x any UTF-8;
 *   deletion   a replace whose result is empty deletes in 2.x the target_label as written, not as expanded;
 *   (?<n>..)   3.x only.
 * A rule must never fail at run time: what it cannot do (an invalid target name, a value over the cap) it leaves. */
#include "relabel/relabel.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "relabel/letter_case.h"
#include "relabel/pattern.h"
#include "relabel/relabel_check.h"
#include "relabel/template.h"

#include <openssl/evp.h>
#include <stdlib.h>

struct rule {
    enum relabel_action action;
    struct view *sources;
    size_t source_count;
    struct view separator, target_label;
    struct pattern *pattern;
    struct template *target, *replacement;
    size_t groups_needed;
    bool is_target_fixed; /* literal and valid: no check at run time */
    uint64_t modulus;
};

struct relabel_rules {
    struct arena *arena;
    struct rule *items;
    size_t count;
    enum prometheus_major major;
    bool name_only;
    struct letter_case *letters; /* NULL without lowercase and uppercase */
    EVP_MD *md5;                 /* NULL without hashmod */
};

static void compile_replace(struct arena *arena, struct rule *r, const struct relabel_spec *s,
                            enum prometheus_major major)
{
    r->target = template_compile(arena, s->target_label, r->pattern);
    r->is_target_fixed = template_is_literal(r->target) &&
                         relabel_is_label_name(template_expand(r->target, NULL, arena, RELABEL_VALUE_BYTES_MAX), major);
    size_t a = template_groups_needed(r->target), b = template_groups_needed(r->replacement);
    r->groups_needed = a > b ? a : b;
}

static int need_tools(struct relabel_rules *rules, enum relabel_action action, struct errctx *err)
{
    if ((action == RELABEL_LOWERCASE || action == RELABEL_UPPERCASE) && rules->letters == NULL) {
        return letter_case_new(&rules->letters, err);
    }
    if (action == RELABEL_HASHMOD && rules->md5 == NULL) {
        rules->md5 = EVP_MD_fetch(NULL, "MD5", NULL);
        if (rules->md5 == NULL) {
            return errctx_set(err, ERR_UNSUPPORTED, "hashmod: this OpenSSL offers no MD5");
        }
    }
    return 0;
}

static int compile_rule(struct relabel_rules *rules, struct rule *r, const struct relabel_spec *s, struct errctx *err)
{
    struct arena *arena = rules->arena;
    /* Prometheus compiles the regex of every rule, used or not, before it looks at the rest. */
    int rc = pattern_compile(arena, s->regex, rules->major, true, &r->pattern, err);
    if (rc == 0) {
        rc = relabel_spec_check(s, rules->major, err);
    }
    if (rc == 0) {
        rc = need_tools(rules, s->action, err);
    }
    if (rc != 0) {
        return rc;
    }
    r->action = s->action;
    r->modulus = s->modulus;
    r->separator = arena_view(arena, s->separator);
    r->target_label = arena_view(arena, s->target_label);
    r->sources = arena_alloc(arena, s->source_label_count * sizeof(*r->sources));
    r->source_count = s->source_label_count;
    for (size_t i = 0; i < s->source_label_count; i++) {
        r->sources[i] = arena_view(arena, s->source_labels[i]);
    }
    r->replacement = template_compile(arena, s->replacement, r->pattern);
    if (s->action == RELABEL_REPLACE) {
        compile_replace(arena, r, s, rules->major);
    }
    return 0;
}

static bool decides_by_name_only(const struct rule *r)
{
    return (r->action == RELABEL_KEEP || r->action == RELABEL_DROP) && r->source_count == 1 &&
           view_is(r->sources[0], "__name__");
}

int relabel_rules_compile(const struct relabel_spec *specs, size_t count, enum prometheus_major major,
                          const char *where, struct relabel_rules **ret, struct errctx *err)
{
    struct relabel_rules *rules = mem_calloc(1, sizeof(*rules));
    rules->arena = arena_new();
    rules->major = major;
    rules->items = arena_alloc(rules->arena, count * sizeof(*rules->items));
    rules->name_only = true;
    for (size_t i = 0; i < count; i++) {
        rules->count = i + 1;
        int rc = compile_rule(rules, &rules->items[i], &specs[i], err);
        if (rc != 0) {
            relabel_rules_free(&rules);
            return errctx_prefix(err, rc, "%s[%zu]", where, i);
        }
        rules->name_only = rules->name_only && decides_by_name_only(&rules->items[i]);
    }
    *ret = rules;
    return 0;
}

void relabel_rules_free(struct relabel_rules **rules)
{
    struct relabel_rules *r = *rules;
    if (r == NULL) {
        return;
    }
    for (size_t i = 0; i < r->count; i++) {
        pattern_free(r->items[i].pattern);
    }
    letter_case_free(&r->letters);
    EVP_MD_free(r->md5);
    arena_free(&r->arena);
    MEM_FREE(*rules);
}

size_t relabel_rules_count(const struct relabel_rules *rules)
{
    return rules != NULL ? rules->count : 0;
}

size_t relabel_rules_judges(const struct relabel_rules *rules, struct view ret_names[RELABEL_JUDGES_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < relabel_rules_count(rules); i++) {
        const struct rule *r = &rules->items[i];
        if (r->action != RELABEL_KEEP && r->action != RELABEL_DROP) {
            return 0;
        }
        for (size_t k = 0; k < r->source_count; k++) {
            if (count == RELABEL_JUDGES_MAX) {
                return 0;
            }
            ret_names[count++] = r->sources[k];
        }
    }
    return count;
}

bool relabel_rules_name_only(const struct relabel_rules *rules)
{
    return rules == NULL || rules->name_only;
}

bool relabel_name_kept(const struct relabel_rules *rules, struct view name)
{
    for (size_t i = 0; i < relabel_rules_count(rules); i++) {
        const struct rule *r = &rules->items[i];
        if (pattern_match(r->pattern, name, NULL, 0) != (r->action == RELABEL_KEEP)) {
            return false;
        }
    }
    return true;
}

static struct view source_value(const struct rule *r, const struct labels_builder *b)
{
    if (r->source_count == 0) {
        return VIEW("");
    }
    if (r->source_count == 1) {
        struct view v = labels_builder_get(b, r->sources[0]);
        return v.base != NULL ? v : VIEW("");
    }
    size_t len = r->separator.len * (r->source_count - 1), at = 0;
    for (size_t i = 0; i < r->source_count; i++) {
        len += labels_builder_get(b, r->sources[i]).len;
    }
    char *out = arena_alloc(b->arena, len + 1);
    for (size_t i = 0; i < r->source_count; i++) {
        struct view v = labels_builder_get(b, r->sources[i]);
        if (i > 0) {
            memcpy(out + at, r->separator.base, r->separator.len);
            at += r->separator.len;
        }
        if (v.len != 0) {
            memcpy(out + at, v.base, v.len);
        }
        at += v.len;
    }
    return view_make(out, len);
}

static void run_replace(const struct relabel_rules *rules, const struct rule *r, struct labels_builder *b,
                        struct view value)
{
    struct view on_stack[16], *groups = on_stack;
    if (r->groups_needed > 16) {
        groups = arena_alloc(b->arena, r->groups_needed * sizeof(*groups));
    }
    if (!pattern_match(r->pattern, value, groups, r->groups_needed)) {
        return;
    }
    struct view target = template_expand(r->target, groups, b->arena, RELABEL_VALUE_BYTES_MAX);
    struct view result = template_expand(r->replacement, groups, b->arena, RELABEL_VALUE_BYTES_MAX);
    if (target.base == NULL || result.base == NULL) {
        return;
    }
    bool is_valid = r->is_target_fixed || relabel_is_label_name(target, rules->major);
    if (is_valid && result.len != 0) {
        labels_builder_set(b, target, result);
    } else if (rules->major < PROMETHEUS_2_53) {
        labels_builder_delete(b, r->target_label);
    } else if (is_valid) {
        labels_builder_delete(b, target);
    }
}

static void run_hashmod(const struct relabel_rules *rules, const struct rule *r, struct labels_builder *b,
                        struct view value)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    uint64_t n = 0;
    if (EVP_Digest(value.base, value.len, digest, NULL, rules->md5, NULL) != 1) {
        return;
    }
    for (int i = 8; i < 16; i++) {
        n = n << 8 | digest[i];
    }
    labels_builder_set(b, r->target_label,
                       view_of(arena_printf(b->arena, "%llu", (unsigned long long)(n % r->modulus))));
}

/* The names seen are those from before the rule; where two map to one, the last in name order wins, as in 2.42. */
static void run_labelmap(const struct rule *r, struct labels_builder *b)
{
    size_t count = b->len;
    struct label *before = arena_dup(b->arena, b->items, count * sizeof(*before));
    for (size_t i = 0; i < count && b->len < RELABEL_LABELS_MAX; i++) {
        if (!pattern_match(r->pattern, before[i].name, NULL, 0)) {
            continue;
        }
        struct view name =
            pattern_replace_all(r->pattern, r->replacement, before[i].name, b->arena, RELABEL_VALUE_BYTES_MAX);
        if (name.base != NULL) {
            labels_builder_set(b, name, before[i].value);
        }
    }
}

static void run_label_filter(const struct rule *r, struct labels_builder *b, bool delete_matching)
{
    size_t kept = 0;
    for (size_t i = 0; i < b->len; i++) {
        if (pattern_match(r->pattern, b->items[i].name, NULL, 0) != delete_matching) {
            b->items[kept++] = b->items[i];
        }
    }
    b->len = kept;
}

static bool run_rule(const struct relabel_rules *rules, const struct rule *r, struct labels_builder *b)
{
    struct view value = source_value(r, b);
    switch (r->action) {
    case RELABEL_REPLACE:
        run_replace(rules, r, b, value);
        break;
    case RELABEL_KEEP:
        return pattern_match(r->pattern, value, NULL, 0);
    case RELABEL_DROP:
        return !pattern_match(r->pattern, value, NULL, 0);
    case RELABEL_KEEPEQUAL:
        return view_equal(value, labels_builder_get(b, r->target_label));
    case RELABEL_DROPEQUAL:
        return !view_equal(value, labels_builder_get(b, r->target_label));
    case RELABEL_HASHMOD:
        run_hashmod(rules, r, b, value);
        break;
    case RELABEL_LABELMAP:
        run_labelmap(r, b);
        break;
    case RELABEL_LABELDROP:
        run_label_filter(r, b, true);
        break;
    case RELABEL_LABELKEEP:
        run_label_filter(r, b, false);
        break;
    case RELABEL_LOWERCASE:
        labels_builder_set(b, r->target_label, letter_case_lower(rules->letters, value, b->arena));
        break;
    case RELABEL_UPPERCASE:
        labels_builder_set(b, r->target_label, letter_case_upper(rules->letters, value, b->arena));
        break;
    }
    return true;
}

bool relabel_process(const struct relabel_rules *rules, struct labels_builder *b)
{
    for (size_t i = 0; i < relabel_rules_count(rules); i++) {
        if (!run_rule(rules, &rules->items[i], b)) {
            return false;
        }
    }
    return true;
}
