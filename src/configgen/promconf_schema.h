/* Every key of a prometheus.yml up to Prometheus 3.14, with its type and the version that brought
 * it: the table that finds typing errors and lets keys of newer versions pass. Also which keys name
 * files, and which discovery mechanisms exist. */
#ifndef KVASS_CONFIGGEN_PROMCONF_SCHEMA_H
#define KVASS_CONFIGGEN_PROMCONF_SCHEMA_H

#include "base/view.h"

enum conf_type {
    CONF_STRING,
    CONF_BOOL,
    CONF_INT,
    CONF_UINT,
    CONF_FLOAT,
    CONF_DURATION,
    CONF_SIZE,
    CONF_URL,
    CONF_PATH,        /* a file; relative to the folder of the file it is written in */
    CONF_STRINGS,     /* list */
    CONF_PATHS,       /* list of files, globs included */
    CONF_STRING_MAP,  /* string -> string */
    CONF_STRINGS_MAP, /* string -> list of strings */
    CONF_STRUCT,
    CONF_STRUCTS,    /* list of structures */
    CONF_STRUCT_MAP, /* string -> structure */
    CONF_ANY,        /* not looked into, but for the keys that name files */
};

enum conf_struct {
    CONF_TOP,
    CONF_GLOBAL,
    CONF_RUNTIME,
    CONF_INCLUDED, /* the top of a scrape_config_files file */
    CONF_SCRAPE,
    CONF_HTTP,
    CONF_BASIC_AUTH,
    CONF_AUTHORIZATION,
    CONF_OAUTH2,
    CONF_TLS,
    CONF_HTTP_HEADER,
    CONF_RELABEL,
    CONF_STATIC,
    CONF_FILE_SD,
    CONF_HTTP_SD,
    CONF_DNS_SD,
    CONF_CONSUL_SD,
    CONF_KUBERNETES_SD,
    CONF_KUBERNETES_NAMESPACES,
    CONF_KUBERNETES_SELECTOR,
    CONF_KUBERNETES_ATTACH,
    CONF_DOCKER_SD,
    CONF_DOCKERSWARM_SD,
    CONF_FILTER,
    CONF_ALERTING,
    CONF_ALERTMANAGER,
    CONF_REMOTE_WRITE,
    CONF_QUEUE,
    CONF_METADATA,
    CONF_REMOTE_READ,
    CONF_STORAGE,
    CONF_TSDB,
    CONF_RETENTION,
    CONF_CHUNK_ENCODING,
    CONF_EXEMPLARS,
    CONF_OTLP,
    CONF_TRACING,
    CONF_STRUCT_COUNT
};

struct conf_key {
    const char *name;
    enum conf_type type;
    enum conf_struct inner; /* for the structure types */
    const char *since;      /* NULL: 2.42 has it */
};

/* The row of a key, the HTTP client keys and discovery mechanisms that s may hold included; NULL
 * when no version has it. */
const struct conf_key *conf_key_find(enum conf_struct s, struct view name);

/* Nearest known key for a message; NULL when nothing is near. */
const char *conf_key_nearest(enum conf_struct s, struct view name);

/* The row of "static_configs" or "<mechanism>_sd_configs". */
const struct conf_key *conf_mechanism_find(struct view key);
bool conf_is_mechanism_name(struct view key); /* has the form of one, known or not */

/* Inside structures that are not looked into: whether a key of this name holds a file. */
bool conf_is_path_key(struct view name);

#endif
