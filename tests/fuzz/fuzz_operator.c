/* Any bytes as the spec of an operator resource: the first byte says of which kind and how. Either nothing is written
 * and the error says why, or a JSON document with scrape_configs, each with a name. */
#include "base/invariant.h"
#include "k8s/operator_job.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_ref(void *data, const struct operator_ref *ref, struct view *ret, struct errctx *err)
{
    (void)data;
    invariant(ref->name[0] != '\0' && ref->key[0] != '\0');
    switch (ref->key[0]) {
    case 'a':
        return errctx_set(err, ERR_NOT_FOUND, "no such key");
    case 'b':
        return ERR_AGAIN;
    case 'c':
        *ret = VIEW("\xff\x00binary");
        return 0;
    default:
        *ret = VIEW("value");
        return 0;
    }
}

static void check(const struct bytes *text)
{
    size_t i;
    const json_t *job;
    json_t *tree = json_loadb(text->base, text->len, 0, NULL);
    const json_t *jobs = json_object_get(tree, "scrape_configs");
    invariant(json_is_array(jobs));
    json_array_foreach(jobs, i, job)
    {
        invariant(json_string_length(json_object_get(job, "job_name")) > 4);
    }
    json_decref(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum prometheus_major MAJORS[] = {PROMETHEUS_2, PROMETHEUS_2_53, PROMETHEUS_3, PROMETHEUS_3_8};
    unsigned how = size != 0 ? data[0] : 0;
    char warning[OPERATOR_WARNING_MAX];
    struct errctx err = ERRCTX_INIT;
    struct bytes text;
    json_t *spec = size > 1 ? json_loadb((const char *)data + 1, size - 1, JSON_DECODE_ANY, NULL) : NULL;
    const struct operator_job_conf conf = {
        .major = MAJORS[how >> 2 & 3],
        .kubeconfig = (how & 0x10) != 0 ? "/kubeconfig" : "",
        .no_files = (how & 0x20) != 0,
        .read = (how & 0x40) != 0 ? NULL : read_ref,
    };
    const struct operator_object o = {(enum operator_resource)(how & 3), "ns", "name", spec};
    bytes_init(&text, (size_t)2 << 20);
    int rc = operator_job_write(&o, &conf, &text, warning, &err);
    invariant(rc == err.code && strlen(warning) < sizeof(warning));
    if (rc != 0) {
        invariant(text.len == 0 && err.msg[0] != '\0');
    } else {
        check(&text);
    }
    bytes_done(&text);
    json_decref(spec);
    return 0;
}
