/* The configuration for people: the tree with every secret hidden. Which keys hold secrets goes by
 * their names, wherever they stand, so that sections that are not looked into are covered too;
 * labels are left as they are. Never the source of anything that runs. */
#include "configgen/promconf_parts.h"

#include <yaml.h>

static bool name_is_among(struct view name, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (view_is(name, *list)) {
            return true;
        }
    }
    return false;
}

static bool is_secret_key(struct view name)
{
    static const char *const names[] = {
        "password",
        "credentials",
        "bearer_token",
        "client_secret",
        "client_certificate_key",
        "key",
        "secret",
        "secrets",
        "secret_key",
        "token",
        "auth_token",
        "api_token",
        "access_token",
        "api_key",
        "access_key",
        "application_secret",
        "application_key",
        "consumer_key",
        "service_account_key",
        "private_key",
        "proxy_connect_header",
        "endpoint_params", /* of oauth2: Prometheus shows them, yet an assertion or a password may be among them */
        "application_credential_secret",
        NULL,
    };
    return name_is_among(name, names);
}

static bool is_plain_section(struct view name)
{
    static const char *const names[] = {"labels", "external_labels", "node_meta",
                                        "required_matchers", NULL};
    return name_is_among(name, names);
}

static void hide(struct yaml_node *n)
{
    if (n->kind == YAML_SCALAR && !yaml_is_null(n) && n->value.len != 0) {
        n->value = VIEW("<secret>");
        n->style = YAML_PLAIN_SCALAR_STYLE;
        n->tag = NULL;
    }
    for (size_t i = 0; i < n->count; i++) {
        hide(n->kind == YAML_MAPPING ? n->pairs[i].value : n->items[i]);
    }
}

/* scheme://user:password@host -> scheme://user:xxxxx@host */
static void hide_url_password(struct arena *arena, struct yaml_node *n)
{
    const char *start = strstr(n->value.base, "://");
    if (start == NULL) {
        return;
    }
    start += 3;
    size_t authority = strcspn(start, "/?#");
    const char *at = NULL;
    for (size_t i = 0; i < authority; i++) {
        at = start[i] == '@' ? start + i : at;
    }
    const char *colon = at != NULL ? memchr(start, ':', (size_t)(at - start)) : NULL;
    if (colon != NULL) {
        n->value = view_of(
            arena_printf(arena, "%.*s:xxxxx%s", (int)(colon - n->value.base), n->value.base, at));
    }
}

static void redact(struct arena *arena, struct yaml_node *n)
{
    if (n->kind == YAML_SCALAR) {
        hide_url_password(arena, n);
    }
    for (size_t i = 0; i < n->count; i++) {
        if (n->kind == YAML_SEQUENCE) {
            redact(arena, n->items[i]);
        } else if (is_secret_key(n->pairs[i].key->value)) {
            hide(n->pairs[i].value);
        } else if (!is_plain_section(n->pairs[i].key->value)) {
            redact(arena, n->pairs[i].value);
        }
    }
}

/* Jobs that no file holds are shown, too. */
static void add_extras(struct arena *arena, struct yaml_node *root, const struct promconf *c)
{
    const struct yaml_node *of_file = yaml_get(root, "scrape_configs");
    struct yaml_node *jobs = yaml_new_sequence(arena);
    if (c->file_job_count == c->job_count) {
        return;
    }
    for (size_t i = 0; !yaml_is_null(of_file) && i < of_file->count; i++) {
        yaml_append(arena, jobs, of_file->items[i]);
    }
    for (size_t i = c->file_job_count; i < c->job_count; i++) {
        yaml_append(arena, jobs, yaml_copy(arena, c->jobs[i].node));
    }
    yaml_set(arena, root, "scrape_configs", jobs);
}

int promconf_write_redacted(const struct promconf *c, struct bytes *out, struct errctx *err)
{
    struct arena *arena = arena_new();
    struct yaml_node *copy = yaml_copy(arena, c->root);
    add_extras(arena, copy, c);
    redact(arena, copy);
    int rc = yaml_write(copy, out, err);
    arena_free(&arena);
    return rc != 0 ? rc : bytes_check(out, err);
}
