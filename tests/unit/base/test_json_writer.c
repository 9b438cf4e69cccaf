/* The JSON writer: exact text where it is ours to decide, and jansson reads every document back to the same values. */
#include "base/json_writer.h"
#include "base_test.h"

#include <jansson.h>
#include <math.h>

static void test_exact_text(void **state)
{
    (void)state;
    struct bytes out;
    struct json_writer w;
    bytes_init(&out, 10000);
    json_writer_init(&w, &out);
    json_object_begin(&w);
    json_kv_str(&w, "s", "a\"b\\c\n\t\x01\x1f\x7f/");
    json_kv_u64(&w, "u", UINT64_MAX);
    json_kv_i64(&w, "i", INT64_MIN);
    json_kv_double(&w, "d", 0.1);
    json_kv_double(&w, "nan", (double)NAN);
    json_kv_bool(&w, "t", true);
    json_key(&w, "list");
    json_array_begin(&w);
    json_null_value(&w);
    json_array_begin(&w);
    json_array_end(&w);
    json_object_begin(&w);
    json_object_end(&w);
    json_raw(&w, VIEW("{\"raw\":1}"));
    json_array_end(&w);
    json_key_u64(&w, 18446744073709551615u);
    json_bool(&w, false);
    json_object_end(&w);
    assert_string_equal(out.base, "{\"s\":\"a\\\"b\\\\c\\n\\t\\u0001\\u001f\x7f/\",\"u\":18446744073709551615,"
                                  "\"i\":-9223372036854775808,\"d\":0.1,\"nan\":null,\"t\":true,"
                                  "\"list\":[null,[],{},{\"raw\":1}],\"18446744073709551615\":false}");
    bytes_done(&out);
}

static const char *write_string(struct bytes *out, const char *base, size_t len)
{
    struct json_writer w;
    bytes_clear(out);
    json_writer_init(&w, out);
    json_array_begin(&w);
    json_view(&w, view_make(base, len));
    json_array_end(&w);
    return out->base;
}

static void test_invalid_utf8_becomes_the_replacement(void **state)
{
    (void)state;
    struct bytes out;
    bytes_init(&out, 10000);
    assert_string_equal(write_string(&out, "a\xff"
                                           "b", 3), "[\"a\xef\xbf\xbd"
                                                    "b\"]");
    assert_string_equal(write_string(&out, "\xc3\xa9", 2), "[\"\xc3\xa9\"]");
    assert_string_equal(write_string(&out, "\xc3", 1), "[\"\xef\xbf\xbd\"]");
    assert_string_equal(write_string(&out, "\xed\xa0\x80", 3), "[\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"]");
    assert_string_equal(write_string(&out, "\0", 1), "[\"\\u0000\"]");
    bytes_done(&out);
}

/* Random bytes: what comes out is always JSON, and valid text comes back unchanged. */
static void test_jansson_reads_everything(void **state)
{
    (void)state;
    uint64_t seed = 7;
    struct bytes out;
    bytes_init(&out, 100000);
    for (int round = 0; round < 3000; round++) {
        char text[40];
        size_t len = 0;
        while (len < (size_t)(round % 40)) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
            text[len++] = (char)(round % 2 ? seed >> 57 : seed >> 56); /* ASCII only, or anything */
        }
        json_error_t why;
        json_t *doc = json_loads(write_string(&out, text, len), JSON_ALLOW_NUL, &why);
        if (doc == NULL) {
            fail_msg("%s: %s", why.text, out.base);
        }
        json_t *s = json_array_get(doc, 0);
        if (round % 2) {
            assert_int_equal(json_string_length(s), len);
            assert_memory_equal(json_string_value(s), text, len);
        }
        json_decref(doc);
    }
    bytes_done(&out);
}

static void test_doubles_read_back_equal(void **state)
{
    (void)state;
    static const double VALUES[] = {0, -0.0, 1, 0.1, 1.0 / 3, 1e300, 5e-324, 123456789012345678.0, -2.5, 1e21,
        0.1 + 0.2};
    for (size_t i = 0; i < sizeof(VALUES) / sizeof(VALUES[0]); i++) {
        struct bytes out;
        struct json_writer w;
        bytes_init(&out, 100);
        json_writer_init(&w, &out);
        json_array_begin(&w);
        json_double_value(&w, VALUES[i]);
        json_array_end(&w);
        json_t *doc = json_loads(out.base, 0, NULL);
        assert_non_null(doc);
        assert_true(json_number_value(json_array_get(doc, 0)) == VALUES[i]);
        json_decref(doc);
        bytes_done(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_text), cmocka_unit_test(test_invalid_utf8_becomes_the_replacement),
        cmocka_unit_test(test_jansson_reads_everything), cmocka_unit_test(test_doubles_read_back_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
