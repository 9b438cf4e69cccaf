/* Keys of the test exporter: a table for plain numbers, a table for faults, and content negotiation as exporters do it. A
 * fault may be written `fault=name:arg` or `name=arg`; both forms land in the same row. */
#include "exporter_spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERIES_MAX      UINT64_C(5000000)
#define LABEL_BYTES_MAX UINT64_C(65536)

void spec_init(struct spec *s)
{
    *s = (struct spec){.series = 10045, .seed = 1};
}

static const struct {
    const char *name;
    enum spec_fault fault;
    uint64_t arg_default;
} FAULTS[] = {
    {"none", FAULT_NONE, 0},
    {"status", FAULT_STATUS, 500},
    {"redirect", FAULT_REDIRECT, 0},
    {"html", FAULT_HTML, 0},
    {"garbage", FAULT_GARBAGE, 0},
    {"nothing", FAULT_NOTHING, 0},
    {"reset", FAULT_RESET, 0},
    {"stall", FAULT_STALL, 0},
    {"reset_after", FAULT_RESET_AFTER, 1024},
    {"stall_after", FAULT_STALL_AFTER, 1024},
    {"close_after", FAULT_CLOSE_AFTER, 1024},
    {"half_body", FAULT_HALF_BODY, 0},
    {"truncate", FAULT_TRUNCATE, 0},
    {"wrong_crc", FAULT_WRONG_CRC, 0},
    {"endless", FAULT_ENDLESS, 0},
    {"long_line", FAULT_LONG_LINE, 2097152},
};

static int parse_u64(const char *key, const char *text, uint64_t max, uint64_t *ret, struct errctx *err)
{
    char *end = NULL;
    unsigned long long n = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || *text == '-' || n > max) {
        return errctx_set(err, ERR_INVALID, "%s=%s: expected a number of at most %llu", key, text,
                          (unsigned long long)max);
    }
    *ret = n;
    return 0;
}

static int set_fault(struct spec *s, const char *name, const char *arg, bool *ret_known, struct errctx *err)
{
    for (size_t i = 0; i < sizeof(FAULTS) / sizeof(FAULTS[0]); i++) {
        if (strcmp(FAULTS[i].name, name) != 0) {
            continue;
        }
        uint64_t n = FAULTS[i].arg_default;
        *ret_known = true;
        if (n != 0 && *arg != '\0' && parse_u64(name, arg, UINT64_MAX / 2, &n, err) != 0) {
            return ERR_INVALID;
        }
        s->fault = FAULTS[i].fault;
        s->fault_arg = n;
        return 0;
    }
    return 0;
}

static int set_fault_key(struct spec *s, const char *value, struct errctx *err)
{
    char name[SPEC_TEXT_MAX];
    bool known = false;
    snprintf(name, sizeof(name), "%s", value);
    if (*name >= '0' && *name <= '9') {
        return set_fault(s, "status", value, &known, err);
    }
    char *colon = strchr(name, ':');
    if (colon != NULL) {
        *colon++ = '\0';
    }
    int rc = set_fault(s, name, colon != NULL ? colon : "", &known, err);
    return rc != 0 || known ? rc : errctx_set(err, ERR_INVALID, "fault=%s: unknown fault", value);
}

static int set_choice(const char *key, const char *value, const char *const *names, int *ret, struct errctx *err)
{
    for (int i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], value) == 0) {
            *ret = i;
            return 0;
        }
    }
    return errctx_set(err, ERR_INVALID, "%s=%s: unknown value", key, value);
}

static int set_number(struct spec *s, const char *key, const char *value, bool *ret_known, struct errctx *err)
{
    const struct {
        const char *key;
        uint64_t *field, max;
    } numbers[] = {
        {"series", &s->series, SERIES_MAX},
        {"seed", &s->seed, UINT64_MAX},
        {"label_bytes", &s->label_bytes, LABEL_BYTES_MAX},
        {"size", &s->size_bytes, UINT64_MAX / 2},
        {"slow", &s->rate_bytes_s, UINT64_MAX / 2},
        {"delay_ms", &s->delay_ms, 3600000},
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (strcmp(numbers[i].key, key) == 0) {
            *ret_known = true;
            return parse_u64(key, value, numbers[i].max, numbers[i].field, err);
        }
    }
    return 0;
}

int spec_set(struct spec *s, const char *key, const char *value, struct errctx *err)
{
    static const char *const FORMATS[] = {"text", "openmetrics", "protobuf", "auto", NULL};
    static const char *const ENCODINGS[] = {"auto", "identity", "gzip", "zstd", NULL};
    bool known = false;
    int choice = 0, rc = set_number(s, key, value, &known, err);
    if (known) {
        return rc;
    }
    if (strcmp(key, "format") == 0) {
        rc = set_choice(key, value, FORMATS, &choice, err);
        s->format = rc == 0 ? (enum spec_format)choice : s->format;
    } else if (strcmp(key, "encoding") == 0) {
        rc = set_choice(key, value, ENCODINGS, &choice, err);
        s->encoding = rc == 0 ? (enum spec_encoding)choice : s->encoding;
    } else if (strcmp(key, "chunked") == 0) {
        s->chunked = strcmp(value, "0") != 0;
    } else if (strcmp(key, "authorization") == 0) {
        snprintf(s->authorization, sizeof(s->authorization), "%s", value);
    } else if (strcmp(key, "fault") == 0) {
        rc = set_fault_key(s, value, err);
    } else {
        rc = set_fault(s, key, value, &known, err);
    }
    return rc;
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c != '\0' ? strchr(digits, c | 0x20) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

static void decode(struct view v, char out[SPEC_TEXT_MAX])
{
    size_t len = 0;
    for (size_t i = 0; i < v.len && len < SPEC_TEXT_MAX - 1; i++) {
        char c = v.base[i];
        if (c == '%' && i + 2 < v.len && hex_digit(v.base[i + 1]) >= 0 && hex_digit(v.base[i + 2]) >= 0) {
            c = (char)(hex_digit(v.base[i + 1]) * 16 + hex_digit(v.base[i + 2]));
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        out[len++] = c;
    }
    out[len] = '\0';
}

int spec_parse_query(struct spec *s, struct view query, char ret_target[SPEC_TEXT_MAX], struct errctx *err)
{
    while (query.len > 0) {
        char key[SPEC_TEXT_MAX], value[SPEC_TEXT_MAX];
        const char *amp = memchr(query.base, '&', query.len);
        struct view pair = view_make(query.base, amp != NULL ? (size_t)(amp - query.base) : query.len);
        query.base += pair.len + (amp != NULL);
        query.len -= pair.len + (amp != NULL);
        const char *eq = memchr(pair.base, '=', pair.len);
        size_t key_len = eq != NULL ? (size_t)(eq - pair.base) : pair.len;
        decode(view_make(pair.base, key_len), key);
        decode(eq != NULL ? view_make(eq + 1, pair.len - key_len - 1) : VIEW(""), value);
        if (strcmp(key, "target") == 0 && ret_target != NULL) {
            snprintf(ret_target, SPEC_TEXT_MAX, "%s", value);
        } else if (spec_set(s, key, value, err) != 0) {
            return ERR_INVALID;
        }
    }
    return 0;
}

static bool contains(struct view v, const char *word)
{
    return v.len != 0 && memmem(v.base, v.len, word, strlen(word)) != NULL;
}

void spec_negotiate(struct spec *s, struct view accept, struct view accept_encoding)
{
    if (s->format == SPEC_FORMAT_AUTO) {
        s->format = contains(accept, "application/vnd.google.protobuf") ? SPEC_FORMAT_PROTOBUF
                    : contains(accept, "application/openmetrics-text")  ? SPEC_FORMAT_OPENMETRICS
                                                                        : SPEC_FORMAT_TEXT;
    }
    if (s->encoding == SPEC_ENCODING_AUTO) {
        s->encoding = contains(accept_encoding, "zstd")   ? SPEC_ENCODING_ZSTD
                      : contains(accept_encoding, "gzip") ? SPEC_ENCODING_GZIP
                                                          : SPEC_ENCODING_IDENTITY;
    }
}
