/* UTF-8: every code point round-trips, and the whole-buffer check agrees with the sequence-by-sequence one. */
#include "base/utf8.h"
#include "base_test.h"

static size_t encode(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; c >>= 6) {
        out[i] = (char)(0x80 | (c & 0x3f));
    }
    out[0] = (char)(c | (n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0));
    return n;
}

static void test_every_code_point(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        char text[4];
        size_t n = encode(c, text);
        bool surrogate = c >= 0xd800 && c <= 0xdfff;
        assert_int_equal(utf8_sequence_len(text, n), surrogate ? 0 : n);
        assert_int_equal(utf8_sequence_len(text, n - 1), 0);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const BAD[] = {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf",
        "\xf0\x80\x80\x80",
                                      "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xc3(",
                                          "\xe2\x82(",
                                      "\xf0\x9f\x98("};
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        assert_int_equal(utf8_sequence_len(BAD[i], strlen(BAD[i])), 0);
        assert_false(utf8_is_valid(view_of(BAD[i])));
    }
}

/* A bad byte anywhere in a long text is found, at every alignment. */
static void test_position_does_not_matter(void **state)
{
    (void)state;
    char text[64];
    assert_true(utf8_is_valid(view_make(NULL, 0)));
    for (size_t len = 1; len < sizeof(text); len++) {
        memset(text, 'a', sizeof(text));
        assert_true(utf8_is_valid(view_make(text, len)));
        for (size_t at = 0; at < len; at++) {
            text[at] = (char)0xc3;
            assert_false(utf8_is_valid(view_make(text, len)));
            if (at + 1 < len) {
                text[at + 1] = (char)0xa9;
                assert_true(utf8_is_valid(view_make(text, len)));
            }
            memset(text, 'a', sizeof(text));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_point),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_position_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
