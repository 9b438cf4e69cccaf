/* Reads the page that a running kvass serves: name, labels and value of each sample. Not a judge of foreign pages (that
 * is `kvass count`): a timestamp or an exemplar behind the value is refused like anything else that our own pages do
 * not hold. */
#include "cli/metrics_page.h"
#include "base/bytes.h"
#include "cli/table.h"

#include <string.h>

#define LABELS_BYTES_MAX 65536

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == ':';
}

static struct view take_name(struct view *rest)
{
    size_t len = 0;
    while (len < rest->len && is_name_byte(rest->base[len])) {
        len++;
    }
    struct view name = view_make(rest->base, len);
    *rest = view_make(rest->base + len, rest->len - len);
    return name;
}

static bool take_byte(struct view *rest, char c)
{
    if (rest->len == 0 || rest->base[0] != c) {
        return false;
    }
    *rest = view_make(rest->base + 1, rest->len - 1);
    return true;
}

/* The inside of a quoted value, unescaped into out; the closing quote is taken. */
static bool take_value(struct view *rest, struct bytes *out)
{
    bytes_clear(out);
    while (rest->len > 0 && rest->base[0] != '"') {
        char c = rest->base[0];
        size_t used = c == '\\' && rest->len > 1 ? 2 : 1;
        if (used == 2) {
            c = rest->base[1] == 'n' ? '\n' : rest->base[1];
        }
        bytes_append_char(out, c);
        *rest = view_make(rest->base + used, rest->len - used);
    }
    return take_byte(rest, '"');
}

/* {a="x",b="y"} or nothing. */
static bool take_labels(struct view *rest, json_t *labels)
{
    struct bytes value;
    bool ok = true;
    if (!take_byte(rest, '{')) {
        return true;
    }
    bytes_init(&value, LABELS_BYTES_MAX);
    while (ok && !take_byte(rest, '}')) {
        struct view name = take_name(rest);
        ok = name.len > 0 && take_byte(rest, '=') && take_byte(rest, '"') && take_value(rest, &value) &&
             json_object_setn_new(labels, name.base, name.len, json_stringn(bytes_view(&value).base, value.len)) == 0;
        (void)take_byte(rest, ',');
    }
    bytes_done(&value);
    return ok;
}

static json_t *parse_line(struct view line)
{
    json_t *labels = json_object();
    struct view name = take_name(&line);
    bool ok = name.len > 0 && take_labels(&line, labels) && take_byte(&line, ' ') && line.len > 0 &&
              memchr(line.base, ' ', line.len) == NULL;
    if (!ok) {
        json_decref(labels);
        return NULL;
    }
    return json_pack("{s:s%, s:o, s:s%}", "name", name.base, name.len, "labels", labels, "value", line.base, line.len);
}

json_t *metrics_page_parse(struct view page, struct errctx *err)
{
    json_t *data = json_array();
    for (unsigned number = 1; page.len > 0; number++) {
        const char *end = memchr(page.base, '\n', page.len);
        struct view line = view_make(page.base, end != NULL ? (size_t)(end - page.base) : page.len);
        size_t used = line.len + (end != NULL);
        page = view_make(page.base + used, page.len - used);
        if (line.len == 0 || line.base[0] == '#') {
            continue;
        }
        json_t *sample = parse_line(line);
        if (sample == NULL) {
            json_decref(data);
            (void)errctx_set(err, ERR_PARSE, "line %u of the page is no metric of kvass: %.*s", number,
                             line.len < 200 ? (int)line.len : 200, line.base);
            return NULL;
        }
        json_array_append_new(data, sample);
    }
    return json_pack("{s:s, s:o}", "status", "success", "data", data);
}

void metrics_page_print(const json_t *data, FILE *to, bool colour)
{
    struct table t;
    size_t i;
    json_t *sample;
    table_init(&t, "METRIC|LABELS|+VALUE");
    json_array_foreach(data, i, sample)
    {
        struct bytes labels;
        const char *key, *between = "";
        json_t *value;
        bytes_init(&labels, LABELS_BYTES_MAX);
        json_object_foreach(json_object_get(sample, "labels"), key, value)
        {
            bytes_printf(&labels, "%s%s=%s", between, key, json_string_value(value));
            between = " ";
        }
        table_cell(&t, json_string_value(json_object_get(sample, "name")));
        table_cell(&t, labels.len > 0 ? bytes_view(&labels).base : "");
        table_cell(&t, json_string_value(json_object_get(sample, "value")));
        bytes_done(&labels);
    }
    table_print(&t, to, colour);
    table_done(&t);
}
