/* The actions, rule by rule; validation in Prometheus' words; the differences between 2.x and 3.x. */
#include "base/bytes.h"
#include "relabel/relabel.h"

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

/* "key=value" fields parted by ~; absent keys keep their defaults. */
struct rule_text {
    struct relabel_spec spec;
    struct view sources[8];
    char buf[512];
};

static void spec_field(struct rule_text *r, struct view key, struct view value)
{
    struct relabel_spec *s = &r->spec;
    if (view_is(key, "action")) {
        assert_int_equal(relabel_action_parse(value, &s->action, NULL), 0);
    } else if (view_is(key, "source")) {
        s->source_labels = r->sources;
        s->has_source_labels = true;
        r->sources[s->source_label_count++] = value;
    } else if (view_is(key, "sep")) {
        s->separator = value;
    } else if (view_is(key, "regex")) {
        s->regex = value;
        s->has_regex = true;
    } else if (view_is(key, "target")) {
        s->target_label = value;
    } else if (view_is(key, "replacement")) {
        s->replacement = value;
    } else if (view_is(key, "modulus")) {
        s->modulus = strtoull(value.base, NULL, 10);
    } else {
        fail_msg("field %.*s", VIEW_FMT(key));
    }
}

static void spec_parse(struct rule_text *r, const char *text)
{
    memset(r, 0, sizeof(*r));
    relabel_spec_init(&r->spec);
    snprintf(r->buf, sizeof(r->buf), "%s", text);
    for (char *at = r->buf; *at != '\0';) {
        size_t len = strcspn(at, "~");
        char *eq = memchr(at, '=', len);
        assert_non_null(eq);
        bool more = at[len] == '~';
        at[len] = '\0';
        spec_field(r, view_make(at, (size_t)(eq - at)), view_of(eq + 1));
        at += len + (more ? 1 : 0);
    }
}

static struct relabel_rules *compile(const char *const *rules, size_t count, enum prometheus_major major)
{
    static struct rule_text texts[16];
    struct relabel_spec specs[16];
    struct relabel_rules *ret = NULL;
    struct errctx err = ERRCTX_INIT;
    for (size_t i = 0; i < count; i++) {
        spec_parse(&texts[i], rules[i]);
        specs[i] = texts[i].spec;
    }
    if (relabel_rules_compile(specs, count, major, "relabel_configs", &ret, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    return ret;
}

/* Labels as "a=1,b=2"; the result likewise, or "DROPPED". */
static void run(const char *const *rules, size_t count, enum prometheus_major major, const char *in, const char *want)
{
    struct arena *arena = arena_new();
    struct labels_builder b;
    struct bytes out;
    struct relabel_rules *r = compile(rules, count, major);
    labels_builder_init(&b, arena);
    bytes_init(&out, 1 << 20);
    for (const char *at = in; *at != '\0';) {
        size_t len = strcspn(at, ","), name = strcspn(at, "=");
        labels_builder_set(&b, view_make(at, name), view_make(at + name + 1, len - name - 1));
        at += len + (at[len] == ',');
    }
    if (!relabel_process(r, &b)) {
        bytes_append_str(&out, "DROPPED");
    } else {
        for (size_t i = 0; i < b.len; i++) {
            bytes_printf(&out, "%s%.*s=%.*s", i > 0 ? "," : "", VIEW_FMT(b.items[i].name), VIEW_FMT(b.items[i].value));
        }
    }
    if (!view_is(bytes_view(&out), want)) {
        fail_msg("%s on %s (%d.x): got %.*s, want %s", rules[0], in, major, VIEW_FMT(bytes_view(&out)), want);
    }
    bytes_done(&out);
    labels_builder_done(&b);
    relabel_rules_free(&r);
    assert_null(r);
    arena_free(&arena);
}

struct one_case {
    const char *rule, *in, *want;
};

static const struct one_case CASES[] = {
    {"source=a~target=b", "a=1", "a=1,b=1"},
    {"source=a~source=b~source=c~target=d", "a=1,c=2", "a=1,c=2,d=1;;2"},
    {"source=a~source=b~sep=~target=d", "a=1,b=2", "a=1,b=2,d=12"},
    {"target=d~replacement=x", "a=1", "a=1,d=x"},
    {"source=a~regex=(\\d+)-(.*)~target=a~replacement=$2/$1", "a=12-x", "a=x/12"},
    {"source=a~regex=z~target=a~replacement=y", "a=1", "a=1"},
    {"source=a~regex=.*~target=a~replacement=", "a=1,b=2", "b=2"},
    {"source=a~regex=(b)(c)~target=x_$1~replacement=$2", "a=bc", "a=bc,x_b=c"},
    {"source=a~regex=(.*)~target=$1~replacement=v", "a=not-valid", "a=not-valid"},
    {"action=keep~source=a~regex=x", "a=x", "a=x"},
    {"action=KEEP~source=a~regex=x", "a=xx", "DROPPED"},
    {"action=drop", "a=1", "DROPPED"},
    {"action=drop~source=a~regex=2", "a=1", "a=1"},
    {"action=drop~source=zz~regex=", "a=1", "DROPPED"},
    {"action=keepequal~source=a~target=b", "a=1,b=1", "a=1,b=1"},
    {"action=keepequal~source=a~target=b", "a=1,b=2", "DROPPED"},
    {"action=keepequal~source=x~target=y", "a=1", "a=1"},
    {"action=dropequal~source=a~target=b", "a=1,b=1", "DROPPED"},
    {"action=dropequal~source=a~target=b", "a=1", "a=1"},
    {"action=hashmod~source=a~source=b~target=h~modulus=1000", "a=foo,b=h:1", "a=foo,b=h:1,h=15"},
    {"action=hashmod~source=x~target=h~modulus=7", "a=1", "a=1,h=1"},
    {"action=hashmod~source=x~target=h~modulus=18446744073709551615", "a=1", "a=1,h=16825458760271544958"},
    {"action=labelmap~regex=meta_(.+)", "meta_a=1,meta_b=2,c=3", "a=1,b=2,c=3,meta_a=1,meta_b=2"},
    {"action=labelmap~regex=m(.)~replacement=$1", "m1=v", "1=v,m1=v"},
    {"action=labelmap~regex=(a|b)~replacement=z", "a=1,b=2", "a=1,b=2,z=2"},
    {"action=labelmap~regex=(.*)~replacement=a$1", "a=1,aa=2", "a=1,aa=1,aaa=2"},
    {"action=labeldrop~regex=a.*", "a=1,ab=2,b=3", "b=3"},
    {"action=labelkeep~regex=a.*", "a=1,ab=2,b=3", "a=1,ab=2"},
    {"action=lowercase~source=a~target=a", "a=\xc3\x89T\xc3\x89-X", "a=\xc3\xa9t\xc3\xa9-x"},
    {"action=uppercase~source=a~target=b", "a=abc\xc4\xb1", "a=abc\xc4\xb1,b=ABCI"},
    {"action=lowercase~source=a~target=a", "a=\xff\xc3\x89", "a=\xef\xbf\xbd\xc3\xa9"},
    {"action=lowercase~source=zz~target=a", "a=1,b=1", "b=1"},
    {"action=uppercase~source=a~target=a", "a=x1", "a=X1"},
};

static void test_actions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        run(&CASES[i].rule, 1, PROMETHEUS_2, CASES[i].in, CASES[i].want);
    }
}

static void test_versions(void **state)
{
    (void)state;
    const char *templated = "source=a~regex=(x)(.*)~target=${1}_l~replacement=$2";
    run(&templated, 1, PROMETHEUS_2, "a=x,x_l=old", "a=x,x_l=old");
    run(&templated, 1, PROMETHEUS_3, "a=x,x_l=old", "a=x");
    const char *newline = "source=a~target=b";
    run(&newline, 1, PROMETHEUS_2, "a=1\n2", "a=1\n2");
    run(&newline, 1, PROMETHEUS_3, "a=1\n2", "a=1\n2,b=1\n2");
    const char *utf8_target = "source=a~target=$1~replacement=v";
    run(&utf8_target, 1, PROMETHEUS_2, "a=x-y", "a=x-y");
    run(&utf8_target, 1, PROMETHEUS_3, "a=x-y", "a=x-y,x-y=v");
    const char *literal_name = "action=lowercase~source=a~target=$1";
    run(&literal_name, 1, PROMETHEUS_2, "a=X", "$1=x,a=X");
}

static void test_chain(void **state)
{
    (void)state;
    const char *rules[] = {
        "source=__address__~regex=([^:]+):(\\d+)~target=host~replacement=$1",
        "source=__address__~regex=([^:]+):(\\d+)~target=port~replacement=$2",
        "action=hashmod~source=host~target=__tmp_shard~modulus=4",
        "action=keep~source=port~regex=80",
        "action=labeldrop~regex=__tmp_.*",
    };
    run(rules, 5, PROMETHEUS_2, "__address__=h:80", "__address__=h:80,host=h,port=80");
    run(rules, 5, PROMETHEUS_2, "__address__=h:81", "DROPPED");
    run(rules, 0, PROMETHEUS_2, "a=1", "a=1");
}

static const struct {
    const char *rule;
    const char *want2, *want3; /* NULL = accepted */
} INVALID[] = {
    {"action=hashmod~target=a", "relabel configuration for hashmod requires non-zero modulus",
     "relabel configuration for hashmod requires non-zero modulus"},
    {"source=a", "relabel configuration for replace action requires 'target_label' value",
     "relabel configuration for replace action requires 'target_label' value"},
    {"target=a-b", "\"a-b\" is invalid 'target_label' for replace action", NULL},
    {"target=0a", "\"0a\" is invalid 'target_label' for replace action", NULL},
    {"target=a$", "\"a$\" is invalid 'target_label' for replace action", NULL},
    {"target=${1", "\"${1\" is invalid 'target_label' for replace action", NULL},
    {"target=a$1b${x}_", NULL, NULL},
    {"target=$1", NULL, NULL},
    {"action=hashmod~target=$1~modulus=3", "\"$1\" is invalid 'target_label' for hashmod action", NULL},
    {"action=lowercase~target=a~replacement=x", "'replacement' can not be set for lowercase action",
     "'replacement' can not be set for lowercase action"},
    {"action=keepequal~target=a~regex=(.*)",
     "keepequal action requires only 'source_labels' and `target_label`, and no other fields",
     "keepequal action requires only 'source_labels' and `target_label`, and no other fields"},
    {"action=keepequal~target=a~sep=;", NULL, NULL},
    {"action=labeldrop~target=a", "labeldrop action requires only 'regex', and no other fields",
     "labeldrop action requires only 'regex', and no other fields"},
    {"action=labelkeep~source=a", "labelkeep action requires only 'regex', and no other fields",
     "labelkeep action requires only 'regex', and no other fields"},
    {"action=labelmap~replacement=a-b", "\"a-b\" is invalid 'replacement' for labelmap action", NULL},
    {"source=a-b~target=x", "\"a-b\" is not a valid label name", NULL},
    {"action=keep~regex=(", "error parsing regexp: missing closing ): `^(?:()$`",
     "error parsing regexp: missing closing ): `^(?s:()$`"},
};

static void check_invalid(const char *rule, enum prometheus_major major, const char *want)
{
    struct rule_text good, text;
    struct relabel_rules *ret = NULL;
    struct errctx err = ERRCTX_INIT;
    spec_parse(&good, "action=keep");
    spec_parse(&text, rule);
    struct relabel_spec specs[2] = {good.spec, text.spec};
    int rc = relabel_rules_compile(specs, 2, major, "relabel_configs", &ret, &err);
    if (want == NULL) {
        assert_int_equal(rc, 0);
        relabel_rules_free(&ret);
        return;
    }
    assert_int_equal(rc, ERR_INVALID);
    assert_null(ret);
    assert_int_equal(strncmp(err.msg, "relabel_configs[1]: ", 20), 0);
    assert_string_equal(err.msg + 20, want);
}

static void test_invalid(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(INVALID) / sizeof(INVALID[0]); i++) {
        check_invalid(INVALID[i].rule, PROMETHEUS_2, INVALID[i].want2);
        check_invalid(INVALID[i].rule, PROMETHEUS_3, INVALID[i].want3);
    }
    struct errctx err = ERRCTX_INIT;
    enum relabel_action action = RELABEL_DROP;
    assert_int_equal(relabel_action_parse(VIEW("kep"), &action, &err), ERR_INVALID);
    assert_non_null(strstr(err.msg, "unknown relabel action \"kep\""));
    assert_int_equal(action, RELABEL_DROP);
    assert_string_equal(relabel_action_name(RELABEL_LABELMAP), "labelmap");
}

static void test_name_only(void **state)
{
    (void)state;
    const char *yes[] = {"action=drop~source=__name__~regex=go_.*", "action=keep~source=__name__~regex=(go|node)_.+"};
    const char *no[] = {"action=drop~source=__name__~source=a~regex=x", "action=drop~source=a",
                        "source=__name__~target=b", "action=labeldrop~regex=a"};
    struct relabel_rules *r = compile(yes, 2, PROMETHEUS_2);
    assert_true(relabel_rules_name_only(r));
    assert_int_equal(relabel_rules_count(r), 2);
    assert_true(relabel_name_kept(r, VIEW("node_cpu")));
    assert_false(relabel_name_kept(r, VIEW("go_info")));
    assert_false(relabel_name_kept(r, VIEW("up")));
    relabel_rules_free(&r);
    for (int i = 0; i < 4; i++) {
        r = compile(&no[i], 1, PROMETHEUS_2);
        assert_false(relabel_rules_name_only(r));
        relabel_rules_free(&r);
    }
    assert_int_equal(relabel_rules_count(NULL), 0);
    assert_true(relabel_name_kept(NULL, VIEW("x")));
}

/* A value that would double with every rule stops at the cap. */
static void test_growth_is_capped(void **state)
{
    (void)state;
    const char *rules[16];
    for (int i = 0; i < 16; i++) {
        rules[i] = "source=a~target=a~replacement=$1$1$1$1";
    }
    struct arena *arena = arena_new();
    struct labels_builder b;
    struct relabel_rules *r = compile(rules, 16, PROMETHEUS_2);
    labels_builder_init(&b, arena);
    labels_builder_set(&b, VIEW("a"), VIEW("x"));
    assert_true(relabel_process(r, &b));
    assert_int_equal(labels_builder_get(&b, VIEW("a")).len, RELABEL_VALUE_BYTES_MAX);
    relabel_rules_free(&r);
    labels_builder_done(&b);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_actions), cmocka_unit_test(test_versions),  cmocka_unit_test(test_chain),
        cmocka_unit_test(test_invalid), cmocka_unit_test(test_name_only), cmocka_unit_test(test_growth_is_capped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
