#include "api/config_diff.h"
#include "base/mem.h"

#include <stdlib.h>

#define NAMED_MAX 20

struct diff {
    struct bytes text;
    size_t changes;
};

static void note(struct diff *d, const char *what, const char *job)
{
    if (d->changes++ < NAMED_MAX) {
        bytes_printf(&d->text, "%s%s%s%s%s", d->text.len > 0 ? "; " : "", what, job != NULL ? " job '" : "",
                     job != NULL ? job : "", job != NULL ? "'" : "");
    }
}

static void compare_jobs(struct diff *d, const struct promconf *old, const struct promconf *new_conf)
{
    for (size_t i = 0; old != NULL && i < old->job_count; i++) {
        if (promconf_job(new_conf, old->jobs[i].name) == NULL) {
            note(d, "removed", old->jobs[i].name);
        }
    }
    for (size_t i = 0; i < new_conf->job_count; i++) {
        const struct job_conf *job = &new_conf->jobs[i];
        const struct job_conf *was = old != NULL ? promconf_job(old, job->name) : NULL;
        if (was == NULL) {
            note(d, "added", job->name);
        } else if (was->text_hash != job->text_hash) {
            note(d, "changed", job->name);
        }
    }
}

char *config_diff(const struct promconf *old, const struct promconf *new_conf)
{
    struct diff d = {0};
    bytes_init(&d.text, 65536);
    compare_jobs(&d, old, new_conf);
    if (d.changes > NAMED_MAX) {
        bytes_printf(&d.text, "; and %zu more", d.changes - NAMED_MAX);
    } else if (d.changes == 0 && old != NULL && strcmp(old->hash, new_conf->hash) != 0) {
        note(&d, "changed outside the jobs", NULL);
    } else if (d.changes == 0) {
        note(&d, "no change", NULL);
    }
    return bytes_take(&d.text, NULL);
}
