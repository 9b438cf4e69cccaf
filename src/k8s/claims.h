/* Deletion of the volume claims that a scale-down left behind: only of ordinals that this process removed, only once
 * their pod is gone, and with the claim's uid as precondition, so that a claim made anew is safe. */
#ifndef KVASS_K8S_CLAIMS_H
#define KVASS_K8S_CLAIMS_H

#include "k8s/client.h"
#include "k8s/replica.h"

struct claims_sweep;

/* The names are taken from r (copied). */
struct claims_sweep *claims_sweep_new(struct k8s_client *client, const char *namespace, const struct replica *r);
void claims_sweep_free(struct claims_sweep **s); /* NULL inside is fine; what is under way is given up */

void claims_sweep_extend(struct claims_sweep *s, unsigned first, unsigned end); /* ordinals first..end-1 were removed */
void claims_sweep_spare(struct claims_sweep *s, unsigned end);                  /* ordinals below end exist again */

/* A step: lists the claims and deletes those of removed ordinals that have no pod in pods. Called now and then until it
 * is done. */
void claims_sweep_run(struct claims_sweep *s, const struct replica_pod *const *pods, size_t pod_count);
bool claims_sweep_is_done(const struct claims_sweep *s); /* a listing showed that none is left */

#endif
