/* kvass render --querier: from given URLs, or from a running kvass, once or for as long as it runs. */
#ifndef KVASS_CLI_RENDER_QUERIER_H
#define KVASS_CLI_RENDER_QUERIER_H

#include <stdbool.h>

struct querier_arguments {
    const char *server;     /* API of a running kvass */
    const char *output;     /* file to keep current; NULL = stdout */
    const char *reload_url; /* POSTed after a change; NULL = nobody */
    bool watch;
};

/* Exit status. With watch it returns only when the file cannot be written; a server that is away is tried again. */
int render_querier_from_server(const struct querier_arguments *a);

#endif
