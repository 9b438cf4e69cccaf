/* What the tests of this room share: cmocka's includes and a folder that goes away again. */
#ifndef KVASS_TESTS_BASE_TEST_H
#define KVASS_TESTS_BASE_TEST_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/errctx.h"
#include "base/files.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define assert_contains(haystack, needle)                                                                              \
    do {                                                                                                               \
        if (strstr(haystack, needle) == NULL) {                                                                        \
            fail_msg("'%s' not found in: %s", needle, haystack);                                                       \
        }                                                                                                              \
    } while (0)

/* A new folder under the current one. */
static inline char *temp_dir_new(void)
{
    char *path = mem_strdup("base_test_XXXXXX");
    assert_non_null(mkdtemp(path));
    return path;
}

static inline void temp_dir_free(char *path)
{
    assert_int_equal(files_remove_tree(path, NULL), 0);
    free(path);
}

#endif
