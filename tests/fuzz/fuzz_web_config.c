/* Any bytes as a web configuration file: it is read whole or refused with a reason, and what is read holds what it
 * promises. */
#include "net/web_config.h"

#include "base/invariant.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct web_config *c)
{
    invariant((c->cert_file == NULL) == (c->key_file == NULL));
    invariant(c->cert_file == NULL || c->cert_file[0] == '/');
    invariant(c->client_ca_file == NULL || c->client_auth != WEB_CLIENT_AUTH_NONE);
    for (size_t i = 0; i < c->user_count; i++) {
        invariant(c->users[i].hash.len >= 59 && c->users[i].hash.base[0] == '$');
    }
    for (size_t i = 0; i < c->header_count; i++) {
        invariant(strpbrk(c->headers[i].value, "\r\n") == NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct web_config *c = NULL;
    struct errctx err = ERRCTX_INIT;
    int rc = web_config_parse(view_make((const char *)data, size), "/folder", &c, &err);
    invariant((rc == 0) == (c != NULL) && (rc == 0) == (err.code == 0));
    if (rc == 0) {
        check(c);
    }
    web_config_free(&c);
    return 0;
}
