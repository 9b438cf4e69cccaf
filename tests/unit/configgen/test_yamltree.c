#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "configgen/yamltree.h"

#include <stdlib.h>

struct fixture {
    struct arena *arena;
    struct errctx err;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->arena = arena_new();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    arena_free(&f->arena);
    free(f);
    return 0;
}

static struct yaml_node *parse(struct fixture *f, const char *text)
{
    struct yaml_node *root = NULL;
    errctx_clear(&f->err);
    int rc = yaml_parse(f->arena, "t.yml", view_of(text), &root, &f->err);
    assert_string_equal(f->err.msg, "");
    assert_int_equal(rc, 0);
    return root;
}

static void check_refused(struct fixture *f, const char *text, int code, const char *message)
{
    struct yaml_node *root = NULL;
    errctx_clear(&f->err);
    assert_int_equal(yaml_parse(f->arena, "t.yml", view_of(text), &root, &f->err), code);
    assert_string_equal(f->err.msg, message);
    assert_null(root);
}

static void check_scalar(const struct yaml_node *n, const char *text)
{
    assert_non_null(n);
    assert_int_equal(n->kind, YAML_SCALAR);
    assert_string_equal(n->value.base, text);
}

/* Text of the tree; also proves parse(write(x)) == x and that writing is a fixed point. */
static const char *write_again(struct fixture *f, const struct yaml_node *n)
{
    struct bytes out, again;
    bytes_init(&out, 1 << 24);
    bytes_init(&again, 1 << 24);
    assert_int_equal(yaml_write(n, &out, &f->err), 0);
    struct yaml_node *back = parse(f, out.base);
    assert_true(yaml_equal(n, back));
    assert_int_equal(yaml_write(back, &again, &f->err), 0);
    assert_string_equal(out.base, again.base);
    const char *text = arena_strdup(f->arena, out.base);
    bytes_done(&out);
    bytes_done(&again);
    return text;
}

static void check_written(struct fixture *f, const char *in, const char *out)
{
    assert_string_equal(write_again(f, parse(f, in)), out);
}

static void positions_are_one_based(void **state)
{
    struct yaml_node *root = parse(*state, "a: 1\nb:\n  - x\n  - {c: é, d: y}\n");
    assert_int_equal(root->line, 1);
    assert_int_equal(root->column, 1);
    const struct yaml_node *list = yaml_get(root, "b");
    assert_int_equal(list->items[1]->line, 4);
    assert_int_equal(list->items[1]->column, 5);
    assert_int_equal(yaml_get(list->items[1], "d")->column, 15);
    assert_null(yaml_get(root, "none"));
    assert_null(yaml_get(list, "b"));
    assert_null(yaml_get(NULL, "b"));
}

static void empty_documents(void **state)
{
    assert_null(parse(*state, ""));
    assert_null(parse(*state, "# only a comment\n\n"));
    assert_true(yaml_is_null(parse(*state, "---\n")));
    assert_true(yaml_is_null(parse(*state, "~")));
    assert_string_equal(write_again(*state, parse(*state, "---\n...\n")), "---\n");
}

static void only_the_first_document(void **state)
{
    struct yaml_node *root = parse(*state, "a: 1\n---\nb: [broken\n");
    assert_int_equal(root->count, 1);
    check_scalar(yaml_get(root, "a"), "1");
}

static void nulls_and_booleans(void **state)
{
    struct yaml_node *root =
        parse(*state, "[ ~, null, 5, '', 'null', yes, Off, TRUE, 'yes', yEs, !!bool on]");
    bool b = false;
    assert_int_equal(root->count, 11);
    assert_true(yaml_is_null(root->items[0]) && yaml_is_null(root->items[1]));
    assert_false(yaml_is_null(root->items[3]) || yaml_is_null(root->items[4]));
    assert_true(yaml_bool(root->items[5], &b) && b);
    assert_true(yaml_bool(root->items[6], &b) && !b);
    assert_true(yaml_bool(root->items[7], &b) && b);
    assert_false(yaml_bool(root->items[8], &b) || yaml_bool(root->items[9], &b));
    assert_true(yaml_bool(root->items[10], &b) && b);
}

static void aliases_and_merges(void **state)
{
    struct fixture *f = *state;
    struct yaml_node *root = parse(f, "base: &b {x: 1, tls: {ca: p, sn: q}}\n"
                                      "one: {<<: *b, x: 2, tls: {sn: r}}\n"
                                      "two: {x: 3, <<: *b}\n"
                                      "three: {<<: [{x: 4, z: 1}, {x: 5, w: 2}]}\n"
                                      "same: *b\n'<<': plain key\n");
    const struct yaml_node *one = yaml_get(root, "one"), *three = yaml_get(root, "three");
    check_scalar(yaml_get(one, "x"), "2");
    check_scalar(yaml_get(yaml_get(one, "tls"), "ca"), "p");
    check_scalar(yaml_get(yaml_get(one, "tls"), "sn"), "r");
    check_scalar(yaml_get(yaml_get(root, "two"), "x"),
                 "1"); /* as Prometheus 2.42: the later wins */
    check_scalar(yaml_get(three, "x"), "4");
    check_scalar(yaml_get(three, "w"), "2");
    assert_int_equal(three->count, 3);
    assert_ptr_equal(yaml_get(root, "same"), yaml_get(root, "base"));
    check_scalar(yaml_get(yaml_get(yaml_get(root, "base"), "tls"), "sn"),
                 "q"); /* the anchor is untouched */
    check_scalar(yaml_get(root, "<<"), "plain key");
    check_written(f, "a: &x [1, 2]\nb: *x\n", "a:\n- 1\n- 2\nb:\n- 1\n- 2\n");
}

static void refused(void **state)
{
    struct fixture *f = *state;
    check_refused(f, "a: 1\nb: 2\na: 3\n", ERR_PARSE,
                  "t.yml:3:1: field a already set; expected each key once");
    check_refused(f, "{1: x, '1': y}", ERR_PARSE,
                  "t.yml:1:8: field 1 already set; expected each key once");
    check_refused(f, "a: *none\n", ERR_PARSE,
                  "t.yml:1:4: alias *none names no anchor; expected one defined above");
    check_refused(f, "a: &a [*a]\n", ERR_PARSE, "t.yml:1:8: alias *a lies inside its own anchor");
    check_refused(
        f, "<<: 5\n", ERR_PARSE,
        "t.yml:1:1: a merge `<<` of something else; expected a mapping or a list of mappings");
    check_refused(f, "? [a]\n: b\n", ERR_PARSE,
                  "t.yml:1:3: a key that is a list or a mapping; expected a scalar");
    check_refused(f, "a: [1, 2\nb: 3\n", ERR_PARSE,
                  "t.yml:2:2: did not find expected ',' or ']' while parsing a flow sequence; check quotes, brackets and indentation there and before it");
    check_refused(f, "a: \"x\n", ERR_PARSE,
                  "t.yml:2:1: found unexpected end of stream while scanning a quoted scalar; check quotes, brackets and indentation there and before it");
    assert_int_equal(
        yaml_parse(f->arena, "t.yml", VIEW("a: \xff\n"), &(struct yaml_node *){NULL}, NULL),
        ERR_PARSE);
    assert_int_equal(
        yaml_parse(f->arena, "t.yml", VIEW("a: \x01\n"), &(struct yaml_node *){NULL}, NULL),
        ERR_PARSE);
}

static void bombs(void **state)
{
    struct fixture *f = *state;
    struct bytes text;
    bytes_init(&text, 1 << 16);
    bytes_append_str(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 9; i++) {
        bytes_printf(&text, "a%d: &a%d [", i, i);
        for (int k = 0; k < 10; k++) {
            bytes_printf(&text, "*a%d,", i - 1);
        }
        bytes_append_str(&text, "]\n");
    }
    check_refused(f, text.base, ERR_LIMIT,
                  "t.yml:7:10: more than 2000000 nodes with aliases expanded; expected fewer");
    bytes_clear(&text);
    for (int i = 0; i < 101; i++) {
        bytes_append_char(&text, '[');
    }
    check_refused(f, text.base, ERR_LIMIT,
                  "t.yml:1:101: nested deeper than 100 levels; expected fewer");
    bytes_clear(&text); /* two halves of 60 levels */
    bytes_append_str(&text, "a: &a ");
    for (int i = 0; i < 60; i++) {
        bytes_append_char(&text, '[');
    }
    for (int i = 0; i < 60; i++) {
        bytes_append_char(&text, ']');
    }
    bytes_append_str(&text, "\nb: ");
    for (int i = 0; i < 60; i++) {
        bytes_append_char(&text, '[');
    }
    bytes_append_str(&text, "*a");
    check_refused(f, text.base, ERR_LIMIT,
                  "t.yml:2:64: nested deeper than 100 levels; expected fewer");
    bytes_done(&text);
    struct yaml_node *root = NULL;
    char *big = calloc(1, YAML_INPUT_MAX_BYTES + 1);
    memset(big, '#', YAML_INPUT_MAX_BYTES + 1);
    assert_int_equal(
        yaml_parse(f->arena, "t.yml", view_make(big, YAML_INPUT_MAX_BYTES + 1), &root, NULL),
        ERR_LIMIT);
    free(big);
}

static void scalars_keep_value_and_style(void **state)
{
    struct fixture *f = *state;
    check_written(f, "a: \"5\"\nb: '5'\nc: 5\nd: yes\ne: 'yes'\n",
                  "a: \"5\"\nb: '5'\nc: 5\nd: yes\ne: 'yes'\n");
    check_written(f, "key: |\n  -----BEGIN\n  x y\n\n    z\n",
                  "key: |\n  -----BEGIN\n  x y\n\n    z\n");
    check_written(f, "key: |-\n  no end\nnext: |+\n  keep\n\n\nlast: 1\n",
                  "key: |-\n  no end\nnext: |+\n  keep\n\n\nlast: 1\n...\n");
    check_written(f, "a: >\n  folded\n  text\n\n  more\n", "a: |\n  folded text\n  more\n");
    check_written(f, "a: grün\nb: '日本'\n", "a: grün\nb: '日本'\n");
    check_written(f, "a: one\n  two\n\n  three\n", "a: \"one two\\nthree\"\n");
    check_written(f, "{a: , b: [ ~, ], c: {}, d: []}", "a:\nb:\n- ~\nc: {}\nd: []\n");
    check_written(f, "a: !!str 5\nb: !custom {c: d}\ne: !!binary aGk=\n",
                  "a: !!str 5\nb: !custom\n  c: d\ne: !!binary aGk=\n");
    check_written(f, "- |2\n   lead\n- \"tab\\there\"\n", "- \" lead\\n\"\n- \"tab\\there\"\n");
    check_written(f, "a: 'it''s'\nb: \"\\u2028\\0\\e\"\n", "a: 'it''s'\nb: \"\\L\\0\\e\"\n");
    check_written(f, "a:\n- b:\n  - - c\n    -\n", "a:\n- b:\n  - - c\n    -\n");
}

static void long_lines_are_not_folded(void **state)
{
    struct fixture *f = *state;
    struct bytes text;
    bytes_init(&text, 1 << 16);
    for (const char *const *quote = (const char *const[]){"", "'", "\"", NULL}; *quote != NULL;
         quote++) {
        bytes_printf(&text, "k%s: %s", **quote == '"' ? "d" : *quote[0] ? "s" : "", *quote);
        for (int i = 0; i < 900; i++) {
            bytes_printf(&text, "word%d ", i);
        }
        bytes_printf(&text, "end%s\n", *quote);
    }
    assert_string_equal(write_again(f, parse(f, text.base)), text.base);
    bytes_clear(&text);
    for (int i = 0; i < 200; i++) {
        bytes_append_str(&text, "long");
    }
    bytes_append_str(&text, ": 1\n");
    struct yaml_node *root = NULL;
    /* libyaml and Prometheus' parser alike allow at most 1024 characters before a ':' */
    assert_int_equal(yaml_parse(f->arena, "t.yml", bytes_view(&text), &root, NULL), 0);
    write_again(f, root);
    bytes_done(&text);
}

static void new_strings_stay_strings(void **state)
{
    struct fixture *f = *state;
    static const char *const hard[] = {"",         "5",          "yes",
                                       "NO",       "~",          "null",
                                       "1e3",      "0x10",       ".5",
                                       "-",        "- a",        "a: b",
                                       "a #b",     "#",          "*a",
                                       "&a",       "!x",         "%x",
                                       "@x",       "`x",         "<<",
                                       "=",        "|",          ">",
                                       "?",        "? a",        "[x]",
                                       "{x}",      "a\nb",       "\n",
                                       "a\n",      " a",         "a ",
                                       "12:30",    "2020-01-01", "on",
                                       "off",      "y",          "N",
                                       "True",     "a\tb",       "\t",
                                       "'",        "\"",         "---",
                                       "...",      "a:",         ":",
                                       "\xc2\x85", "é",          "\xf0\x9f\x98\x80",
                                       "a\r\nb",   ".inf",       "+1"};
    struct yaml_node *list = yaml_new_sequence(f->arena), *map = yaml_new_mapping(f->arena);
    for (size_t i = 0; i < sizeof(hard) / sizeof(hard[0]); i++) {
        yaml_append(f->arena, list, yaml_new_string(f->arena, view_of(hard[i])));
        yaml_set(f->arena, map, hard[i], yaml_new_string(f->arena, view_of(hard[i])));
    }
    yaml_set(f->arena, map, "list", list);
    struct yaml_node *back = parse(f, write_again(f, map));
    const struct yaml_node *read = yaml_get(back, "list");
    for (size_t i = 0; i < read->count; i++) {
        bool b;
        assert_string_equal(read->items[i]->value.base, hard[i]);
        assert_false(yaml_is_null(read->items[i]) || yaml_bool(read->items[i], &b));
        if (strspn(hard[i], "+-.0123456789") != 0) {
            assert_false(yaml_is_plain(read->items[i]));
        }
        check_scalar(yaml_get(back, hard[i]), hard[i]);
    }
    assert_string_equal(write_again(f, yaml_new_string(f->arena, VIEW("http://h:1/x"))),
                        "http://h:1/x\n");
}

static void editing(void **state)
{
    struct fixture *f = *state;
    struct yaml_node *root = parse(f, "a: 1\nb: [x]\nc: {d: e}\n");
    struct yaml_node *copy = yaml_copy(f->arena, root);
    assert_true(yaml_equal(root, copy));
    yaml_set(f->arena, copy, "a", yaml_new_plain(f->arena, "2"));
    yaml_remove(copy, "b");
    yaml_remove(copy, "absent");
    yaml_set(f->arena, copy, "new", yaml_new_string(f->arena, VIEW("2")));
    assert_false(yaml_equal(root, copy));
    assert_string_equal(write_again(f, copy), "a: 2\nc:\n  d: e\nnew: '2'\n");
    assert_string_equal(write_again(f, root), "a: 1\nb:\n- x\nc:\n  d: e\n");
}

static void output_over_its_cap(void **state)
{
    struct fixture *f = *state;
    struct bytes out;
    bytes_init(&out, 10);
    struct errctx err = ERRCTX_INIT;
    assert_int_equal(yaml_write(parse(f, "a: a long enough text\n"), &out, &err), ERR_LIMIT);
    bytes_done(&out);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(positions_are_one_based),
        TEST(empty_documents),
        TEST(only_the_first_document),
        TEST(nulls_and_booleans),
        TEST(aliases_and_merges),
        TEST(refused),
        TEST(bombs),
        TEST(scalars_keep_value_and_style),
        TEST(long_lines_are_not_folded),
        TEST(new_strings_stay_strings),
        TEST(editing),
        TEST(output_over_its_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
