/* Golden files of a folder: case.yml beside case.want. With KVASS_WRITE_GOLDEN set, tests write the
 * .want files anew instead. */
#ifndef KVASS_TESTS_CONFIGGEN_GOLDEN_H
#define KVASS_TESTS_CONFIGGEN_GOLDEN_H

#include "base/bytes.h"
#include "base/files.h"
#include "base/mem.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static inline const char *golden_folder(void)
{
    const char *top = getenv("top_srcdir");
    static char path[4096];
    snprintf(path, sizeof(path), "%s/tests/data/promconf", top != NULL ? top : ".");
    return path;
}

static inline int golden_is_case(const struct dirent *e)
{
    size_t len = strlen(e->d_name);
    return len > 4 && strcmp(e->d_name + len - 4, ".yml") == 0;
}

static inline char *golden_read(const char *name)
{
    struct bytes text;
    struct errctx err = ERRCTX_INIT;
    char *path = mem_printf("%s/%s", golden_folder(), name);
    bytes_init(&text, 1 << 24);
    if (files_read(path, &text, &err) != 0) {
        print_error("%s\n", err.msg);
    }
    free(path);
    return bytes_take(&text, NULL);
}

static inline void golden_compare(const char *name, const char *ending, const char *got)
{
    char *want_name = mem_printf("%.*s%s", (int)strlen(name) - 4, name, ending);
    if (getenv("KVASS_WRITE_GOLDEN") != NULL) {
        char *path = mem_printf("%s/%s", golden_folder(), want_name);
        assert_int_equal(files_write_atomic(path, view_of(got), 0644, (gid_t)-1, NULL), 0);
        free(path);
    }
    char *want = golden_read(want_name);
    if (strcmp(want, got) != 0) {
        print_error("%s differs\n--- want\n%s--- got\n%s", want_name, want, got);
    }
    assert_string_equal(want, got);
    free(want);
    free(want_name);
}

/* Calls run for every case whose name starts, or does not start, with "fail-"; returns how many. */
static inline int golden_each(bool failing, void (*run)(const char *name, const char *text))
{
    struct dirent **list;
    int count = scandir(golden_folder(), &list, golden_is_case, alphasort), done = 0;
    for (int i = 0; i < count; i++) {
        if ((strncmp(list[i]->d_name, "fail-", 5) == 0) == failing) {
            char *text = golden_read(list[i]->d_name);
            run(list[i]->d_name, text);
            free(text);
            done++;
        }
        free(list[i]);
    }
    free(list);
    return done;
}

#endif
