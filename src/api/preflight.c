/* What a role would refuse at its start: see preflight.h. A table of files and a few checks of the rooms that own the
 * meaning. Nothing is created, bound or called; a file that a role waits for, such as a sidecar's configuration, is
 * none of these. */
#include "api/preflight.h"
#include "balancer/policy.h"
#include "net/web_config.h"
#include "shard/http_config.h"
#include "shard/process_child.h"
#include "shard/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <unistd.h>

static int check_readable(const char *option, const char *path, struct errctx *err)
{
    if (path[0] == '\0') {
        return 0;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        int rc = errctx_set_errno(err, errno, "open(%s)", path);
        return errctx_prefix(err, rc, "%s", option);
    }
    close(fd);
    return 0;
}

static int check_files(const struct options *o, struct errctx *err)
{
    bool coordinates = o->role == ROLE_COORDINATOR;
    const struct {
        const char *option, *path;
        bool needed;
    } files[] = {
        {"config.file", o->config_file, o->role != ROLE_SIDECAR},
        {"web.config.file", o->web_config_file, true},
        {"web.token-file", o->web_token_file, true},
        {"shard.static-file", o->shard_static_file, coordinates && o->shard_type == SHARD_TYPE_STATIC},
        {"shard.http-config-file", o->shard_http_config_file, coordinates},
        {"kubeconfig", o->kubeconfig, o->role != ROLE_SIDECAR && o->shard_type == SHARD_TYPE_K8S},
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && rc == 0; i++) {
        rc = files[i].needed ? check_readable(files[i].option, files[i].path, err) : 0;
    }
    return rc;
}

static int check_web_config(const struct options *o, struct errctx *err)
{
    struct web_config *web = NULL;
    SSL_CTX *tls = NULL;
    if (o->web_config_file[0] == '\0') {
        return 0;
    }
    int rc = web_config_load(o->web_config_file, &web, &tls, err);
    if (rc != 0) {
        return errctx_prefix(err, rc, "web.config.file");
    }
    web_config_free(&web);
    SSL_CTX_free(tls);
    return 0;
}

static int check_calls(const struct options *o, struct errctx *err)
{
    struct http_profile *profile = NULL;
    if (o->role != ROLE_COORDINATOR || o->shard_http_config_file[0] == '\0') {
        return 0;
    }
    int rc = http_config_load(o->shard_http_config_file, &profile, err);
    http_profile_free(&profile);
    return rc != 0 ? errctx_prefix(err, rc, "shard.http-config-file") : 0;
}

static int check_policy(const struct options *o, struct errctx *err)
{
    struct policy policy;
    if (o->role == ROLE_SIDECAR) {
        return 0;
    }
    int rc = policy_init(&policy, o->replica_jobs.items, o->replica_jobs.len, o->balance_zone_label, err);
    policy_done(&policy);
    return rc != 0 ? errctx_prefix(err, rc, "replica.jobs") : 0;
}

static int check_provider(const struct options *o, struct errctx *err)
{
    char *path = NULL;
    if (o->role != ROLE_APPLIANCE || o->shard_type == SHARD_TYPE_K8S) {
        return 0;
    }
    if (o->shard_server == SHARD_SERVER_VMAGENT) {
        return errctx_set(err, ERR_INVALID,
                          "shard.server: vmagent is not started by kvass; put kvass sidecar beside it");
    }
    if (o->shard_server == SHARD_SERVER_AGENT && o->shard_type == SHARD_TYPE_SYSTEMD) {
        return errctx_set(err, ERR_INVALID,
                          "shard.server: agents need shard.type=process, or kvass sidecar beside them");
    }
    if (o->shard_type == SHARD_TYPE_SYSTEMD) {
        const struct systemd_conf conf = {.data_dir = o->store_path,
                                          .unit = o->shard_systemd_unit,
                                          .base_port = (unsigned)o->shard_prometheus_port,
                                          .groups_max = (unsigned)o->shard_max_shard};
        return systemd_conf_check(&conf, err);
    }
    int rc = process_child_find_binary(o->shard_prometheus_binary, &path, err);
    free(path);
    return rc != 0 ? errctx_prefix(err, rc, "shard.prometheus-binary") : 0;
}

int preflight_check(const struct options *o, struct errctx *err)
{
    if (o->store_group[0] != '\0' && getgrnam(o->store_group) == NULL) {
        return errctx_set(err, ERR_NOT_FOUND, "store.group: no group is called \"%s\"", o->store_group);
    }
    int rc = check_files(o, err);
    rc = rc == 0 ? check_web_config(o, err) : rc;
    rc = rc == 0 ? check_calls(o, err) : rc;
    rc = rc == 0 ? check_policy(o, err) : rc;
    return rc == 0 ? check_provider(o, err) : rc;
}
