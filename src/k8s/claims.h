/* Deletion of the volume claims that a scale-down left behind: only of ordinals that this process removed, only while
 * the owner says so for each of them, and with the claim's uid as precondition, so that a claim made anew is safe. */
#ifndef KVASS_K8S_CLAIMS_H
#define KVASS_K8S_CLAIMS_H

#include "k8s/client.h"
#include "k8s/replica.h"

struct claims_sweep;

/* The names are taken from r (copied). may_delete is asked before each deletion: whether the pod of that ordinal is
 * gone, its set does not want it back, and we may act. */
struct claims_sweep *claims_sweep_new(struct k8s_client *client, const char *namespace, const struct replica *r,
                                      bool (*may_delete)(void *data, unsigned ordinal), void *data);
void claims_sweep_free(struct claims_sweep **s); /* NULL inside is fine; what is under way is given up */

void claims_sweep_extend(struct claims_sweep *s, unsigned first, unsigned end); /* ordinals first..end-1 were removed */
void claims_sweep_spare(struct claims_sweep *s,
                        unsigned end); /* ordinals below end exist again: theirs stay for good */

/* A step: lists the claims and deletes those of removed ordinals that may go. Called now and then until it is done. */
void claims_sweep_run(struct claims_sweep *s);
bool claims_sweep_is_done(const struct claims_sweep *s); /* a listing showed that none is left */

#endif
