/* Validation of rules, in the order and the words of Prometheus, so that a file kvass refuses is one Prometheus refuses
 * and the message is one users can look up. 3.x is judged by its default naming (any UTF-8): a file that narrows it to
 * legacy names is accepted here and judged by Prometheus itself. */
#include "relabel/relabel_check.h"
#include "base/utf8.h"

#include <strings.h>

static const char *const ACTION_NAMES[] = {
    [RELABEL_REPLACE] = "replace",     [RELABEL_KEEP] = "keep",           [RELABEL_DROP] = "drop",
    [RELABEL_KEEPEQUAL] = "keepequal", [RELABEL_DROPEQUAL] = "dropequal", [RELABEL_HASHMOD] = "hashmod",
    [RELABEL_LABELMAP] = "labelmap",   [RELABEL_LABELDROP] = "labeldrop", [RELABEL_LABELKEEP] = "labelkeep",
    [RELABEL_LOWERCASE] = "lowercase", [RELABEL_UPPERCASE] = "uppercase",
};
#define ACTION_COUNT (sizeof(ACTION_NAMES) / sizeof(ACTION_NAMES[0]))

const char *relabel_action_name(enum relabel_action action)
{
    return (size_t)action < ACTION_COUNT ? ACTION_NAMES[action] : "unknown";
}

int relabel_action_parse(struct view name, enum relabel_action *ret, struct errctx *err)
{
    for (size_t i = 0; i < ACTION_COUNT; i++) {
        if (name.len == strlen(ACTION_NAMES[i]) && strncasecmp(name.base, ACTION_NAMES[i], name.len) == 0) {
            *ret = (enum relabel_action)i;
            return 0;
        }
    }
    return errctx_set(err, ERR_INVALID,
                      "unknown relabel action \"%.*s\"; expected replace, keep, drop, keepequal, dropequal, hashmod, "
                      "labelmap, labeldrop, labelkeep, lowercase or uppercase",
                      VIEW_FMT(name));
}

void relabel_spec_init(struct relabel_spec *spec)
{
    *spec = (struct relabel_spec){
        .action = RELABEL_REPLACE, .separator = VIEW(";"), .regex = VIEW("(.*)"), .replacement = VIEW("$1")};
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool is_legacy_name(struct view name)
{
    if (name.len == 0 || (name.base[0] >= '0' && name.base[0] <= '9')) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        if (!is_word(name.base[i])) {
            return false;
        }
    }
    return true;
}

bool relabel_is_label_name(struct view name, enum prometheus_major major)
{
    return major >= PROMETHEUS_3 ? name.len != 0 && utf8_is_valid(name) : is_legacy_name(name);
}

static size_t words_len(struct view v, size_t at)
{
    size_t len = 0;
    while (at + len < v.len && is_word(v.base[at + len])) {
        len++;
    }
    return len;
}

/* ^(?:(?:[a-zA-Z_]|\$(?:\{\w+\}|\w+))+\w*)+$ : word characters and references, not starting with a digit. */
static bool is_name_template(struct view v)
{
    size_t at = 0;
    if (v.len == 0 || (v.base[0] >= '0' && v.base[0] <= '9')) {
        return false;
    }
    while (at < v.len) {
        if (v.base[at] != '$') {
            if (!is_word(v.base[at++])) {
                return false;
            }
            continue;
        }
        at++;
        bool is_braced = at < v.len && v.base[at] == '{';
        at += is_braced;
        size_t len = words_len(v, at);
        at += len;
        if (len == 0 || (is_braced && (at == v.len || v.base[at] != '}'))) {
            return false;
        }
        at += is_braced;
    }
    return true;
}

static bool needs_target(enum relabel_action a)
{
    return a == RELABEL_REPLACE || a == RELABEL_HASHMOD || a == RELABEL_LOWERCASE || a == RELABEL_UPPERCASE ||
           a == RELABEL_KEEPEQUAL || a == RELABEL_DROPEQUAL;
}

/* Whether the rule's target_label may be what it is; 3.x takes any UTF-8 where 2.x wants word characters. */
static bool is_target_valid(const struct relabel_spec *s, enum prometheus_major major)
{
    if (major >= PROMETHEUS_3) {
        return relabel_is_label_name(s->target_label, major);
    }
    bool is_template = s->action == RELABEL_REPLACE && memchr(s->target_label.base, '$', s->target_label.len) != NULL;
    if (major >= PROMETHEUS_2_53 && !is_template) {
        return is_legacy_name(s->target_label);
    }
    return s->action == RELABEL_HASHMOD ? is_legacy_name(s->target_label) : is_name_template(s->target_label);
}

static int check_target(const struct relabel_spec *s, enum prometheus_major major, const char *action,
                        struct errctx *err)
{
    if (!needs_target(s->action)) {
        return 0;
    }
    if (s->target_label.len == 0) {
        return errctx_set(err, ERR_INVALID, "relabel configuration for %s action requires 'target_label' value",
                          action);
    }
    if (!is_target_valid(s, major)) {
        return errctx_set(err, ERR_INVALID, "\"%.*s\" is invalid 'target_label' for %s action",
                          VIEW_FMT(s->target_label), action);
    }
    return 0;
}

static int check_fields(const struct relabel_spec *s, const char *action, struct errctx *err)
{
    bool own_separator = !view_is(s->separator, ";"), own_replacement = !view_is(s->replacement, "$1");
    if ((s->action == RELABEL_LOWERCASE || s->action == RELABEL_UPPERCASE || s->action == RELABEL_KEEPEQUAL ||
         s->action == RELABEL_DROPEQUAL) &&
        own_replacement) {
        return errctx_set(err, ERR_INVALID, "'replacement' can not be set for %s action", action);
    }
    if ((s->action == RELABEL_KEEPEQUAL || s->action == RELABEL_DROPEQUAL) &&
        (s->has_regex || s->modulus != 0 || own_separator)) {
        return errctx_set(err, ERR_INVALID,
                          "%s action requires only 'source_labels' and `target_label`, and no other fields", action);
    }
    if ((s->action == RELABEL_LABELDROP || s->action == RELABEL_LABELKEEP) &&
        (s->has_source_labels || s->source_label_count != 0 || s->target_label.len != 0 || s->modulus != 0 ||
         own_separator || own_replacement)) {
        return errctx_set(err, ERR_INVALID, "%s action requires only 'regex', and no other fields", action);
    }
    return 0;
}

int relabel_spec_check(const struct relabel_spec *s, enum prometheus_major major, struct errctx *err)
{
    const char *action = relabel_action_name(s->action);
    for (size_t i = 0; i < s->source_label_count; i++) {
        if (s->source_labels[i].base != NULL && !relabel_is_label_name(s->source_labels[i], major)) {
            return errctx_set(err, ERR_INVALID, "\"%.*s\" is not a valid label name", VIEW_FMT(s->source_labels[i]));
        }
    }
    if (s->action == RELABEL_HASHMOD && s->modulus == 0) {
        return errctx_set(err, ERR_INVALID, "relabel configuration for hashmod requires non-zero modulus");
    }
    int rc = check_target(s, major, action, err);
    if (rc == 0) {
        rc = check_fields(s, action, err);
    }
    if (rc == 0 && s->action == RELABEL_LABELMAP &&
        !(major >= PROMETHEUS_3 ? relabel_is_label_name(s->replacement, major) : is_name_template(s->replacement))) {
        rc = errctx_set(err, ERR_INVALID, "\"%.*s\" is invalid 'replacement' for %s action", VIEW_FMT(s->replacement),
                        action);
    }
    return rc;
}
