/* The decoders: every split, several members, every truncation, corruption, windows that are too large. */
#include "expfmt_test.h"

#include "expfmt/decode.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>

struct sink {
    struct bytes out;
    size_t blocks, stop_after;
};

static int sink_take(void *data, const char *base, size_t len, struct errctx *err)
{
    struct sink *s = data;
    assert_in_range(len, 1, 65536);
    bytes_append(&s->out, base, len);
    s->blocks++;
    return s->blocks == s->stop_after ? errctx_set(err, ERR_CANCELLED, "enough") : 0;
}

static int decode(struct decoder *d, const char *data, size_t len, size_t split, struct sink *s, struct errctx *err)
{
    struct guarded g = guard(data, len);
    int rc = 0;
    decoder_reset(d);
    bytes_clear(&s->out);
    s->blocks = 0;
    for (size_t at = 0; at < len && rc == 0;) {
        size_t piece = split == SIZE_MAX ? 1 : at < split && split < len ? split - at : len - at;
        rc = decoder_feed(d, g.base + at, piece, sink_take, s, err);
        at += piece;
    }
    unguard(&g);
    return rc != 0 ? rc : decoder_finish(d, err);
}

static size_t gzip_pack(const char *text, size_t len, char *out, size_t room)
{
    struct isal_zstream z;
    static uint8_t level_buffer[ISAL_DEF_LVL1_DEFAULT];
    isal_deflate_init(&z);
    z.end_of_stream = 1;
    z.level = 1;
    z.level_buf = level_buffer;
    z.level_buf_size = sizeof(level_buffer);
    z.gzip_flag = IGZIP_GZIP;
    z.next_in = (uint8_t *)(uintptr_t)text;
    z.avail_in = (uint32_t)len;
    z.next_out = (uint8_t *)out;
    z.avail_out = (uint32_t)room;
    assert_int_equal(isal_deflate(&z), COMP_OK);
    assert_int_equal(z.avail_in, 0);
    return room - z.avail_out;
}

static size_t zstd_pack(const char *text, size_t len, char *out, size_t room)
{
    size_t n = ZSTD_compress(out, room, text, len, 3);
    assert_false(ZSTD_isError(n));
    return n;
}

typedef size_t pack_fn(const char *text, size_t len, char *out, size_t room);

static void check_splits(struct decoder *d, const char *packed, size_t len, const char *text, size_t text_len)
{
    struct sink s = {0};
    bytes_init(&s.out, (size_t)1 << 20);
    for (size_t split = 1; split <= len + 1; split++) {
        struct errctx err = ERRCTX_INIT;
        int rc = decode(d, packed, len, split == len + 1 ? SIZE_MAX : split, &s, &err);
        if (rc != 0) {
            fail_msg("split %zu: %s", split, err.msg);
        }
        assert_int_equal(s.out.len, text_len);
        assert_memory_equal(s.out.base, text, text_len);
    }
    bytes_done(&s.out);
}

static void check_cuts(struct decoder *d, const char *packed, size_t len)
{
    struct sink s = {0};
    bytes_init(&s.out, (size_t)1 << 20);
    for (size_t cut = 0; cut < len; cut++) {
        struct errctx err = ERRCTX_INIT;
        assert_int_equal(decode(d, packed, cut, cut, &s, &err), ERR_PARSE);
        assert_string_equal(err.msg, "unexpected EOF");
    }
    bytes_done(&s.out);
}

static void check_encoding(enum content_encoding encoding, pack_fn *pack)
{
    char text[3000], packed[8000];
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (char)('a' + (i * i / 7) % 23);
    }
    struct decoder *d = decoder_new(encoding);
    size_t len = pack(text, sizeof(text) / 2, packed, sizeof(packed));
    check_splits(d, packed, len, text, sizeof(text) / 2);
    check_cuts(d, packed, len);
    len += pack(text + sizeof(text) / 2, sizeof(text) / 2, packed + len, sizeof(packed) - len);
    check_splits(d, packed, len, text, sizeof(text)); /* two members */
    decoder_free(&d);
    assert_null(d);
}

static void test_gzip(void **state)
{
    (void)state;
    check_encoding(ENCODING_GZIP, gzip_pack);
}

static void test_zstd(void **state)
{
    (void)state;
    check_encoding(ENCODING_ZSTD, zstd_pack);
}

static void expect_broken(struct decoder *d, const char *packed, size_t len, const char *msg)
{
    struct sink s = {0};
    struct errctx err = ERRCTX_INIT;
    bytes_init(&s.out, (size_t)1 << 20);
    assert_int_equal(decode(d, packed, len, len, &s, &err), ERR_PARSE);
    assert_string_equal(err.msg, msg);
    assert_int_equal(decoder_finish(d, NULL), ERR_PARSE);
    assert_int_equal(decoder_feed(d, "x", 1, sink_take, &s, NULL), ERR_PARSE);
    bytes_done(&s.out);
}

static void test_gzip_corruption(void **state)
{
    static const char text[] = "some text that is packed, some text that is packed again";
    char packed[300];
    struct decoder *d = decoder_new(ENCODING_GZIP);
    size_t len = gzip_pack(text, sizeof(text), packed, sizeof(packed));
    (void)state;
    packed[len - 8] ^= 1;
    expect_broken(d, packed, len, "gzip: invalid checksum");
    packed[len - 8] ^= 1;
    packed[len - 1] ^= 1;
    expect_broken(d, packed, len, "gzip: invalid checksum");
    packed[len - 1] ^= 1;
    memcpy(packed + len, "junk behind the member", 22);
    expect_broken(d, packed, len + 22, "gzip: invalid header");
    expect_broken(d, "a 1\nb 2\nc 3\nd 4\n", 16, "gzip: invalid header");
    decoder_free(&d);
}

/* A frame that asks for a window of 16 MiB is refused before anything of it is decoded. */
static void test_zstd_window(void **state)
{
    static const char frame[] = "\x28\xb5\x2f\xfd\x00\x70\x01\x00\x00";
    static const char small[] = "\x28\xb5\x2f\xfd\x00\x68\x01\x00\x00"; /* 8 MiB: fine */
    struct decoder *d = decoder_new(ENCODING_ZSTD);
    struct sink s = {0};
    struct errctx err = ERRCTX_INIT;
    (void)state;
    bytes_init(&s.out, 1000);
    assert_int_equal(decode(d, small, sizeof(small) - 1, 3, &s, &err), 0);
    assert_int_equal(decode(d, frame, sizeof(frame) - 1, 3, &s, &err), ERR_PARSE);
    bytes_done(&s.out);
    decoder_free(&d);
}

/* Frames of zstd 0.5 to 0.7, whole or in pieces: libzstd would read them, without a limit of the window. */
static void test_zstd_legacy(void **state)
{
    struct sink s = {0};
    struct decoder *d = decoder_new(ENCODING_ZSTD);
    (void)state;
    bytes_init(&s.out, 1 << 20);
    for (char version = 0x24; version <= 0x27; version++) {
        const char frame[] = {version, (char)0xb5, 0x2f, (char)0xfd, 0x04, 0x4d, 0, 0, 0};
        for (size_t split = 1; split <= sizeof(frame); split++) {
            assert_int_equal(decode(d, frame, sizeof(frame), split, &s, NULL), ERR_PARSE);
        }
    }
    /* a skippable frame is nothing at all */
    const char skippable[] = {0x5a, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 'x', 'y'};
    for (size_t split = 1; split <= sizeof(skippable); split++) {
        assert_int_equal(decode(d, skippable, sizeof(skippable), split, &s, NULL), 0);
    }
    bytes_done(&s.out);
    decoder_free(&d);
}

static void test_callback_stops(void **state)
{
    static char text[300000], packed[400000];
    struct decoder *d = decoder_new(ENCODING_GZIP);
    struct sink s = {.stop_after = 2};
    struct errctx err = ERRCTX_INIT;
    (void)state;
    size_t len = gzip_pack(text, sizeof(text), packed, sizeof(packed));
    bytes_init(&s.out, (size_t)1 << 20);
    assert_int_equal(decode(d, packed, len, len, &s, &err), ERR_CANCELLED);
    assert_string_equal(err.msg, "enough");
    assert_int_equal(s.blocks, 2);
    bytes_done(&s.out);
    decoder_free(&d);
}

static void test_names(void **state)
{
    enum content_encoding e = ENCODING_ZSTD;
    (void)state;
    assert_true(content_encoding_parse(VIEW(""), &e) && e == ENCODING_IDENTITY);
    assert_true(content_encoding_parse(VIEW("identity"), &e) && e == ENCODING_IDENTITY);
    assert_true(content_encoding_parse(VIEW("gzip"), &e) && e == ENCODING_GZIP);
    assert_true(content_encoding_parse(VIEW("zstd"), &e) && e == ENCODING_ZSTD);
    assert_false(content_encoding_parse(VIEW("GZIP"), &e));
    assert_false(content_encoding_parse(VIEW("deflate"), &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_zstd),
        cmocka_unit_test(test_gzip_corruption),
        cmocka_unit_test(test_zstd_window),
        cmocka_unit_test(test_zstd_legacy),
        cmocka_unit_test(test_callback_stops),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
