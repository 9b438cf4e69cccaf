/* Heads of answers: see answer_head.h. What is kept goes on to Prometheus, so it must not smuggle a line or a control
 * character. */
#include "proxy/answer_head.h"

#include <string.h>
#include <strings.h>

static void copy_text(char *to, size_t max, struct view value)
{
    size_t n = value.len < max - 1 ? value.len : max - 1;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)value.base[i];
        to[i] = (char)(c < ' ' || c == 0x7f ? '?' : c);
    }
    to[n] = '\0';
}

static struct view trim(struct view v)
{
    while (v.len > 0 && (v.base[0] == ' ' || v.base[0] == '\t')) {
        v = view_make(v.base + 1, v.len - 1);
    }
    while (v.len > 0 && memchr(" \t\r\n", v.base[v.len - 1], 4) != NULL) {
        v.len--;
    }
    return v;
}

/* "HTTP/1.1 404 Not Found" */
static void take_status_line(struct answer_head *h, struct view line)
{
    *h = (struct answer_head){0};
    const char *space = memchr(line.base, ' ', line.len);
    if (space == NULL) {
        return;
    }
    struct view rest = trim(view_make(space, line.len - (size_t)(space - line.base)));
    for (size_t i = 0; i < rest.len && i < 3 && rest.base[i] >= '0' && rest.base[i] <= '9'; i++) {
        h->status = h->status * 10 + (rest.base[i] - '0');
    }
    if (rest.len > 4) {
        copy_text(h->reason, sizeof(h->reason), view_make(rest.base + 4, rest.len - 4));
    }
}

static bool name_is(struct view name, const char *want)
{
    return name.len == strlen(want) && strncasecmp(name.base, want, name.len) == 0;
}

int answer_head_take(struct answer_head *h, struct view line, struct errctx *err)
{
    if (view_has_prefix(line, VIEW("HTTP/"))) {
        take_status_line(h, line);
    }
    h->bytes += line.len;
    if (h->bytes > ANSWER_HEAD_BYTES_MAX) {
        return errctx_set(err, ERR_LIMIT, "the head of the answer is larger than %zu bytes", ANSWER_HEAD_BYTES_MAX);
    }
    h->ended = trim(line).len == 0;
    const char *colon = line.len > 0 ? memchr(line.base, ':', line.len) : NULL;
    if (colon != NULL) {
        struct view name = view_make(line.base, (size_t)(colon - line.base));
        struct view value = trim(view_make(colon + 1, line.len - name.len - 1));
        if (name_is(name, "content-type") && !h->has_type) {
            h->has_type = true;
            copy_text(h->content_type, sizeof(h->content_type), value);
        } else if (name_is(name, "content-encoding") && !h->has_encoding) {
            h->has_encoding = true;
            copy_text(h->content_encoding, sizeof(h->content_encoding), value);
        }
    }
    return 0;
}
