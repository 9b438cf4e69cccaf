/* For the tests of the scrape path: a proxy on real sockets between a scripted target and a scripted Prometheus. The
 * test's thread is the control thread. */
#ifndef KVASS_TESTS_PROXY_TEST_H
#define KVASS_TESTS_PROXY_TEST_H

#include "../net/net_test.h"
#include "../net/raw_server.h"
#include "proxy/proxy.h"

struct rig {
    struct raw_server upstream;
    struct loop *control;
    struct proxy *proxy;
    struct proxy_conf conf; /* set before rig_start */
    struct promconf *promconf;
    struct target *target;
    char *url; /* of the target; set before rig_start for another than the upstream's */
    unsigned port;
    struct scrape_record last;
    unsigned records;
};

/* One job "j" with `yaml` (flow style, "" = nothing) among its keys, one target, assigned to shard-0. The upstream runs
 * already when its port is not 0. */
void rig_start(struct rig *r, const char *yaml, raw_handler_fn *handler, void *data);
void rig_stop(struct rig *r);

struct proxy_table *rig_table(struct rig *r); /* a new one like the one in use */
char *rig_request(const struct rig *r, const char *method, const char *version, const char *headers); /* free() */
void rig_get(struct rig *r, const char *headers, struct reply *ret); /* on a connection of its own */

/* Runs the control loop until `count` records have come in all; false after fifteen seconds. */
bool rig_wait_records(struct rig *r, unsigned count);
void rig_pump(struct rig *r, int64_t ms);

/* Resident memory in kB. */
size_t resident_kb(void);

struct bytes gzip_of(struct view text);
struct bytes zstd_of(struct view text, int window_log);

#endif
