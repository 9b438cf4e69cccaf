/* The web configuration file: see web_config.h.
 *
 * libyaml's document loader resolves aliases; the walk then follows one table of keys per mapping, so an unknown or
 * repeated key is an error with its place, never ignored. Values are taken as yaml.v2 takes them, since that is the
 * reader behind promtool: any scalar is a string, merge keys are followed, null leaves a field alone. The walk goes as
 * deep as the tables do, plus a bounded chain of merges: a file of nested aliases costs nothing. */
#include "net/web_config.h"

#include "base/bytes.h"
#include "base/files.h"
#include "base/vec.h"

#include <yaml.h>

#include <openssl/tls1.h>

#include <stdlib.h>
#include <string.h>

#define MERGE_DEPTH_MAX 8
#define LIST_MAX        64

struct walk {
    yaml_document_t *doc;
    struct web_config *c;
    const char *folder;
    unsigned depth;
    VEC(struct web_user) users;
    VEC(struct web_header) headers;
    struct errctx *err;
};

typedef int field_fn(struct walk *w, yaml_node_t *value);

struct field {
    const char *key;
    field_fn *read;
};

static int refuse(struct walk *w, const yaml_node_t *at, int code, const char *what, struct view v)
{
    return errctx_set(w->err, code, "%zu:%zu: %s '%.*s'", at->start_mark.line + 1, at->start_mark.column + 1, what,
                      (int)(v.len > 80 ? 80 : v.len), v.base != NULL ? v.base : "");
}

static struct view scalar_view(const yaml_node_t *n)
{
    return view_make((const char *)n->data.scalar.value, n->data.scalar.length);
}

static bool scalar_is_plain(const yaml_node_t *n)
{
    return n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static bool view_in(struct view v, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (view_is(v, *list)) {
            return true;
        }
    }
    return false;
}

static bool node_is_null(const yaml_node_t *n)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    return n->type == YAML_SCALAR_NODE && scalar_is_plain(n) && view_in(scalar_view(n), nulls);
}

/* Any scalar but null, which reads as absent (*ret NULL). */
static int read_string(struct walk *w, yaml_node_t *n, const char **ret)
{
    if (n->type != YAML_SCALAR_NODE) {
        return refuse(w, n, ERR_INVALID, "a string is needed here, not a list or mapping", VIEW(""));
    }
    struct view v = scalar_view(n);
    if (memchr(v.base, '\0', v.len) != NULL) {
        return refuse(w, n, ERR_INVALID, "NUL byte in", v);
    }
    if (!node_is_null(n)) {
        *ret = v.len != 0 ? arena_dup(w->c->arena, v.base, v.len) : NULL;
    }
    return 0;
}

static int read_bool(struct walk *w, yaml_node_t *n, bool *ret)
{
    static const char *const yes[] = {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", NULL};
    static const char *const no[] = {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", NULL};
    if (node_is_null(n)) {
        return 0;
    }
    if (n->type == YAML_SCALAR_NODE && scalar_is_plain(n)) {
        struct view v = scalar_view(n);
        if (view_in(v, yes) || view_in(v, no)) {
            *ret = view_in(v, yes);
            return 0;
        }
    }
    return refuse(w, n, ERR_INVALID, "true or false is needed here, not",
                  n->type == YAML_SCALAR_NODE ? scalar_view(n) : VIEW(""));
}

static int read_path(struct walk *w, yaml_node_t *n, const char **ret)
{
    const char *path = NULL;
    int rc = read_string(w, n, &path);
    if (rc == 0 && path != NULL) {
        *ret = path[0] == '/' ? path : arena_printf(w->c->arena, "%s/%s", w->folder, path);
    }
    return rc;
}

/* --- mappings */

static int walk_fields(struct walk *w, yaml_node_t *map, const struct field *fields);

static int walk_merge(struct walk *w, yaml_node_t *value, const struct field *fields)
{
    if (++w->depth > MERGE_DEPTH_MAX) {
        return refuse(w, value, ERR_LIMIT, "merge keys nested too deeply", VIEW("<<"));
    }
    int rc = 0;
    if (value->type == YAML_SEQUENCE_NODE) {
        /* The first of a list wins: walked from the end. */
        yaml_node_item_t *item = value->data.sequence.items.top;
        while (rc == 0 && item > value->data.sequence.items.start) {
            yaml_node_t *n = yaml_document_get_node(w->doc, *--item);
            rc = n->type == YAML_MAPPING_NODE ? walk_fields(w, n, fields)
                                              : refuse(w, n, ERR_INVALID, "a mapping is merged here", VIEW("<<"));
        }
    } else if (value->type == YAML_MAPPING_NODE) {
        rc = walk_fields(w, value, fields);
    } else {
        rc = refuse(w, value, ERR_INVALID, "a mapping is merged here", VIEW("<<"));
    }
    w->depth--;
    return rc;
}

static bool key_is_merge(const yaml_node_t *key)
{
    return key->type == YAML_SCALAR_NODE && scalar_is_plain(key) && view_is(scalar_view(key), "<<");
}

static int walk_fields(struct walk *w, yaml_node_t *map, const struct field *fields)
{
    unsigned seen = 0;
    int rc = 0;
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; rc == 0 && p < map->data.mapping.pairs.top; p++) {
        yaml_node_t *key = yaml_document_get_node(w->doc, p->key), *value = yaml_document_get_node(w->doc, p->value);
        if (key_is_merge(key)) {
            rc = walk_merge(w, value, fields);
            continue;
        }
        struct view name = key->type == YAML_SCALAR_NODE ? scalar_view(key) : VIEW("(not a string)");
        unsigned i = 0;
        while (fields[i].key != NULL && !view_is(name, fields[i].key)) {
            i++;
        }
        if (fields[i].key == NULL) {
            rc = refuse(w, key, ERR_INVALID, "unknown field", name);
        } else if ((seen & 1U << i) != 0) {
            rc = refuse(w, key, ERR_INVALID, "field set twice:", name);
        } else {
            seen |= 1U << i;
            rc = fields[i].read(w, value);
        }
    }
    return rc;
}

static int walk_struct(struct walk *w, yaml_node_t *n, const struct field *fields)
{
    if (node_is_null(n)) {
        return 0;
    }
    if (n->type != YAML_MAPPING_NODE) {
        return refuse(w, n, ERR_INVALID, "a mapping is needed here", VIEW(""));
    }
    return walk_fields(w, n, fields);
}

/* A mapping of string to string; `add` judges each pair. */
static int walk_strings(struct walk *w, yaml_node_t *n,
                        int (*add)(struct walk *, yaml_node_t *, const char *, const char *))
{
    if (node_is_null(n)) {
        return 0;
    }
    if (n->type != YAML_MAPPING_NODE) {
        return refuse(w, n, ERR_INVALID, "a mapping is needed here", VIEW(""));
    }
    int rc = 0;
    for (yaml_node_pair_t *p = n->data.mapping.pairs.start; rc == 0 && p < n->data.mapping.pairs.top; p++) {
        yaml_node_t *key = yaml_document_get_node(w->doc, p->key), *value = yaml_document_get_node(w->doc, p->value);
        if (key_is_merge(key)) {
            rc = w->depth++ < MERGE_DEPTH_MAX ? walk_strings(w, value, add)
                                              : refuse(w, value, ERR_LIMIT, "merge keys nested too deeply", VIEW("<<"));
            w->depth--;
            continue;
        }
        const char *name = "", *text = "";
        rc = read_string(w, key, &name);
        if (rc == 0) {
            rc = read_string(w, value, &text);
        }
        if (rc == 0) {
            rc = add(w, key, name != NULL ? name : "", text != NULL ? text : "");
        }
    }
    return rc;
}

/* --- tls_server_config */

static int read_cert_file(struct walk *w, yaml_node_t *n)
{
    return read_path(w, n, &w->c->cert_file);
}

static int read_key_file(struct walk *w, yaml_node_t *n)
{
    return read_path(w, n, &w->c->key_file);
}

static int read_client_ca_file(struct walk *w, yaml_node_t *n)
{
    return read_path(w, n, &w->c->client_ca_file);
}

static int read_client_auth_type(struct walk *w, yaml_node_t *n)
{
    return read_string(w, n, &w->c->client_auth_type);
}

static int read_version(struct walk *w, yaml_node_t *n, int *ret)
{
    static const struct {
        const char *name;
        int version;
    } rows[] = {
        {"TLS10", TLS1_VERSION}, {"TLS11", TLS1_1_VERSION}, {"TLS12", TLS1_2_VERSION}, {"TLS13", TLS1_3_VERSION}};
    const char *text = NULL;
    int rc = read_string(w, n, &text);
    if (rc != 0 || node_is_null(n)) {
        return rc;
    }
    for (size_t i = 0; text != NULL && i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].name, text) == 0) {
            *ret = rows[i].version;
            return 0;
        }
    }
    return refuse(w, n, ERR_INVALID, "unknown TLS version:", scalar_view(n));
}

static int read_min_version(struct walk *w, yaml_node_t *n)
{
    return read_version(w, n, &w->c->min_version);
}

static int read_max_version(struct walk *w, yaml_node_t *n)
{
    return read_version(w, n, &w->c->max_version);
}

static int read_prefer(struct walk *w, yaml_node_t *n)
{
    return read_bool(w, n, &w->c->prefer_server_ciphers);
}

/* Joins the OpenSSL names of a list by ':'. */
static int read_names(struct walk *w, yaml_node_t *n, const char *what, const char *(*translate)(struct view),
                      char **ret)
{
    if (node_is_null(n)) {
        return 0;
    }
    if (n->type != YAML_SEQUENCE_NODE) {
        return refuse(w, n, ERR_INVALID, "a list is needed here", VIEW(""));
    }
    struct bytes joined;
    bytes_init(&joined, LIST_MAX * 64);
    ptrdiff_t count = n->data.sequence.items.top - n->data.sequence.items.start;
    int rc = count > LIST_MAX ? refuse(w, n, ERR_LIMIT, "too many entries", VIEW("")) : 0;
    for (ptrdiff_t i = 0; rc == 0 && i < count; i++) {
        yaml_node_t *item = yaml_document_get_node(w->doc, n->data.sequence.items.start[i]);
        const char *name = item->type == YAML_SCALAR_NODE ? translate(scalar_view(item)) : NULL;
        if (name == NULL) {
            rc = refuse(w, item, ERR_INVALID, what, item->type == YAML_SCALAR_NODE ? scalar_view(item) : VIEW(""));
        } else if (name[0] != '\0') {
            bytes_printf(&joined, "%s%s", joined.len != 0 ? ":" : "", name);
        }
    }
    if (rc == 0 && count != 0) {
        *ret = arena_dup(w->c->arena, joined.base != NULL ? joined.base : "", joined.len);
    }
    bytes_done(&joined);
    return rc;
}

static const char *translate_cipher(struct view name)
{
    bool tls13 = false;
    const char *ours = web_tls_cipher_name(name, &tls13);
    return ours != NULL && tls13 ? "" : ours;
}

static const char *translate_curve(struct view name)
{
    static const char *const rows[][2] = {
        {"CurveP256", "P-256"}, {"CurveP384", "P-384"}, {"CurveP521", "P-521"}, {"X25519", "X25519"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (view_is(name, rows[i][0])) {
            return rows[i][1];
        }
    }
    return NULL;
}

static int read_ciphers(struct walk *w, yaml_node_t *n)
{
    return read_names(w, n, "unknown cipher:", translate_cipher, &w->c->cipher_list);
}

static int read_curves(struct walk *w, yaml_node_t *n)
{
    return read_names(w, n, "unknown curve:", translate_curve, &w->c->group_list);
}

static int read_tls(struct walk *w, yaml_node_t *n)
{
    static const struct field fields[] = {
        {"cert_file", read_cert_file},
        {"key_file", read_key_file},
        {"client_auth_type", read_client_auth_type},
        {"client_ca_file", read_client_ca_file},
        {"cipher_suites", read_ciphers},
        {"curve_preferences", read_curves},
        {"min_version", read_min_version},
        {"max_version", read_max_version},
        {"prefer_server_cipher_suites", read_prefer},
        {NULL, NULL},
    };
    return walk_struct(w, n, fields);
}

/* --- http_server_config */

static int read_http2(struct walk *w, yaml_node_t *n)
{
    return read_bool(w, n, &w->c->http2);
}

static int add_header(struct walk *w, yaml_node_t *at, const char *name, const char *value)
{
    static const struct {
        const char *name, *values[3];
    } rows[] = {
        {"Content-Security-Policy", {NULL}},
        {"Strict-Transport-Security", {NULL}},
        {"X-Content-Type-Options", {"nosniff", NULL}},
        {"X-Frame-Options", {"deny", "sameorigin", NULL}},
        {"X-XSS-Protection", {NULL}},
    };
    vec_foreach(old, &w->headers) {
        if (strcmp(old->name, name) == 0) {
            return refuse(w, at, ERR_INVALID, "field set twice:", view_of(name));
        }
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].name, name) != 0) {
            continue;
        }
        if (rows[i].values[0] != NULL && !view_in(view_of(value), rows[i].values)) {
            return refuse(w, at, ERR_INVALID, "header has a value that is not allowed:", view_of(name));
        }
        char *clean = arena_strdup(w->c->arena, value);
        for (char *c = clean; *c != '\0'; c++) {
            *c = *c == '\r' || *c == '\n' ? ' ' : *c;
        }
        *vec_push(&w->headers) = (struct web_header){arena_strdup(w->c->arena, name), clean};
        return 0;
    }
    return refuse(w, at, ERR_INVALID, "HTTP header can not be configured:", view_of(name));
}

static int read_headers(struct walk *w, yaml_node_t *n)
{
    return walk_strings(w, n, add_header);
}

static int read_http(struct walk *w, yaml_node_t *n)
{
    static const struct field fields[] = {{"http2", read_http2}, {"headers", read_headers}, {NULL, NULL}};
    return walk_struct(w, n, fields);
}

/* --- basic_auth_users */

/* What Go's bcrypt.Cost accepts: length, prefix, version at most 2, cost 4 to 31. */
static const char *bcrypt_fault(struct view hash)
{
    if (hash.len < 59) {
        return "bcrypt hash too short for user";
    }
    if (hash.base[0] != '$' || hash.base[1] > '2') {
        return "not a bcrypt hash of user";
    }
    size_t at = hash.base[2] != '$' ? 4 : 3;
    unsigned tens = (unsigned)(hash.base[at] - '0'), ones = (unsigned)(hash.base[at + 1] - '0');
    if (tens > 9 || ones > 9 || tens * 10 + ones < 4 || tens * 10 + ones > 31) {
        return "bcrypt cost is not 4 to 31 for user";
    }
    return NULL;
}

static int add_user(struct walk *w, yaml_node_t *at, const char *name, const char *hash)
{
    if (w->users.len >= WEB_CONFIG_USERS_MAX) {
        return refuse(w, at, ERR_LIMIT, "too many users at", view_of(name));
    }
    vec_foreach(old, &w->users) {
        if (view_is(old->name, name)) {
            return refuse(w, at, ERR_INVALID, "user set twice:", view_of(name));
        }
    }
    const char *fault = bcrypt_fault(view_of(hash));
    if (fault != NULL) {
        return refuse(w, at, ERR_INVALID, fault, view_of(name));
    }
    *vec_push(&w->users) =
        (struct web_user){arena_view(w->c->arena, view_of(name)), arena_view(w->c->arena, view_of(hash))};
    return 0;
}

static int read_users(struct walk *w, yaml_node_t *n)
{
    return walk_strings(w, n, add_user);
}

/* --- the whole */

static int judge_client_auth(struct web_config *c, struct errctx *err)
{
    static const struct {
        const char *name;
        enum web_client_auth kind;
    } rows[] = {
        {"NoClientCert", WEB_CLIENT_AUTH_NONE},
        {"RequestClientCert", WEB_CLIENT_AUTH_REQUEST},
        {"RequireAnyClientCert", WEB_CLIENT_AUTH_REQUIRE_ANY},
        {"RequireClientCert", WEB_CLIENT_AUTH_REQUIRE_ANY},
        {"VerifyClientCertIfGiven", WEB_CLIENT_AUTH_VERIFY_IF_GIVEN},
        {"RequireAndVerifyClientCert", WEB_CLIENT_AUTH_REQUIRE_AND_VERIFY},
    };
    if (c->client_auth_type == NULL) {
        return 0;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].name, c->client_auth_type) == 0) {
            c->client_auth = rows[i].kind;
            return 0;
        }
    }
    return errctx_set(err, ERR_INVALID, "unknown client_auth_type '%s'", c->client_auth_type);
}

static int judge(struct web_config *c, struct errctx *err)
{
    if (c->cert_file == NULL && c->key_file == NULL && c->client_auth_type == NULL && c->client_ca_file == NULL) {
        return 0;
    }
    if (c->cert_file == NULL || c->key_file == NULL) {
        return errctx_set(err, ERR_INVALID, "tls_server_config: missing %s",
                          c->cert_file == NULL ? "cert_file" : "key_file");
    }
    int rc = judge_client_auth(c, err);
    if (rc == 0 && c->client_ca_file != NULL && c->client_auth == WEB_CLIENT_AUTH_NONE) {
        rc = errctx_set(err, ERR_INVALID, "tls_server_config: client_ca_file without a client_auth_type that uses it");
    }
    return rc;
}

static int walk_document(struct walk *w)
{
    static const struct field fields[] = {
        {"tls_server_config", read_tls},
        {"http_server_config", read_http},
        {"basic_auth_users", read_users},
        {NULL, NULL},
    };
    yaml_node_t *root = yaml_document_get_root_node(w->doc);
    int rc = root != NULL ? walk_struct(w, root, fields) : 0;
    if (rc == 0) {
        rc = judge(w->c, w->err);
    }
    w->c->user_count = w->users.len;
    w->c->users = arena_dup(w->c->arena, w->users.items != NULL ? (void *)w->users.items : "",
                            w->users.len * sizeof(struct web_user));
    w->c->header_count = w->headers.len;
    w->c->headers = arena_dup(w->c->arena, w->headers.items != NULL ? (void *)w->headers.items : "",
                              w->headers.len * sizeof(struct web_header));
    vec_done(&w->users);
    vec_done(&w->headers);
    return rc;
}

int web_config_parse(struct view text, const char *folder, struct web_config **ret, struct errctx *err)
{
    if (text.len > WEB_CONFIG_BYTES_MAX) {
        return errctx_set(err, ERR_LIMIT, "web configuration has %zu bytes; at most %zu", text.len,
                          WEB_CONFIG_BYTES_MAX);
    }
    yaml_parser_t parser;
    yaml_document_t doc;
    if (yaml_parser_initialize(&parser) == 0) {
        return errctx_set(err, ERR_LIMIT, "no memory for a YAML parser");
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.base, text.len);
    if (yaml_parser_load(&parser, &doc) == 0) {
        int rc = errctx_set(err, ERR_PARSE, "%zu:%zu: %s", parser.problem_mark.line + 1, parser.problem_mark.column + 1,
                            parser.problem != NULL ? parser.problem : "not YAML");
        yaml_parser_delete(&parser);
        return rc;
    }
    struct arena *arena = arena_new();
    struct web_config *c = arena_alloc(arena, sizeof(*c));
    *c = (struct web_config){.arena = arena,
                             .min_version = TLS1_2_VERSION,
                             .max_version = TLS1_3_VERSION,
                             .prefer_server_ciphers = true,
                             .http2 = true};
    struct walk w = {.doc = &doc, .c = c, .folder = folder, .err = err};
    int rc = walk_document(&w);
    yaml_document_delete(&doc);
    yaml_parser_delete(&parser);
    if (rc != 0) {
        arena_free(&arena);
        return rc;
    }
    *ret = c;
    return 0;
}

int web_config_load(const char *path, struct web_config **ret, SSL_CTX **ret_tls, struct errctx *err)
{
    struct bytes text;
    bytes_init(&text, WEB_CONFIG_BYTES_MAX);
    int rc = files_read(path, &text, err);
    const char *slash = strrchr(path, '/');
    char *folder = slash == path   ? mem_strdup("/")
                   : slash != NULL ? mem_dup(path, (size_t)(slash - path))
                                   : mem_strdup(".");
    struct web_config *c = NULL;
    if (rc == 0) {
        rc = web_config_parse(bytes_view(&text), folder, &c, err);
        if (rc != 0) {
            rc = errctx_prefix(err, rc, "%s", path);
        }
    }
    SSL_CTX *tls = NULL;
    if (rc == 0 && c->cert_file != NULL) {
        rc = web_tls_build(c, &tls, err);
    }
    if (rc == 0) {
        *ret = c;
        *ret_tls = tls;
    } else {
        web_config_free(&c);
    }
    free(folder);
    bytes_done(&text);
    return rc;
}

void web_config_free(struct web_config **c)
{
    if (*c != NULL) {
        struct arena *arena = (*c)->arena;
        arena_free(&arena);
        *c = NULL;
    }
}
