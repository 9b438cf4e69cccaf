/* Keeps a querier's configuration current: see render_querier.h. The file is replaced atomically and only when it
 * changed; a reload that failed is tried again at the next look. */
#include "cli/render_querier.h"
#include "base/files.h"
#include "base/mem.h"
#include "cli/fetch.h"
#include "net/curl_loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOOK_EVERY_S 5
#define FILE_MODE    0640

static int fetch_config(const struct querier_arguments *a, struct bytes *ret, struct errctx *err)
{
    char *url = mem_printf("%s/api/v1/querier/config", a->server);
    int rc = fetch(NULL, url, getenv("KVASS_TOKEN"), ret, err);
    free(url);
    return rc;
}

static int post_reload(const char *url, struct errctx *err)
{
    struct bytes body;
    int rc = fetch("POST", url, NULL, &body, err);
    bytes_done(&body);
    return rc;
}

/* ERR_UNAVAILABLE and its like may pass; *pending says that a reload is still owed. */
static int refresh(const struct querier_arguments *a, bool *pending, struct errctx *err)
{
    struct bytes config;
    bool changed = false;
    int rc = fetch_config(a, &config, err);
    if (rc == 0 && a->output == NULL) {
        fputs(bytes_view(&config).base, stdout);
    } else if (rc == 0) {
        rc = files_write_if_changed(a->output, bytes_view(&config), FILE_MODE, (gid_t)-1, &changed, err);
    }
    bytes_done(&config);
    *pending = *pending || changed;
    if (rc == 0 && *pending && a->reload_url != NULL) {
        rc = post_reload(a->reload_url, err);
        *pending = rc != 0;
    }
    return rc;
}

int render_querier_from_server(const struct querier_arguments *a)
{
    bool pending = false;
    int rc;
    curl_net_init();
    do {
        struct errctx err = ERRCTX_INIT;
        rc = refresh(a, &pending, &err);
        if (rc != 0) {
            fprintf(stderr, "kvass render: %s\n", err.msg);
        }
        if (rc == ERR_IO || rc == ERR_NOT_FOUND) {
            break;
        }
        if (a->watch) {
            usleep(LOOK_EVERY_S * 1000000);
        }
    } while (a->watch);
    return rc == 0 ? 0 : 1;
}
