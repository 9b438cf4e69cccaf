/* sd-bus on our loop: see systemd_bus.h. The manager is asked and never believed to stay as it was: each answer is a
 * whole listing, and a signal (a job has ended) only says that it is time to ask again. So nothing is missed when the
 * bus or the manager restarts; a connection that fails is dropped and opened again after a pause.
 *
 * It must never block: no synchronous call of sd-bus is used here. */
#include "shard/systemd_bus.h"
#include "base/mem.h"
#include "base/timebase.h"

#include <fnmatch.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#define SYSTEMD         "org.freedesktop.systemd1"
#define MANAGER_PATH    "/org/freedesktop/systemd1"
#define MANAGER         SYSTEMD ".Manager"
#define RECONNECT_MS    2000
#define CALL_TIMEOUT_US 10000000
#define CALLS_MAX       64 /* under way at a time; further ones wait for the next listing */

struct systemd_bus {
    struct loop *loop;
    struct systemd_bus_events events;
    char *pattern;
    sd_bus *bus; /* NULL between two attempts */
    uv_poll_t *poll;
    struct loop_timer *timer; /* sd-bus' own deadlines, or the next attempt */
    bool listing;
    unsigned calls;
    struct systemd_unit *units;
};

/* What a call under way is about; freed with its slot. */
struct call {
    struct systemd_bus *owner;
    char unit[128];
};

static void arm(struct systemd_bus *b);

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle);
}

static void disconnect(struct systemd_bus *b)
{
    if (b->poll != NULL) {
        uv_close((uv_handle_t *)b->poll, on_poll_closed);
        b->poll = NULL;
    }
    sd_bus_close_unref(b->bus);
    b->bus = NULL;
    b->listing = false;
    b->calls = 0;
}

static void lose(struct systemd_bus *b, const char *why)
{
    char text[200];
    snprintf(text, sizeof(text), "D-Bus: %s: are dbus and systemd running?", why);
    disconnect(b);
    loop_timer_start(b->timer, RECONNECT_MS, 0);
    b->events.on_error(b->events.data, "", text);
}

static void process(struct systemd_bus *b)
{
    int rc = 1;
    while (b->bus != NULL && rc > 0) {
        rc = sd_bus_process(b->bus, NULL);
    }
    if (rc < 0 && b->bus != NULL) {
        lose(b, strerror(-rc));
    }
    arm(b);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    process(poll->data);
}

/* Interest in the socket and the next deadline change with every call. */
static void arm(struct systemd_bus *b)
{
    uint64_t deadline_us = UINT64_MAX;
    if (b->bus == NULL) {
        return;
    }
    int events = sd_bus_get_events(b->bus);
    if (events < 0 || sd_bus_get_timeout(b->bus, &deadline_us) < 0) {
        lose(b, "connection lost");
        return;
    }
    uv_poll_start(b->poll, ((events & POLLIN) != 0 ? UV_READABLE : 0) | ((events & POLLOUT) != 0 ? UV_WRITABLE : 0),
                  on_poll);
    if (deadline_us == UINT64_MAX) {
        loop_timer_stop(b->timer);
        return;
    }
    int64_t now_us = timebase_monotonic_us();
    int64_t wait_us = deadline_us > (uint64_t)now_us ? (int64_t)(deadline_us - (uint64_t)now_us) : 0;
    loop_timer_start(b->timer, wait_us / 1000 + 1, 0);
}

/* ---------------------------------------------------------------- listing */

static void take_state(struct systemd_unit *u, const char *name, const char *load, const char *active)
{
    snprintf(u->name, sizeof(u->name), "%s", name);
    u->not_found = strcmp(load, "not-found") == 0;
    u->failed = strcmp(active, "failed") == 0;
    u->state = strcmp(active, "active") == 0 || strcmp(active, "reloading") == 0 ? SYSTEMD_UNIT_ACTIVE
               : strcmp(active, "activating") == 0                               ? SYSTEMD_UNIT_STARTING
               : strcmp(active, "deactivating") == 0                             ? SYSTEMD_UNIT_STOPPING
                                                                                 : SYSTEMD_UNIT_INACTIVE;
}

static int read_units(struct systemd_bus *b, sd_bus_message *m, size_t *ret_count)
{
    const char *name, *load, *active;
    size_t count = 0;
    int rc = sd_bus_message_enter_container(m, 'a', "(ssssssouso)");
    while (rc >= 0 && count < SYSTEMD_UNITS_MAX &&
           (rc = sd_bus_message_read(m, "(ssssssouso)", &name, NULL, &load, &active, NULL, NULL, NULL, NULL, NULL,
                                     NULL)) > 0) {
        take_state(&b->units[count++], name, load, active);
    }
    *ret_count = count;
    return rc;
}

static int on_listing(sd_bus_message *m, void *data, sd_bus_error *ret_error)
{
    struct systemd_bus *b = data;
    size_t count = 0;
    (void)ret_error;
    b->listing = false;
    if (sd_bus_message_is_method_error(m, NULL)) {
        b->events.on_error(b->events.data, "", sd_bus_message_get_error(m)->message);
    } else if (read_units(b, m, &count) < 0) {
        b->events.on_error(b->events.data, "", "the manager's list of units cannot be read");
    } else {
        b->events.on_units(b->events.data, b->units, count);
    }
    return 0;
}

void systemd_bus_list(struct systemd_bus *b)
{
    if (b->bus == NULL || b->listing) {
        return;
    }
    int rc = sd_bus_call_method_async(b->bus, NULL, SYSTEMD, MANAGER_PATH, MANAGER, "ListUnitsByPatterns", on_listing,
                                      b, "asas", 0, 1, b->pattern);
    if (rc < 0) {
        lose(b, strerror(-rc));
        return;
    }
    b->listing = true;
    arm(b);
}

/* ---------------------------------------------------------------- calls about one unit */

static void call_free(void *data)
{
    struct call *c = data;
    c->owner->calls -= c->owner->calls > 0;
    free(c);
}

static struct call *call_new(struct systemd_bus *b, const char *unit)
{
    struct call *c = mem_calloc(1, sizeof(*c));
    c->owner = b;
    snprintf(c->unit, sizeof(c->unit), "%s", unit);
    b->calls++;
    return c;
}

static int on_job(sd_bus_message *m, void *data, sd_bus_error *ret_error)
{
    struct call *c = data;
    struct systemd_bus *b = c->owner;
    (void)ret_error;
    if (sd_bus_message_is_method_error(m, NULL)) {
        char text[256];
        const sd_bus_error *e = sd_bus_message_get_error(m);
        bool denied = strstr(e->name, "AccessDenied") != NULL || strstr(e->name, "InteractiveAuthorization") != NULL;
        snprintf(text, sizeof(text), "%s%s", e->message != NULL ? e->message : e->name,
                 denied ? ": is polkitd running, and 60-kvass.rules in place?" : "");
        b->events.on_error(b->events.data, c->unit, text);
    }
    systemd_bus_list(b);
    return 0;
}

/* a{sv}: all of the service's properties, of which two are wanted. One call, so that both are of one moment. */
static int read_service(sd_bus_message *m, uint32_t *ret_pid, uint32_t *ret_restarts)
{
    const char *name = NULL;
    int rc = sd_bus_message_enter_container(m, 'a', "{sv}");
    while (rc >= 0 && (rc = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
        rc = sd_bus_message_read(m, "s", &name);
        if (rc >= 0 && strcmp(name, "MainPID") == 0) {
            rc = sd_bus_message_read(m, "v", "u", ret_pid);
        } else if (rc >= 0 && strcmp(name, "NRestarts") == 0) {
            rc = sd_bus_message_read(m, "v", "u", ret_restarts);
        } else if (rc >= 0) {
            rc = sd_bus_message_skip(m, "v");
        }
        rc = rc >= 0 ? sd_bus_message_exit_container(m) : rc;
    }
    return rc;
}

static int on_service(sd_bus_message *m, void *data, sd_bus_error *ret_error)
{
    struct call *c = data;
    uint32_t pid = 0, restarts = 0;
    (void)ret_error;
    if (!sd_bus_message_is_method_error(m, NULL) && read_service(m, &pid, &restarts) >= 0) {
        c->owner->events.on_service(c->owner->events.data, c->unit, (int)pid, restarts);
    }
    return 0;
}

/* The slot floats: it goes, and c with it, when the answer or the deadline has come. */
static void launch(struct systemd_bus *b, struct call *c, sd_bus_slot *slot, int rc)
{
    if (rc < 0) {
        call_free(c);
        lose(b, strerror(-rc));
        return;
    }
    sd_bus_slot_set_destroy_callback(slot, call_free);
    sd_bus_slot_set_floating(slot, 1);
    sd_bus_slot_unref(slot);
    arm(b);
}

void systemd_bus_call(struct systemd_bus *b, const char *verb, const char *unit)
{
    sd_bus_slot *slot = NULL;
    if (b->bus == NULL || b->calls >= CALLS_MAX) {
        return;
    }
    struct call *c = call_new(b, unit);
    int rc =
        sd_bus_call_method_async(b->bus, &slot, SYSTEMD, MANAGER_PATH, MANAGER, verb, on_job, c, "ss", unit, "replace");
    launch(b, c, slot, rc);
}

void systemd_bus_ask_service(struct systemd_bus *b, const char *unit)
{
    sd_bus_slot *slot = NULL;
    char *path = NULL;
    if (b->bus == NULL || b->calls >= CALLS_MAX ||
        sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit, &path) < 0) {
        return;
    }
    struct call *c = call_new(b, unit);
    int rc = sd_bus_call_method_async(b->bus, &slot, SYSTEMD, path, "org.freedesktop.DBus.Properties", "GetAll",
                                      on_service, c, "s", SYSTEMD ".Service");
    free(path);
    launch(b, c, slot, rc);
}

/* ---------------------------------------------------------------- connection */

static int on_job_removed(sd_bus_message *m, void *data, sd_bus_error *ret_error)
{
    struct systemd_bus *b = data;
    uint32_t id;
    const char *job, *unit, *result;
    (void)ret_error;
    if (sd_bus_message_read(m, "uoss", &id, &job, &unit, &result) >= 0 && fnmatch(b->pattern, unit, 0) == 0) {
        systemd_bus_ask_service(b, unit);
        systemd_bus_list(b);
    }
    return 0;
}

/* Signals are a convenience: without them the listings come at their own pace. */
static int on_ignored(sd_bus_message *m, void *data, sd_bus_error *ret_error)
{
    (void)m;
    (void)data;
    (void)ret_error;
    return 0;
}

static void connect_bus(struct systemd_bus *b)
{
    int rc = sd_bus_open_system(&b->bus);
    if (rc < 0) {
        lose(b, strerror(-rc));
        return;
    }
    (void)sd_bus_set_method_call_timeout(b->bus, CALL_TIMEOUT_US);
    (void)sd_bus_match_signal_async(b->bus, NULL, SYSTEMD, MANAGER_PATH, MANAGER, "JobRemoved", on_job_removed,
                                    on_ignored, b);
    (void)sd_bus_call_method_async(b->bus, NULL, SYSTEMD, MANAGER_PATH, MANAGER, "Subscribe", on_ignored, b, NULL);
    b->poll = mem_calloc(1, sizeof(*b->poll));
    b->poll->data = b;
    if (uv_poll_init(loop_uv(b->loop), b->poll, sd_bus_get_fd(b->bus)) != 0) {
        free(b->poll);
        b->poll = NULL;
        lose(b, "cannot be watched");
        return;
    }
    systemd_bus_list(b);
}

static void on_timer(void *data)
{
    struct systemd_bus *b = data;
    if (b->bus == NULL) {
        connect_bus(b);
    }
    process(b);
}

struct systemd_bus *systemd_bus_new(struct loop *loop, const char *pattern, const struct systemd_bus_events *events)
{
    struct systemd_bus *b = mem_calloc(1, sizeof(*b));
    b->loop = loop;
    b->events = *events;
    b->pattern = mem_strdup(pattern);
    b->units = mem_calloc(SYSTEMD_UNITS_MAX, sizeof(*b->units));
    b->timer = loop_timer_new(loop, on_timer, b);
    loop_timer_start(b->timer, 0, 0);
    return b;
}

void systemd_bus_free(struct systemd_bus **handle)
{
    struct systemd_bus *b = *handle;
    if (b == NULL) {
        return;
    }
    disconnect(b);
    loop_timer_free(&b->timer);
    free(b->pattern);
    free(b->units);
    free(b);
    *handle = NULL;
}
