/* Any bytes as a prometheus.yml, by the rules of both majors. What is accepted can be rendered, and
 * the rendered file is accepted again, with the same jobs and none of the user's discovery left.
 * Inputs that read other files are left out. */
#include "base/intern.h"
#include "base/invariant.h"
#include "configgen/render.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rendered(const struct promconf *conf, struct view text)
{
    struct promconf_options opts = {.major = conf->major};
    struct promconf *again = NULL;
    struct errctx err = ERRCTX_INIT;
    invariant(promconf_parse("/f/rendered.yml", text, &opts, &again, &err) == 0);
    invariant(again->job_count == conf->job_count);
    for (size_t i = 0; i < again->job_count; i++) {
        const struct job_conf *j = &again->jobs[i];
        invariant(j->name == conf->jobs[i].name);
        invariant(!j->http.has_basic_auth && !j->http.has_authorization && j->http.oauth2 == NULL);
        invariant(j->sd_count <= 1 &&
                  (j->sd_count == 0 || strcmp(j->sd[0].key, "static_configs") == 0));
        invariant(j->interval_ms == conf->jobs[i].interval_ms &&
                  j->timeout_ms == conf->jobs[i].timeout_ms);
    }
    promconf_unref(again);
}

static void run(struct view text, enum prometheus_major major)
{
    struct promconf_options opts = {
        .major = major, .kubernetes_url = "https://k", .kubernetes_sa_path = "/sa"};
    struct promconf *conf = NULL;
    struct errctx err = ERRCTX_INIT;
    if (promconf_parse("/f/in.yml", text, &opts, &conf, &err) != 0) {
        invariant(err.msg[0] != '\0');
        return;
    }
    struct bytes out;
    struct render_options render = {
        .proxy_url = "http://p:1", .form = TARGET_FORM_STATIC, .shard_id = "s-0"};
    struct label labels[] = {
        {VIEW("__address__"), VIEW("h")}, {VIEW("1"), VIEW("x")}, {VIEW("job"), VIEW("j")}};
    struct assignment item = {.state = ASSIGNMENT_ASSIGNED};
    if (conf->job_count > 0) {
        item.target =
            target_new_with_hash(conf->jobs[0].name, 1, labels_make(labels, 3), "http://h/", 1, 1);
    }
    bytes_init(&out, (size_t)64 << 20);
    int rc = render_config(conf, &render, &item, item.target != NULL, &out, &err);
    invariant(rc == 0 || rc == ERR_LIMIT);
    if (rc == 0) {
        check_rendered(conf, bytes_view(&out));
    }
    bytes_clear(&out);
    rc = promconf_write_redacted(conf, &out, &err);
    invariant(rc == 0 || rc == ERR_LIMIT);
    bytes_done(&out);
    target_unref(item.target);
    promconf_unref(conf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view text = view_make((const char *)data, size);
    if (memmem(data, size, "config_files", 12) != NULL) {
        return 0;
    }
    run(text, PROMETHEUS_2);
    run(text, PROMETHEUS_3);
    return 0;
}
