/* Relabelling as Prometheus does it (model/relabel.go; reference in docs/): rules run in order on a label set; RE2
 * semantics. Pure: no clock, no I/O, no logging. */
#ifndef KVASS_RELABEL_RELABEL_H
#define KVASS_RELABEL_RELABEL_H

#include "base/errctx.h"
#include "base/prometheus_version.h"
#include "model/labels.h"

enum relabel_action {
    RELABEL_REPLACE,
    RELABEL_KEEP,
    RELABEL_DROP,
    RELABEL_KEEPEQUAL,
    RELABEL_DROPEQUAL,
    RELABEL_HASHMOD,
    RELABEL_LABELMAP,
    RELABEL_LABELDROP,
    RELABEL_LABELKEEP,
    RELABEL_LOWERCASE,
    RELABEL_UPPERCASE,
};

/* One rule as configured. The `has_` flags tell a key that was written from its default, for validation. */
struct relabel_spec {
    enum relabel_action action;
    struct view *source_labels; /* base NULL: a null in the list, which names no label */
    size_t source_label_count;
    struct view separator, regex, target_label, replacement;
    uint64_t modulus;
    bool has_separator, has_regex, has_target_label, has_replacement, has_modulus, has_source_labels;
    int line, column; /* in the configuration file */
};

/* Fills the defaults: replace, ";", "(.*)", "$1". */
void relabel_spec_init(struct relabel_spec *spec);

/* ERR_INVALID names the accepted actions; names are case-insensitive. */
int relabel_action_parse(struct view name, enum relabel_action *ret, struct errctx *err) MUST_CHECK;
const char *relabel_action_name(enum relabel_action action);

/* Compiled rules. A set is used by one thread at a time (RE2's DFA takes a mutex): each worker compiles its own. */
struct relabel_rules;

/* Validates and compiles; specs are copied. A message names the rule: "relabel_configs[2]: ..." uses `where` as its
 * prefix. */
int relabel_rules_compile(const struct relabel_spec *specs, size_t count, enum prometheus_major major,
                          const char *where, struct relabel_rules **ret, struct errctx *err) MUST_CHECK;
void relabel_rules_free(struct relabel_rules **rules);
size_t relabel_rules_count(const struct relabel_rules *rules); /* NULL counts 0 */

/* A rule that would make a longer name or value, or labelmap beyond this many labels, leaves the set as it is. */
#define RELABEL_VALUE_BYTES_MAX ((size_t)16 << 20)
#define RELABEL_LABELS_MAX      ((size_t)1 << 16)

/* Runs the rules on b (whose arena takes new strings; b also borrows from the rules). False when the set is dropped. */
bool relabel_process(const struct relabel_rules *rules, struct labels_builder *b);

/* The labels that decide, when rules change nothing (keep and drop) and look at no more than RELABEL_JUDGES_MAX labels:
 * their number, else 0. A set of those labels alone gets the verdict of the whole set. */
#define RELABEL_JUDGES_MAX ((size_t)8)
size_t relabel_rules_judges(const struct relabel_rules *rules, struct view ret_names[RELABEL_JUDGES_MAX]);

/* True when every rule decides only by __name__ and changes nothing (keep, drop, on source_labels [__name__]): then the
 * verdict can be remembered per metric name. */
bool relabel_rules_name_only(const struct relabel_rules *rules);

/* Verdict for a name, for rule sets of that kind. */
bool relabel_name_kept(const struct relabel_rules *rules, struct view name);

#endif
