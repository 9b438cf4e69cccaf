/* Kubernetes Events: what kvass did to an object and why, for those who read `kubectl describe`. Best effort: nothing
 * waits for one, nothing fails for want of one. */
#ifndef KVASS_K8S_RECORDER_H
#define KVASS_K8S_RECORDER_H

#include "k8s/client.h"

struct recorder_event {
    const char *api_version, *kind; /* of the object it is about: "apps/v1", "StatefulSet" */
    const char *namespace, *name, *uid;
    bool warning;
    const char *reason;  /* one word in capitals: "ScaledUp" */
    const char *message; /* cut at 1,024 bytes */
};

/* Posts it; more than RECORDER_IN_FLIGHT_MAX at a time, or a server that refuses, costs the event and is counted.
 * instance: who reports, the pod's name. */
#define RECORDER_IN_FLIGHT_MAX 8
void recorder_post(struct k8s_client *client, const struct recorder_event *e, const char *instance);

#endif
