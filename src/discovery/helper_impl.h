/* The inside of the helper, shared by helper.c (entries, process) and helper_poll.c (reading what it found). */
#ifndef KVASS_DISCOVERY_HELPER_IMPL_H
#define KVASS_DISCOVERY_HELPER_IMPL_H

#include "base/log.h"
#include "base/vec.h"
#include "discovery/helper.h"

#include <sys/types.h>

struct discoverer {
    struct helper *owner;
    struct arena *arena; /* holds conf */
    struct yaml_node *conf;
    char *key, *mechanism; /* "ec2_sd_configs", "ec2" */
    char *pool;            /* the name of its job */
    struct discovery_sink sink;
    struct http_call *call;
    struct helper_figures_seen {
        int64_t discovered; /* -1: not told */
        bool is_refreshed;  /* a refresh of this run went well */
    } seen;
    int64_t empty_since_ms, odd_since_ms; /* 0: not */
    uint64_t body_hash;                   /* of the list delivered last in this run; 0: none */
    bool has_failed, is_answered;         /* in this run of the process */
};

struct helper {
    struct loop *loop;
    struct http_client *http;
    char *binary, *path; /* as given; found */
    char *dir;
    struct loop_timer *timer;
    VEC(struct discoverer *) entries;
    VEC(uint64_t) accepted; /* hashes of entries the binary has taken */
    uint64_t next_pool;
    pid_t pid; /* 0: not running */
    int log_fd;
    int64_t log_offset;
    char *url;
    bool is_changed; /* the entries are others than those of the running process */
    int64_t changed_ms, started_ms, start_after_ms, polled_ms, heard_ms, backoff_ms;
    struct http_call *metrics_call;
};

/* One look at the process: its log, its figures, its lists. */
void helper_poll(struct helper *h);
/* Forgets what was read of an earlier process, not what was delivered. */
void helper_poll_reset(struct helper *h);
void helper_poll_cancel(struct helper *h);
bool helper_all_answered(const struct helper *h);

#endif
