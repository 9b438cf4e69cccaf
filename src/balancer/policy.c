/* Operators' words about jobs and zones: see policy.h. Parsed once at the start, looked up for every target of every
 * round: a job is compared by its interned pointer. */
#include "balancer/policy.h"
#include "base/intern.h"

#include <errno.h>

static int read_want(const char *item, const char *text, uint32_t *ret, struct errctx *err)
{
    char *end = NULL;
    if (strcmp(text, "every") == 0) {
        *ret = PLAN_EVERY_GROUP;
        return 0;
    }
    errno = 0;
    unsigned long n = text[0] >= '1' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;
    if (n == 0 || *end != '\0' || errno != 0 || n > PLAN_REPLICAS_MAX) {
        return errctx_set(err, ERR_INVALID, "'%.100s': expected JOB=N with N from 1 to %d, or JOB=every", item,
                          PLAN_REPLICAS_MAX);
    }
    *ret = (uint32_t)n;
    return 0;
}

static int add_item(struct policy *p, const char *item, struct errctx *err)
{
    const char *equals = strrchr(item, '=');
    uint32_t want = 0;
    if (equals == NULL || equals == item) {
        return errctx_set(err, ERR_INVALID, "'%.100s': expected JOB=N or JOB=every", item);
    }
    int rc = read_want(item, equals + 1, &want, err);
    if (rc != 0) {
        return rc;
    }
    char *name = mem_dup(item, (size_t)(equals - item));
    const char *job = intern(name);
    free(name);
    vec_foreach(j, &p->jobs) {
        if (j->job == job) {
            return errctx_set(err, ERR_INVALID, "'%.100s': the job is named twice", item);
        }
    }
    *vec_push(&p->jobs) = (struct policy_job){job, want};
    return 0;
}

int policy_init(struct policy *p, const char *const *items, size_t count, const char *zone_label, struct errctx *err)
{
    *p = (struct policy){.zone_label = zone_label[0] != '\0' ? mem_strdup(zone_label) : NULL};
    if (count > POLICY_JOBS_MAX) {
        return errctx_set(err, ERR_LIMIT, "%zu jobs; at most %d are accepted", count, POLICY_JOBS_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        int rc = add_item(p, items[i], err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

void policy_done(struct policy *p)
{
    vec_done(&p->jobs);
    MEM_FREE(p->zone_label);
}

uint32_t policy_want(const struct policy *p, const char *job_interned)
{
    if (p != NULL) {
        vec_foreach(j, &p->jobs) {
            if (j->job == job_interned) {
                return j->want;
            }
        }
    }
    return 1;
}

struct view policy_zone(const struct policy *p, const struct labels *labels, const struct labels *discovered)
{
    struct view zone = {NULL, 0};
    if (p == NULL || p->zone_label == NULL) {
        return zone;
    }
    zone = labels_get(labels, view_of(p->zone_label));
    if (zone.len == 0 && discovered != NULL) {
        zone = labels_get(discovered, view_of(p->zone_label));
    }
    return zone;
}
