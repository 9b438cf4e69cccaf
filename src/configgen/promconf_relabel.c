/* Relabelling rules out of the tree. They are compiled here once for their errors only: who runs
 * them compiles them per thread. */
#include "configgen/promconf_parts.h"

static int read_rule(struct conf_reader *r, const struct yaml_node *n, struct relabel_spec *spec)
{
    struct errctx why = ERRCTX_INIT;
    bool has_action;
    relabel_spec_init(spec);
    spec->line = n->line;
    spec->column = n->column;
    const char **names = conf_strings(r->arena, n, "source_labels", &spec->source_label_count);
    spec->has_source_labels = yaml_get(n, "source_labels") != NULL;
    spec->source_labels =
        arena_alloc(r->arena, (spec->source_label_count + 1) * sizeof(*spec->source_labels));
    for (size_t i = 0; i < spec->source_label_count; i++) {
        const struct yaml_node *name = yaml_get(n, "source_labels")->items[i];
        spec->source_labels[i] = yaml_is_null(name) ? view_make(NULL, 0) : view_of(names[i]);
    }
    spec->separator = conf_view(n, "separator", spec->separator, &spec->has_separator);
    spec->regex = conf_view(n, "regex", spec->regex, &spec->has_regex);
    spec->target_label = conf_view(n, "target_label", spec->target_label, &spec->has_target_label);
    spec->replacement = conf_view(n, "replacement", spec->replacement, &spec->has_replacement);
    spec->has_modulus = yaml_get(n, "modulus") != NULL;
    spec->modulus = conf_uint(n, "modulus");
    struct view action = conf_view(n, "action", VIEW("replace"), &has_action);
    if (relabel_action_parse(action, &spec->action, &why) != 0) {
        return conf_fail(r, yaml_get(n, "action"), "%s", why.msg);
    }
    return 0;
}

/* Prometheus' own words say what is wrong; this says what would be right. */
static const char *remedy(const struct conf_reader *r, const char *words)
{
    static const struct {
        const char *words, *remedy;
    } ROWS[] = {
        {"requires 'target_label'", "the name of a label"},
        {"non-zero modulus", "a modulus above 0"},
        {"invalid 'target_label'", "the name of a label, for replace also a template such as ${1}_x"},
        {"invalid 'replacement'", "a label name or a template such as m_$1"},
        {"can not be set", "the rule without it"},
        {"no other fields", "the rule without them"},
        {"parsing regexp", "a regular expression of RE2"},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        if (strstr(words, ROWS[i].words) != NULL) {
            return ROWS[i].remedy;
        }
    }
    return r->major >= PROMETHEUS_3 ? "a name that is not empty" : "letters, digits and underscores";
}

/* Compiles rule by rule, so that the message has the rule's own place; a bad pattern, which may be lines below, its. */
static int check_rule(struct conf_reader *r, const struct yaml_node *n,
                      const struct relabel_spec *spec)
{
    struct errctx why = ERRCTX_INIT;
    struct relabel_rules *rules = NULL;
    if (relabel_rules_compile(spec, 1, r->major, "", &rules, &why) != 0) {
        const char *text = strncmp(why.msg, "[0]: ", 5) == 0 ? why.msg + 5 : why.msg;
        const struct yaml_node *regex = strstr(text, "parsing regexp") != NULL ? yaml_get(n, "regex") : NULL;
        size_t outer = regex != NULL ? conf_push(r, VIEW("regex")) : 0;
        (void)conf_fail(r, regex != NULL ? regex : n, "%s; expected %s", text, remedy(r, text));
        if (regex != NULL) {
            conf_pop(r, outer);
        }
        return ERR_INVALID;
    }
    relabel_rules_free(&rules);
    return 0;
}

int conf_relabel_read(struct conf_reader *r, const struct yaml_node *mapping, const char *key,
                      const struct relabel_spec **ret, size_t *ret_count)
{
    const struct yaml_node *list = yaml_get(mapping, key);
    size_t count = yaml_is_null(list) ? 0 : list->count;
    struct relabel_spec *specs = arena_alloc(r->arena, (count + 1) * sizeof(*specs));
    size_t outer = conf_push(r, view_of(key));
    for (size_t i = 0; i < count; i++) {
        size_t old = conf_push_index(r, i);
        if (read_rule(r, list->items[i], &specs[i]) != 0 ||
            check_rule(r, list->items[i], &specs[i]) != 0) {
            return ERR_INVALID;
        }
        conf_pop(r, old);
    }
    conf_pop(r, outer);
    if (ret != NULL) {
        *ret = specs;
        *ret_count = count;
    }
    return 0;
}
