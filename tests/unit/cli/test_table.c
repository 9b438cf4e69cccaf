/* Aligned tables: widths, sides, colours only when asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/table.h"

#include <string.h>

static char *print(const struct table *t, bool colour)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    table_print(t, out, colour);
    fclose(out);
    return text;
}

static void columns_align(void **state)
{
    struct table t;
    (void)state;
    table_init(&t, "NAME|+N|STATE");
    table_cell(&t, "a");
    table_number(&t, 12345.4);
    table_cell(&t, "ready");
    table_cell(&t, "longer");
    table_number(&t, 7);
    table_cell(&t, "");
    char *plain = print(&t, false), *coloured = print(&t, true);
    assert_string_equal(plain, "NAME        N  STATE\na       12345  ready\nlonger      7  -\n");
    assert_non_null(strstr(coloured, "\033[32mready\033[0m\n"));
    assert_non_null(strstr(coloured, "\033[1mNAME\033[0m"));
    free(plain);
    free(coloured);
    table_done(&t);
}

/* What a target or discovery says moves no cursor and breaks no line; a character counts once. */
static void nothing_unprintable(void **state)
{
    struct table t;
    (void)state;
    table_init(&t, "JOB|STATE");
    table_cell(&t, "a\033[2Jb\nc\x7f");
    table_cell(&t, "up");
    table_cell(&t, "\xc2\x9b\xc3\xb6\xc2");
    table_cell(&t, "down");
    char *plain = print(&t, false);
    assert_string_equal(plain, "JOB        STATE\na?[2Jb?c?  up\n??\xc3\xb6\xc2       down\n");
    free(plain);
    table_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(columns_align), cmocka_unit_test(nothing_unprintable)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
