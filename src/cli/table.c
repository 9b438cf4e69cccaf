/* Aligned text tables: see table.h. */
#include "cli/table.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void table_init(struct table *t, const char *headers)
{
    *t = (struct table){0};
    while (*headers != '\0') {
        size_t len = strcspn(headers, "|");
        bool right = headers[0] == '+';
        invariant(t->columns < TABLE_COLUMNS_MAX);
        t->right[t->columns++] = right;
        *vec_push(&t->cells) = mem_dup(headers + right, len - right);
        headers += len + (headers[len] == '|');
    }
}

void table_done(struct table *t)
{
    vec_foreach(c, &t->cells) {
        free(*c);
    }
    vec_done(&t->cells);
}

void text_make_printable(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            *p = '?';
        } else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) { /* U+0080 to U+009F */
            p[0] = p[1] = '?';
        }
    }
}

/* Characters of UTF-8, not bytes. */
static size_t text_width(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

void table_cell(struct table *t, const char *text)
{
    char *copy = mem_strdup(text != NULL && *text != '\0' ? text : "-");
    text_make_printable(copy);
    *vec_push(&t->cells) = copy;
}

void table_number(struct table *t, double n)
{
    *vec_push(&t->cells) = mem_printf("%.0f", n);
}

static const char *colour_of(const char *text)
{
    static const struct {
        const char *word, *colour;
    } WORDS[] = {
        {"ready", "\033[32m"},    {"up", "\033[32m"},          {"finished", "\033[32m"}, {"assigned", "\033[32m"},
        {"starting", "\033[33m"}, {"in_transfer", "\033[33m"}, {"running", "\033[33m"},  {"exploring", "\033[33m"},
        {"pending", "\033[33m"},  {"unknown", "\033[33m"},     {"down", "\033[31m"},     {"unreachable", "\033[31m"},
        {"too_big", "\033[31m"},  {"invalid", "\033[31m"},     {"undone", "\033[31m"},   {"over_limit", "\033[31m"},
    };
    for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        if (strcmp(WORDS[i].word, text) == 0) {
            return WORDS[i].colour;
        }
    }
    return "";
}

void table_print(const struct table *t, FILE *to, bool colour)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    for (size_t i = 0; i < t->cells.len; i++) {
        size_t len = text_width(t->cells.items[i]);
        widths[i % t->columns] = len > widths[i % t->columns] ? len : widths[i % t->columns];
    }
    for (size_t i = 0; i < t->cells.len; i++) {
        size_t column = i % t->columns;
        bool last = column + 1 == t->columns;
        const char *text = t->cells.items[i];
        int pad = (int)(widths[column] - text_width(text));
        const char *on = !colour ? "" : i < t->columns ? "\033[1m" : colour_of(text);
        fprintf(to, "%*s%s%s%s%*s%s", t->right[column] ? pad : 0, "", on, text, *on != '\0' ? "\033[0m" : "",
                t->right[column] || last ? 0 : pad, "", last ? "\n" : "  ");
    }
}

bool terminal_moves_cursor(void)
{
    const char *term = getenv("TERM");
    return isatty(STDOUT_FILENO) != 0 && term != NULL && *term != '\0' && strcmp(term, "dumb") != 0;
}

bool terminal_has_colour(void)
{
    const char *no = getenv("NO_COLOR");
    return terminal_moves_cursor() && (no == NULL || *no == '\0');
}
