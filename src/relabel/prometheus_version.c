/* From the words of --version to the behaviour. Only what tests compare with real servers is told apart; a version
 * between two of those counts as the older one. */
#include "relabel/prometheus_version.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MINOR_2_LATE 50
#define MINOR_3_LATE 8

int prometheus_version_parse(const char *text, enum prometheus_major *ret, struct errctx *err)
{
    bool is_known = (text[0] == '2' || text[0] == '3') && (text[1] == '\0' || text[1] == '.');
    const char *minor = is_known && text[1] == '.' ? text + 2 : "0";
    if (!is_known || (strcmp(minor, "x") != 0 && (minor[0] < '0' || minor[0] > '9'))) {
        return errctx_set(err, ERR_INVALID, "Prometheus version \"%s\": expected 2.x, 3.x or one such as 2.42.0", text);
    }
    bool is_late = strtol(minor, NULL, 10) >= (text[0] == '2' ? MINOR_2_LATE : MINOR_3_LATE);
    if (text[0] == '2') {
        *ret = is_late ? PROMETHEUS_2_53 : PROMETHEUS_2;
    } else {
        *ret = is_late || minor[0] == 'x' || text[1] == '\0' ? PROMETHEUS_3_8 : PROMETHEUS_3;
    }
    return 0;
}

enum prometheus_major prometheus_version_or(const char *text, enum prometheus_major otherwise)
{
    enum prometheus_major found;
    return prometheus_version_parse(text, &found, NULL) == 0 ? found : otherwise;
}
