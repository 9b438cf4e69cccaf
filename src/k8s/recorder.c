/* Events: see recorder.h. The core v1 form, which every server takes. */
#include "k8s/recorder.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/timebase.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_BYTES_MAX 1024
#define NAME_BYTES_MAX    230 /* with the time behind it within the 253 of a name */

static const struct logctx LOG = {NULL, "component", "k8s"};

/* Of the control loop, as all calls are. */
static unsigned in_flight;

static void on_posted(void *data, const struct k8s_answer *a)
{
    (void)data;
    in_flight--;
    if (a->err.code != 0) {
        metric_add(METRIC_K8S_EVENTS_LOST, 1);
        log_debug(&LOG, "event", "error", a->err.msg);
    }
}

static json_t *event_object(const struct recorder_event *e, const char *instance)
{
    char name[280], now[TIMEBASE_TEXT_MAX], message[MESSAGE_BYTES_MAX + 1];
    int64_t us = timebase_realtime_ms() * 1000 + timebase_monotonic_us() % 1000;
    snprintf(name, sizeof(name), "%.*s.%016llx", NAME_BYTES_MAX, e->name, (unsigned long long)us * 1000);
    timebase_format(timebase_realtime_ms(), now);
    /* Seconds only: the field knows no fraction. */
    snprintf(now + strcspn(now, ".Z"), 2, "Z");
    size_t len = strlen(e->message);
    len = len > MESSAGE_BYTES_MAX ? MESSAGE_BYTES_MAX : len;
    while (len > 0 && e->message[len] != '\0' && ((unsigned char)e->message[len] & 0xC0) == 0x80) {
        len--; /* never in the middle of a character */
    }
    memcpy(message, e->message, len);
    message[len] = '\0';
    return json_pack("{s:s,s:s,s:{s:s,s:s},s:{s:s,s:s,s:s,s:s,s:s},s:s,s:s,s:s,s:{s:s},s:s,s:s,s:i,s:s,s:s}",
                     "apiVersion", "v1", "kind", "Event", "metadata", "name", name, "namespace", e->namespace,
                     "involvedObject", "apiVersion", e->api_version, "kind", e->kind, "namespace", e->namespace, "name",
                     e->name, "uid", e->uid, "reason", e->reason, "message", message, "type",
                     e->warning ? "Warning" : "Normal", "source", "component", "kvass", "firstTimestamp", now,
                     "lastTimestamp", now, "count", 1, "reportingComponent", "kvass", "reportingInstance", instance);
}

void recorder_post(struct k8s_client *client, const struct recorder_event *e, const char *instance)
{
    json_t *object = in_flight < RECORDER_IN_FLIGHT_MAX ? event_object(e, instance) : NULL;
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL; /* no UTF-8: not an event */
    if (text == NULL) {
        json_decref(object);
        metric_add(METRIC_K8S_EVENTS_LOST, 1);
        return;
    }
    const struct k8s_request req = {
        .verb = K8S_CREATE, .resource = &K8S_EVENTS, .namespace = e->namespace, .body = view_of(text)};
    in_flight++;
    (void)k8s_call_send(client, &req, on_posted, NULL);
    free(text);
    json_decref(object);
}
