/* Whole files: what is written is read, and a failed write leaves the old file as it was. A full disk is played by the
 * file size limit of the process, which fails write(2) half way as ENOSPC does. */
#include "base_test.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void assert_content(const char *path, const char *want)
{
    struct bytes b;
    bytes_init(&b, 1 << 20);
    assert_int_equal(files_read(path, &b, NULL), 0);
    assert_string_equal(bytes_view(&b).base, want);
    bytes_done(&b);
}

static int entries_in(const char *dir)
{
    int n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    while (readdir(d) != NULL) {
        n++;
    }
    closedir(d);
    return n - 2;
}

static void test_write_read_replace(void **state)
{
    (void)state;
    char *dir = temp_dir_new(), *path = mem_printf("%s/file", dir);
    struct stat st;
    assert_int_equal(files_write_atomic(path, VIEW("one"), 0640, (gid_t)-1, NULL), 0);
    assert_content(path, "one");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(files_write_atomic(path, VIEW(""), 0600, getgid(), NULL), 0);
    assert_content(path, "");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(entries_in(dir), 1); /* no temporary left */
    free(path);
    temp_dir_free(dir);
}

static void test_full_disk_keeps_the_old_file(void **state)
{
    (void)state;
    char *dir = temp_dir_new(), *path = mem_printf("%s/file", dir);
    struct errctx err = ERRCTX_INIT;
    struct rlimit old, small;
    size_t len = 200000;
    char *big = mem_calloc(1, len);
    assert_int_equal(files_write_atomic(path, VIEW("old"), 0600, (gid_t)-1, NULL), 0);
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 100000;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int rc = files_write_atomic(path, view_make(big, len), 0600, (gid_t)-1, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    assert_int_equal(rc, ERR_IO);
    assert_contains(err.msg, path);
    assert_content(path, "old");
    assert_int_equal(entries_in(dir), 1);
    free(big);
    free(path);
    temp_dir_free(dir);
}

static void test_refused_places(void **state)
{
    (void)state;
    char *dir = temp_dir_new(), *missing = mem_printf("%s/no/file", dir), *folder = mem_printf("%s/folder", dir);
    struct errctx err = ERRCTX_INIT;
    assert_int_equal(files_write_atomic(missing, VIEW("x"), 0600, (gid_t)-1, &err), ERR_NOT_FOUND);
    assert_contains(err.msg, missing);
    errctx_clear(&err);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(files_write_atomic(folder, VIEW("x"), 0600, (gid_t)-1, &err), ERR_IO);
    assert_int_equal(entries_in(dir), 1);
    if (geteuid() != 0) { /* root writes anywhere */
        char *path = mem_printf("%s/file", folder);
        assert_int_equal(files_write_atomic(path, VIEW("old"), 0600, (gid_t)-1, NULL), 0);
        assert_int_equal(chmod(folder, 0500), 0);
        assert_int_equal(files_write_atomic(path, VIEW("new"), 0600, (gid_t)-1, NULL), ERR_IO);
        assert_content(path, "old");
        assert_int_equal(chmod(folder, 0700), 0);
        free(path);
    }
    free(folder);
    free(missing);
    temp_dir_free(dir);
}

static void test_read_cap_and_errors(void **state)
{
    (void)state;
    char *dir = temp_dir_new(), *path = mem_printf("%s/file", dir);
    struct errctx err = ERRCTX_INIT;
    struct bytes b;
    bytes_init(&b, 5);
    assert_int_equal(files_read(path, &b, &err), ERR_NOT_FOUND);
    assert_contains(err.msg, path);
    assert_int_equal(files_write_atomic(path, VIEW("12345"), 0600, (gid_t)-1, NULL), 0);
    assert_int_equal(files_read(path, &b, NULL), 0);
    assert_string_equal(b.base, "12345");
    bytes_clear(&b);
    assert_int_equal(files_write_atomic(path, VIEW("123456"), 0600, (gid_t)-1, NULL), 0);
    errctx_clear(&err);
    assert_int_equal(files_read(path, &b, &err), ERR_LIMIT);
    assert_contains(err.msg, path);
    errctx_clear(&err);
    bytes_clear(&b);
    assert_int_equal(files_read(dir, &b, &err), ERR_IO);
    bytes_done(&b);
    free(path);
    temp_dir_free(dir);
}

static void test_write_if_changed(void **state)
{
    (void)state;
    char *dir = temp_dir_new(), *path = mem_printf("%s/file", dir);
    struct stat before, after;
    bool changed = false;
    assert_int_equal(files_write_if_changed(path, VIEW("a"), 0600, (gid_t)-1, &changed, NULL), 0);
    assert_true(changed);
    stat(path, &before);
    assert_int_equal(files_write_if_changed(path, VIEW("a"), 0600, (gid_t)-1, &changed, NULL), 0);
    assert_false(changed);
    stat(path, &after);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(files_write_if_changed(path, VIEW("abc"), 0600, (gid_t)-1, &changed, NULL), 0);
    assert_true(changed);
    assert_int_equal(files_write_if_changed(path, VIEW(""), 0600, (gid_t)-1, &changed, NULL), 0);
    assert_true(changed);
    assert_content(path, "");
    free(path);
    temp_dir_free(dir);
}

static void test_folders(void **state)
{
    (void)state;
    char *dir = temp_dir_new(), *deep = mem_printf("%s/a//b/c/", dir), *file = mem_printf("%s/file", dir);
    char *below = mem_printf("%s/file/x", dir), *tree = mem_printf("%s/a", dir);
    struct stat st;
    assert_int_equal(files_make_dirs(deep, 0750, NULL), 0);
    assert_int_equal(files_make_dirs(deep, 0750, NULL), 0);
    assert_int_equal(stat(deep, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(files_make_dirs("", 0750, NULL), ERR_INVALID);
    assert_int_equal(files_write_atomic(file, VIEW("x"), 0600, (gid_t)-1, NULL), 0);
    assert_int_equal(files_make_dirs(file, 0750, NULL), ERR_IO);
    assert_int_equal(files_make_dirs(below, 0750, NULL), ERR_IO);
    assert_int_equal(files_remove_tree(tree, NULL), 0);
    assert_int_equal(stat(tree, &st), -1);
    assert_int_equal(files_remove_tree(tree, NULL), 0);
    assert_int_equal(symlink("/nonexistent", tree), 0);
    assert_int_equal(files_remove_tree(tree, NULL), 0); /* the link, not where it points */
    assert_int_equal(lstat(tree, &st), -1);
    free(tree);
    free(below);
    free(file);
    free(deep);
    temp_dir_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_read_replace), cmocka_unit_test(test_full_disk_keeps_the_old_file),
        cmocka_unit_test(test_refused_places),     cmocka_unit_test(test_read_cap_and_errors),
        cmocka_unit_test(test_write_if_changed),   cmocka_unit_test(test_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
