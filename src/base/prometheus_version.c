/* From the words of --version to the behaviour. Only what tests compare with real servers is told apart; a version
 * between two of those counts as the older one. */
#include "base/prometheus_version.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MINOR_2_LATE 50
#define MINOR_3_LATE 8

static size_t count_digits(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits <= 6 ? digits : 0;
}

/* What may stand behind major and minor: a patch level, and what distributors and release candidates add. */
static bool is_rest(const char *text)
{
    if (text[0] == '.') {
        size_t digits = count_digits(text + 1);
        text += digits == 0 ? 0 : 1 + digits;
    }
    if (text[0] != '\0' && strchr("+-~", text[0]) == NULL) {
        return false;
    }
    return text[0] == '\0' ||
           (text[1] != '\0' && text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                 "0123456789.+~-")] == '\0');
}

/* The minor version, -1 for "x" and for none; false when text is none. */
static bool read_minor(const char *text, long *ret)
{
    size_t digits = count_digits(text[0] == '.' ? text + 1 : "");
    *ret = -1;
    if (text[0] == '\0' || strcmp(text, ".x") == 0) {
        return true;
    }
    if (digits == 0 || !is_rest(text + 1 + digits)) {
        return false;
    }
    *ret = strtol(text + 1, NULL, 10);
    return true;
}

int prometheus_version_parse(const char *text, enum prometheus_major *ret, struct errctx *err)
{
    long minor = -1;
    bool is_known =
        (text[0] == '2' || text[0] == '3') && strnlen(text, PROMETHEUS_VERSION_MAX) < PROMETHEUS_VERSION_MAX;
    if (!is_known || !read_minor(text + 1, &minor)) {
        return errctx_set(err, ERR_INVALID, "Prometheus version \"%.64s\": expected 2.x, 3.x or one such as 2.42.0",
                          text);
    }
    if (text[0] == '2') {
        *ret = minor >= MINOR_2_LATE ? PROMETHEUS_2_53 : PROMETHEUS_2;
    } else {
        *ret = minor >= MINOR_3_LATE || minor < 0 ? PROMETHEUS_3_8 : PROMETHEUS_3;
    }
    return 0;
}

enum prometheus_major prometheus_version_or(const char *text, enum prometheus_major otherwise)
{
    enum prometheus_major found;
    return prometheus_version_parse(text, &found, NULL) == 0 ? found : otherwise;
}

const char *prometheus_major_name(enum prometheus_major major)
{
    switch (major) {
    case PROMETHEUS_2:
        return "2.42";
    case PROMETHEUS_2_53:
        return "2.53";
    case PROMETHEUS_3:
        return "3.5";
    case PROMETHEUS_3_8:
        return "3.8";
    }
    return "2.42";
}
